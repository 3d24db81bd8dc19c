//go:build linux

package viewers

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/evloop"
	"github.com/sluice-live/sluice/test/load/internal/h1"
	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

const (
	maxUpdates   = 4096    // playlist updates remembered for the spread
	maxInflated  = 64      // playlists kept uncompressed
	maxPlaylist  = 4 << 20 // bytes, uncompressed
	clientBound  = 0.9     // cores: above this the client was the limit
	stallJitter  = 5 * time.Millisecond
	leaveAfter   = 200 * time.Millisecond // between looks at whether the run was cancelled
	startsBehind = 50 * time.Millisecond  // time to set up all viewers
)

// update identifies one playlist update.
type update struct {
	stream, track int
	pos           hls.Pos
}

// crowd is all viewers and what they measure. It belongs to the goroutine of its loop.
type crowd struct {
	cfg       Config
	header    string // request header lines
	targets   []target
	loop      *evloop.Loop
	viewers   []*viewer
	paced     []*pacedViewer
	measuring bool

	res                            Result
	playlists, media, ttfb, frames stats.Hist
	requests                       int
	received                       int64 // bytes
	first                          map[update]time.Time
	order                          []update // of first, oldest first
	inflated                       map[string][]byte
	unzip                          gzip.Reader
}

// Run runs the viewers until the measured time is over or ctx is done.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	targets, err := cfg.targets()
	if err != nil {
		return nil, err
	}
	loop, err := evloop.New()
	if err != nil {
		return nil, err
	}
	defer func() { _ = loop.Close() }()
	c := &crowd{cfg: cfg, targets: targets, loop: loop, first: map[update]time.Time{}, inflated: map[string][]byte{}}
	if cfg.Header != "" {
		c.header = cfg.Header + "\r\n"
	}
	before, err := procstat.Read(cfg.PIDs)
	if err != nil {
		return nil, err
	}
	begin := time.Now().Add(startsBehind)
	c.admit(begin)

	var a, b procstat.Sample
	var failed error
	var received int64
	sample := func(s *procstat.Sample) {
		var err error
		if *s, err = procstat.Read(cfg.PIDs); err != nil {
			failed = err
			loop.Stop()
		}
	}
	measure := begin.Add(cfg.Ramp + cfg.Settle)
	loop.At(measure, func() {
		sample(&a)
		received = c.bytes()
		c.measuring = true
	})
	loop.At(measure.Add(cfg.Duration), func() {
		c.measuring = false
		sample(&b)
		received = c.bytes() - received
		loop.Stop()
	})
	var watch func()
	watch = func() {
		if failed = context.Cause(ctx); failed != nil {
			loop.Stop()
			return
		}
		loop.After(leaveAfter, watch)
	}
	watch()
	if err := loop.Run(); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("viewers: %w", failed)
	}
	return c.result(procstat.Diff(a, b), b.RSS-before.RSS, received), nil
}

// admit schedules every viewer's start.
func (c *crowd) admit(begin time.Time) {
	n := c.cfg.Viewers
	every := max(1, n/max(1, c.cfg.Sample))
	var groups [][]string
	for g := range strings.SplitSeq(c.cfg.Paths, ";") {
		groups = append(groups, strings.Split(g, ","))
	}
	for i := range n {
		v := &viewer{crowd: c, stream: i % len(c.targets), sampled: c.cfg.Sample > 0 && i%every == 0}
		c.viewers = append(c.viewers, v)
		if c.cfg.Mode != Paced {
			c.loop.At(begin.Add(c.cfg.Ramp*time.Duration(i)/time.Duration(n)), v.start)
			continue
		}
		p := newPaced(v, groups)
		c.paced = append(c.paced, p)
		at := begin.Add(c.cfg.Ramp)
		if c.cfg.Jitter {
			at = at.Add(c.cfg.Interval * time.Duration(i) / time.Duration(n))
		}
		c.loop.At(at, func() { p.tick(at) })
	}
}

