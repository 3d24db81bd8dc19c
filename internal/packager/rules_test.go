package packager

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// rules checks every playlist of a stream against rfc8216bis and against the playlists
// before it.
type rules struct {
	t       *testing.T
	regular bool // pictures come at a steady rate: parts must be even
	prev    *hls.Media
	durs    map[string]time.Duration // of every segment and part ever listed
	full    map[string]*hls.Segment  // complete segments, by URI
}

func (c *rules) check(r *Rendition) {
	t := c.t
	t.Helper()
	m := now(t, r)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf(format+"\n%s", append(args, m.Append(nil))...)
	}
	if m.PartTarget <= 0 || m.PartTarget > m.TargetDuration {
		fail("PART-TARGET %v", m.PartTarget)
	}
	if m.Control.PartHoldBack < 3*m.PartTarget || m.Control.HoldBack < 3*m.TargetDuration || m.Control.CanSkipUntil < 6*m.TargetDuration {
		fail("hold back or skip boundary too small: %+v", m.Control)
	}
	if p := c.prev; p != nil {
		if m.PartTarget != p.PartTarget || m.TargetDuration != p.TargetDuration || m.Control != p.Control || m.Version != p.Version {
			fail("a promise changed; before:\n%s", p.Append(nil))
		}
		if m.Sequence < p.Sequence || m.DiscontinuitySequence < p.DiscontinuitySequence {
			fail("a sequence went back from %d, %d", p.Sequence, p.DiscontinuitySequence)
		}
		gone := int64(0)
		for _, s := range p.Segments[:min(m.Sequence-p.Sequence, int64(len(p.Segments)))] {
			if s.Discontinuity {
				gone++
			}
		}
		if m.DiscontinuitySequence != p.DiscontinuitySequence+gone {
			fail("discontinuity sequence %d after %d, with %d gone", m.DiscontinuitySequence, p.DiscontinuitySequence, gone)
		}
	}
	var total time.Duration
	for i := range m.Segments {
		s := &m.Segments[i]
		if want := fmt.Sprintf("%d.%s", m.Sequence+int64(i), r.Extension()); s.URI != want {
			fail("segment %s, want %s", s.URI, want)
		}
		if s.Duration.Round(time.Second) > m.TargetDuration {
			fail("segment %s lasts %v", s.URI, s.Duration)
		}
		c.segment(s, m, fail)
		c.stays(s.URI, s.Duration, fail)
		if old := c.full[s.URI]; old != nil && (old.ProgramDateTime != s.ProgramDateTime || old.Map != s.Map || old.Discontinuity != s.Discontinuity) {
			fail("segment %s changed", s.URI)
		}
		c.full[s.URI] = s
		if i > 0 && !s.Discontinuity {
			p := m.Segments[i-1]
			if d := s.ProgramDateTime.Sub(p.ProgramDateTime) - p.Duration; c.regular && max(d, -d) > 2*time.Millisecond {
				fail("segment %s is dated %v off the end of the one before", s.URI, d)
			}
		}
		total += s.Duration
	}
	if m.Sequence > 0 && total < 3*m.TargetDuration {
		fail("segments were removed, %v are left", total)
	}
	c.segment(&m.Open, m, fail)
	if m.Hint == "" {
		fail("no hint")
	}
	if _, known := c.durs[m.Hint]; known {
		fail("hint at a part that exists: %s", m.Hint)
	}

	// A client that has the playlist before can follow with delta updates.
	delta := parse(t, text(t, r, PlaylistRequest{MSN: -1, Part: -1, Skip: true}))
	if delta.Skipped > 0 {
		var after time.Duration
		for _, s := range delta.Segments {
			after += s.Duration
		}
		if after < delta.Control.CanSkipUntil {
			fail("a delta update skips %d, what is left covers %v", delta.Skipped, after)
		}
	}
	if c.prev != nil && c.prev.Sequence <= m.Sequence {
		got, err := c.prev.Apply(delta)
		if err != nil {
			fail("%v", err)
		}
		if !reflect.DeepEqual(m, got) { // cmp is slow
			fail("delta update (-full +expanded):\n%s", gocmp.Diff(m, got))
		}
	}
	c.prev = m
}

