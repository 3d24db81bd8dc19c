package principal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/iam"
)

// maxFiles bounds the policy directory.
const maxFiles = 10000

// A file is one file of the policy directory as it was last read.
type file struct {
	kind Kind
	name string

	size    int64
	changed time.Time // mtime
	read    time.Time
	sum     [sha256.Size]byte // of the content

	err    error       // why that content is not in force
	policy *iam.Policy // the last good content, one of the two
	spec   *Spec
}

// settle is how old a file must be for its size and mtime to prove that it has not
// changed: clocks of file systems are coarse.
const settle = 2 * time.Second

// stale tells whether a file on disk may differ from f.
func (f *file) stale(info os.FileInfo) bool {
	return f.size != info.Size() || !f.changed.Equal(info.ModTime()) || f.read.Sub(f.changed) < settle
}

// folders are the kinds by folder.
func folders() map[string]Kind {
	return map[string]Kind{"policies": policy, "users": User, "roles": Role}
}

// scan reads the files below dir that changed since before, by path. changed is false
// when there is nothing new. The error is one of the directory itself.
func scan(dir string, before map[string]*file, now time.Time) (after map[string]*file, changed bool, err error) {
	after = map[string]*file{}
	if _, err := os.Stat(dir); err != nil {
		return nil, false, fmt.Errorf("principal: policy directory: %w", err)
	}
	for folder, kind := range folders() {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, false, fmt.Errorf("principal: policy directory: %w", err)
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".json")
			if !ok || strings.HasPrefix(name, ".") {
				continue
			}
			path := filepath.Join(folder, e.Name())
			if len(after) == maxFiles {
				return nil, false, fmt.Errorf("principal: policy directory: more than %d files", maxFiles)
			}
			was := before[path]
			is := load(filepath.Join(dir, path), kind, name, was, now)
			after[path] = is
			changed = changed || was == nil || is.sum != was.sum || fmt.Sprint(is.err) != fmt.Sprint(was.err)
		}
	}
	return after, changed || len(after) != len(before), nil
}

// load reads one file unless it is as it was.
func load(path string, kind Kind, name string, was *file, now time.Time) *file {
	f := &file{kind: kind, name: name, read: now}
	if was != nil {
		f.policy, f.spec = was.policy, was.spec
	}
	info, err := os.Stat(path) // through links, as mounted directories have them
	if err == nil && was != nil && was.err == nil && !was.stale(info) {
		return was
	}
	var content []byte
	if err == nil {
		f.size, f.changed = info.Size(), info.ModTime()
		content, err = readFile(path)
		f.sum = sha256.Sum256(content)
	}
	if err == nil {
		err = f.parse(content)
	}
	f.err = err
	return f
}

func readFile(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	if len(b) > maxSpec {
		err = fmt.Errorf("more than %d bytes", maxSpec)
	}
	return b, err
}

// parse makes content the last good one, or says why it is not.
func (f *file) parse(content []byte) error {
	if err := CheckName(f.name); err != nil {
		return err
	}
	if f.kind == policy {
		p, err := iam.Parse(content)
		if err == nil {
			f.policy = p
		}
		return err
	}
	s, err := ParseSpec(content)
	if err == nil {
		f.spec = &s
	}
	return err
}

// A book is the policy directory, compiled. It never changes.
type book struct {
	policies   map[string]*iam.Policy // by ARN, the built-in ones included
	principals map[string]*Principal  // by ARN
	problems   map[string]error       // by path: what is not in force
}

// bind makes a book of files. A principal that names a policy which is not there keeps
// what it was in the book before.
func bind(account string, files map[string]*file, before *book) (*book, error) {
	managed, err := iam.Managed()
	if err != nil {
		return nil, err
	}
	b := &book{policies: managed, principals: map[string]*Principal{}, problems: map[string]error{}}
	for path, f := range files {
		if f.err != nil {
			b.problems[path] = f.err
		}
		if f.policy == nil {
			continue
		}
		if arn, err := PolicyARN(account, f.name); err != nil || managed[arn] != nil {
			b.problems[path] = fmt.Errorf("%s is the name of a built-in policy", f.name)
			continue
		}
		b.policies[ARN(account, policy, f.name)] = f.policy
	}
	for path, f := range files {
		if f.spec == nil {
			continue
		}
		p, err := compile(account, f.kind, f.name, *f.spec, func(arn string) *iam.Policy { return b.policies[arn] })
		if err == nil {
			b.principals[p.ARN] = p
			continue
		}
		b.problems[path] = errors.Join(b.problems[path], err)
		if arn := ARN(account, f.kind, f.name); before != nil && before.principals[arn] != nil {
			b.principals[arn] = before.principals[arn]
		}
	}
	return b, nil
}

// err is all problems in the order of their paths, or nil.
func (b *book) err() error {
	var all []error
	for _, path := range slices.Sorted(maps.Keys(b.problems)) {
		all = append(all, fmt.Errorf("principal: %s: %w", path, b.problems[path]))
	}
	return errors.Join(all...)
}
