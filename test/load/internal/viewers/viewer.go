//go:build linux

package viewers

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/h1"
	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/marker"
)

const (
	retryJoin     = 300 * time.Millisecond
	retryPlaylist = 150 * time.Millisecond
	leastPoll     = 100 * time.Millisecond
	maxQueue      = 256 // listed and not yet fetched; a viewer that far behind starts anew at the edge
)

// viewer is one viewer and its playback buffer, which the video track fills.
type viewer struct {
	crowd   *crowd
	stream  int
	sampled bool
	tracks  []*track

	hold    time.Duration // of media, before playback starts
	pending time.Duration // of media, before playback started
	started bool
	dry     time.Time // when the buffer runs dry
	stalls  int
	stalled time.Duration
}

// track is one rendition that a viewer follows.
type track struct {
	viewer          *viewer
	index           int // 0 is video, or both
	playlist, media *h1.Client
	path            string
	last            hls.Pos
	joined          bool
	info            hls.Info
	queue           []hls.Item
	items           []hls.Item      // scratch
	scan            *marker.Scanner // nil unless sampled
}

func (v *viewer) target() target { return v.crowd.targets[v.stream] }

// start joins: it gets the multivariant playlist.
func (v *viewer) start() {
	cl := v.crowd.client(v.target())
	cl.Get(h1.Request{Path: v.target().path, Collect: true, Follow: 3, Done: v.join, Header: v.crowd.encoding()})
}

// encoding is the header with which playlists are asked for.
func (c *crowd) encoding() string {
	if c.cfg.Gzip {
		return "Accept-Encoding: gzip\r\n"
	}
	return ""
}

func (v *viewer) join(cl *h1.Client, err error) {
	err = v.crowd.check("multivariant playlist", cl, err)
	var body []byte
	if err == nil {
		body, err = v.crowd.text(cl)
	}
	if err != nil {
		v.crowd.fail(err)
		cl.Shutdown()
		v.crowd.loop.After(retryJoin, v.start)
		return
	}
	if vs := hls.Multivariant(body); len(vs) == 0 {
		v.follow(cl.Path(), cl)
	} else {
		slices.SortStableFunc(vs, func(a, b hls.Variant) int { return cmp.Compare(b.Bandwidth, a.Bandwidth) })
		pick := vs[min(max(0, v.crowd.cfg.Variant), len(vs)-1)]
		base := cl.Path()
		v.follow(h1.Resolve(base, pick.URI), cl)
		if pick.Audio != "" {
			v.follow(h1.Resolve(base, pick.Audio), v.crowd.client(v.target()))
		}
	}
	for _, t := range v.tracks {
		t.reload("")
	}
}

// follow adds a rendition.
func (v *viewer) follow(path string, cl *h1.Client) {
	t := &track{
		viewer: v, index: len(v.tracks), path: path, playlist: cl,
		media: v.crowd.client(v.target()), last: hls.Before(v.crowd.cfg.Mode.kind()),
	}
	if v.sampled && t.index == 0 {
		t.scan = &marker.Scanner{Emit: func(m marker.Mark, usable time.Time) {
			if v.crowd.measuring {
				v.crowd.frames.Add(usable.Sub(m.Sent))
			}
		}}
	}
	v.tracks = append(v.tracks, t)
}

// reload gets the media playlist with delivery directives, or as it is.
func (t *track) reload(directives string) {
	p := t.path
	if directives != "" {
		sep := "?"
		if strings.Contains(p, "?") {
			sep = "&"
		}
		p += sep + directives
	}
	t.playlist.Get(h1.Request{
		Path: p, Collect: true, Follow: 2, Header: t.viewer.crowd.encoding(),
		Done: func(cl *h1.Client, err error) { t.reloaded(cl, err, directives != "") },
	})
}

func (t *track) reloaded(cl *h1.Client, err error, blocked bool) {
	c := t.viewer.crowd
	now := time.Now()
	err = c.check("playlist", cl, err)
	var body []byte
	if err == nil {
		body, err = c.text(cl)
	}
	if err != nil {
		c.fail(err)
		c.loop.After(retryPlaylist, func() { t.reload("") })
		return
	}
	kind := c.cfg.Mode.kind()
	in, items := hls.Scan(body, kind, t.last, t.items[:0])
	t.items, t.info = items[:0], in
	if in.ByteRanges {
		c.fail(errors.New("playlist: byte ranges are not supported"))
	}
	if t.index == 0 && t.viewer.hold == 0 {
		t.viewer.setHold(in)
	}
	if !t.joined && len(items) > 0 {
		items = startAt(items, kind)
		t.joined = true
	}
	if len(items) > 0 {
		t.last = items[len(items)-1].Pos
		if blocked {
			c.spread(update{t.viewer.stream, t.index, t.last}, now)
		}
		if len(t.queue)+len(items) > maxQueue {
			c.fail(errors.New("the viewer fell behind"))
			t.queue = t.queue[:0]
		}
		t.queue = append(t.queue, items...)
		t.pump()
	}
	if in.Ended {
		return
	}
	next := t.directives(kind)
	if idle := blocked && len(items) == 0; next != "" && !idle { // idle: it did not block until there was news
		t.reload(next)
		return
	}
	c.loop.After(max(leastPoll, poll(kind, in, len(items) > 0)), func() { t.reload(next) })
}

