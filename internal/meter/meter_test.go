package meter

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

var t0 = time.Unix(1_800_000_000, 0)

func picture(width, height, id int) *media.Track {
	return &media.Track{Kind: media.Video, ID: id, Timescale: media.VideoTimescale, Width: width, Height: height}
}

// An encoder sends pictures of one size in a steady rate.
type encoder struct {
	track   *media.Track
	fps     int
	bitRate int64
	gop     int // pictures; 0 means all are keyframes
	n       int
}

func (e *encoder) next() *media.Unit {
	at := time.Duration(e.n) * time.Second / time.Duration(e.fps)
	u := &media.Unit{
		Track: e.track, DTS: media.Ticks(at, media.VideoTimescale), Key: e.gop == 0 || e.n%e.gop == 0,
		Data: make([]byte, e.bitRate/8/int64(e.fps)), Received: t0.Add(at),
	}
	e.n++
	return u
}

// send sends for d and returns the breach, and when it came.
func (e *encoder) send(m *Meter, d time.Duration) (Breach, time.Duration) {
	for range int(d.Seconds() * float64(e.fps)) {
		u := e.next()
		if b, ok := m.Unit(u); !ok {
			return b, u.Received.Sub(t0)
		}
	}
	return Breach{}, 0
}

func of(ch live.Channel) func(bool) Limits {
	return func(several bool) Limits { return LimitsOf(ch, several) }
}

func TestLimitsOfChannelTypes(t *testing.T) {
	hd := &live.Multitrack{Enabled: true, Policy: "ALLOW", MaximumResolution: "HD"}
	for name, tt := range map[string]struct {
		typ           string
		multitrack    *live.Multitrack
		several       bool
		width, height int
		fps           int
		bitRate       int64
		want          Breach
	}{
		"BASIC takes 1.5 Mbit/s of 480p, and sound":      {typ: live.TypeBasic, width: 852, height: 480, fps: 30, bitRate: 1_800_000},
		"BASIC takes no more than that":                  {live.TypeBasic, nil, false, 852, 480, 30, 2_000_160, Breach{IngestBitRate, 1_500_000, 500_160, "bits per second"}},
		"480p is the shorter edge":                       {live.TypeBasic, nil, false, 480, 852, 30, 2_000_160, Breach{IngestBitRate, 1_500_000, 500_160, "bits per second"}},
		"BASIC takes 3.5 Mbit/s above 480p":              {typ: live.TypeBasic, width: 960, height: 540, fps: 30, bitRate: 3_500_000},
		"and no more than that":                          {live.TypeBasic, nil, false, 1920, 1080, 30, 4_000_080, Breach{IngestBitRate, 3_500_000, 500_080, "bits per second"}},
		"STANDARD takes 8.5 Mbit/s":                      {typ: live.TypeStandard, width: 1920, height: 1080, fps: 60, bitRate: 8_660_000},
		"and no more":                                    {live.TypeStandard, nil, false, 1920, 1080, 60, 9_000_000, Breach{IngestBitRate, 8_500_000, 500_000, "bits per second"}},
		"of small pictures too":                          {live.TypeStandard, nil, false, 320, 180, 60, 9_000_000, Breach{IngestBitRate, 8_500_000, 500_000, "bits per second"}},
		"ADVANCED_SD takes 8.5 Mbit/s":                   {live.TypeAdvancedSD, nil, false, 1920, 1080, 60, 12_000_000, Breach{IngestBitRate, 8_500_000, 3_500_000, "bits per second"}},
		"ADVANCED_HD takes 8.5 Mbit/s":                   {live.TypeAdvancedHD, nil, false, 1920, 1080, 60, 12_000_000, Breach{IngestBitRate, 8_500_000, 3_500_000, "bits per second"}},
		"several tracks take 15 Mbit/s":                  {typ: live.TypeStandard, several: true, width: 1920, height: 1080, fps: 60, bitRate: 15_000_000},
		"and no more than that together":                 {live.TypeStandard, nil, true, 1920, 1080, 60, 16_000_320, Breach{IngestBitRate, 15_000_000, 1_000_320, "bits per second"}},
		"1080p fits":                                     {typ: live.TypeAdvancedHD, width: 1920, height: 1080, fps: 30, bitRate: 1_000_000},
		"upright too":                                    {typ: live.TypeBasic, width: 1080, height: 1920, fps: 30, bitRate: 1_000_000},
		"1440p has too many pixels":                      {live.TypeStandard, nil, false, 2560, 1440, 30, 1_000_000, Breach{IngestResolution, 2_100_000, 1_586_400, "total pixels"}},
		"a wide picture has too long an edge":            {live.TypeStandard, nil, false, 2560, 640, 30, 1_000_000, Breach{IngestResolution, 1920, 640, "pixels per edge"}},
		"a tall one as well":                             {live.TypeBasic, nil, false, 640, 2560, 30, 1_000_000, Breach{IngestResolution, 1920, 640, "pixels per edge"}},
		"one track has limits of its own":                {typ: live.TypeStandard, multitrack: hd, width: 1920, height: 1080, fps: 30, bitRate: 1_000_000},
		"several tracks of HD take 720p":                 {live.TypeStandard, hd, true, 1280, 720, 30, 1_000_000, Breach{}},
		"and nothing above":                              {live.TypeStandard, hd, true, 1280, 722, 30, 1_000_000, Breach{IngestResolution, 921_600, 2560, "total pixels"}},
		"60 pictures a second fit":                       {typ: live.TypeStandard, width: 640, height: 360, fps: 60, bitRate: 1_000_000},
		"so do 62":                                       {typ: live.TypeStandard, width: 640, height: 360, fps: 62, bitRate: 1_000_000},
		"72 do not":                                      {live.TypeStandard, nil, false, 640, 360, 72, 1_000_000, Breach{IngestFrameRate, 60, 12, "frames per second"}},
		"of 300 keyframes a second the pictures come up": {live.TypeStandard, nil, false, 640, 360, 300, 1_000_000, Breach{IngestFrameRate, 60, 240, "frames per second"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(of(live.Channel{Type: tt.typ, Multitrack: tt.multitrack}), t0)
			if tt.several {
				m.Unit(&media.Unit{Track: picture(160, 90, 1), Key: true, Received: t0})
			}
			e := &encoder{track: picture(tt.width, tt.height, 0), fps: tt.fps, bitRate: tt.bitRate, gop: 2 * tt.fps}
			got, at := e.send(m, time.Minute)
			// What a picture more or less makes of the rate.
			if d := got.Exceeded - tt.want.Exceeded; got.Name == tt.want.Name && max(d, -d) <= (got.Limit+got.Exceeded)/100 {
				got.Exceeded = tt.want.Exceeded
			}
			if got != tt.want {
				t.Errorf("after %v: %+v, want %+v", at, got, tt.want)
			}
		})
	}
}

