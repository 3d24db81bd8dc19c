//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/pace"
	"github.com/sluice-live/sluice/test/load/internal/probe"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/publish"
	"github.com/sluice-live/sluice/test/load/internal/viewers"
)

// value is one figure of one run.
type value struct {
	title    string
	unit     string
	x        float64
	decimals int
	noise    float64 // cores that others used during the measurement
}

// measurement is a group of figures taken from one fresh server.
type measurement struct {
	name string
	run  func(ctx context.Context, b *bench, s system, dir string) ([]value, error)
}

func (m measurement) applies(s system) bool { return slices.Contains(s.measures(), m.name) }

func measurements() []measurement {
	return []measurement{
		{"startup", startup},
		{"latency", latency},
		{"ingest", ingest},
		{"egress", egress},
		{"api", api},
	}
}

const (
	idle   = 3 * time.Second // after start, before memory is read
	warm   = 5 * time.Second // of a probe: the first segments and the runtime settle
	ramp   = 3 * time.Second // of publishers and viewers
	settle = 4 * time.Second // after the ramp of viewers
)

// startup starts a server in an empty directory, reads its memory when it is idle, and
// starts it again in the same directory.
func startup(ctx context.Context, _ *bench, s system, dir string) ([]value, error) {
	in, err := s.start(ctx, dir, asShipped)
	if err != nil {
		return nil, err
	}
	first := in.ready
	pace.Sleep(ctx, idle)
	p, err := procstat.Read([]int{in.pid()})
	if err := errors.Join(err, in.stop()); err != nil {
		return nil, err
	}
	if in, err = s.start(ctx, dir, asShipped); err != nil {
		return nil, err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return []value{
		{title: "start to ready, empty directory", unit: "ms", x: ms(first), decimals: 1},
		{title: "start to ready, again", unit: "ms", x: ms(in.ready), decimals: 1},
		{title: "resident when idle", unit: "MB", x: float64(p.RSS) / 1e6, decimals: 1},
	}, in.stop()
}

// latency publishes one stream and follows it in every way a player can, one after the
// other. The first probe is the first viewer that stream ever had.
func latency(ctx context.Context, b *bench, s system, dir string) (vs []value, err error) {
	in, err := s.start(ctx, dir, asShipped)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	for _, c := range s.containers() {
		chs, err := s.channels(ctx, in, 1, c)
		if err != nil {
			return vs, err
		}
		pub, err := b.publish(ctx, in, dir, chs)
		if err != nil {
			return vs, err
		}
		pace.Sleep(ctx, warm) // a stream that has been live for a while
		for i, m := range modes(s) {
			r, err := tool[probe.Result](ctx, b, nil, "llprobe", "-url", chs[0].play, "-mode", string(m), "-warm", warm.String(), "-d", b.cfg.duration.String())
			if err != nil {
				return vs, errors.Join(fmt.Errorf("%s %s: %w", c, m, err), pub())
			}
			if i == 0 {
				vs = append(vs, value{title: fmt.Sprintf("%s: first viewer, request to first frame", c), unit: "ms", x: r.JoinMS, decimals: 0})
			}
			if m == probe.Prefetch && r.Prefetched == 0 {
				continue // the server offers none: these were whole segments
			}
			vs = append(vs, frameLatency(fmt.Sprintf("%s, %s", c, m), r)...)
		}
		if err := pub(); err != nil {
			return vs, err
		}
	}
	return vs, nil
}

// modes are the ways to follow a stream that s offers.
func modes(s system) []probe.Mode {
	if s.name() == "sluice" {
		return []probe.Mode{probe.LowLatency, probe.Hint, probe.Prefetch}
	}
	return []probe.Mode{probe.LowLatency, probe.Hint}
}

func frameLatency(how string, r *probe.Result) []value {
	return []value{
		{title: how + ": frame latency, mean", unit: "ms", x: r.Frames.Mean, decimals: 1},
		{title: how + ": frame latency, p95", unit: "ms", x: r.Frames.P95, decimals: 1},
		{title: how + ": frame latency, p99", unit: "ms", x: r.Frames.P99, decimals: 1},
		{title: how + ": youngest frame of a part, p50", unit: "ms", x: r.Last.P50, decimals: 1},
		{title: how + ": frames missed", unit: "", x: float64(r.Missing), decimals: 0},
		{title: how + ": different PART-TARGETs", unit: "", x: float64(r.PartTargets), decimals: 0},
		{title: how + ": request errors", unit: "", x: float64(r.Errors), decimals: 0},
	}
}

// ingest publishes many streams that nobody watches, until the playlist windows are
// full: once packaged by every server, and once as each server does it by itself.
func ingest(ctx context.Context, b *bench, s system, dir string) ([]value, error) {
	how := fmt.Sprintf("%d streams, packaged, unwatched: ", b.cfg.streams)
	vs, err := b.ingest(ctx, s, dir, alwaysPackage, how)
	if err != nil {
		return vs, err
	}
	dir = filepath.Join(dir, "as-shipped")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return vs, err
	}
	how = fmt.Sprintf("%d streams, as shipped, unwatched: ", b.cfg.streams)
	more, err := b.ingest(ctx, s, dir, asShipped, how)
	return append(vs, more...), err
}

