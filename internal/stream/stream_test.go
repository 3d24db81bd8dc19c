package stream

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
)

// playlist is what viewers of the stream's first rendition get now.
func playlist(t *testing.T, st *connection) *hls.Media {
	t.Helper()
	p, err := st.Media().Renditions()[0].Playlist(t.Context(), packager.PlaylistRequest{MSN: -1, Part: -1})
	if err != nil {
		t.Fatal(err)
	}
	m, err := hls.Parse(p.Body())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLifeOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		began := time.Now()
		st, e := n.publish(t, r), newCamera()
		st.Announce(ingest.Announcement{Encoder: "test", FrameRate: 30, VideoBitRate: 30_000})

		if err := e.play(st, 500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, ok := n.Live(arn); ok || n.roster.Len() != 0 {
			t.Error("the channel is live before its first segment is complete")
		}
		if s := n.session(t, st); !s.Started.IsZero() || !s.Created.Equal(began) || s.Snapshot.Name != "n" || s.Node != "a" {
			t.Errorf("session before the start: %+v", s)
		}

		if err := e.play(st, 1500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if got, ok := n.Live(arn); !ok || got != st.Stream {
			t.Fatal("the channel is not live after its first segment")
		}
		if got, ok := n.Stream(st.ID()); !ok || got != st.Stream {
			t.Error("Stream does not find it by its id")
		}
		s := n.session(t, st)
		if s.Started.Before(began.Add(time.Second-time.Millisecond)) || s.Started.After(time.Now()) {
			t.Errorf("session started %v after go-live, want one segment", s.Started.Sub(began))
		}
		if want := (live.IngestVideo{Codec: "avc1.42C01E", Profile: "Baseline", Level: "3.0", Encoder: "test", BitRate: 30_000, FrameRate: 30, Width: 640, Height: 360}); len(s.Ingest.Video) != 1 || s.Ingest.Video[0] != want || s.Ingest.Audio != nil || s.Ingest.Protocol != "RTMP" {
			t.Errorf("ingest %+v, want %+v over RTMP", s.Ingest, want)
		}
		on, ok := n.roster.Get(arn)
		if !ok || on.Stream != st.ID() || on.Node != "a" || on.Origin != "http://a.example" || !on.Started.Truncate(time.Millisecond).Equal(s.Started) {
			t.Errorf("roster: %+v, %t", on, ok)
		}

		// Over many times the lease it stays what it is.
		if err := e.play(st, 5*ttl); err != nil {
			t.Fatalf("Write, after %v: %v", time.Since(began), err)
		}
		if _, ok := n.roster.Get(arn); !ok || n.free(t, arn) {
			t.Error("the lease or the roster entry went while the encoder sent")
		}

		st.Close(true)
		if pl := playlist(t, st); !pl.EndList {
			t.Error("the playlist has no ENDLIST when Close returns")
		}
		ended(t, st, time.Second)
		if _, ok := n.Live(arn); ok || n.roster.Len() != 0 || !n.free(t, arn) {
			t.Errorf("after the end: live %t, %d on the roster, lease free %t", ok, n.roster.Len(), n.free(t, arn))
		}
		if s := n.session(t, st); !s.Ended.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Errorf("session ended at %v, want now, %v", s.Ended, time.Now())
		}
		if got, want := n.events(t, st), []string{sessionCreated, streamStart, sessionEnded, streamEnd}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if err := st.Write(e.next()); err == nil {
			t.Error("Write after the end is taken")
		}

		time.Sleep(59 * time.Second)
		if _, ok := n.Stream(st.ID()); !ok {
			t.Error("late viewers do not find the final playlist")
		}
		time.Sleep(4 * time.Second)
		if _, ok := n.Stream(st.ID()); ok || len(n.id) != 0 || len(n.over) != 0 || len(n.channel) != 0 {
			t.Errorf("after the linger: %d, %d, %d streams are kept", len(n.id), len(n.over), len(n.channel))
		}
	})
}