func TestWithoutLimits(t *testing.T) {
	e := &encoder{track: picture(7680, 4320, 0), fps: 300, bitRate: 100_000_000}
	if b, at := e.send(New(nil, t0), 15*time.Second); at != 0 {
		t.Errorf("%+v after %v", b, at)
	}
}

func TestBreaches(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, m *Meter){
		"a limit is exceeded once": func(t *testing.T, m *Meter) {
			for n := range 3 {
				_, ok := m.Unit(&media.Unit{Track: picture(4096, 2160, 0), Received: t0})
				if ok != (n > 0) {
					t.Errorf("unit %d: ok = %t", n, ok)
				}
			}
		},
		"a change of the resolution is seen": func(t *testing.T, m *Meter) {
			e := &encoder{track: picture(1280, 720, 0), fps: 30, bitRate: 1_000_000}
			e.send(m, time.Second)
			e.track = picture(2560, 1440, 0)
			if b, at := e.send(m, time.Second); b.Exceeded != 1_586_400 || at != time.Second {
				t.Errorf("%+v after %v", b, at)
			}
		},
		"the first of several tracks is checked again": func(t *testing.T, m *Meter) {
			e := &encoder{track: picture(1920, 1080, 0), fps: 30, bitRate: 1_000_000}
			e.send(m, time.Second)
			b, ok := m.Unit(&media.Unit{Track: picture(640, 360, 1), Received: t0.Add(time.Second)})
			if ok || b.Limit != 921_600 {
				t.Errorf("%+v, ok = %t", b, ok)
			}
		},
		"a burst at the start is no breach": func(t *testing.T, m *Meter) {
			e := &encoder{track: picture(1920, 1080, 0), fps: 30, bitRate: 8_000_000}
			for range 30 * 5 { // five seconds of it at once
				u := e.next()
				u.Received = t0
				if b, ok := m.Unit(u); !ok {
					t.Fatalf("%+v", b)
				}
			}
		},
		"what a network held up is none": func(t *testing.T, m *Meter) {
			e := &encoder{track: picture(1920, 1080, 0), fps: 30, bitRate: 8_400_000, gop: 60}
			for i := range 30 * 60 {
				u := e.next()
				if i >= 30*20 && i < 30*24 { // four seconds come at the end of them
					u.Received = t0.Add(24 * time.Second)
				}
				if b, ok := m.Unit(u); !ok {
					t.Fatalf("%+v at %v", b, u.Received.Sub(t0))
				}
			}
		},
		"media of another timeline does not make time": func(t *testing.T, m *Meter) {
			e := &encoder{track: picture(1920, 1080, 0), fps: 30, bitRate: 12_000_000, gop: 60}
			for range 30 * 20 {
				u := e.next()
				u.DTS += int64(e.n/30%2) * 1e12
				if _, ok := m.Unit(u); !ok {
					return
				}
			}
			t.Error("12 Mbit/s are taken for 20 s")
		},
		"sound counts": func(t *testing.T, m *Meter) {
			track := &media.Track{Kind: media.Audio, Timescale: 48000}
			for n := range 200 {
				u := &media.Unit{Track: track, Data: make([]byte, 125_000), Received: t0.Add(time.Duration(n) * 100 * time.Millisecond)}
				if b, ok := m.Unit(u); !ok {
					if b.Name != IngestBitRate || b.Exceeded < 1_000_000 {
						t.Errorf("%+v", b)
					}
					return
				}
			}
			t.Error("10 Mbit/s of sound are taken")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f(t, New(of(live.Channel{Type: live.TypeStandard, Multitrack: &live.Multitrack{Enabled: true, MaximumResolution: "HD"}}), t0))
		})
	}
}

