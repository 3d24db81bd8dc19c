//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/procstat"
)

// bench is what every measurement needs.
type bench struct {
	cfg     config
	dir     string // temporary; holds the tools
	flv     string
	systems []system
	stderr  io.Writer
}

// prepare builds the tools and the server, and makes the clip.
func prepare(ctx context.Context, c config, dir string, stderr io.Writer) (*bench, error) {
	b := &bench{cfg: c, dir: dir, flv: c.flv, stderr: stderr}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	pkgs := []string{"./test/load/cmd/rtmppub", "./test/load/cmd/llprobe", "./test/load/cmd/hlsload", "./test/load/cmd/awsload"}
	ours := c.sluice
	if ours == "" {
		pkgs = append(pkgs, "./cmd/sluice")
		ours = filepath.Join(dir, "sluice")
	}
	build := exec.CommandContext(ctx, "go", append([]string{"build", "-o", dir + "/"}, pkgs...)...)
	build.Dir, build.Stderr = root, stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("go build: %w", err)
	}
	if b.flv == "" && c.media() {
		b.flv = filepath.Join(dir, "clip.flv")
		if err := makeClip(ctx, b.flv); err != nil {
			return nil, err
		}
	}
	b.systems = []system{&sluice{bin: ours, args: strings.Fields(c.sluiceArgs), part: c.part, window: c.window}}
	if c.mediamtx != "" {
		b.systems = append(b.systems, &mediamtx{bin: c.mediamtx, part: c.part, window: c.window})
	}
	if c.srs != "" {
		b.systems = append(b.systems, &srs{bin: c.srs})
	}
	if !c.calls() {
		return b, nil
	}
	peers, err := findMoto(ctx, c.moto, c.channels)
	if skip, ok := errors.AsType[*skipped](err); ok {
		fmt.Fprintln(stderr, "skipped: moto:", skip)
	} else if err != nil {
		return nil, err
	}
	b.systems = append(b.systems, peers...)
	return b, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err != nil || mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not inside the module: %w", err)
	}
	return filepath.Dir(mod), nil
}

// makeClip encodes 24 s of 720p30 at a constant 2.5 Mbit/s with a keyframe every 2 s
// and no B-frames: what a careful encoder sends. The noise keeps the rate up; 24 s is
// a whole number of video and of AAC frames, so the loop has no seam.
func makeClip(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin",
		"-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "24",
		"-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "main",
		"-b:v", "2370k", "-minrate", "2370k", "-maxrate", "2370k", "-bufsize", "1200k",
		"-x264-params", "nal-hrd=cbr:force-cfr=1", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0",
		"-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	return nil
}

// header describes the run, above the table.
func (b *bench) header(ctx context.Context) string {
	var vs []string
	for _, s := range b.systems {
		if v := s.version(ctx); !slices.Contains(vs, v) {
			vs = append(vs, v)
		}
	}
	return fmt.Sprintf("%s; %s, %d cores, Linux %s, %s; %s; medians of %d runs of %v; parts of %v, window %v",
		time.Now().UTC().Format(time.DateOnly), cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(),
		strings.Join(vs, ", "), b.cfg.runs, b.cfg.duration, b.cfg.part, b.cfg.window)
}

func (b *bench) names() []string {
	var ns []string
	for _, s := range b.systems {
		ns = append(ns, s.name())
	}
	return ns
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // only for the caption
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") // only for the caption
	return strings.TrimSpace(string(text))
}

// measure runs m against a fresh s in its own directory, and adds how much of the
// machine others used meanwhile.
func (b *bench) measure(ctx context.Context, m measurement, s system, dir string) ([]value, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	self := []int{os.Getpid()} // and all it starts
	before, err := procstat.Read(self)
	if err != nil {
		return nil, err
	}
	vs, err := m.run(ctx, b, s, dir)
	after, noiseErr := procstat.Read(self)
	if noiseErr != nil {
		return vs, noiseErr
	}
	d := procstat.Diff(before, after)
	for i := range vs {
		vs[i].noise = max(0, d.BusyCores-d.ServerCores)
	}
	return vs, err
}

// tool runs a load generator and decodes what it prints. The environment is for what
// must not show in the process list.
func tool[R any](ctx context.Context, b *bench, env []string, name string, args ...string) (*R, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, name), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it still reports
	cmd.WaitDelay = 15 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := new(R)
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// What it printed counts more than how it ended: it was interrupted on purpose.
	if msg := strings.TrimSpace(stderr.String()); err != nil && msg != "" {
		return r, fmt.Errorf("%s", msg)
	}
	if stdout.Len() == 0 {
		return r, fmt.Errorf("%s: no result: %w", name, err)
	}
	return r, nil
}
