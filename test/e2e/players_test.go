package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// encode publishes pictures that tell the time they were made, with a keyframe a
// second and a tone, until the test ends.
func encode(t testing.TB, s *servertest.Server, ch servertest.Channel) {
	t.Helper()
	publishClock(t, s, ch)
	s.WaitLive(t, ch)
}

// publishClock is encode for a channel that does not play for just anybody.
func publishClock(t testing.TB, s *servertest.Server, ch servertest.Channel) {
	t.Helper()
	p := testmedia.Publish(t, testmedia.Source{URL: s.RTMPURL(ch), Audio: true})
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("encoder: %v: %s", err, p.Stderr())
		}
	})
}

// The players of the field play a channel from its playback URL, in both containers:
// frames come in order, nothing is reported as an error, and hls.js uses the parts.
// How fast and how late they are is for BenchmarkPlayback.
func TestPlayersPlay(t *testing.T) {
	for container, create := range containers {
		t.Run(container, func(t *testing.T) {
			s := servertest.Start(t)
			ch := create(t, s)
			encode(t, s, ch)
			for _, player := range []string{browser.HLSJS, browser.IVS, browser.Watch} {
				t.Run(player, func(t *testing.T) {
					url := *ch.PlaybackUrl
					if player == browser.Watch {
						url = s.Base + "/watch/" + *ch.Arn
					}
					r := browser.Play(t, browser.Options{Player: player, URL: url, Seconds: 8, Clock: true})
					t.Log(r)
					switch {
					case r.StartMs == nil:
						t.Fatal("no picture")
					case len(r.Errors) > 0:
						t.Errorf("the player reports %+v", r.Errors)
					case r.Frames.Backwards > 0 || r.Frames.Presented < 100:
						t.Errorf("frames on screen: %+v", r.Frames)
					case r.Latency.Unread > 0:
						t.Errorf("%d pictures are damaged", r.Latency.Unread)
					case !*r.LowLatency:
						t.Error("not in low-latency mode")
					case player == browser.Watch && len(r.External) > 0:
						t.Errorf("the page asks other hosts: %q", r.External)
					case player != browser.IVS && len(r.Console) > 0:
						t.Errorf("the page's console: %q", r.Console)
					}
				})
			}
		})
	}
}

// BenchmarkPlayback plays for a minute and reports what a viewer sees: the time to
// the first picture from the start of the page's load, how old pictures are when they
// come on screen, by the clock in them, and how often and how long playback stalled.
// Keyframes are a second apart. It says nothing of time per operation.
func BenchmarkPlayback(b *testing.B) {
	const seconds = 60
	for container, create := range containers {
		for _, part := range []time.Duration{200 * time.Millisecond, config.MinHLSPart} {
			for _, player := range []string{browser.HLSJS, browser.IVS, browser.Watch} {
				b.Run(container+"/part="+part.String()+"/"+player, func(b *testing.B) {
					s := servertest.Start(b, func(c *config.Config) { c.HLSPart = part })
					ch := create(b, s)
					encode(b, s, ch)
					url := *ch.PlaybackUrl
					if player == browser.Watch {
						url = s.Base + "/watch/" + *ch.Arn
					}
					for b.Loop() {
						r := browser.Play(b, browser.Options{Player: player, URL: url, Seconds: seconds, Clock: true})
						if r.StartMs == nil {
							b.Fatalf("no picture: %s", r)
						}
						b.ReportMetric(*r.StartMs, "start-ms")
						b.ReportMetric(*r.Latency.MedianMs, "latency-p50-ms")
						b.ReportMetric(*r.Latency.P95Ms, "latency-p95-ms")
						if r.Reported.MedianSeconds != nil { // getLiveLatency of the IVS player, latency of hls.js
							b.ReportMetric(*r.Reported.MedianSeconds*1000, "reported-p50-ms")
						}
						b.ReportMetric(float64(len(r.Stalls)), "stalls")
						b.ReportMetric(r.StalledMs, "stalled-ms")
						b.ReportMetric(float64(r.Frames.Dropped), "dropped-frames")
					}
					b.ReportMetric(0, "ns/op") // how long it took was chosen
				})
			}
		}
	}
}
