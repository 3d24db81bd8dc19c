package e2e

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// switchers are the players that can be told which quality to show, with what makes them
// take a buffer that a busy machine does not exhaust. The IVS player decides by itself.
var switchers = map[string]string{
	browser.HLSJS: `{"liveSyncDuration": 3, "maxLiveSyncPlaybackRate": 1}`,
	browser.Shaka: `{"streaming": {"lowLatencyMode": false}}`,
	browser.IVS:   "",
}

// broadcastLadder publishes numbered pictures of a size until the test ends.
func broadcastLadder(t testing.TB, s *servertest.Server, ch servertest.Channel, src testmedia.Source) {
	t.Helper()
	src.URL, src.Audio = s.RTMPURL(ch), true
	p := testmedia.Publish(t, src)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("encoder: %v: %s", err, p.Stderr())
		}
	})
	s.WaitLive(t, ch)
}

// Players list every rung of a ladder and switch down and up without a stall, a decoding
// error or a picture out of its place.
func TestPlayersSwitch(t *testing.T) {
	for container, create := range containers {
		t.Run(container, func(t *testing.T) {
			s := servertest.Start(t, x264)
			ch := create(t, s)
			broadcastLadder(t, s, ch, testmedia.Source{})
			for player, config := range switchers {
				t.Run(player, func(t *testing.T) {
					t.Parallel()
					r := browser.Play(t, browser.Options{
						Player: player, URL: *ch.PlaybackUrl, Config: config, Clock: true, Rate: 30, Seconds: 14, Timeout: 40,
						Steps: []browser.Step{{At: 1, Height: aws.Int(160)}, {At: 6, Height: aws.Int(360)}},
					})
					t.Log(r)
					switched(t, player, r)
					shows(t, r, 160, 360)
					names := qualityNames(r)
					want := []string{"360p30", "160p30"}
					if player == browser.IVS {
						want = []string{"360p", "160p"} // it has the NAME of the group
					}
					if !slices.Equal(names, want) {
						t.Errorf("qualities %q, want %q", names, want)
					}
				})
			}
		})
	}
}

const mayStall = 2000 // ms

// qualityNames are those of r, the best first.
func qualityNames(r browser.Result) (names []string) {
	slices.SortFunc(r.Qualities, func(a, b browser.Quality) int { return b.Height - a.Height })
	for _, q := range r.Qualities {
		names = append(names, q.Name)
	}
	return names
}

// switched fails the test if a player that changed its rendition showed anything but the
// next picture.
func switched(t testing.TB, player string, r browser.Result) {
	t.Helper()
	if r.StartMs == nil {
		t.Fatal("no picture")
	}
	for _, e := range r.Errors {
		if e.Fatal || !slices.Contains(passing, e.Source) {
			t.Errorf("the player reports %+v", e)
		}
	}
	// A page that had no time for all pictures tells nothing of when they came. One short
	// stall is the machine's, which does other tests as well: benchmarks count them.
	if f := r.Frames; (len(r.Stalls) > 1 || r.StalledMs > mayStall) && (f.Skipped+f.Dropped)*20 < f.Presented {
		t.Errorf("stalls: %+v", r.Stalls)
	}
	if r.Latency.Unread > 0 || r.Frames.Backwards > 0 {
		t.Errorf("%d pictures are damaged, %d out of order", r.Latency.Unread, r.Frames.Backwards)
	}
	most := 2.5 // frames: those who write TS anew round times
	if player == browser.IVS {
		most = 6 // it counts a timeline of its own, by the lengths of what it has read
	}
	if *r.DriftFrames > most {
		t.Errorf("the picture moved by %.2f frames on the player's timeline", *r.DriftFrames)
	}
}

// passing are errors of hls.js that are no errors: it stopped loading what it no longer
// wants, or is out of media, which shows as a stall.
var passing = []string{"aborted", "bufferStalledError", "bufferNudgeOnStall"}

// shows fails the test if r did not show pictures of these heights, in this order.
func shows(t testing.TB, r browser.Result, heights ...int) {
	t.Helper()
	left := heights
	for _, s := range r.Sizes {
		if len(left) > 0 && s.Height == left[0] {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		t.Errorf("pictures of %+v, want heights %v in order", r.Sizes, heights)
	}
}
