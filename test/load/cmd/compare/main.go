//go:build linux

// Command compare measures Sluice as its users would: it makes a clip with ffmpeg,
// starts the real program on free loopback ports, creates channels with the AWS SDK,
// publishes, watches and calls the API with the load generators beside it, and prints a
// table. Given the binary of a peer, it runs that with an equivalent configuration in
// the same session, in turns, and prints ratios: on a shared machine only those mean
// anything. docs/benchmarks.md says what each line means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is the command line.
type config struct {
	sluice     string // binary; built from the module if empty
	sluiceArgs string
	mediamtx   string // binary of a peer; none if empty
	srs        string // likewise
	moto       string // Python interpreter that has another; the installed one if empty
	flv        string // made with ffmpeg if empty
	only       string
	out        string
	runs       int
	streams    int
	viewers    int
	channels   int
	duration   time.Duration // of each measured window
	part       time.Duration
	window     time.Duration
}

func (c *config) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.sluice, "sluice", "", "sluice binary (default: built from ./cmd/sluice)")
	fs.StringVar(&c.sluiceArgs, "sluice-args", "", "more flags for sluice serve, separated by spaces")
	fs.StringVar(&c.mediamtx, "peer-mediamtx", os.Getenv("PEER_MEDIAMTX"), "mediamtx binary to measure beside it (default: $PEER_MEDIAMTX)")
	fs.StringVar(&c.srs, "peer-srs", os.Getenv("PEER_SRS"), "srs binary to publish to beside it (default: $PEER_SRS)")
	fs.StringVar(&c.moto, "peer-moto", os.Getenv("PEER_MOTO"), "Python interpreter with moto to call beside it (default: $PEER_MOTO, or python3)")
	fs.StringVar(&c.flv, "flv", "", "clip to publish, H.264 and AAC (default: made with ffmpeg)")
	fs.StringVar(&c.only, "only", "", "comma separated measurements, of "+strings.Join(names(), ", ")+" (default: all)")
	fs.StringVar(&c.out, "json", "", "also write every value of every run to this file")
	fs.IntVar(&c.runs, "runs", 3, "runs; the table shows medians")
	fs.IntVar(&c.streams, "streams", 50, "publishers of the ingest measurement")
	fs.IntVar(&c.viewers, "viewers", 200, "viewers of the egress measurement")
	fs.IntVar(&c.channels, "channels", 100_000, "channels that are there when the API is measured")
	fs.DurationVar(&c.duration, "d", 10*time.Second, "length of each measured window")
	fs.DurationVar(&c.part, "part", 200*time.Millisecond, "LL-HLS part duration asked of every server")
	fs.DurationVar(&c.window, "window", 14*time.Second, "playlist window asked of every server")
}

// calls and media tell what is measured of a server: its API, and what goes through it.
func (c *config) calls() bool {
	return c.only == "" || slices.Contains(strings.Split(c.only, ","), "api")
}
func (c *config) media() bool { return c.only != "api" }

func main() {
	var c config
	c.flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, c, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run measures everything c asks for. A measurement that fails is reported and does
// not stop the others.
func run(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	todo, err := pick(c.only)
	if err != nil {
		return err
	}
	if c.runs < 1 || c.streams < 1 || c.viewers < 1 || c.channels < 1 || c.duration < time.Second {
		return errors.New("at least one run, stream, viewer, channel and second are needed")
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := prepare(ctx, c, dir, stderr)
	if err != nil {
		return err
	}
	var results table
	var failures []error
	for turn := range c.runs {
		for _, m := range todo {
			for _, s := range b.systems {
				if !m.applies(s) || ctx.Err() != nil {
					continue
				}
				fmt.Fprintf(stderr, "run %d of %d: %s: %s\n", turn+1, c.runs, s.name(), m.name)
				vs, err := b.measure(ctx, m, s, filepath.Join(dir, fmt.Sprintf("%s-%s-%d", s.name(), m.name, turn)))
				results.add(s.name(), vs)
				if err != nil {
					failures = append(failures, fmt.Errorf("%s: %s: %w", s.name(), m.name, err))
				}
			}
		}
	}
	failures = append(failures, context.Cause(ctx), results.write(stdout, b.header(context.WithoutCancel(ctx)), b.names()))
	if c.out != "" {
		failures = append(failures, results.save(c.out))
	}
	return errors.Join(failures...)
}

// pick returns the measurements that only names.
func pick(only string) ([]measurement, error) {
	if only == "" {
		return measurements(), nil
	}
	var ms []measurement
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(measurements(), func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no measurement %q; there are %s", name, strings.Join(names(), ", "))
		}
		ms = append(ms, measurements()[i])
	}
	return ms, nil
}

func names() []string {
	var ns []string
	for _, m := range measurements() {
		ns = append(ns, m.name)
	}
	return ns
}
