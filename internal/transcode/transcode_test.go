package transcode

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/testmedia"
)

var quiet = slog.New(slog.DiscardHandler)

// clip encodes seconds of a moving picture with tone and returns its units in order.
func clip(t *testing.T, size, rate, gop, seconds string, more ...string) []media.Unit {
	t.Helper()
	args := []string{
		"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=" + size + ":r=" + rate,
		"-f", "lavfi", "-i", "sine=r=48000", "-t", seconds, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
		"-g", gop, "-keyint_min", gop, "-sc_threshold", "0", "-c:a", "aac",
	}
	args = append(append(args, more...), "-f", "mpegts", "-")
	out, err := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var units []media.Unit
	rd := &reader{near: func() int64 { return offset }, emit: func(u media.Unit) error {
		units = append(units, u)
		return nil
	}}
	if err := rd.read(bytes.NewReader(out)); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(units, func(a, b media.Unit) int {
		return int(clock(a.DTS, a.Track.Timescale) - clock(b.DTS, b.Track.Timescale))
	})
	return units
}

// collect is a Sink that keeps everything.
type collect struct {
	mu     sync.Mutex
	video  map[int][]media.Unit
	audio  map[int64][]media.Unit
	making [][]bool
	more   chan struct{} // closed, and another one made, at each change
}

func newCollect() *collect {
	return &collect{video: map[int][]media.Unit{}, audio: map[int64][]media.Unit{}, more: make(chan struct{})}
}

func (c *collect) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.more)
	c.more = make(chan struct{})
}

func (c *collect) Video(rung int, u media.Unit) error {
	c.note(func() { c.video[rung] = append(c.video[rung], u) })
	return nil
}

func (c *collect) Audio(rate int64, u media.Unit) error {
	c.note(func() { c.audio[rate] = append(c.audio[rate], u) })
	return nil
}

func (c *collect) Making(rungs []bool) { c.note(func() { c.making = append(c.making, rungs) }) }

// wait waits until ok, which is called under the lock; false when ctx ends first.
func (c *collect) wait(ctx context.Context, ok func() bool) bool {
	for {
		c.mu.Lock()
		done, more := ok(), c.more
		c.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

// until is wait for a test that fails when it takes too long.
func (c *collect) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !c.wait(ctx, ok) {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("never saw %s; made %v, %d %d %d pictures", what, c.making, len(c.video[0]), len(c.video[1]), len(c.video[2]))
	}
}

// run starts a Transcoder of rungs; stop ends it.
func run(t *testing.T, rungs []Rung, audio *media.Track, sink Sink) (tr *Transcoder, stop func()) {
	t.Helper()
	tr = New(quiet, Config{FFmpeg: testmedia.FFmpeg(t), Threads: 1}, rungs, audio, sink)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	return tr, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// sound is the track of the first audio unit.
func sound(units []media.Unit) *media.Track {
	for _, u := range units {
		if u.Track.Kind == media.Audio {
			return u.Track
		}
	}
	return nil
}

// keys are the times of keyframes.
func keys(units []media.Unit) (at []int64) {
	for _, u := range units {
		if u.Track.Kind == media.Video && u.Key {
			at = append(at, u.PTS)
		}
	}
	return at
}

// pictures is how many units are video.
func pictures(units []media.Unit) (n int) {
	for _, u := range units {
		if u.Track.Kind == media.Video {
			n++
		}
	}
	return n
}

func TestRungsKeepTheTimesOfTheSource(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rate string
		more []string
		from int64 // added to every time, in ticks of 90 kHz
	}{
		"60 frames per second":    {rate: "60"},
		"50, with B-frames":       {rate: "50", more: []string{"-bf", "2"}},
		"across 33 bits of 90kHz": {rate: "60", from: wrap - offset - 3*media.VideoTimescale},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			units := clip(t, "854x480", tt.rate, tt.rate, "6", tt.more...)
			in := Input{Width: 854, Height: 480, FrameRate: 60}
			rungs := Ladder(&live.Channel{Type: live.TypeStandard}, in)
			sink := newCollect()
			tr, stop := run(t, rungs, sound(units), sink)
			want := pictures(units) / 2
			go func() {
				const ahead = 150 // pictures: no further than ffmpeg may fall behind
				written := 0
				for _, u := range units {
					if u.Track.Kind == media.Video {
						written++
						if !sink.wait(t.Context(), func() bool { return 2*len(sink.video[0]) >= written-ahead }) {
							return
						}
					}
					u.DTS += media.Ticks(media.Time(tt.from, media.VideoTimescale), u.Track.Timescale)
					u.PTS += media.Ticks(media.Time(tt.from, media.VideoTimescale), u.Track.Timescale)
					tr.Write(u)
				}
			}()
			// The last pictures stay in ffmpeg, which waits for what follows them.
			sink.until(t, "most of the pictures of every rung", func() bool {
				return len(sink.video[0]) > want-10 && len(sink.video[1]) > want-10 && len(sink.video[2]) > want-10
			})
			stop()
			first := keys(units)
			for rung := range 3 {
				got := sink.video[rung]
				if diff := len(keys(got)) - len(first); diff < -1 || diff > 0 {
					t.Errorf("%s: keyframes at %v, want at %v", rungs[rung].Name, keys(got), first)
				}
				for i, at := range keys(got) {
					if d := at - tt.from - first[i]; d < -1 || d > 1 {
						t.Errorf("%s: keyframe %d is %d ticks off", rungs[rung].Name, i, d)
					}
				}
				if w := got[0].Track; w.Width != rungs[rung].Width || w.Height != rungs[rung].Height {
					t.Errorf("%s is %dx%d", rungs[rung].Name, w.Width, w.Height)
				}
				for _, u := range got {
					if nal := binary.BigEndian.Uint32(u.Data); int(nal) > len(u.Data)-4 {
						t.Fatalf("%s: a unit is not length-prefixed", rungs[rung].Name)
					}
				}
			}
			for _, rate := range []int64{audioMid, audioLow} {
				if n := len(sink.audio[rate]); n < 200 {
					t.Errorf("%d frames of audio at %d bits per second, want about 280", n, rate)
				}
			}
		})
	}
}