func (b *bench) ingest(ctx context.Context, s system, dir string, md mode, how string) (vs []value, err error) {
	in, err := s.start(ctx, dir, md)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	n := b.cfg.streams
	chs, err := s.channels(ctx, in, n, fmp4)
	if err != nil {
		return nil, err
	}
	if err := writeURLs(dir, chs); err != nil {
		return nil, err
	}
	pace.Sleep(ctx, idle)
	before, err := procstat.Read([]int{in.pid()})
	if err != nil {
		return nil, err
	}
	r, err := tool[publish.Result](ctx, b, nil, "rtmppub", "-flv", b.flv, "-urls", filepath.Join(dir, "urls"), "-n", strconv.Itoa(n),
		"-ramp", ramp.String(), "-settle", b.full().String(), "-d", b.cfg.duration.String(), "-pid", strconv.Itoa(in.pid()))
	if err != nil {
		return nil, err
	}
	return []value{
		{title: how + "CPU a stream", unit: "% of a core", x: r.PercentPerStream, decimals: 3},
		{title: how + "memory a stream", unit: "MB", x: (r.CPU.ServerRSSMB*(1<<20) - float64(before.RSS)) / 1e6 / float64(n), decimals: 1},
		{title: how + "publisher late, p99", unit: "ms", x: r.Late.P99, decimals: 1},
	}, nil
}

// egress has many viewers on one stream.
func egress(ctx context.Context, b *bench, s system, dir string) (vs []value, err error) {
	in, err := s.start(ctx, dir, alwaysPackage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	chs, err := s.channels(ctx, in, 1, fmp4)
	if err != nil {
		return nil, err
	}
	pub, err := b.publish(ctx, in, dir, chs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pub()) }()
	pace.Sleep(ctx, b.full()) // or the growing window would count as memory of viewers
	r, err := tool[viewers.Result](ctx, b, nil, "hlsload", "-url", chs[0].play, "-n", strconv.Itoa(b.cfg.viewers),
		"-ramp", ramp.String(), "-settle", settle.String(), "-d", b.cfg.duration.String(), "-pid", strconv.Itoa(in.pid()))
	if err != nil {
		return nil, err
	}
	if r.ClientBound {
		err = fmt.Errorf("the client used %.2f cores: these figures are its own", r.CPU.ClientCores)
	}
	how := fmt.Sprintf("%d viewers: ", b.cfg.viewers)
	return []value{
		{title: how + "CPU a viewer-minute", unit: "core-s", x: r.CPUPerViewerMin, decimals: 4},
		{title: how + "memory a viewer", unit: "KB", x: r.KBPerViewer, decimals: 0},
		{title: how + "frame latency, p50", unit: "ms", x: r.Frames.P50, decimals: 1},
		{title: how + "frame latency, p99", unit: "ms", x: r.Frames.P99, decimals: 1},
		{title: how + "playlist, last viewer after the first, p99", unit: "ms", x: r.Playlist.P99, decimals: 1},
		{title: how + "part response, p99", unit: "ms", x: r.Media.P99, decimals: 1},
		{title: how + "requests", unit: "/s", x: r.ReqPerS, decimals: 0},
		{title: how + "playing", unit: "", x: float64(r.Playing), decimals: 0},
		{title: how + "viewers that stalled", unit: "", x: float64(r.StalledViewers), decimals: 0},
		{title: how + "request errors", unit: "", x: float64(r.Errors), decimals: 0},
	}, err
}

// full is how long a stream takes to fill the playlist windows.
func (b *bench) full() time.Duration { return b.cfg.window + 2*segment }

// publish starts stamped publishers on channels; stop ends them and reports failures.
func (b *bench) publish(ctx context.Context, in *instance, dir string, chs []channel) (stop func() error, err error) {
	if err := writeURLs(dir, chs); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := tool[publish.Result](ctx, b, nil, "rtmppub", "-flv", b.flv, "-urls", filepath.Join(dir, "urls"),
			"-n", strconv.Itoa(len(chs)), "-marker", "-ramp", "0s", "-settle", "0s", "-d", "24h", "-pid", strconv.Itoa(in.pid()))
		done <- err
	}()
	return func() error {
		cancel()
		return <-done
	}, nil
}

// writeURLs writes the publish URLs where only we can read them: they hold stream keys.
func writeURLs(dir string, chs []channel) error {
	var b strings.Builder
	for _, c := range chs {
		b.WriteString(c.publish + "\n")
	}
	return os.WriteFile(filepath.Join(dir, "urls"), []byte(b.String()), 0o600)
}
