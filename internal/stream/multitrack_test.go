package stream

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/multitrack"
)

// multi makes a channel take multitrack input.
func multi(ch *live.Channel) {
	ch.ContainerFormat = live.ContainerMP4
	ch.Multitrack = &live.Multitrack{Enabled: true, Policy: live.MultitrackAllow, MaximumResolution: "FULL_HD"}
}

// twins is a ladder of two tracks like a camera's, which differ in their bit rate.
func twins() multitrack.Ladder {
	c := newCamera().track
	t := multitrack.Track{Width: c.Width, Height: c.Height, FrameRate: 30, BitRate: 2000, Codec: media.H264}
	l := multitrack.Ladder{t, t}
	l[1].BitRate = 1000
	return l
}

// seal puts a ladder into the key of r.
func seal(t *testing.T, k *multitrack.Keys, l multitrack.Ladder, r ingest.Request, life time.Duration) ingest.Request {
	t.Helper()
	key, err := k.Seal(l, r.Key, time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	r.Key = key
	return r
}

// film sends n tracks of 30 pictures a second for some pictures, the last track first;
// a keyframe each second has metrics in it. The last track stops after alone pictures.
func film(st *connection, n, pictures, alone int) error {
	sei := append([]byte("\x06\x05\x10\x0a\xec\xff\xe7\x52\x72\x4e\x2f\xa6\x2f\xd1\x9c\xd6\x1a\x93\xb5"), 0x80)
	tracks := make([]*media.Track, n)
	for i := range tracks {
		t := *newCamera().track
		t.ID, t.FrameRate = i, 30
		tracks[i] = &t
	}
	for p := range pictures {
		for i, t := range slices.Backward(tracks) {
			if i == n-1 && p >= alone {
				continue
			}
			u := media.Unit{Track: t, DTS: int64(p) * 3000, PTS: int64(p) * 3000, Key: p%30 == 0, Received: time.Now(), Data: []byte{0, 0, 0, 2, 0x41, 1}}
			if u.Key {
				u.Data = append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 2, 0x65, 1}, uint32(len(sei))), sei...)
			}
			if err := st.Write(u); err != nil {
				return err
			}
		}
		time.Sleep(time.Second / 30)
	}
	synctest.Wait()
	return nil
}

// Each track becomes a rendition, the best first, and the channel is live when players
// can have all of them.
func TestMultitrackStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := multitrack.NewKeys([]byte("secret"))
		n := start(t, func(c *Config) { c.Keys = keys })
		_, r := n.create(t, multi)
		st := n.publish(t, seal(t, keys, twins(), r, time.Hour))
		if err := film(st, 2, 100, 100); err != nil {
			t.Fatal(err)
		}
		if _, ok := n.Live(st.channel.ARN); !ok {
			t.Fatal("not live")
		}
		var names []string
		for _, r := range st.Media().Renditions() {
			names = append(names, r.Name())
			if _, ok := r.Info(); !ok {
				t.Errorf("%s has no segment", r.Name())
			}
		}
		first := renditionName(st.encoder.tracks.video[0])
		if want := []string{first, first + "-1"}; !slices.Equal(names, want) {
			t.Errorf("renditions %q, want %q", names, want)
		}
		st.Close(true)
		ended(t, st, time.Second)
		if v := n.session(t, st).Ingest.Video; len(v) != 2 || v[0].BitRate != 2_000_000 || v[1].BitRate != 1_000_000 || v[1].FrameRate != 30 {
			t.Errorf("ingest %+v", v)
		}
	})
}

func TestMultitrackStreamEndsWithACode(t *testing.T) {
	for name, tt := range map[string]struct {
		tracks, alone int
		life          time.Duration // of the key; 0 for a plain one
		want          event.Code
		refuses       bool // at once
	}{
		"a plain key":        {2, 1000, 0, event.MultitrackKeyRequired, false},
		"a track that stops": {2, 40, time.Hour, event.MultitrackTrackCount, false},
		"an expired key":     {2, 1000, -time.Second, event.MultitrackKeyInvalid, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := multitrack.NewKeys([]byte("secret"))
				n := start(t, func(c *Config) { c.Keys = keys })
				arn, r := n.create(t, multi)
				if tt.life != 0 {
					r = seal(t, keys, twins(), r, tt.life)
				}
				s, err := n.Publish(t.Context(), r)
				if (err != nil) != tt.refuses {
					t.Fatalf("Publish: %v", err)
				}
				kind := live.Denied
				if err == nil {
					kind = live.Unsupported
					err = film(connected(s), tt.tracks, 300, tt.alone)
				}
				if e, ok := errors.AsType[*live.Error](err); !ok || e.Kind != kind || strings.Contains(err.Error(), "sk_") {
					t.Errorf("the encoder was told %v", err)
				}
				time.Sleep(time.Second)
				if told := n.told(t); told[len(told)-1] != sessionEnded+" "+string(tt.want) && !slices.Contains(told, sessionEnded+" "+string(tt.want)) {
					t.Errorf("events %q, want one of %s", told, tt.want)
				}
				if !n.free(t, arn) {
					t.Error("the channel is not free again")
				}
				if got := n.counted(t, "sluice_multitrack_violations_total", string(tt.want)); got != 1 {
					t.Errorf("%v violations counted", got)
				}
			})
		})
	}
}

// A node that cannot open keys takes none.
func TestMultitrackWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t, multi)
		_, err := n.Publish(t.Context(), seal(t, multitrack.NewKeys(nil), twins(), r, time.Hour))
		if !errors.Is(err, live.Denied) {
			t.Errorf("Publish: %v", err)
		}
	})
}

func TestHEVCNeedsFragmentedMP4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st := n.publish(t, r)
		track := *newCamera().track
		track.Codec = media.H265
		err := st.Write(media.Unit{Track: &track, Key: true, Received: time.Now(), Data: []byte{0, 0, 0, 2, 0x26, 1}})
		if e, ok := errors.AsType[*live.Error](err); !ok || e.Kind != live.Unsupported || !strings.Contains(e.Detail, live.ContainerMP4) {
			t.Errorf("refused with %v", err)
		}
		ended(t, st, time.Second)
	})
}
