package stream

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// prior is r with a priority.
func prior(r ingest.Request, n any) ingest.Request {
	r.Params = url.Values{paramPriority: {fmt.Sprint(n)}}
	return r
}

// breaks counts the discontinuities of a playlist.
func breaks(m *hls.Media) int {
	n := int(m.DiscontinuitySequence)
	for _, s := range append(slices.Clone(m.Segments), m.Open) {
		if s.Discontinuity {
			n++
		}
	}
	return n
}

// gone reports whether the connection was told to go.
func gone(c *connection) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// A second encoder of higher priority goes on where the first one was: nothing begins
// anew, for viewers or in the record.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, c := n.golive(t, r)
		_ = c.play(st, 5*time.Second)

		next, other := n.publish(t, prior(r, 7)), newCamera()
		next.Announce(ingest.Announcement{Encoder: "phone", VideoBitRate: 24e3})
		if next.Stream != st.Stream {
			t.Fatal("the second encoder has a stream of its own")
		}
		other.picture = 1_000_000*30 + 10 // another clock, and in the middle of a GOP
		for range 20 {
			if err := next.Write(other.next()); err != nil {
				t.Fatal(err)
			}
			_ = c.play(st, time.Second/30)
		}
		if gone(st) {
			t.Fatal("the first encoder goes before the second one has a keyframe")
		}
		before := playlist(t, st)
		_ = other.play(next, 5*time.Second)
		if !gone(st) || gone(next) {
			t.Errorf("gone: %t and %t, want the first", gone(st), gone(next))
		}
		if err := st.Write(c.next()); !errors.Is(err, errReplaced) {
			t.Errorf("Write of the former encoder = %v", err)
		}
		st.Close(true) // it leaves, which is not the end of the stream
		m := playlist(t, st)
		if breaks(m) != 0 || len(m.Segments) <= len(before.Segments) || st.over() {
			t.Errorf("%d discontinuities, %d segments after %d, over %t", breaks(m), len(m.Segments), len(before.Segments), st.over())
		}
		for i := range m.Segments[1:] { // no hole, no overlap
			a, b := m.Segments[i], m.Segments[i+1]
			if d := b.ProgramDateTime.Sub(a.ProgramDateTime) - a.Duration; d.Abs() > 50*time.Millisecond {
				t.Errorf("segment %d is dated %v off the end of the one before", i+1, d)
			}
		}
		if s := n.session(t, st); len(s.Ingest.Video) != 1 || s.Ingest.Video[0].Encoder != "phone" || !s.Ended.IsZero() {
			t.Errorf("the record shows %+v", s.Ingest)
		}
		next.Close(true)
		ended(t, st, time.Second)
		want := []string{sessionCreated, streamStart, string(event.Takeover), sessionEnded, streamEnd}
		if got := n.events(t, st); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		// The next stream knows no priority.
		st, _ = n.golive(t, r)
		next = n.publish(t, prior(r, 1))
		if next.Stream != st.Stream {
			t.Error("priority 1 does not take over from none")
		}
	})
}

func TestTakeoverPriorities(t *testing.T) {
	for name, tt := range map[string]struct {
		running any // nil for none
		asks    any
		ok      bool
	}{
		"above":                {3, 4, true},
		"any above none":       {nil, 1, true},
		"the highest":          {3, 2147483647, true},
		"over a bad one":       {"high", 1, true},
		"equal":                {3, 3, false},
		"below":                {3, 2, false},
		"zero":                 {nil, 0, false},
		"negative":             {nil, -1, false},
		"out of range":         {3, 2147483648, false},
		"more than fits":       {3, "99999999999999999999999", false},
		"no number":            {3, "high", false},
		"nothing":              {3, "", false},
		"the highest, again":   {2147483647, 2147483647, false},
		"a number with blanks": {3, " 4", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t)
				first := r
				if tt.running != nil {
					first = prior(r, tt.running)
				}
				st, _ := n.golive(t, first)
				s, err := n.Publish(t.Context(), prior(r, tt.asks))
				if tt.ok {
					if err != nil {
						t.Fatal(err)
					}
					if err := newCamera().play(connected(s), time.Second); err != nil || !gone(st) {
						t.Errorf("%v; the first encoder gone: %t", err, gone(st))
					}
					return
				}
				if !errors.Is(err, live.Conflict) || gone(st) {
					t.Errorf("Publish = %v; the first encoder gone: %t", err, gone(st))
				}
				synctest.Wait()
				if got, want := n.told(t), string(event.TakeoverFailure)+" "+string(event.TakeoverInvalidPriority); got[len(got)-1] != want {
					t.Errorf("events %q, want the last one %q", got, want)
				}
			})
		})
	}
}

