package rtmp

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// A shown session puts what it is given into a playlist.
type shown struct {
	discard
	rendition *packager.Rendition
	units     []media.Unit
}

func (s *shown) Write(u media.Unit) error {
	s.units = append(s.units, u)
	return s.rendition.Write(u)
}

// A take is 20 seconds of an encoder: pictures and sound of one clock.
type take struct {
	fps   int64
	gop   int64                        // pictures; 0 for one keyframe
	sound string                       // AudioSpecificConfig; "" for none
	hears func(ms int64) bool          // whether sound comes at ms; nil for always
	clock func(ms int64) int64         // what the encoder's clock says at ms; nil for ms
	heard func(ms int64) int64         // and for sound; nil for clock
	shift func(n int64) (offset int32) // of picture n's PTS, in ms
	at    func(n int64) (ms int64)     // when picture n comes; nil for a steady rate
	video map[int64]string             // sequence header before picture n, which is then a keyframe
}

const takeLength = 20_000 // ms

// messages are those of a take, and when each arrives.
func (k take) messages() (all []wire.Message, at []int64) {
	now := func(ms int64) int64 { return ms }
	clock := now
	if k.clock != nil {
		clock = k.clock
	}
	heard := clock
	if k.heard != nil {
		heard = k.heard
	}
	when := func(n int64) int64 { return n * 1000 / k.fps }
	if k.at != nil {
		when = k.at
	}
	send := func(ms int64, m wire.Message) { all, at = append(all, m), append(at, ms) }
	rate, frame := int64(0), int64(0)
	if k.sound != "" {
		track, err := media.NewAACTrack([]byte(k.sound))
		if err != nil {
			panic(err)
		}
		rate = track.Timescale
		send(0, audio(heard(0), audioConfig(k.sound)))
	}
	if k.video == nil {
		send(0, video(clock(0), videoConfig(avcC)))
	}
	for n := int64(0); when(n) < takeLength; n++ {
		ms := when(n)
		for ; rate > 0 && frame*1024*1000/rate <= ms; frame++ {
			if s := frame * 1024 * 1000 / rate; k.hears == nil || k.hears(s) {
				send(s, audio(heard(s), audioFrame("raw")))
			}
		}
		header, changes := k.video[n]
		if changes {
			send(ms, video(clock(ms), videoConfig(header)))
		}
		key, offset, nal := n == 0 || changes || k.gop > 0 && n%k.gop == 0, int32(0), slice
		if key {
			nal = idr
		}
		if k.shift != nil {
			offset = k.shift(n)
		}
		send(ms, video(clock(ms), videoFrame(key, offset, nal)))
	}
	return all, at
}