// directives asks for the playlist that comes next (rfc8216bis 6.2.5).
func (t *track) directives(kind hls.Kind) string {
	b := make([]byte, 0, 64)
	switch {
	case !t.info.CanBlock || kind == hls.Prefetch:
		return ""
	case kind == hls.Parts:
		b = append(b, "_HLS_msn="...)
		b = strconv.AppendInt(b, int64(t.info.NextPart.MSN), 10)
		b = append(b, "&_HLS_part="...)
		b = strconv.AppendInt(b, int64(t.info.NextPart.Part), 10)
	case t.info.LastSegment < 0:
		return ""
	default:
		b = append(b, "_HLS_msn="...)
		b = strconv.AppendInt(b, int64(t.info.LastSegment+1), 10)
	}
	if t.viewer.crowd.cfg.Skip && t.info.CanSkip && t.joined {
		b = append(b, "&_HLS_skip=YES"...)
	}
	return string(b)
}

// poll is how long a viewer waits where the playlist cannot block (rfc8216bis 6.3.4).
func poll(kind hls.Kind, in hls.Info, news bool) time.Duration {
	switch {
	case kind == hls.Parts:
		return in.PartTarget
	case news:
		return in.TargetDuration
	}
	return in.TargetDuration / 2
}

// startAt leaves the items from where a viewer joins: the last independent part, or
// three segments back.
func startAt(items []hls.Item, kind hls.Kind) []hls.Item {
	k := len(items) - 1
	if kind != hls.Parts {
		return items[max(0, k-2):]
	}
	for k > 0 && !items[k].Independent {
		k--
	}
	return items[k:]
}

// pump fetches what is queued, one after the other.
func (t *track) pump() {
	if t.media.Busy() || len(t.queue) == 0 {
		return
	}
	it := t.queue[0]
	t.queue = t.queue[:copy(t.queue, t.queue[1:])]
	r := h1.Request{Path: h1.Resolve(t.path, it.URI), Follow: 2}
	if t.scan != nil {
		t.scan.Reset()
		r.Stream = t.scan.Feed
	}
	r.Done = func(cl *h1.Client, err error) {
		t.fetched(cl, err, it)
		t.pump()
	}
	t.media.Get(r)
}

func (t *track) fetched(cl *h1.Client, err error, it hls.Item) {
	c := t.viewer.crowd
	now := time.Now()
	if err := c.check("media", cl, err); err != nil {
		c.fail(err)
		return
	}
	if t.scan != nil {
		t.scan.Finish(now)
	}
	if c.measuring {
		c.media.Add(now.Sub(cl.RequestAt))
		c.ttfb.Add(cl.FirstAt.Sub(cl.RequestAt))
	}
	if t.index == 0 {
		c.res.UnitS = it.Duration.Seconds()
		t.viewer.buffered(it.Duration, now)
	}
}

func (v *viewer) setHold(in hls.Info) {
	switch {
	case in.TargetDuration == 0:
		return
	case v.crowd.cfg.HoldBack > 0:
		v.hold = v.crowd.cfg.HoldBack
	case v.crowd.cfg.Mode == LowLatency && in.PartHoldBack > 0:
		v.hold = in.PartHoldBack
	case in.HoldBack > 0:
		v.hold = in.HoldBack
	default: // rfc8216bis 4.4.3.8
		v.hold = 3 * in.TargetDuration
	}
	v.crowd.res.HoldBackS = v.hold.Seconds()
}

// buffered adds d of media to the playback buffer. Playback starts when it holds what
// the playlist asks for, drains in real time, and stalls when it is dry.
func (v *viewer) buffered(d time.Duration, now time.Time) {
	if !v.started {
		v.pending += d
		if v.hold > 0 && v.pending >= v.hold {
			v.started = true
			v.dry = now.Add(v.hold)
		}
		return
	}
	if late := now.Sub(v.dry); late > 0 {
		if v.crowd.measuring && late > stallJitter {
			v.stalls++
			v.stalled += late
		}
		v.dry = now
	}
	v.dry = v.dry.Add(d)
	if most := now.Add(4*v.hold + 2*d); v.dry.After(most) { // a player would skip ahead
		v.dry = most
	}
}