func TestHealth(t *testing.T) {
	const bitRate = 1_000_000
	type step struct {
		from, to time.Duration
		bitRate  int64
	}
	type change struct {
		at time.Duration // as seen each 100 ms
		is live.Health
	}
	s := time.Second
	for name, tt := range map[string]struct {
		announced int64
		sent      []step
		want      []change
	}{
		"nothing ever came": {0, nil, []change{{0, live.Unknown}}},
		"healthy after 3 s": {bitRate, []step{{0, 20 * s, bitRate}}, []change{{0, live.Unknown}, {3 * s, live.Healthy}}},
		"starving 3 s after the last unit, healthy 3 s after the next": {
			bitRate,
			[]step{{0, 10 * s, bitRate}, {15 * s, 20 * s, bitRate}},
			[]change{{0, live.Unknown}, {3 * s, live.Healthy}, {12900 * time.Millisecond, live.Starving}, {18 * s, live.Healthy}},
		},
		"a pause of less than 3 s is none": {
			0, []step{{0, 10 * s, bitRate}, {12500 * time.Millisecond, 20 * s, bitRate}}, []change{{0, live.Unknown}, {3 * s, live.Healthy}},
		},
		"a third of what was announced, for 5 s": {
			3 * bitRate,
			[]step{{0, 5 * s, 3 * bitRate}, {5 * s, 15 * s, bitRate}, {15 * s, 20 * s, 3 * bitRate}},
			[]change{{0, live.Unknown}, {3 * s, live.Healthy}, {9 * s, live.Starving}, {16 * s, live.Healthy}},
		},
		"from the start": {3 * bitRate, []step{{0, 20 * s, bitRate}}, []change{{0, live.Unknown}, {5300 * time.Millisecond, live.Starving}}},
		"two thirds are enough": {
			3 * bitRate, []step{{0, 20 * s, 2 * bitRate}}, []change{{0, live.Unknown}, {3 * s, live.Healthy}},
		},
		"without an announcement a trickle will do": {0, []step{{0, 20 * s, 1000}}, []change{{0, live.Unknown}, {3 * s, live.Healthy}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(nil, t0)
			track := picture(640, 360, 0)
			var got []change
			for at := time.Duration(0); at < 20*s; at += 100 * time.Millisecond {
				for _, x := range tt.sent {
					if x.from <= at && at < x.to {
						m.Unit(&media.Unit{Track: track, Data: make([]byte, x.bitRate/80), Received: t0.Add(at)})
					}
				}
				if h := m.Health(t0.Add(at), tt.announced); len(got) == 0 || got[len(got)-1].is != h {
					got = append(got, change{at, h})
				}
			}
			// Rates are measured in slots.
			near := cmp.Comparer(func(a, b time.Duration) bool { return max(a-b, b-a) <= 2*slotLength })
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(change{}), near); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	m := New(nil, t0)
	if got := m.Drain(t0.Add(time.Minute)); got != nil {
		t.Errorf("before the first unit: %+v", got)
	}
	start := t0.Unix()
	e := &encoder{track: picture(640, 360, 0), fps: 10, bitRate: 80_000, gop: 20}
	e.send(m, 3*time.Second)
	m.Unit(&media.Unit{Track: &media.Track{Kind: media.Audio, Timescale: 48000}, Data: make([]byte, 100), Received: t0.Add(2900 * time.Millisecond)})
	video := func(intervals ...time.Duration) Track {
		return Track{Kind: media.Video, Bits: 80_000, Pictures: 10, Intervals: intervals}
	}
	want := []Second{{Unix: start, Tracks: []Track{video()}}, {Unix: start + 1, Tracks: []Track{video()}}}
	if d := cmp.Diff(want, m.Drain(t0.Add(2*time.Second))); d != "" {
		t.Error(d)
	}
	// Seconds in which nothing came have an entry, as long as they are few.
	want = []Second{
		{Unix: start + 2, Tracks: []Track{video(2 * time.Second), {Kind: media.Audio, Bits: 800}}},
		{Unix: start + 3, Tracks: []Track{{Kind: media.Video}, {Kind: media.Audio}}},
	}
	if d := cmp.Diff(want, m.Drain(t0.Add(4*time.Second))); d != "" {
		t.Error(d)
	}
	if got := m.Drain(t0.Add(4500 * time.Millisecond)); got != nil {
		t.Errorf("drained again: %+v", got)
	}
	got := m.Drain(t0.Add(time.Hour))
	if len(got) != maxSeconds || got[maxSeconds-1].Unix != start+3599 {
		t.Errorf("after an hour: %d seconds, the last is %d", len(got), got[len(got)-1].Unix-start)
	}
	// A clock that was set back waits for itself.
	e.send(m, time.Second)
	if got := m.Drain(t0.Add(time.Hour)); got != nil {
		t.Errorf("with the clock set back: %+v", got)
	}
}

func TestTracksHaveABound(t *testing.T) {
	m := New(nil, t0)
	for id := range 1000 {
		for _, kind := range []media.Kind{media.Video, media.Audio} {
			m.Unit(&media.Unit{Track: &media.Track{Kind: kind, ID: id, Timescale: 48000}, Data: []byte{1}, Received: t0})
		}
	}
	if got := m.Drain(t0.Add(time.Second)); len(got) != 1 || len(got[0].Tracks) != 2*maxTracks {
		t.Errorf("%+v", got)
	}
}

// What a unit costs on the encoder's way: no memory.
func TestUnitAllocatesNothing(t *testing.T) {
	m := New(of(live.Channel{Type: live.TypeStandard}), t0)
	e := &encoder{track: picture(640, 360, 0), fps: 30, bitRate: 80_000, gop: 60}
	u := e.next()
	if n := testing.AllocsPerRun(1000, func() { m.Unit(u) }); n > 0.1 {
		t.Errorf("%v allocations a unit", n)
	}
}

func BenchmarkUnit(b *testing.B) {
	m := New(of(live.Channel{Type: live.TypeStandard}), t0)
	e := &encoder{track: picture(640, 360, 0), fps: 30, bitRate: 80_000, gop: 60}
	u := e.next()
	b.ReportAllocs()
	for n := time.Duration(0); b.Loop(); n++ {
		u.Received = t0.Add(n * time.Millisecond * 10)
		m.Unit(u)
	}
}