// Whatever the clock of an encoder does, viewers get all that it sends: as long as it
// lasts, in order, sound with the pictures.
func TestTimelines(t *testing.T) {
	from := func(base int64) func(int64) int64 { return func(ms int64) int64 { return base + ms } }
	jump := func(by int64) func(int64) int64 {
		return func(ms int64) int64 {
			if ms >= 10_000 {
				return ms + by
			}
			return ms
		}
	}
	plain := take{fps: 30, gop: 30, sound: asc}
	for name, tt := range map[string]struct {
		change func(k *take)
		breaks int // discontinuities in the playlist
		init   int // initialization sections
	}{
		"from zero":                       {func(*take) {}, 0, 1},
		"a clock that starts before zero": {func(k *take) { k.clock = from(-7000) }, 0, 1},
		"that starts beyond 32 bits":      {func(k *take) { k.clock = from(1<<32 - 7000) }, 0, 1},
		"that is the time of day in 2106": {func(k *take) { k.clock = from(1<<32*1000 - 7000) }, 0, 1},
		"that jumps an hour ahead":        {func(k *take) { k.clock = jump(3_600_000) }, 0, 1},
		"that jumps an hour back":         {func(k *take) { k.clock = jump(-3_600_000) }, 0, 1},
		"that jumps from 1970 to 2106":    {func(k *take) { k.clock = jump(1 << 42) }, 0, 1},
		"that starts anew":                {func(k *take) { k.clock = jump(-10_000) }, 0, 1},
		"that jumps each second": {func(k *take) {
			k.clock = func(ms int64) int64 { return ms + ms/1000*7919%5*3_600_000 }
		}, 0, 1},
		"clocks that have nothing in common":   {func(k *take) { k.heard = from(1 << 31) }, 0, 1},
		"only the sound's jumps":               {func(k *take) { k.heard = jump(-3_600_000) }, 0, 1},
		"a jitter of 20 ms":                    {func(k *take) { k.clock = func(ms int64) int64 { return ms + ms*7%41 - 20 } }, 0, 1},
		"B-frames":                             {func(k *take) { k.shift = func(n int64) int32 { return int32([]int64{66, 133, 33, 0}[n%4]) } }, 0, 1},
		"a variable frame rate":                {func(k *take) { k.gop, k.at = 10, func(n int64) int64 { return n*70 + n*37%60 } }, 0, 1},
		"one picture a second":                 {func(k *take) { k.fps, k.gop = 1, 2 }, 0, 1},
		"300 keyframes a second":               {func(k *take) { k.fps, k.gop = 300, 1 }, 0, 1},
		"one keyframe at all":                  {func(k *take) { k.gop = 0 }, 0, 1},
		"44.1 kHz in mono":                     {func(k *take) { k.sound = "\x12\x08" }, 0, 1},
		"no sound":                             {func(k *take) { k.sound = "" }, 0, 1},
		"sound that is late":                   {func(k *take) { k.hears = func(ms int64) bool { return ms > 5000 } }, 1, 2},
		"that stops":                           {func(k *take) { k.hears = func(ms int64) bool { return ms < 5000 } }, 1, 2},
		"that stops and comes back":            {func(k *take) { k.hears = func(ms int64) bool { return ms < 5000 || ms > 13_000 } }, 2, 3},
		"that stops for a moment":              {func(k *take) { k.hears = func(ms int64) bool { return ms < 5000 || ms > 7000 } }, 0, 1},
		"another resolution":                   {func(k *take) { k.video = map[int64]string{0: avcC, 300: avcMain} }, 1, 2},
		"another resolution, and back":         {func(k *take) { k.video = map[int64]string{0: avcC, 200: avcMain, 400: avcC} }, 2, 3},
		"another resolution between keyframes": {func(k *take) { k.video = map[int64]string{0: avcC, 310: avcMain} }, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
				k := plain
				tt.change(&k)
				r, err := packager.New(packager.Config{Container: container, LowLatency: true, Window: time.Minute}, "x")
				if err != nil {
					t.Fatal(err)
				}
				s := &shown{rendition: r}
				f := newFeed(s, newMetrics(nil, ingest.RTMP))
				all, at := k.messages()
				sent := map[wire.MessageType]int{}
				for i, m := range all {
					if err := f.take(m, time.Unix(1_800_000_000, 0).Add(time.Duration(at[i])*time.Millisecond)); err != nil {
						t.Fatalf("%s: message at %d ms: %v", container, at[i], err)
					}
					sent[m.Type]++
				}
				r.Close()
				pl, err := r.Playlist(t.Context(), packager.PlaylistRequest{MSN: -1, Part: -1})
				if err != nil {
					t.Fatal(err)
				}
				checkTimeline(t, container, pl.Body(), tt.breaks, tt.init)
				checkTogether(t, s.units)
				if f.dropped > 0 {
					t.Errorf("%d messages were dropped", f.dropped)
				}
			}
		})
	}
}

// checkTimeline checks that a playlist has all of a take.
func checkTimeline(t *testing.T, container string, text []byte, breaks, sections int) {
	t.Helper()
	m, err := hls.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	found, maps := 0, []string{}
	for _, s := range m.Segments {
		sum += s.Duration
		if s.Discontinuity {
			found++
		}
		if !slices.Contains(maps, s.Map) {
			maps = append(maps, s.Map)
		}
		if s.Duration > 7*time.Second {
			t.Errorf("%s: a segment of %v", container, s.Duration)
		}
	}
	const length = takeLength * time.Millisecond
	if sum < length-1500*time.Millisecond || sum > length+500*time.Millisecond {
		t.Errorf("%s: %v in the playlist, want %v", container, sum, length)
	}
	if container == live.ContainerTS {
		sections = 1 // without a name
	}
	if found != breaks || len(maps) != sections {
		t.Errorf("%s: %d discontinuities and %d sections, want %d and %d:\n%s", container, found, len(maps), breaks, sections, strings.TrimSpace(string(text)))
	}
}

// checkTogether checks that sound and pictures that arrived together stay together, and
// that time goes forward.
func checkTogether(t *testing.T, units []media.Unit) {
	t.Helper()
	last := map[media.Kind]time.Duration{}
	came := map[media.Kind]time.Time{}
	for _, u := range units {
		at := media.Time(u.DTS, u.Track.Timescale)
		if before, ok := last[u.Track.Kind]; ok && at <= before {
			t.Fatalf("%v at %v after %v", u.Track.Kind, at, before)
		}
		last[u.Track.Kind], came[u.Track.Kind] = at, u.Received
	}
	if len(last) < 2 {
		return
	}
	apart := last[media.Video] - last[media.Audio] - came[media.Video].Sub(came[media.Audio])
	if max(apart, -apart) > 100*time.Millisecond {
		t.Errorf("sound and pictures are %v apart from how they came", apart)
	}
}
