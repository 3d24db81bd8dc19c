package stream

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/series"
)

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st, e := n.golive(t, r)
		want := func(when string, h live.Health) {
			t.Helper()
			synctest.Wait()
			if s, ok := n.roster.Get(arn); !ok || s.Health != h {
				t.Errorf("%s: %s, %t, want %s", when, s.Health, ok, h)
			}
			for _, by := range []live.Health{live.Healthy, live.Starving, live.Unknown} {
				if got := len(n.roster.List(arn.Account, arn.Region, by, "", 10)) == 1; got != (by == h) {
					t.Errorf("%s: listed among %s: %t", when, by, got)
				}
			}
		}
		want("just started", live.Unknown)
		_ = e.play(st, 2*time.Second)
		want("after 4 s", live.Healthy)
		time.Sleep(2500 * time.Millisecond)
		want("2.5 s without media", live.Healthy)
		time.Sleep(5 * time.Second)
		want("7.5 s without media", live.Starving)
		_ = e.play(st, 2*time.Second)
		want("2 s with media again", live.Starving)
		_ = e.play(st, 10*time.Second)
		want("12 s with media again", live.Healthy)
		st.Announce(ingest.Announcement{VideoBitRate: 60_000}) // and 25,000 come
		_ = e.play(st, 20*time.Second)
		want("less than half of what is announced", live.Starving)
		st.Close(true)
		ended(t, st, time.Second)
		if got, want := n.events(t, st), []string{
			sessionCreated, streamStart, "Starvation Start", "Starvation End", "Starvation Start", sessionEnded, streamEnd,
		}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
}

