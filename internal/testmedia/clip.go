package testmedia

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// clips keeps what Clip made, by ffmpeg's arguments. It is a memory of a pure
// function, so tests cannot see one another through it.
var clips sync.Map // string -> func() ([]byte, error)

// clipTime bounds the making of one clip, of any sensible length.
const clipTime = 2 * time.Minute

// clipStart is the time that the first frame of every clip carries, in milliseconds.
const clipStart = 1_700_000_000_000

// ClipCode is what frame n of a clip says of itself.
func ClipCode(s Source, n int) Code {
	at := time.Duration(n) * time.Second / time.Duration(s.withDefaults().FPS)
	return Code{Time: time.UnixMilli(clipStart + at.Milliseconds()), Frame: uint32(n)}
}

// Clip returns a file of exactly the given number of frames, in s.Format, the same
// bytes each time it is asked for. s.URL and s.Duration mean nothing here. Callers
// must not write to it.
func Clip(t testing.TB, s Source, frames int) []byte {
	t.Helper()
	bin := FFmpeg(t)
	s = s.withDefaults()
	s.URL, s.Duration = "", 0
	key := fmt.Sprint(frames, s.args(""))
	made, _ := clips.LoadOrStore(key, sync.OnceValues(func() ([]byte, error) {
		return s.encode(context.WithoutCancel(t.Context()), bin, frames)
	}))
	clip, err := made.(func() ([]byte, error))()
	if err != nil {
		t.Fatalf("testmedia: make a clip: %v", err)
	}
	return clip
}

// ClipFile is Clip in a file of the test's own.
func ClipFile(t testing.TB, s Source, frames int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "clip")
	if err := os.WriteFile(name, Clip(t, s, frames), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s Source) encode(ctx context.Context, ffmpeg string, frames int) (clip []byte, err error) {
	dir, err := os.MkdirTemp("", "testmedia-") // some containers need a file to seek in
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(ctx, clipTime)
	defer cancel()
	name := filepath.Join(dir, "clip")
	cmd := exec.CommandContext(ctx, ffmpeg, s.args(name)...)
	cmd.Stdin = &reel{source: s, pic: newPicture(s.Width, s.Height), frames: frames}
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(name)
}

// reel reads as the raw pictures of a clip, one after another.
type reel struct {
	source Source
	pic    *picture
	frames int    // in all
	next   int    // number of the next one
	rest   []byte // of the one being read
}

func (r *reel) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.next == r.frames {
			return 0, io.EOF
		}
		c := ClipCode(r.source, r.next)
		r.rest = r.pic.draw(c.Time, c.Frame)
		r.next++
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
