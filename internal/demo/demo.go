// Package demo makes the live source of --demo: a test picture with a running clock
// and a tone, encoded by a supervised ffmpeg. ffmpeg writes FLV to a pipe and the
// caller publishes it, so that the stream key never stands in the process list; this
// package knows no key, no channel and no protocol.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/ffmpeg"
)

// Config is what Run needs. Zero means the default named on each field.
type Config struct {
	FFmpeg string // its path or name; "" means "ffmpeg"

	// Publish sends the media of one FLV stream to the server until it ends or ctx is
	// done, and returns when it no longer reads. Required.
	Publish func(ctx context.Context, flv io.Reader) error
}

// How often to start over: at once after a good run, then ever more seldom.
const (
	firstWait = 500 * time.Millisecond
	mostWait  = 30 * time.Second
	goodRun   = 30 * time.Second // after one as long, waits start small again
)

// Run keeps a demo stream going until ctx is done, and then returns nil; nothing it
// started is left. It starts over when ffmpeg or Publish ends. It returns ffmpeg.ErrMissing
// when there is nothing to run.
func Run(ctx context.Context, log *slog.Logger, c Config) error {
	path, err := ffmpeg.Find(c.FFmpeg)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	args := encode(clock(ctx, path))
	wait := firstWait
	for {
		start := time.Now()
		err := once(ctx, log, path, args, c.Publish)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(start) >= goodRun {
			wait = firstWait
		}
		pause := wait/2 + rand.N(wait/2)
		log.WarnContext(ctx, "demo stream ended; starting it again", "err", err, "wait", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		wait = min(2*wait, mostWait)
	}
}

// once runs ffmpeg and publishes what it writes, until either ends.
func once(ctx context.Context, log *slog.Logger, path string, args []string, publish func(context.Context, io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := ffmpeg.NewCommand(ctx, log, path, args...)
	flv, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("demo: start ffmpeg: %w", err)
	}
	published := publish(ctx, flv)
	cancel()
	ended := cmd.Wait()
	if published != nil {
		return fmt.Errorf("demo: publish: %w", published)
	}
	if ended == nil {
		return errors.New("demo: ffmpeg ended, without an error")
	}
	return fmt.Errorf("demo: ffmpeg ended: %w: %s", ended, cmd.Said())
}

// encode is ffmpeg's whole command line: 720p at 30 frames per second with a keyframe
// each second, encoded with no delay and little CPU, as FLV on standard output.
func encode(filters []string) []string {
	args := []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30",
		"-re", "-f", "lavfi", "-i", "sine=frequency=220:beep_factor=4:sample_rate=48000",
		"-map", "0:v", "-map", "1:a",
	}
	if len(filters) > 0 {
		args = append(args, "-vf", strings.Join(filters, ","))
	}
	return append(args,
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-g", "30", "-keyint_min", "30", "-sc_threshold", "0",
		"-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k",
		"-c:a", "aac", "-b:a", "96k", "-ac", "2",
		"-flush_packets", "1", "-flvflags", "no_duration_filesize", "-f", "flv", "pipe:1")
}

// probeTime bounds the try whether ffmpeg can draw text. The first use of fonts on a
// machine may read all of them.
const probeTime = 10 * time.Second

// clock returns the filters that draw a running clock, or none when this ffmpeg
// cannot draw text or finds no font; the picture carries a counter of its own.
func clock(ctx context.Context, path string) []string {
	text := func(font, size, colour, y, s string) string {
		return "drawtext=font=" + font + ":fontsize=" + size + ":fontcolor=" + colour + ":x=(w-tw)/2:y=" + y + ":text='" + s + "'"
	}
	filters := []string{
		"drawbox=x=340:y=260:w=600:h=200:color=0x0a0d12:t=fill",
		text("monospace", "88", "white", "290", `%{gmtime\:%H\\\:%M\\\:%S}.%{eif\:10*mod(time(0)\,1)\:d}`),
		text("sans", "30", "0x2dd4bf", "400", "Sluice demo · UTC"),
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	probe := exec.CommandContext(ctx, path, "-hide_banner", "-nostdin", "-loglevel", "error",
		"-f", "lavfi", "-i", "color=size=1280x720", "-vf", strings.Join(filters, ","), "-frames:v", "1", "-f", "null", "-")
	probe.WaitDelay = time.Second
	if probe.Run() != nil {
		return nil
	}
	return filters
}