func (c *rules) segment(s *hls.Segment, m *hls.Media, fail func(string, ...any)) {
	var sum time.Duration
	for i, p := range s.Parts {
		sum += p.Duration
		if p.Duration > m.PartTarget || p.Duration <= 0 {
			fail("part %s lasts %v, target %v", p.URI, p.Duration, m.PartTarget)
		}
		final := i == len(s.Parts)-1 && s.URI != ""
		if c.regular && !final && float64(p.Duration) < 0.85*float64(m.PartTarget) {
			// The open segment's newest part may be its last one.
			if s.URI != "" || i < len(s.Parts)-1 {
				fail("part %s lasts %v, less than 85 %% of %v", p.URI, p.Duration, m.PartTarget)
			}
		}
		c.stays(p.URI, p.Duration, fail)
	}
	if s.URI != "" && len(s.Parts) > 0 && c.regular && math.Abs(float64(sum-s.Duration)) > float64(time.Millisecond) {
		fail("the parts of %s last %v, it lasts %v", s.URI, sum, s.Duration)
	}
}

func (c *rules) stays(uri string, d time.Duration, fail func(string, ...any)) {
	if old, ok := c.durs[uri]; ok && old != d {
		fail("%s lasted %v, now %v", uri, old, d)
	}
	c.durs[uri] = d
}

// walk writes units and checks the playlist after each that makes a new one.
func walk(t *testing.T, cfg Config, regular bool, units func(yield func(media.Unit) bool)) *rules {
	t.Helper()
	cfg.LowLatency = true
	r := newRendition(t, cfg)
	c := &rules{t: t, regular: regular, durs: map[string]time.Duration{}, full: map[string]*hls.Segment{}}
	seen := uint64(0)
	for u := range units {
		if err := r.Write(u); err != nil {
			t.Fatal(err)
		}
		if s := r.snap.Load(); s.live && s.number != seen {
			seen = s.number
			c.check(r)
		}
	}
	if c.prev == nil {
		t.Fatal("no playlist")
	}
	return c
}

func (s *source) units(d time.Duration) func(yield func(media.Unit) bool) {
	return func(yield func(media.Unit) bool) {
		for u := s.next(); media.Time(s.dts(s.picture)-s.start, media.VideoTimescale) < d; u = s.next() {
			if !yield(u) {
				return
			}
		}
	}
}

func TestRulesHoldAtEverySteadyRate(t *testing.T) {
	for _, part := range []time.Duration{0, 34 * time.Millisecond, 500 * time.Millisecond} {
		for i, s := range []source{
			{Num: 30, GOP: 30},
			{Num: 30, GOP: 60, Audio: true},
			{Num: 30000, Den: 1001, GOP: 60, Audio: true},
			{Num: 25, GOP: 48, Audio: true},
			{Num: 24000, Den: 1001, GOP: 24},
			{Num: 50, GOP: 25},
			{Num: 60000, Den: 1001, GOP: 120, Audio: true},
			{Num: 60, GOP: 60, Reorder: 2},
			{Num: 15, GOP: 7},
			{Num: 10, GOP: 13, Audio: true},
			{Num: 120, GOP: 240},
			{Num: 30, GOP: 250, Audio: true},
			{Num: 48, GOP: 1000},
			{Num: 1, GOP: 2},
		} {
			container := []string{live.ContainerTS, live.ContainerMP4}[i%2]
			t.Run(fmt.Sprintf("%v/%d over %d GOP %d", part, s.Num, max(s.Den, 1), s.GOP), func(t *testing.T) {
				t.Parallel()
				s.Size = 100
				c := walk(t, Config{Part: part, Container: container}, true, s.units(24*time.Second))
				frame := time.Duration(float64(time.Second) * float64(max(s.Den, 1)) / float64(s.Num))
				most := max(cmp.Or(part, 200*time.Millisecond), frame) * 1002 / 1000
				if c.prev.PartTarget > most+time.Millisecond {
					t.Errorf("PART-TARGET %v, want at most %v", c.prev.PartTarget, most)
				}
			})
		}
	}
}

// Milliseconds of RTMP that nobody put back on a grid.
func TestRulesHoldWithRoundedTimestamps(t *testing.T) {
	for _, s := range []source{
		{Num: 30, GOP: 60}, {Num: 60, GOP: 60, Audio: true}, {Num: 30000, Den: 1001, GOP: 30}, {Num: 24, GOP: 48},
	} {
		for _, declared := range []float64{0, float64(s.Num) / float64(max(s.Den, 1)), 30} {
			t.Run(fmt.Sprintf("%d, declared %v", s.Num, declared), func(t *testing.T) {
				s.next()
				s.picture, s.frame = 0, 0
				s.video.FrameRate = declared
				walk(t, Config{}, false, func(yield func(media.Unit) bool) {
					for u := range s.units(20 * time.Second) {
						if u.Track.Kind == media.Video {
							u.DTS = (u.DTS + 45) / 90 * 90
							u.PTS = u.DTS
						}
						if !yield(u) {
							return
						}
					}
				})
			})
		}
	}
}

