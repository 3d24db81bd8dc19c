package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/ffmpeg"
)

var quiet = slog.New(slog.DiscardHandler)

// script is a stand-in for ffmpeg that runs body, with its arguments in "$@".
func script(t *testing.T, body string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	return name
}

func TestWithoutFFmpegThereIsNothingToRun(t *testing.T) {
	err := Run(t.Context(), quiet, Config{FFmpeg: filepath.Join(t.TempDir(), "none")})
	if !errors.Is(err, ffmpeg.ErrMissing) {
		t.Errorf("Run = %v, want %v", err, ffmpeg.ErrMissing)
	}
}

func TestWhatFFmpegWritesIsPublished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := script(t, `case "$*" in *pipe:1*) printf media; exec sleep 600;; esac`)
	var got [5]byte
	err := Run(ctx, quiet, Config{FFmpeg: path, Publish: func(_ context.Context, flv io.Reader) error {
		_, err := io.ReadFull(flv, got[:])
		cancel() // ffmpeg still runs: Run must end it
		return err
	}})
	if err != nil || string(got[:]) != "media" {
		t.Errorf("Run = %v, published %q, want nil and the output of ffmpeg", err, got)
	}
}

func TestRunStartsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		ffmpeg  string
		publish error
		want    string // in the log
	}{
		"when ffmpeg ends":         {"echo broken codec >&2; exit 3", nil, "exit status 3: broken codec"},
		"when the publisher fails": {"exec sleep 600", errors.New("connection refused"), "publish: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log bytes.Buffer
			runs := 0
			err := Run(ctx, slog.New(slog.NewTextHandler(&log, nil)), Config{
				FFmpeg: script(t, `case "$*" in *null*) exit 0;; esac; `+tt.ffmpeg),
				Publish: func(_ context.Context, flv io.Reader) error {
					if runs++; runs == 2 {
						cancel()
					}
					if tt.publish == nil {
						_, err := io.Copy(io.Discard, flv)
						return err
					}
					return tt.publish
				},
			})
			if err != nil || runs != 2 || !strings.Contains(log.String(), tt.want) {
				t.Errorf("Run = %v after %d runs, log %s, want 2 runs and %q", err, runs, log.String(), tt.want)
			}
		})
	}
}

func TestWithoutAFontThePictureHasNoClock(t *testing.T) {
	if filters := clock(t.Context(), script(t, "exit 1")); filters != nil {
		t.Errorf("clock = %q, want none when ffmpeg cannot draw it", filters)
	}
	args := strings.Join(encode(nil), " ")
	if strings.Contains(args, "-vf") || !strings.Contains(args, "testsrc2") {
		t.Errorf("arguments = %s", args)
	}
}

// TestFLV has the real ffmpeg make two seconds and checks what comes out.
func TestFLV(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		if os.Getenv("SLUICE_TEST_REQUIRE_FFMPEG") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	name := filepath.Join(t.TempDir(), "out.flv")
	err := Run(ctx, quiet, Config{Publish: func(_ context.Context, flv io.Reader) error {
		defer cancel()
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyN(f, flv, 200_000)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-show_entries",
		"stream=codec_name,width,height,r_frame_rate,sample_rate,channels", "-of", "compact", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"codec_name=h264|width=1280|height=720|r_frame_rate=30/1", "codec_name=aac|sample_rate=48000|channels=2"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ffprobe says %s, want %q", out, want)
		}
	}
}