// sound makes AAC frames of an encoder, on its own clock.
func (c *camera) sound(at int64) media.Unit {
	track := &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	return media.Unit{Track: track, DTS: at, PTS: at, Key: true, Data: []byte{0x21, 1, 2, 3}, Received: time.Now()}
}

// playBoth sends pictures and sound for d.
func (c *camera) playBoth(st *connection, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second / 30) {
		u := c.next()
		if err := st.Write(u); err != nil {
			return err
		}
		for at := c.heard; media.Time(at, 48000) < media.Time(u.DTS, media.VideoTimescale); at += media.SamplesPerFrame {
			if err := st.Write(c.sound(at)); err != nil {
				return err
			}
			c.heard = at + media.SamplesPerFrame
		}
	}
	synctest.Wait()
	return nil
}

// What the newcomer sends must be what the stream is made of.
func TestTakeoverMedia(t *testing.T) {
	sized := func(w, h int) func(*camera) { return func(c *camera) { c.track.Width, c.track.Height = w, h } }
	for name, tt := range map[string]struct {
		was, is       func(*camera, *connection, time.Duration) error
		with          func(*camera)
		ok            bool
		breaks        int
		within, after time.Duration
	}{
		"the same":                 {was: (*camera).play, is: (*camera).play, ok: true, within: time.Second},
		"with sound":               {was: (*camera).playBoth, is: (*camera).playBoth, ok: true, within: 100 * time.Millisecond},
		"another size":             {was: (*camera).play, is: (*camera).play, with: sized(1280, 720), within: 100 * time.Millisecond},
		"upright":                  {was: (*camera).play, is: (*camera).play, with: sized(360, 640), within: 100 * time.Millisecond},
		"another codec":            {was: (*camera).play, is: (*camera).play, with: func(c *camera) { c.track.Codec = media.H265 }, within: 100 * time.Millisecond},
		"no sound any more":        {was: (*camera).playBoth, is: (*camera).play, within: trialMedia + 100*time.Millisecond},
		"sound as well":            {was: (*camera).play, is: (*camera).playBoth, within: trialSound},
		"a second track":           {was: (*camera).play, is: (*camera).play, with: func(c *camera) { c.track.ID = 1 }, within: 100 * time.Millisecond},
		"other parameter sets":     {was: (*camera).playBoth, is: (*camera).playBoth, with: func(c *camera) { c.track.PPS = [][]byte{{0x68, 0xce, 0x3c, 0x80}} }, ok: true, within: 100 * time.Millisecond},
		"another frame rate":       {was: (*camera).play, is: (*camera).play, with: func(c *camera) { c.track.FrameRate = 60 }, ok: true, within: time.Second},
		"the first encoder is out": {was: (*camera).play, is: (*camera).play, ok: true, after: 20 * time.Second, within: time.Second},
	} {
		for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
			t.Run(name+", "+container, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := start(t)
					_, r := n.create(t, func(c *live.Channel) { c.ContainerFormat = container })
					st, c := n.publish(t, r), newCamera()
					if err := tt.was(c, st, 4*time.Second); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tt.after)
					next, other := n.publish(t, prior(r, 1)), newCamera()
					if tt.with != nil {
						tt.with(other)
					}
					err := tt.is(other, next, tt.within)
					if !tt.ok {
						if err == nil || !gone(next) || gone(st) {
							t.Errorf("Write = %v; gone: %t, and the first %t", err, gone(next), gone(st))
						}
						if err := tt.was(c, st, time.Second); err != nil {
							t.Errorf("the first encoder cannot go on: %v", err)
						}
						if got, want := n.told(t), string(event.TakeoverFailure)+" "+string(event.TakeoverMediaMismatch); got[len(got)-1] != want {
							t.Errorf("events %q, want the last one %q", got, want)
						}
						if got := breaks(playlist(t, st)); got != 0 {
							t.Errorf("%d discontinuities", got)
						}
						return
					}
					if err != nil || !gone(st) {
						t.Fatalf("Write = %v; the first encoder gone %t", err, gone(st))
					}
					if err := tt.is(other, next, 4*time.Second); err != nil {
						t.Fatal(err)
					}
					if m := playlist(t, st); breaks(m) != tt.breaks {
						t.Errorf("%d discontinuities in\n%s", breaks(m), m.Append(nil))
					}
				})
			})
		}
	}
}

func TestTakeoverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(c *Config) { c.MaxTakeovers = 3 })
		_, r := n.create(t)
		st, _ := n.golive(t, r)
		for i := range 3 {
			if err := newCamera().play(n.publish(t, prior(r, i+1)), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := n.Publish(t.Context(), prior(r, 4)); !errors.Is(err, live.Conflict) {
			t.Errorf("the fourth takeover: %v", err)
		}
		synctest.Wait()
		want := []string{sessionCreated, streamStart, string(event.Takeover), string(event.Takeover), string(event.Takeover), string(event.TakeoverFailure) + " " + string(event.TakeoverLimitBreached)}
		if got := n.told(t); !slices.Equal(got, want) || !n.session(t, st).Failed {
			t.Errorf("events %q, want %q, and the session marked", got, want)
		}
	})
}

// Who asks over and over does not fill the history, and is told each time.
func TestTakeoverFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, c := n.golive(t, prior(r, 9))
		ask := func(times int) (told int) {
			for range times {
				if _, err := n.Publish(t.Context(), prior(r, 1)); !errors.Is(err, live.Conflict) {
					t.Fatalf("Publish = %v", err)
				}
				synctest.Wait()
			}
			return len(n.events(t, st))
		}
		if got := ask(100); got < 20 || got > 30 {
			t.Errorf("%d events after 100 takeovers that failed at once", got)
		}
		before := ask(1)
		_ = c.play(st, 10*time.Second)
		if got := ask(100); got < before+5 || got > before+15 {
			t.Errorf("%d events 10 s later, after %d", got, before)
		}
	})
}

// Trials end one way or the other, and leave the stream as it was.
func TestTrials(t *testing.T) {
	failed := func(code event.Code) string { return string(event.TakeoverFailure) + " " + string(code) }
	for name, tt := range map[string]struct {
		then func(t *testing.T, n *node, r ingest.Request, st, on *connection, c *camera)
		over bool
		want []string // after the start
	}{
		"one that sends nothing": {func(t *testing.T, n *node, _ ingest.Request, st, on *connection, c *camera) {
			_ = c.play(st, trialTime+watchEvery)
			if !gone(on) {
				t.Error("it may stay")
			}
		}, false, []string{failed(event.TakeoverMediaMismatch)}},
		"one that leaves": {func(_ *testing.T, _ *node, _ ingest.Request, _, on *connection, _ *camera) { on.Close(false) }, false, nil},
		"one that a better one displaces": {func(t *testing.T, n *node, r ingest.Request, st, on *connection, _ *camera) {
			better := n.publish(t, prior(r, 5))
			if !gone(on) {
				t.Error("the worse one may stay")
			}
			_ = newCamera().play(better, time.Second)
			if !gone(st) {
				t.Error("the better one does not take over")
			}
		}, false, []string{failed(event.TakeoverInvalidPriority), string(event.Takeover)}},
		"one that is better already": {func(t *testing.T, n *node, r ingest.Request, _, on *connection, _ *camera) {
			if _, err := n.Publish(t.Context(), prior(r, 1)); err == nil || gone(on) {
				t.Errorf("a worse one is taken: %v", err)
			}
		}, false, []string{failed(event.TakeoverInvalidPriority)}},
		"the first encoder leaves meanwhile": {func(t *testing.T, _ *node, _ ingest.Request, st, on *connection, _ *camera) {
			st.Close(false)
			st.Close(false)
			_ = newCamera().play(on, 2*time.Second)
		}, false, []string{string(event.Takeover)}},
		"both leave": {func(_ *testing.T, _ *node, _ ingest.Request, st, on *connection, _ *camera) {
			st.Close(true)
			on.Close(true)
		}, true, []string{sessionEnded, streamEnd}},
		"the first encoder leaves, and the other sends nothing": {func(_ *testing.T, _ *node, _ ingest.Request, st, _ *connection, _ *camera) {
			st.Close(true)
			time.Sleep(trialTime + watchEvery)
		}, true, []string{"Starvation Start", failed(event.TakeoverMediaMismatch), sessionEnded, streamEnd}},
		"the stream is stopped": {func(t *testing.T, _ *node, _ ingest.Request, st, on *connection, _ *camera) {
			st.end("test")
			if !gone(on) {
				t.Error("who was on trial may stay")
			}
		}, true, []string{sessionEnded, streamEnd}},
		"the media is not usable": {func(t *testing.T, _ *node, _ ingest.Request, _, on *connection, c *camera) {
			u := c.next()
			u.Track = &media.Track{Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale, ID: maxTracks}
			if err := on.Write(u); err == nil {
				t.Error("Write of a track too many succeeded")
			}
		}, false, []string{failed(event.TakeoverMediaMismatch)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t)
				st, c := n.golive(t, r)
				on := n.publish(t, prior(r, 3))
				tt.then(t, n, r, st, on, c)
				time.Sleep(time.Second)
				synctest.Wait()
				if st.over() != tt.over {
					t.Errorf("over %t, want %t", st.over(), tt.over)
				}
				if got, want := n.told(t), append([]string{sessionCreated, streamStart}, tt.want...); !slices.Equal(got, want) {
					t.Errorf("events %q, want %q", got, want)
				}
			})
		})
	}
}

