// Package ffmpeg finds the machine's ffmpeg and prepares it to run as a child whose
// words go to the log, line by line. It knows no codec and no command line, starts
// nothing by itself, and restarts nothing: who runs a child decides that.
package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"
)

// ErrMissing means that there is no ffmpeg to run.
var ErrMissing = errors.New("ffmpeg is not installed; on Debian and Ubuntu: apt-get install ffmpeg")

// Find returns the path of the program name, "" meaning "ffmpeg", or ErrMissing.
func Find(name string) (path string, err error) {
	if name == "" {
		name = "ffmpeg"
	}
	path, err = exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrDot):
		return "", fmt.Errorf("ffmpeg: %w", err)
	case err != nil:
		return "", ErrMissing
	}
	return path, nil
}

// A Command is one run of ffmpeg. The end of its context kills it.
type Command struct {
	*exec.Cmd
	said *lines
}

// NewCommand prepares a run. What ffmpeg says is logged at level DEBUG.
func NewCommand(ctx context.Context, log *slog.Logger, path string, args ...string) *Command {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	said := &lines{log: func(s string) { log.DebugContext(ctx, "ffmpeg", "line", s) }}
	cmd.Stderr = said
	return &Command{cmd, said}
}

// Said is the last line that ffmpeg wrote, which is why it ended if it failed. It may
// be called when Wait has returned.
func (c *Command) Said() string { return c.said.last }

// maxLine is the longest line of ffmpeg's that is kept, in bytes.
const maxLine = 1 << 10

// lines logs what is written to it, line by line. One goroutine writes; last may be
// read when it has ended.
type lines struct {
	log  func(string)
	part []byte // of a line that has no end yet
	last string // the last whole line
}

func (l *lines) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\n' || c == '\r':
			if s := strings.TrimSpace(string(l.part)); s != "" {
				l.last = s
				l.log(s)
			}
			l.part = l.part[:0]
		case len(l.part) < maxLine:
			l.part = append(l.part, c)
		}
	}
	return len(b), nil
}
