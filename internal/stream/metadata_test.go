package stream

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/id3"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// carried is how often the media that viewers can fetch holds a tag of that owner and
// text. Such a one is short enough for one packet here.
func carried(t *testing.T, st *connection, owner, text string) (n int) {
	t.Helper()
	r := st.Media().Renditions()[0]
	m := playlist(t, st)
	for i := range m.Segments {
		b, err := r.Segment(t.Context(), m.Sequence+int64(i))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Chunks {
			n += bytes.Count(c, id3.Private(owner, text))
		}
	}
	for i := range m.Open.Parts {
		b, err := r.Part(t.Context(), m.Sequence+int64(len(m.Segments)), i)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(b.Chunks[0], id3.Private(owner, text))
	}
	return n
}

func TestPutMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		put := func(text string) error {
			return n.roster.Send(t.Context(), arn, roster.Command{Op: roster.OpMetadata, Metadata: text})
		}
		st, e := n.publish(t, r), newCamera()
		_ = e.play(st, 500*time.Millisecond)
		if err := put("early"); !errors.Is(err, live.NotLive) {
			t.Errorf("before the first segment: %v, want not live", err)
		}
		_ = e.play(st, 2*time.Second)
		if err := put("hello"); err != nil {
			t.Fatal(err)
		}
		if carried(t, st, id3.OwnerAPI, "hello") != 0 {
			t.Error("viewers have it before the picture it goes with")
		}
		_ = e.play(st, 300*time.Millisecond)
		if carried(t, st, id3.OwnerAPI, "hello") != 1 {
			t.Error("the next part does not carry it, once")
		}
		if got := n.counted(t, "sluice_metadata_delay_seconds", ""); got != 1 {
			t.Errorf("the delay of %v was measured, want of 1", got)
		}
		if n.log.count("hello") != 0 {
			t.Error("it is in the log")
		}
		for range 64 {
			if err := put("x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := put("x"); !errors.Is(err, live.Throttled) {
			t.Errorf("more than the stream carries: %v, want throttled", err)
		}
		if got := n.counted(t, "sluice_metadata_dropped_total", ""); got != 1 {
			t.Errorf("%v dropped, want 1", got)
		}
		st.Close(true)
		ended(t, st, time.Second)
		if err := put("late"); !errors.Is(err, live.NotLive) {
			t.Errorf("after the stream: %v, want not live", err)
		}
	})
}

func TestMetadataOfTheEncoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, e := n.publish(t, r), newCamera()
		st.Metadata("before any picture") // there is nothing that could carry it
		_ = e.play(st, 2*time.Second)
		st.Metadata("hello")
		_ = e.play(st, 500*time.Millisecond)
		if carried(t, st, id3.OwnerInband, "hello") != 1 || carried(t, st, id3.OwnerAPI, "hello") != 0 {
			t.Error("the media does not carry it once, in the encoder's name")
		}
		st.Close(true)
		st.Metadata("late")
		got := n.counted(t, "sluice_metadata_total", id3.OwnerInband)
		if dropped := n.counted(t, "sluice_metadata_dropped_total", ""); got != 1 || dropped != 1 {
			t.Errorf("%v put, %v dropped, want 1 and 1", got, dropped)
		}
		if n.log.count("hello") != 0 {
			t.Error("it is in the log")
		}
	})
}

// ads makes an ad configuration and returns a setting of channels that names it.
func (n *node) ads(t *testing.T, post live.PostRoll) func(*live.Channel) {
	t.Helper()
	a := live.AdConfiguration{
		ARN:         live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: live.TypeAdConfiguration, ID: live.NewID(12)},
		MediaTailor: []string{"arn:aws:mediatailor:us-west-2:123456789012:playbackConfiguration/a"}, PostRoll: post, Created: time.Now(),
	}
	row, err := store.RowOfAdConfiguration(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), row) }); err != nil {
		t.Fatal(err)
	}
	return func(c *live.Channel) { c.AdConfiguration = a.ARN.String() }
}

func TestInsertAdBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		insert := func(arn live.ARN, id string, d time.Duration) error {
			return n.roster.Send(t.Context(), arn, roster.Command{Op: roster.OpAdBreak, AdBreak: roster.AdBreak{ID: id, Duration: d}})
		}
		plain, r := n.create(t)
		n.golive(t, r)
		if err := insert(plain, "Ab3De6Gh9Jk2", time.Second); !errors.Is(err, live.Invalid) {
			t.Errorf("without an ad configuration: %v, want invalid", err)
		}

		arn, r := n.create(t, n.ads(t, live.PostRoll{Duration: 15 * time.Second}))
		st, e := n.publish(t, r), newCamera()
		_ = e.play(st, 500*time.Millisecond)
		if err := insert(arn, "Ab3De6Gh9Jk2", 2*time.Second); !errors.Is(err, live.NotLive) {
			t.Errorf("before the first segment: %v, want not live", err)
		}
		_ = e.play(st, 2*time.Second)
		at := time.Now()
		if err := insert(arn, "Ab3De6Gh9Jk2", 2*time.Second); err != nil {
			t.Fatal(err)
		}
		_ = e.play(st, 1900*time.Millisecond)
		if err := insert(arn, "Bb3De6Gh9Jk2", 2*time.Second); !errors.Is(err, live.Conflict) {
			t.Errorf("while one runs: %v, want conflict", err)
		}
		if got := playlist(t, st).DateRanges; len(got) != 1 || got[0].AdBreak != "Ab3De6Gh9Jk2" ||
			got[0].Duration != 2*time.Second || got[0].Start.Sub(at).Abs() > 40*time.Millisecond {
			t.Errorf("the playlist tells of %+v, want a break of 2 s at %v", got, at)
		}
		_ = e.play(st, 200*time.Millisecond)
		if err := insert(arn, "Cb3De6Gh9Jk2", time.Second); err != nil {
			t.Errorf("after it: %v", err)
		}
		_ = e.play(st, 2*time.Second)
		want := []string{sessionCreated, streamStart, adBreakInserted, adBreakInserted}
		if got := n.events(t, st); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		all, err := n.db.Events(t.Context(), st.ID())
		if err != nil || all[0].Type != "IVS Ad Break State Change" || all[0].Failure() {
			t.Errorf("event %+v, %v", all[0], err)
		}
		if m := playlist(t, st); slices.ContainsFunc(m.Segments, func(s hls.Segment) bool { return s.Discontinuity || s.Title != "live" }) {
			t.Error("the programme does not go on in the break")
		}
		if got := n.counted(t, "sluice_ad_breaks_total", breakAPI); got != 2 {
			t.Errorf("%v breaks counted, want 2", got)
		}
	})
}

func TestPostRoll(t *testing.T) {
	for name, tt := range map[string]struct {
		post live.PostRoll
		play time.Duration
		want []string // events
	}{
		"wanted":                    {live.PostRoll{Enabled: true, Duration: 15 * time.Second}, 3 * time.Second, []string{sessionCreated, streamStart, adBreakInserted, sessionEnded, streamEnd}},
		"not wanted":                {live.PostRoll{Duration: 15 * time.Second}, 3 * time.Second, []string{sessionCreated, streamStart, sessionEnded, streamEnd}},
		"of a stream not seen live": {live.PostRoll{Enabled: true, Duration: 15 * time.Second}, 300 * time.Millisecond, []string{sessionCreated, sessionEnded}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t, n.ads(t, tt.post))
				st, e := n.publish(t, r), newCamera()
				_ = e.play(st, tt.play)
				st.Close(true)
				ended(t, st, time.Second)
				if got := n.events(t, st); !slices.Equal(got, tt.want) {
					t.Errorf("events %v, want %v", got, tt.want)
				}
				rolls := slices.Contains(tt.want, adBreakInserted)
				if got := n.counted(t, "sluice_ad_breaks_total", breakPostRoll); (got == 1) != rolls {
					t.Errorf("%v post-rolls counted", got)
				}
				if slices.Contains(tt.want, streamStart) {
					if m := playlist(t, st); !m.EndList || (len(m.DateRanges) == 1) != rolls || rolls && !strings.HasSuffix(m.DateRanges[0].ID, "-15000000000") {
						t.Errorf("the last playlist: ended %t, ranges %+v", m.EndList, m.DateRanges)
					}
				}
			})
		})
	}
}
