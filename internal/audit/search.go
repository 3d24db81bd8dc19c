package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// A Query selects records. The zero of each part selects all.
type Query struct {
	Since, Until time.Time // Until is excluded
	User         string    // name, ARN or access key id; of a session also those of its role
	Event        string    // operation
	Resource     string    // ARN, or the id at its end, anywhere in the request or the response
	Error        string    // code; ErrorAny is every failed call
	Limit        int       // records; 0 is no limit
}

// ErrorAny selects every failed call.
const ErrorAny = "any"

// An Entry is a record as Search finds it.
type Entry struct {
	Raw []byte `json:"-"` // the whole record, without its newline

	UserIdentity struct {
		Type        string `json:"type"`
		ARN         string `json:"arn"`
		AccessKeyID string `json:"accessKeyId"`
		UserName    string `json:"userName"`
		InvokedBy   string `json:"invokedBy"`
		Session     struct {
			Issuer struct {
				ARN      string `json:"arn"`
				UserName string `json:"userName"`
			} `json:"sessionIssuer"`
		} `json:"sessionContext"`
	} `json:"userIdentity"`
	EventTime         time.Time       `json:"eventTime"`
	EventSource       string          `json:"eventSource"`
	EventName         string          `json:"eventName"`
	AWSRegion         string          `json:"awsRegion"`
	SourceIPAddress   string          `json:"sourceIPAddress"`
	ErrorCode         string          `json:"errorCode"`
	RequestParameters json.RawMessage `json:"requestParameters"`
	ResponseElements  json.RawMessage `json:"responseElements"`
	RequestID         string          `json:"requestID"`
}

// User is the name of who called: of a session the end of its ARN, and of a call
// without a valid signature the access key id that it claims.
func (e *Entry) User() string {
	u := &e.UserIdentity
	_, session, _ := strings.Cut(u.ARN, ":assumed-role/")
	return cmp.Or(u.UserName, session, u.InvokedBy, u.ARN, u.AccessKeyID)
}

// Resource is the first ARN in the request or in the response, "" for none.
func (e *Entry) Resource() string {
	for s := range e.strings() {
		if strings.HasPrefix(s, "arn:") {
			return s
		}
	}
	return ""
}

// strings yields every string in the request and then in the response.
func (e *Entry) strings() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, raw := range []json.RawMessage{e.RequestParameters, e.ResponseElements} {
			d := json.NewDecoder(bytes.NewReader(raw))
			for {
				t, err := d.Token()
				if err != nil { // the end: the record as a whole was valid
					break
				}
				if s, ok := t.(string); ok && !yield(s) {
					return
				}
			}
		}
	}
}

// Search calls each with the records in dir that q selects, newest first, until it has
// found enough, each fails or ctx is done. damaged is how many lines were no records: a
// crash can cut a line short. The log may be written to meanwhile.
func Search(ctx context.Context, dir string, q Query, each func(Entry) error) (damaged int, err error) {
	var (
		next [kinds]func() (Entry, error, bool)
		head [kinds]*Entry
	)
	advance := func(i int) error {
		head[i] = nil
		e, err, ok := next[i]()
		if ok && err == nil {
			head[i] = &e
		}
		return err
	}
	for i, name := range seriesNames() {
		pull, stop := iter.Pull2(selected(dir, name, q, &damaged))
		defer stop()
		next[i] = pull
		if err := advance(i); err != nil {
			return damaged, err
		}
	}
	for n := 0; q.Limit == 0 || n < q.Limit; n++ {
		if err := ctx.Err(); err != nil {
			return damaged, err
		}
		newest := -1
		for i, e := range head {
			if e != nil && (newest < 0 || e.EventTime.After(head[newest].EventTime)) {
				newest = i
			}
		}
		if newest < 0 {
			break
		}
		if err := each(*head[newest]); err != nil {
			return damaged, err
		}
		if err := advance(newest); err != nil {
			return damaged, err
		}
	}
	return damaged, nil
}

// selected yields the records of a series that q selects, newest first.
func selected(dir, name string, q Query, damaged *int) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		numbers, err := filesOf(dir, name)
		if err != nil {
			yield(Entry{}, fmt.Errorf("audit: %w", err))
			return
		}
		for i := len(numbers) - 1; i >= 0; i-- {
			s := series{dir: dir, name: name}
			for line, err := range linesOf(s.path(numbers[i]), q.Since) {
				if err != nil {
					yield(Entry{}, fmt.Errorf("audit: %w", err))
					return
				}
				if !q.mayMatch(line) {
					continue
				}
				e := Entry{Raw: line}
				if json.Unmarshal(line, &e) != nil {
					*damaged++
					continue
				}
				if q.matches(&e) && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// mayMatch is a cheap look at a line: most are not what is asked for. A line that was cut
// short is passed over here only if nothing in it is asked for.
func (q *Query) mayMatch(line []byte) bool {
	for _, want := range []string{q.User, q.Resource} {
		if want != "" && plain(want) && !bytes.Contains(line, []byte(want)) {
			return false
		}
	}
	return true
}

// plain reports whether JSON writes s as it is.
func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0
}

func (q *Query) matches(e *Entry) bool {
	switch {
	case !q.Since.IsZero() && e.EventTime.Before(q.Since),
		!q.Until.IsZero() && !e.EventTime.Before(q.Until),
		q.Event != "" && !strings.EqualFold(q.Event, e.EventName),
		q.Error == ErrorAny && e.ErrorCode == "",
		q.Error != "" && q.Error != ErrorAny && !strings.EqualFold(q.Error, e.ErrorCode):
		return false
	}
	u := &e.UserIdentity
	if q.User != "" && !strings.HasSuffix(u.ARN, "/"+q.User) &&
		!slices.Contains([]string{u.UserName, u.ARN, u.AccessKeyID, u.Session.Issuer.ARN, u.Session.Issuer.UserName}, q.User) {
		return false
	}
	if q.Resource == "" {
		return true
	}
	for s := range e.strings() {
		if s == q.Resource || strings.HasPrefix(s, "arn:") && strings.HasSuffix(s, "/"+q.Resource) {
			return true
		}
	}
	return false
}

// maxLine is longer than any record, in bytes.
const maxLine = 2*maxParameters + 64<<10

// linesOf yields the lines of a file, last first. A file that is older than since, or
// that was dropped meanwhile, has none.
func linesOf(name string, since time.Time) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return
		} else if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			yield(nil, err)
			return
		}
		if info.ModTime().Before(since.Truncate(time.Second)) { // records have whole seconds
			return
		}
		for line, err := range backwards(f, info.Size()) {
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// backwards yields the lines of the first size bytes of r, last first. A line that no
// record can be is yielded by its end only.
func backwards(r io.ReaderAt, size int64) iter.Seq2[[]byte, error] {
	const step = 64 << 10
	return func(yield func([]byte, error) bool) {
		var rest []byte // the end of a line whose start is before at
		for at := size; at > 0; {
			n := min(at, step)
			at -= n
			buf := make([]byte, n, n+int64(len(rest)))
			if _, err := r.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
				yield(nil, err)
				return
			}
			buf = append(buf, rest...)
			for {
				i := bytes.LastIndexByte(buf, '\n')
				if i < 0 {
					break
				}
				if line := buf[i+1:]; len(line) > 0 && !yield(line, nil) {
					return
				}
				buf = buf[:i]
			}
			if rest = buf; len(rest) > maxLine {
				rest = rest[len(rest)-maxLine:]
			}
		}
		if len(rest) > 0 {
			yield(rest, nil)
		}
	}
}