func (c *crowd) client(t target) *h1.Client {
	return &h1.Client{Loop: c.loop, Addr: t.addr, Host: t.host, Header: c.header}
}

func (c *crowd) fail(err error) {
	if c.measuring {
		c.res.Errors++
		c.res.LastErr = err.Error()
	}
}

// check turns a finished request into an error, and counts it.
func (c *crowd) check(what string, cl *h1.Client, err error) error {
	if c.measuring {
		c.requests++
	}
	c.received += cl.Bytes
	cl.Bytes = 0
	switch {
	case err != nil:
		cl.Shutdown()
		return fmt.Errorf("%s: %w", what, err)
	case cl.Status() != 200:
		return fmt.Errorf("%s: %s: HTTP %d", what, cl.Path(), cl.Status())
	}
	return nil
}

// bytes is how many were received so far.
func (c *crowd) bytes() int64 {
	n := c.received
	for _, v := range c.viewers {
		for _, t := range v.tracks {
			n += t.playlist.Bytes + t.media.Bytes
		}
	}
	for _, p := range c.paced {
		for _, cl := range p.clients {
			n += cl.Bytes
		}
	}
	return n
}

// spread measures how long after the first viewer this one got a playlist update.
func (c *crowd) spread(u update, now time.Time) {
	first, ok := c.first[u]
	if !ok {
		first = now
		c.first[u] = now
		if c.order = append(c.order, u); len(c.order) > maxUpdates {
			delete(c.first, c.order[0])
			c.order = c.order[1:]
		}
	}
	if c.measuring {
		c.playlists.Add(now.Sub(first))
	}
}

// text is the body of a playlist response. All viewers of a stream get the same bytes,
// so each is uncompressed once: the client must not be what is measured.
func (c *crowd) text(cl *h1.Client) ([]byte, error) {
	if !cl.Gzip() {
		return cl.Body(), nil
	}
	if b, ok := c.inflated[string(cl.Body())]; ok {
		return b, nil
	}
	if err := c.unzip.Reset(bytes.NewReader(cl.Body())); err != nil {
		return nil, fmt.Errorf("playlist: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(&c.unzip, maxPlaylist))
	if err != nil {
		return nil, fmt.Errorf("playlist: %w", err)
	}
	if len(c.inflated) == maxInflated {
		clear(c.inflated)
	}
	c.inflated[string(cl.Body())] = b
	return b, nil
}

func (c *crowd) result(cpu procstat.Delta, rss, received int64) *Result {
	r := c.res
	r.Tool, r.Mode, r.Viewers, r.CPU = "hlsload", c.cfg.Mode, c.cfg.Viewers, cpu
	now := time.Now()
	for _, v := range c.viewers {
		if v.started {
			r.Playing++
			if late := now.Sub(v.dry); late > stallJitter { // stalled still
				v.stalls++
				v.stalled += late
			}
		}
		if v.stalls > 0 {
			r.StalledViewers++
			r.Stalls += v.stalls
			r.StallS += v.stalled.Seconds()
		}
		for _, t := range v.tracks {
			r.Reconnects += max(0, t.playlist.Dials-1) + max(0, t.media.Dials-1)
		}
	}
	n, w := float64(c.cfg.Viewers), cpu.WallS
	r.StallS = stats.Round(r.StallS, 3)
	r.RebufferPercent = stats.Round(r.StallS/(w*n)*100, 3)
	r.ReqPerS = stats.Round(float64(c.requests)/w, 1)
	r.MbitPerS = stats.Round(float64(received)*8/1e6/w, 1)
	r.Playlist, r.Media, r.MediaTTFB, r.Frames = c.playlists.Summary(), c.media.Summary(), c.ttfb.Summary(), c.frames.Summary()
	r.CPUPerViewerMin = stats.Round(cpu.ServerCPUS/(n*w/60), 5)
	r.KBPerViewer = stats.Round(float64(rss)/1024/n, 1)
	r.ClientBound = cpu.ClientCores > clientBound
	return &r
}