// Pictures that come as they like, get lost, stall and repeat their timestamp.
func TestRulesHoldWithoutARate(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			s := &source{Num: 30, GOP: 1 + rnd.IntN(90), Audio: seed%2 == 0, Size: 100}
			var late int64
			walk(t, Config{}, false, func(yield func(media.Unit) bool) {
				for u := range s.units(40 * time.Second) {
					if u.Track.Kind == media.Video {
						switch rnd.IntN(60) {
						case 0:
							continue // lost
						case 1:
							late += rnd.Int64N(2 * media.VideoTimescale)
						case 2:
							u.DTS = max(u.DTS-3000, 0)
						case 3:
							if seed%5 == 0 { // another encoder
								s.video = videoTrack(30)
								s.video.SPS[0][3] = byte(rnd.IntN(256))
							}
						}
						u.DTS += late + rnd.Int64N(2000)
						u.PTS = max(u.PTS, u.DTS)
					}
					if !yield(u) {
						return
					}
				}
			})
		})
	}
}

func TestSegmentsStartOnKeyframesAndJoinShortOnes(t *testing.T) {
	for name, tt := range map[string]struct {
		gop         int
		want        time.Duration // of every segment but those cut for length
		target      time.Duration
		independent bool
	}{
		"half a second joins two": {15, time.Second, 2 * time.Second, true},
		"one second":              {30, time.Second, 2 * time.Second, true},
		"two seconds":             {60, 2 * time.Second, 2 * time.Second, true},
		"three and a half":        {105, 3500 * time.Millisecond, 4 * time.Second, true},
		"twenty is cut without":   {600, 6466666 * time.Microsecond, 6 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRendition(t, Config{LowLatency: true})
			feed(t, r, &source{Num: 30, GOP: tt.gop}, 14100*time.Millisecond)
			m := now(t, r)
			if m.TargetDuration != tt.target {
				t.Errorf("target duration %v, want %v", m.TargetDuration, tt.target)
			}
			for i, s := range m.Segments {
				if !near(s.Duration, tt.want) {
					t.Errorf("segment %s lasts %v, want %v", s.URI, s.Duration, tt.want)
				}
				if len(s.Parts) > 0 && i > 0 && s.Parts[0].Independent != tt.independent {
					t.Errorf("segment %s starts independent: %t", s.URI, s.Parts[0].Independent)
				}
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	grid := func(n int, step float64, round int64) (dts []int64) {
		for i := range n {
			dts = append(dts, int64(math.Round(float64(i)*step/float64(round)))*round)
		}
		return dts
	}
	for name, tt := range map[string]struct {
		dts      []int64
		declared float64
		rate     float64
		frame    int64
		target   time.Duration // for parts of 200 ms
	}{
		"an exact grid needs no declaration":  {grid(30, 3000, 1), 0, 30, 3000, 200 * time.Millisecond},
		"a wrong declaration is not believed": {grid(30, 3000, 1), 25, 30, 3000, 200 * time.Millisecond},
		"29.97 is declared":                   {grid(30, 3003, 1), 30000.0 / 1001, 30000.0 / 1001, 3003, 201 * time.Millisecond},
		"29.97 in milliseconds is found":      {grid(60, 3003, 90), 0, 30000.0 / 1001, 3003, 201 * time.Millisecond},
		"30 in milliseconds is found":         {grid(31, 3000, 90), 0, 30, 3000, 200 * time.Millisecond},
		"60 in milliseconds is found":         {grid(61, 1500, 90), 0, 60, 1500, 200 * time.Millisecond},
		"24 gives whole pictures":             {grid(24, 3750, 1), 24, 24, 3750, 167 * time.Millisecond},
		"4 gives one picture":                 {grid(4, 22500, 1), 0, 4, 22500, 250 * time.Millisecond},
		"no rate gives the limit":             {[]int64{0, 100, 9000, 9100, 30000}, 0, 12, 0, 200 * time.Millisecond},
		"one picture":                         {[]int64{7}, 30, 30, 0, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			c := measure(tt.dts, tt.declared)
			if math.Abs(c.rate-tt.rate) > 1e-9 || c.frame != tt.frame || c.partTarget(200*time.Millisecond) != tt.target {
				t.Errorf("rate %v, frame %d, part target %v; want %v, %d, %v",
					c.rate, c.frame, c.partTarget(200*time.Millisecond), tt.rate, tt.frame, tt.target)
			}
		})
	}
}
