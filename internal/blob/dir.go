package blob

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sluice-live/sluice/internal/live"
)

// The side that is a directory. An object is the file bucket/key, plain enough for
// any tool to read. No bucket starts with a dot, so these two are ours:
const (
	tmpDir  = ".tmp"  // files being written, renamed into place when they are complete
	typeDir = ".type" // bucket/key holds the content type of an object whose extension stands for another

	dirMode  = 0o750
	fileMode = 0o640
)

// directory keeps to its root even where a symbolic link leads elsewhere.
type directory struct {
	root *os.Root

	// pruning is held for writing while an empty directory is removed, and for reading
	// while a file is put into one that must still be there.
	pruning sync.RWMutex
}

func openDir(dir string) (*directory, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	err = errors.Join(root.RemoveAll(tmpDir), // what a killed process was writing
		root.MkdirAll(tmpDir, dirMode), root.MkdirAll(typeDir, dirMode))
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &directory{root: root}, nil
}

func (d *directory) close() error { return d.root.Close() }

func (d *directory) exists(_ context.Context, bucket string) (bool, error) {
	fi, err := d.root.Stat(bucket)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && fi.IsDir(), err
}

func (d *directory) create(_ context.Context, bucket string) error {
	if err := d.root.Mkdir(bucket, dirMode); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return d.sync(".")
}

func (d *directory) open(ctx context.Context, bucket string) (objects, error) {
	ok, err := d.exists(ctx, bucket)
	if err == nil && !ok {
		err = ErrNoBucket
	}
	return dirBucket{d, bucket}, err
}

// sync makes the entries of a directory durable.
func (d *directory) sync(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// write makes the file name, whole and durable, below the directory base, which is
// there already.
func (d *directory) write(ctx context.Context, base, name string, r io.Reader) (err error) {
	tmp := path.Join(tmpDir, live.NewID(16))
	f, err := d.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(tmp) // or the next start does
		}
	}()
	_, err = io.Copy(f, until(ctx, r))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	made, err := d.place(tmp, name)
	if isNotDir(err) { // an object where the key wants a directory, or the reverse
		return errors.Join(ErrName, err)
	}
	if err != nil {
		return err
	}
	for p := path.Dir(name); len(p) >= len(base); p = path.Dir(p) {
		if err := d.sync(p); err != nil && !errors.Is(err, fs.ErrNotExist) { // or deleted meanwhile
			return err
		}
		if !made {
			break
		}
	}
	return nil
}

// place renames tmp to name and reports whether it had to make directories for that.
func (d *directory) place(tmp, name string) (made bool, err error) {
	d.pruning.RLock()
	defer d.pruning.RUnlock()
	if err := d.root.Rename(tmp, name); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := d.root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return true, err
	}
	return true, d.root.Rename(tmp, name)
}

// remove takes a file away and the directories that are empty then, up to base.
func (d *directory) remove(base, name string) error {
	if err := d.root.Remove(name); err != nil {
		return err
	}
	if err := d.sync(path.Dir(name)); err != nil && !errors.Is(err, fs.ErrNotExist) { // or pruned by another
		return err
	}
	d.pruning.Lock()
	defer d.pruning.Unlock()
	for p := path.Dir(name); len(p) > len(base); p = path.Dir(p) {
		if d.root.Remove(p) != nil { // not empty
			break
		}
	}
	return nil
}

// dirBucket is one bucket.
type dirBucket struct {
	*directory
	name string
}

func (b dirBucket) path(key string) string { return path.Join(b.name, key) }

func (b dirBucket) put(ctx context.Context, key, contentType string, r io.Reader) error {
	if err := b.setType(ctx, key, contentType); err != nil {
		return err
	}
	return b.write(ctx, b.name, b.path(key), r)
}

func (b dirBucket) get(_ context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	f, err := b.root.Open(b.path(key))
	if err != nil {
		return nil, Object{}, missing(err)
	}
	obj, err := b.describe(key, f.Stat)
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, Object{}, errors.Join(err, f.Close())
	}
	if length < 0 {
		return f, obj, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, length), f}, obj, nil
}

func (b dirBucket) head(_ context.Context, key string) (Object, error) {
	return b.describe(key, func() (fs.FileInfo, error) { return b.root.Stat(b.path(key)) })
}

func (b dirBucket) describe(key string, stat func() (fs.FileInfo, error)) (Object, error) {
	fi, err := stat()
	if err != nil {
		return Object{}, missing(err)
	}
	if !fi.Mode().IsRegular() {
		return Object{}, ErrNotFound
	}
	t, err := b.getType(key)
	return Object{key, fi.Size(), fi.ModTime(), t}, err
}

func (b dirBucket) delete(_ context.Context, key string) error {
	if fi, err := b.root.Lstat(b.path(key)); err != nil || fi.IsDir() {
		return cmp.Or(missing(err), ErrNotFound)
	}
	if err := b.remove(b.name, b.path(key)); err != nil {
		return missing(err)
	}
	return b.dropType(key)
}

// The content type is a file of its own only where the extension tells another. It is
// written before its object, so that a new object never shows with the wrong one.

func (b dirBucket) typePath(key string) string { return path.Join(typeDir, b.name, key) }

func (b dirBucket) setType(ctx context.Context, key, contentType string) error {
	if contentType == typeOf(key) {
		return b.dropType(key)
	}
	return b.write(ctx, typeDir, b.typePath(key), strings.NewReader(contentType))
}

func (b dirBucket) getType(key string) (string, error) {
	t, err := b.root.ReadFile(b.typePath(key))
	if err = missing(err); errors.Is(err, ErrNotFound) {
		return typeOf(key), nil
	}
	return string(t), err
}

func (b dirBucket) dropType(key string) error {
	err := missing(b.remove(typeDir, b.typePath(key)))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// list walks the directories in the order of the keys in them. It reads each that may
// hold some whole: a directory of a million entries is a slow one.
func (b dirBucket) list(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	var list []Object
	var walk func(dir string) error // dir is "" or ends in a slash
	walk = func(dir string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := b.entries(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if len(list) == limit {
				return nil
			}
			key := dir + e.name
			switch {
			case e.IsDir() && (strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)) &&
				(key > after || strings.HasPrefix(after, key)):
				if err := walk(key); err != nil {
					return err
				}
			case e.Type().IsRegular() && strings.HasPrefix(key, prefix) && key > after && ValidKey(key):
				fi, err := e.Info()
				if errors.Is(err, fs.ErrNotExist) {
					continue // deleted meanwhile
				} else if err != nil {
					return err
				}
				list = append(list, Object{Key: key, Size: fi.Size(), Modified: fi.ModTime()})
			}
		}
		return nil
	}
	err := walk("")
	return list, err
}

// entry is a directory entry under the name it has in keys: a directory's ends in a
// slash, and sorts by it.
type entry struct {
	fs.DirEntry
	name string
}

func (b dirBucket) entries(dir string) ([]entry, error) {
	f, err := b.root.Open(b.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // deleted meanwhile
	} else if err != nil {
		return nil, err
	}
	read, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	entries := make([]entry, len(read))
	for i, e := range read {
		entries[i] = entry{e, e.Name()}
		if e.IsDir() {
			entries[i].name += "/"
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// missing turns the errors of a path that leads nowhere into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return ErrNotFound
	}
	return err
}

func isNotDir(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist)
}

// readFunc is an io.Reader.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// until is r until ctx ends.
func until(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}
