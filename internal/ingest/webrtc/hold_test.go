package webrtc

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

func TestPicturesWaitForSound(t *testing.T) {
	video := &media.Track{Kind: media.Video, Timescale: media.VideoTimescale}
	audio := &media.Track{Kind: media.Audio, Timescale: opusRate}
	began := time.Unix(1_700_000_000, 0)
	type event struct {
		now  int  // ms
		kind byte // v, a: a unit at the time ts; t: time passes
		ts   int  // ms
	}
	for name, tt := range map[string]struct {
		silent bool
		events []event
		want   []string
	}{
		"without sound nothing waits": {true, []event{{0, 'v', 0}, {33, 'v', 33}}, []string{"0:v0", "33:v33"}},
		"in the order of time": {
			false,
			[]event{{0, 'v', 0}, {33, 'v', 33}, {66, 'v', 66}, {100, 'a', 0}, {120, 'a', 21}, {140, 'a', 42}},
			[]string{"100:v0", "100:a0", "120:a21", "140:v33", "140:a42"},
		},
		"sound that is ahead does not wait": {false, []event{{0, 'a', 0}, {20, 'a', 40}, {30, 'v', 33}}, []string{"0:a0", "20:a40", "30:v33"}},
		"at first for two seconds":          {false, []event{{0, 'v', 0}, {1999, 't', 0}, {2000, 't', 0}, {2010, 'v', 33}}, []string{"2000:v0", "2010:v33"}},
		"when the encoder was slow to start": {
			false,
			[]event{{0, 'v', 0}, {600, 'v', 600}, {900, 'a', 0}, {901, 'a', 500}, {902, 'a', 600}, {903, 'v', 903}, {1403, 't', 0}},
			[]string{"900:v0", "900:a0", "901:a500", "902:v600", "902:a600", "1403:v903"},
		},
		"later for half a second, until there is sound again": {
			false,
			[]event{{0, 'a', 0}, {10, 'v', 100}, {509, 't', 0}, {510, 't', 0}, {520, 'v', 133}, {530, 'a', 500}, {540, 'v', 600}},
			[]string{"0:a0", "510:v100", "520:v133", "530:a500"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			now := 0
			h := newHolder(func(u media.Unit) error {
				got = append(got, strconv.Itoa(now)+":"+u.Track.Kind.String()[:1]+strconv.Itoa(int(media.Time(u.DTS, u.Track.Timescale).Round(time.Millisecond).Milliseconds())))
				return nil
			}, !tt.silent)
			for _, e := range tt.events {
				now = e.now
				at := began.Add(time.Duration(now) * time.Millisecond)
				ts := time.Duration(e.ts) * time.Millisecond
				var err error
				switch e.kind {
				case 'v':
					err = h.picture(media.Unit{Track: video, DTS: media.Ticks(ts, video.Timescale), Received: at}, at)
				case 'a':
					err = h.heardSound(media.Unit{Track: audio, DTS: media.Ticks(ts, audio.Timescale), Received: at}, at)
				default:
					err = h.release(at)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHeldPicturesAreBounded(t *testing.T) {
	video := &media.Track{Kind: media.Video, Timescale: media.VideoTimescale}
	now, wrote := time.Unix(1_700_000_000, 0), 0
	h := newHolder(func(media.Unit) error { wrote++; return nil }, true)
	for i := range 2 * maxHeld {
		if err := h.picture(media.Unit{Track: video, DTS: int64(i + 1), Received: now}, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.held) > maxHeld || wrote != maxHeld {
		t.Errorf("%d held and %d written, want %d", len(h.held), wrote, maxHeld)
	}
	for range 4 {
		if err := h.picture(media.Unit{Track: video, DTS: 1 << 30, Received: now, Data: make([]byte, maxHeldSize/2)}, now); err != nil {
			t.Fatal(err)
		}
	}
	if h.size > maxHeldSize {
		t.Errorf("%d bytes held, want %d at most", h.size, maxHeldSize)
	}
	if err := h.flush(); err != nil || len(h.held) != 0 || h.size != 0 {
		t.Errorf("flush = %v, %d held, %d bytes", err, len(h.held), h.size)
	}
}