func TestStreamThatNeverGoesLive(t *testing.T) {
	for name, send := range map[string]func(*testing.T, *connection){
		"nothing":            func(*testing.T, *connection) {},
		"less than a second": func(t *testing.T, st *connection) { _ = newCamera().play(st, 500*time.Millisecond) },
		"no keyframe": func(t *testing.T, st *connection) {
			e := newCamera()
			for range 90 {
				u := e.next()
				u.Key = false
				if err := st.Write(u); err != nil {
					t.Error(err)
				}
			}
		},
		"sound only": func(t *testing.T, st *connection) {
			track := &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
			for i := range int64(200) {
				if err := st.Write(media.Unit{Track: track, DTS: i * 1024, PTS: i * 1024, Key: true, Data: make([]byte, 100), Received: time.Now()}); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				arn, r := n.create(t)
				st := n.publish(t, r)
				send(t, st)
				synctest.Wait()
				if _, ok := n.Live(arn); ok || n.roster.Len() != 0 {
					t.Error("the channel is live")
				}
				st.Close(false)
				ended(t, st, time.Second)
				if s := n.session(t, st); !s.Started.IsZero() || s.Ended.IsZero() {
					t.Errorf("session %+v, want it ended and never started", s)
				}
				if got, want := n.events(t, st), []string{sessionCreated, sessionEnded}; !slices.Equal(got, want) {
					t.Errorf("events %v, want %v", got, want)
				}
				if len(n.bus.sent["roster.announce"]) != 0 {
					t.Error("the roster was told of a stream that nobody could watch")
				}
				n.publish(t, r) // and the channel is free
			})
		})
	}
}

func TestContainerAndLatencyAreTheChannels(t *testing.T) {
	for name, tt := range map[string]struct {
		with func(*live.Channel)
		ext  string
		low  bool
	}{
		"MPEG-TS, low latency":         {func(*live.Channel) {}, "ts", true},
		"fragmented MP4":               {func(c *live.Channel) { c.ContainerFormat = live.ContainerMP4 }, "mp4", true},
		"MPEG-TS, normal latency":      {func(c *live.Channel) { c.LatencyMode = live.LatencyNormal }, "ts", false},
		"a channel that names no mode": {func(c *live.Channel) { c.LatencyMode = "" }, "ts", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t, tt.with)
				st, _ := n.golive(t, r)
				if m := playlist(t, st); st.Media().Renditions()[0].Extension() != tt.ext || (m.PartTarget > 0) != tt.low {
					t.Errorf("got %s and parts of %v, want %s and low latency %t", st.Media().Renditions()[0].Extension(), m.PartTarget, tt.ext, tt.low)
				}
				if name := st.Media().Renditions()[0].Name(); name != "360p30" {
					t.Errorf("rendition %s, want 360p30", name)
				}
			})
		})
	}
}

func TestMediaThatCannotBePackagedEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, e := n.publish(t, r), newCamera()
		err := st.Write(e.next())
		for i := 0; err == nil && i < 1<<16; i++ { // a clock that stands still
			u := e.next()
			u.DTS, u.PTS, u.Key = 1, 1, false
			err = st.Write(u)
		}
		if err == nil {
			t.Fatal("media without end in no time is taken")
		}
		ended(t, st, time.Second)
		if n.log.count("media refused") != 1 || st.Write(e.next()) == nil {
			t.Errorf("%d lines in the log, want one; and no more media", n.log.count("media refused"))
		}
	})
}

func TestRenditionName(t *testing.T) {
	for name, tt := range map[string]struct {
		track media.Track
		want  string
	}{
		"landscape":              {media.Track{Width: 1280, Height: 720, FrameRate: 59.94}, "720p60"},
		"portrait":               {media.Track{Width: 720, Height: 1280, FrameRate: 25}, "720p25"},
		"a rate nobody told":     {media.Track{Width: 640, Height: 360}, "360p30"},
		"less than half a frame": {media.Track{Width: 640, Height: 360, FrameRate: 0.2}, "360p30"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renditionName(&tt.track); got != tt.want {
				t.Errorf("renditionName(%+v) = %s, want %s", tt.track, got, tt.want)
			}
		})
	}
}
