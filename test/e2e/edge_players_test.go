package e2e

import (
	"testing"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// Players at an edge play as they do at the origin.
func TestPlayersAtAnEdge(t *testing.T) {
	c := newCluster(t)
	a := c.join(t, dataDir(t), "--roles", "control,media")
	b := c.join(t, dataDir(t), "--roles", "edge")
	ch := a.NewChannel(t, servertest.MP4)
	publishClock(t, &a.Server, ch)
	url := through(t, b, *ch.PlaybackUrl)
	for _, player := range []string{browser.IVS, browser.HLSJS} {
		t.Run(player, func(t *testing.T) {
			r := browser.Play(t, browser.Options{Player: player, URL: url, Seconds: 5, Clock: true})
			if r.StartMs == nil || len(r.Errors) > 0 || r.Frames.Presented < 60 {
				t.Fatalf("%s", r)
			}
			if player == browser.IVS && (r.LowLatency == nil || !*r.LowLatency) {
				t.Error("the player is not in its low-latency mode")
			}
			if l := r.Latency; l != nil && l.MedianMs != nil {
				t.Logf("from encoder to screen: %.0f ms in the middle", *l.MedianMs)
			}
		})
	}
}
