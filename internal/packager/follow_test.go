package packager

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/media"
)

// A pair is a source at 60 pictures per second and a rung at 30 that is encoded from it.
type pair struct {
	t         *testing.T
	top, rung *Rendition
	src       source
	small     *media.Track
	queue     []media.Unit // encoded, not written yet
}

func newPair(t *testing.T, gop int) *pair {
	p := &pair{t: t, src: source{Num: 60, GOP: gop, Reorder: 1}, small: videoTrack(30)}
	p.top, p.rung = newRendition(t, Config{LowLatency: true}), newRendition(t, Config{LowLatency: true})
	p.rung.Follow(p.top)
	return p
}

// feed writes d of the source, and encodes every other picture of it.
func (p *pair) feed(d time.Duration) {
	p.t.Helper()
	for range int(d * 60 / time.Second) {
		u := p.src.next()
		if err := p.top.Write(u); err != nil {
			p.t.Fatal(err)
		}
		if n := p.src.picture - 1; n%int64(p.src.GOP)%2 == 0 {
			u.Track, u.DTS = p.small, u.PTS
			if !u.Key { // those of the source are out of order
				u.PTS = p.src.dts(n + 1)
				u.DTS = u.PTS
			}
			p.queue = append(p.queue, u)
		}
	}
}

// encode writes what is due of the rung, up to lag before the end of the source.
func (p *pair) encode(lag time.Duration) {
	p.t.Helper()
	end := p.src.dts(p.src.picture) - media.Ticks(lag, media.VideoTimescale)
	for len(p.queue) > 0 && p.queue[0].DTS < end {
		if err := p.rung.Write(p.queue[0]); err != nil {
			p.t.Fatal(err)
		}
		p.queue = p.queue[1:]
	}
}

// compare fails unless each segment of the rung that is no gap begins where the source's
// of that number does, and is as long.
func (p *pair) compare() (rung *hls.Media) {
	p.t.Helper()
	top, rung := now(p.t, p.top), now(p.t, p.rung)
	if top.TargetDuration != rung.TargetDuration {
		p.t.Errorf("target durations %v and %v", top.TargetDuration, rung.TargetDuration)
	}
	for i, s := range rung.Segments {
		n := rung.Sequence + int64(i) - top.Sequence
		if n < 0 || n >= int64(len(top.Segments)) {
			p.t.Errorf("segment %d is not among those of the source", rung.Sequence+int64(i))
			continue
		}
		o := top.Segments[n]
		if !s.ProgramDateTime.Equal(o.ProgramDateTime) || s.Duration != o.Duration || s.URI != o.URI || s.Discontinuity != o.Discontinuity {
			p.t.Errorf("segment %d: %+v, the source's %+v", rung.Sequence+int64(i), s, o)
		}
	}
	return rung
}

func TestRungsCutWhereTheSourceDoes(t *testing.T) {
	for name, lag := range map[string]time.Duration{"at once": 0, "a second behind": time.Second, "three seconds behind": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 120)
			for range 120 {
				p.feed(100 * time.Millisecond)
				p.encode(lag)
			}
			if m := p.compare(); m.Sequence != 0 || len(m.Segments) < 4 {
				t.Errorf("%d segments from %d", len(m.Segments), m.Sequence)
			}
		})
	}
}

func TestRungsDoNotCutAtKeyframesOfTheirOwn(t *testing.T) {
	p := newPair(t, 120)
	p.feed(8 * time.Second)
	for i := range p.queue {
		p.queue[i].Key = i%30 == 0 // each second
	}
	p.encode(0)
	p.compare()
}

func TestRungThatStartsLateHasTheNumbersOfTheSource(t *testing.T) {
	p := newPair(t, 120)
	p.feed(5 * time.Second)
	p.queue = nil
	p.feed(9 * time.Second)
	p.encode(0)
	if m := p.compare(); m.Sequence != 3 {
		t.Errorf("begins with segment %d, want 3", m.Sequence)
	}
}

func TestSegmentsThatARungMissedAreGaps(t *testing.T) {
	p := newPair(t, 120)
	p.feed(5 * time.Second)
	p.encode(0)
	p.feed(5 * time.Second)
	p.queue = p.queue[len(p.queue)-30:] // it was away for four seconds
	for !p.queue[0].Key {
		p.queue = p.queue[1:]
		if len(p.queue) == 0 {
			p.feed(time.Second)
		}
	}
	p.feed(4 * time.Second)
	p.encode(0)
	m := p.compare()
	for i, s := range m.Segments {
		if want := i == 3 || i == 4; s.Gap != want {
			t.Errorf("segment %d: gap %t, want %t", i, s.Gap, want)
		}
	}
	if _, err := p.rung.Segment(t.Context(), 3); err == nil {
		t.Error("a gap has media")
	}
}

func TestRungsMirrorDiscontinuities(t *testing.T) {
	p := newPair(t, 120)
	p.feed(7 * time.Second)
	p.encode(0)
	p.src.start += 20 * media.VideoTimescale // the source's clock jumps
	p.src.picture += -p.src.picture % 120
	p.feed(9 * time.Second)
	p.encode(0)
	m := p.compare()
	broken := 0
	for _, s := range m.Segments {
		if s.Discontinuity {
			broken++
		}
	}
	if broken != 1 {
		t.Errorf("%d discontinuities, want 1", broken)
	}
}

// A rendition that nothing more will come of is not to be played, but its segments stay.
func TestWithdraw(t *testing.T) {
	p := newPair(t, 60)
	home := NewPresentation()
	home.Add(p.top)
	home.Add(p.rung)
	p.feed(5 * time.Second)
	p.encode(0)
	last := p.rung.snap.Load().last()
	waits := make(chan error, 1)
	go func() {
		_, err := p.rung.Playlist(t.Context(), PlaylistRequest{MSN: last + 1, Part: -1})
		waits <- err
	}()
	p.rung.Withdraw()
	if err := <-waits; !errors.Is(err, ErrNotFound) {
		t.Errorf("a playlist that somebody waits for: %v, want %v", err, ErrNotFound)
	}
	if b, err := p.rung.Segment(t.Context(), last); err != nil || b.Size == 0 {
		t.Errorf("a complete segment: %v", err)
	}
	if _, listed := p.rung.Info(); listed || len(p.top.snap.Load().media(p.top).Reports) > 0 {
		t.Error("players are told of it")
	}
	if err := p.rung.Write(p.src.next()); !errors.Is(err, ErrClosed) {
		t.Errorf("Write = %v, want %v", err, ErrClosed)
	}
	p.rung.Close()
	p.feed(time.Second)
}

func TestBandwidthIsThatOfTheEncoder(t *testing.T) {
	r := newRendition(t, Config{Bandwidth: 1 << 40})
	src := source{Num: 30, GOP: 30}
	for range 90 {
		if err := r.Write(src.next()); err != nil {
			t.Fatal(err)
		}
	}
	if i, ok := r.Info(); !ok || i.Bandwidth != 1<<40 || i.AverageBandwidth >= 1<<30 {
		t.Errorf("Info = %+v, %t", i, ok)
	}
}