// A takeover before anybody can watch begins with what the newcomer sends.
func TestTakeoverBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st := n.publish(t, r)
		next, other := n.publish(t, prior(r, 1)), newCamera()
		other.track.Width = 1280
		if err := other.play(next, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, ok := n.Live(arn); !ok || !gone(st) {
			t.Errorf("live %t, the first encoder gone %t", ok, gone(st))
		}
		if got, want := n.told(t), []string{sessionCreated, string(event.Takeover), streamStart}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestTakeoverOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		if _, err := n.db.Acquire(t.Context(), arn.String(), "b", "", time.Now(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Publish(t.Context(), prior(r, 1)); !errors.Is(err, live.Conflict) || n.log.count("node=b") != 1 {
			t.Errorf("Publish = %v, %d lines of log name the node", err, n.log.count("node=b"))
		}
	})
}

// What is left of sound after the switch neither overlaps nor leaves a hole.
func TestTakeoverKeepsSoundTogether(t *testing.T) {
	var g edge
	for _, u := range []media.Unit{
		{Track: &media.Track{Kind: media.Video}, DTS: 90000, PTS: 96000},
		{Track: &media.Track{Kind: media.Video}, DTS: 93000, PTS: 93000},
		{Track: &media.Track{Kind: media.Audio, Timescale: 48000}, DTS: 48000 * 11 / 10},
	} {
		g.note(&u)
	}
	held := []media.Unit{{Track: &media.Track{Kind: media.Video}, DTS: 5_000_000, PTS: 5_000_000, Key: true}}
	shift := g.splice(held)
	if got := held[0].PTS + shift; got != 99000 {
		t.Errorf("the first picture is shown at %d, want one picture after the last at 96000", got)
	}
	e := &encoder{shift: shift, quiet: g.sound}
	var kept []int64
	for at := int64(5_000_000); at < 5_030_000; at += 1920 { // 1024 samples at 48 kHz
		u := media.Unit{Track: &media.Track{Kind: media.Audio, Timescale: 48000}, DTS: at * 48000 / 90000}
		if e.place(&u) {
			kept = append(kept, clock(u.DTS, 48000))
		}
	}
	if len(kept) == 0 || kept[0] < g.sound-960 || kept[0] > g.sound+960 {
		t.Errorf("sound goes on at %v, want within half a frame of %d", kept, g.sound)
	}
}
