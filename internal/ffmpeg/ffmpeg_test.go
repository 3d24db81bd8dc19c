package ffmpeg

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithoutFFmpegThereIsAHint(t *testing.T) {
	_, err := Find(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install ffmpeg") {
		t.Errorf("Find = %v, want %v", err, ErrMissing)
	}
}

func TestWhatACommandSaysIsLogged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho \"first $1\" >&2\necho why >&2\nexit 3\n"), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	path, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := NewCommand(t.Context(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), path, "-version")
	if err := cmd.Run(); err == nil || cmd.Said() != "why" || !strings.Contains(log.String(), `line="first -version"`) {
		t.Errorf("Run = %v, said %q, logged %s", err, cmd.Said(), log.String())
	}
}

func TestLinesAreBounded(t *testing.T) {
	var got []string
	l := &lines{log: func(s string) { got = append(got, s) }}
	fmt.Fprintf(l, "one\n\n  two\r%s", strings.Repeat("x", 10*maxLine))
	fmt.Fprint(l, "y\n")
	if len(got) != 3 || got[0] != "one" || got[1] != "two" || len(got[2]) != maxLine || l.last != got[2] {
		t.Errorf("lines = %q", got)
	}
}