// An encoder that sends more than its channel takes: the breach is told with its
// numbers, the encoder hears of it and the session has failed.
func TestLimits(t *testing.T) {
	limited := func(c *Config) { c.Limits = meter.LimitsOf }
	for name, tt := range map[string]struct {
		with   func(*Config)
		change func(u *media.Unit) // before it is sent
		event  string              // "" for none
		says   string
		detail string
	}{
		"what fits is taken": {limited, func(*media.Unit) {}, "", "", ""},
		"without limits everything is": {func(*Config) {}, func(u *media.Unit) {
			u.Data = append(u.Data[:104:104], make([]byte, 100_000)...)
			u.Data[0], u.Data[1], u.Data[2], u.Data[3] = 0, 1, 0x87, 0x04
		}, "", "", ""},
		"bit rate": {limited, func(u *media.Unit) {
			u.Data = append(u.Data[:104:104], make([]byte, 100_000)...)
			u.Data[0], u.Data[1], u.Data[2], u.Data[3] = 0, 1, 0x87, 0x04
		}, "Ingest Bitrate", "the channel's limit is 8500000", `"limit_name":"Ingest Bitrate","limit_value":8500000,"exceeded_by":1`},
		"resolution": {limited, func(u *media.Unit) {
			big := *u.Track
			big.Width, big.Height = 2560, 1440
			u.Track = &big
		}, "Ingest Resolution", "the channel's limit is 2100000", `"limit_name":"Ingest Resolution","limit_value":2100000,"exceeded_by":1586400,"limit_unit":"total pixels","channel_name":"n","stream_id":"st-`},
		"edge": {limited, func(u *media.Unit) {
			wide := *u.Track
			wide.Width, wide.Height = 2560, 180
			u.Track = &wide
		}, "Ingest Resolution", "the channel's limit is 1920", `"limit_value":1920,"exceeded_by":640,"limit_unit":"pixels per edge"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, tt.with)
				_, r := n.create(t)
				st, e := n.publish(t, r), newCamera()
				var err error
				for i := 0; err == nil && i < 30*20; i++ {
					u := e.next()
					tt.change(&u)
					err = st.Write(u)
					time.Sleep(time.Second / 30)
				}
				synctest.Wait()
				if tt.event == "" {
					if err != nil {
						t.Fatal(err)
					}
					st.Close(true)
					ended(t, st, time.Second)
					return
				}
				if !errors.Is(err, live.Quota) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Write = %v, want it over a quota, %q", err, tt.says)
				}
				ended(t, st, time.Second)
				events := slices.DeleteFunc(n.events(t, st), func(s string) bool { return s == streamStart || s == streamEnd })
				if want := []string{sessionCreated, tt.event, sessionEnded}; !slices.Equal(events, want) {
					t.Errorf("events %v, want %v", events, want)
				}
				if !n.session(t, st).Failed {
					t.Error("the session has not failed")
				}
				if !n.emitted(t, tt.detail) {
					t.Errorf("no event has %s", tt.detail)
				}
			})
		})
	}
}

// emitted reports whether one of the events on their way to the world has that text.
func (n *node) emitted(t *testing.T, text string) bool {
	t.Helper()
	all, err := n.db.Pending(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if strings.Contains(string(m.Body), text) {
			return true
		}
	}
	return false
}

func TestTooManyBroadcastsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(c *Config) { c.MaxPerAccount = 1 })
		_, r := n.create(t)
		n.publish(t, r)
		_, r = n.create(t)
		refuse := func() {
			t.Helper()
			if _, err := n.Publish(t.Context(), r); !errors.Is(err, live.Quota) {
				t.Fatalf("Publish = %v", err)
			}
		}
		count := func() (told int) {
			all, err := n.db.Pending(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				if strings.Contains(string(m.Body), `"resources":[]`) &&
					strings.Contains(string(m.Body), `"detail":{"limit_name":"Concurrent Broadcasts","limit_value":1,"exceeded_by":1,"limit_unit":"active streams"}`) {
					told++
				}
			}
			return told
		}
		for range 5 {
			refuse()
		}
		if got := count(); got != 1 {
			t.Errorf("told %d times of five tries at once, want one", got)
		}
		time.Sleep(tellBroadcasts + time.Second)
		refuse()
		if got := count(); got != 2 {
			t.Errorf("told %d times after a while, want 2", got)
		}
		time.Sleep(2 * tellBroadcasts)
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.crowded) != 0 {
			t.Error("an account is remembered for ever")
		}
	})
}

// A tape takes samples.
type tape struct {
	mu  sync.Mutex
	all []taped
}

type taped struct {
	channel string
	metric  series.Metric
	label   string
	value   float64
}

func (p *tape) record(of series.Scope, _ time.Time, samples ...series.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range samples {
		p.all = append(p.all, taped{of.Channel, s.Metric, s.Label, s.Value})
	}
}

// of is what was recorded last of each series of a channel, or of all.
func (p *tape) of(channel string) map[string]float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[string]float64{}
	for _, x := range p.all {
		if x.channel == channel {
			got[strings.TrimSpace(string(x.metric)+" "+x.label)] = x.value
		}
	}
	p.all = nil
	return got
}

func TestWhatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p tape
		n := start(t, func(c *Config) { c.Record = p.record })
		arn, r := n.create(t)
		st, e := n.golive(t, r)
		sound := &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, SampleRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}}
		for range 10 {
			if err := st.Write(media.Unit{Track: sound, Key: true, Data: make([]byte, 125), Received: time.Now()}); err != nil {
				t.Fatal(err)
			}
			_ = e.play(st, time.Second)
		}
		st.Delivered(1500 * time.Millisecond)
		_ = e.play(st, time.Second)
		want := map[string]float64{
			"IngestVideoBitrate": 30 * 104 * 8, "IngestVideoBitrate Track0": 30 * 104 * 8,
			"IngestAudioBitrate": 1000, "IngestAudioBitrate Track0": 1000, "IngestBitrate": 30*104*8 + 1000,
			"IngestFramerate": 30, "IngestFramerate Track0": 30, "KeyframeInterval": 1, "KeyframeInterval Track0": 1,
			"LiveInputTime": 1, "LiveDeliveredTime": 1.5, "ConcurrentViews": 0,
		}
		got := p.of(arn.ID)
		// The second may end before a picture or behind it.
		near := cmp.Comparer(func(a, b float64) bool { return max(a-b, b-a) <= max(b, a)/29 })
		got["IngestAudioBitrate"], got["IngestAudioBitrate Track0"] = max(got["IngestAudioBitrate"], 1000), max(got["IngestAudioBitrate Track0"], 1000)
		want["IngestBitrate"] = want["IngestVideoBitrate"] // the last second has no sound
		if d := cmp.Diff(want, got, near); d != "" {
			t.Errorf("of the channel: -want +got:\n%s", d)
		}
		_ = e.play(st, 10*time.Second)
		if d := cmp.Diff(map[string]float64{"ConcurrentViews": 0, "ConcurrentStreams": 1, "ConcurrentStreams HEALTHY": 1}, p.of("")); d != "" {
			t.Errorf("of all: -want +got:\n%s", d)
		}
		time.Sleep(2 * time.Second)
		p.of(arn.ID)
		time.Sleep(5 * time.Second)
		if got := p.of(arn.ID); got["IngestBitrate"] != 0 || got["LiveInputTime"] != 0 {
			t.Errorf("without media: %v", got)
		}
		st.Close(true)
		ended(t, st, time.Second)
		p.of("")
		time.Sleep(20 * time.Second)
		if got := p.of(arn.ID); len(got) != 0 {
			t.Errorf("after the end: %v", got)
		}
	})
}

func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(c *Config) { c.MetricChannels = 1 })
		reg := prometheus.NewRegistry()
		reg.MustRegister(newGauges(n.Streams))
		gather := func() map[string]float64 {
			all, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, f := range all {
				for _, m := range f.GetMetric() {
					name := strings.TrimPrefix(f.GetName(), "sluice_ingest_")
					for _, l := range m.GetLabel() {
						name += " " + l.GetValue()
					}
					got[name] = m.GetGauge().GetValue()
				}
			}
			return got
		}
		first, r := n.create(t)
		st, e := n.golive(t, r)
		_, r = n.create(t)
		time.Sleep(time.Millisecond)
		other := n.publish(t, r)
		_ = e.play(st, 3*time.Second)
		a := first.String()
		got := gather()
		if got["frames_per_second "+a] < 29 || got["frames_per_second "+a] > 31 {
			t.Errorf("frame rate %v", got["frames_per_second "+a])
		}
		got["frames_per_second "+a], got["bits_per_second "+a+" video"] = 30, 1
		if d := cmp.Diff(map[string]float64{
			"frames_per_second " + a: 30, "keyframe_interval_seconds " + a: 1,
			"bits_per_second " + a + " video": 1, "bits_per_second " + a + " audio": 0, "channels_unseen": 1,
		}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		for _, st := range []*connection{st, other} {
			st.Close(true)
			ended(t, st, time.Second)
		}
		if d := cmp.Diff(map[string]float64{"channels_unseen": 0}, gather()); d != "" {
			t.Errorf("after the end: -want +got:\n%s", d)
		}
	})
}