func TestFFmpegIsReplaced(t *testing.T) {
	t.Parallel()
	units := clip(t, "320x240", "30", "15", "2")
	rungs := []Rung{rung(Input{320, 240, 30}, step{short: 160, video: 200 * kbit})}
	sink := newCollect()
	tr, stop := run(t, rungs, sound(units), sink)
	defer stop()
	go func() { // the clip over and over, as a live source would
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for turn := int64(0); ; turn++ {
			for _, u := range units {
				shift := 2 * time.Second * time.Duration(turn)
				u.DTS += media.Ticks(shift, u.Track.Timescale)
				u.PTS += media.Ticks(shift, u.Track.Timescale)
				select {
				case <-t.Context().Done():
					return
				case <-tick.C:
					tr.Write(u)
				}
			}
		}
	}()
	sink.until(t, "the first pictures", func() bool { return len(sink.video[0]) > 5 })
	tr.Write(media.Unit{Track: &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 44100, Channels: 1, Config: []byte{0x12, 0x08}}, Data: []byte{1}})
	sink.mu.Lock()
	had, starts := len(sink.video[0]), len(sink.making)
	sink.mu.Unlock()
	sink.until(t, "pictures of another ffmpeg, after the audio changed", func() bool {
		return len(sink.making) > starts && len(sink.video[0]) > had+20
	})
}

// Encoders send their first picture before the first sound.
func TestTheFirstSoundMayComeLater(t *testing.T) {
	t.Parallel()
	units := clip(t, "320x240", "30", "15", "2")
	rungs := []Rung{rung(Input{320, 240, 30}, step{short: 160, video: 200 * kbit, audio: audioLow})}
	sink := newCollect()
	tr, stop := run(t, rungs, nil, sink)
	defer stop()
	started := slices.IndexFunc(units, func(u media.Unit) bool { return u.Track.Kind == media.Video })
	sound := slices.IndexFunc(units, func(u media.Unit) bool { return u.Track.Kind == media.Audio })
	tr.Write(units[started])
	tr.Write(units[sound])
	for i, u := range units {
		if i != started && i != sound {
			tr.Write(u)
		}
	}
	sink.until(t, "pictures and sound", func() bool { return len(sink.video[0]) > 20 && len(sink.audio[audioLow]) > 20 })
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if d := sink.video[0][0].PTS - units[started].PTS; d < -1 || d > 1 || len(sink.making) != 1 {
		t.Errorf("the first picture is %d ticks off, ffmpeg was started %d times", d, len(sink.making))
	}
}

func TestFFmpegWaitsForTheFirstSound(t *testing.T) {
	t.Parallel()
	audio := &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Channels: 2}
	encoded := []Rung{{Video: 1, Audio: audioLow}}
	for name, tt := range map[string]struct {
		rungs []Rung
		had   *media.Track
		after time.Duration // when sound comes; 0 for never
		want  time.Duration
	}{
		"until it comes":                    {encoded, nil, soundIn / 2, soundIn / 2},
		"not for long":                      {encoded, nil, 0, soundIn},
		"not when it is there":              {encoded, audio, 0, 0},
		"not when sound passes as it is":    {[]Rung{{Video: 1}}, nil, 0, 0},
		"no longer for one that comes late": {encoded, nil, 2 * soundIn, soundIn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := New(quiet, Config{}, tt.rungs, tt.had, newCollect())
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { tr.Write(media.Unit{Track: audio}) })
				}
				began := time.Now()
				tr.awaitSound(t.Context())
				if took := time.Since(began); took != tt.want {
					t.Errorf("waited %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// A source whose pictures change their size goes on in rungs of the sizes that they had.
func TestTheSourceMayChangeItsSize(t *testing.T) {
	t.Parallel()
	units := clip(t, "640x480", "30", "15", "2")
	after := clip(t, "320x240", "30", "15", "2")
	rungs := []Rung{rung(Input{640, 480, 30}, step{short: 160, video: 200 * kbit})}
	sink := newCollect()
	tr, stop := run(t, rungs, sound(units), sink)
	defer stop()
	shift := 2 * time.Second
	for _, u := range units {
		tr.Write(u)
	}
	for _, u := range after {
		u.DTS += media.Ticks(shift, u.Track.Timescale)
		u.PTS += media.Ticks(shift, u.Track.Timescale)
		tr.Write(u)
	}
	all := pictures(units) + pictures(after)
	sink.until(t, "pictures of both sizes", func() bool { return len(sink.video[0]) > all-10 })
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if len(sink.making) != 1 {
		t.Errorf("ffmpeg was started %d times", len(sink.making))
	}
	for i, u := range sink.video[0] {
		if w := u.Track; w.Width != rungs[0].Width || w.Height != rungs[0].Height {
			t.Fatalf("picture %d is %dx%d", i, w.Width, w.Height)
		}
		if i > 0 && u.DTS <= sink.video[0][i-1].DTS {
			t.Fatalf("picture %d does not follow the one before", i)
		}
	}
}
