package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// suffix ends the name of every file of the log. What is before it is the series and a
// number that grows: "calls-000000000042.jsonl".
const suffix = ".jsonl"

// A series is the files of one kind of records.
type series struct {
	dir, name string
	maxSize   int64 // bytes of one file; only one longer record may exceed it
	maxFiles  int
	log       *slog.Logger

	number uint64 // of f
	size   int64  // of f, in bytes
	torn   bool   // f may end in half a line

	mu    sync.Mutex // guards the fields below: sync comes from another goroutine
	f     *os.File
	dirty bool // something was written since the last sync
}

// open opens the newest file of the series, or makes the first one. A line that was
// cut short by a crash is closed, so that the next record has a line of its own.
func (s *series) open() error {
	numbers, err := filesOf(s.dir, s.name)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return s.next()
	}
	s.number = numbers[len(numbers)-1]
	f, err := os.OpenFile(s.path(s.number), os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		_, err = f.ReadAt(last, info.Size()-1)
		s.torn = last[0] != '\n'
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.f, s.size = f, info.Size()
	return nil
}

func (s *series) path(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%012d%s", s.name, number, suffix))
}

// write appends whole lines, going on to the next file when one is full. It returns how
// many bytes, always of whole lines, are in files.
func (s *series) write(lines []byte) (done int, err error) {
	if s.torn {
		if _, err := s.f.Write([]byte("\n")); err != nil {
			return 0, err
		}
		s.size++
		s.torn = false
	}
	for done < len(lines) {
		chunk := s.fitting(lines[done:])
		if len(chunk) == 0 {
			if err := s.next(); err != nil {
				return done, err
			}
			continue
		}
		n, err := s.f.Write(chunk)
		if err != nil {
			// Half a line must not stay: what follows would be glued to it.
			if n > 0 && s.f.Truncate(s.size) != nil {
				s.size += int64(n)
				s.torn = true
			}
			return done, err
		}
		s.size += int64(n)
		done += n
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
	}
	return done, nil
}

// fitting is the whole lines of lines that fit into the file. A line that is longer than
// any file gets one of its own.
func (s *series) fitting(lines []byte) []byte {
	room := s.maxSize - s.size
	if int64(len(lines)) <= room {
		return lines
	}
	if s.size == 0 {
		room = max(room, int64(bytes.IndexByte(lines, '\n')+1))
	}
	return lines[:bytes.LastIndexByte(lines[:max(room, 0)], '\n')+1]
}

// next makes the next file the one that is written to, and drops the oldest files that
// are too many.
func (s *series) next() error {
	number := s.number + 1
	f, err := os.OpenFile(s.path(number), os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	s.mu.Lock()
	if s.f != nil {
		_ = s.f.Close() // synced, and written by nobody
	}
	s.f = f
	s.mu.Unlock()
	s.number, s.size, s.torn = number, 0, false
	if err := syncDir(s.dir); err != nil {
		s.log.Warn("audit directory not synced", "err", err)
	}
	numbers, err := filesOf(s.dir, s.name)
	for len(numbers) > s.maxFiles && err == nil {
		err = os.Remove(s.path(numbers[0]))
		numbers = numbers[1:]
	}
	if err != nil { // the log goes on; it only takes more room than it may
		s.log.Warn("old audit files not removed", "err", err)
	}
	return nil
}

// sync makes the disk keep what is written.
func (s *series) sync() error {
	s.mu.Lock()
	f, dirty := s.f, s.dirty
	s.dirty = false
	s.mu.Unlock()
	if f == nil || !dirty {
		return nil
	}
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // closed: next has synced it
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return err
	}
	return nil
}

func (s *series) close() error {
	err := s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return err
	}
	return errors.Join(err, s.f.Close())
}

// filesOf lists the numbers of the files of a series, oldest first.
func filesOf(dir, name string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), name+"-")
		digits, ends := strings.CutSuffix(rest, suffix)
		if n, err := strconv.ParseUint(digits, 10, 64); ok && ends && len(digits) == 12 && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
