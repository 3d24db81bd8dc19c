package stream

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
)

func TestConcurrentBroadcasts(t *testing.T) {
	two := func(c *Config) { c.MaxPerAccount = 2 }
	refused := func(t *testing.T, n *node, r ingest.Request) {
		t.Helper()
		if _, err := n.Publish(t.Context(), r); !errors.Is(err, live.Quota) {
			t.Errorf("one stream too many: %v, want it over a quota", err)
		}
	}
	// announce tells of a stream on another node, of a channel like this one.
	announce := func(t *testing.T, n *node, like live.ARN) {
		t.Helper()
		like.ID = "Elsewhere123"
		e := roster.Entry{State: live.State{Channel: like, Stream: "st-x", Node: "b"}, Generation: 1}
		if err := n.roster.Announce(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func(t *testing.T, n *node){
		"streams that are not live yet count": func(t *testing.T, n *node) {
			for range 2 {
				_, r := n.create(t)
				n.publish(t, r)
			}
			_, r := n.create(t)
			refused(t, n, r)
		},
		"a live stream, which the roster knows too, counts once": func(t *testing.T, n *node) {
			_, r := n.create(t)
			n.golive(t, r)
			_, r = n.create(t)
			n.publish(t, r)
		},
		"an end makes room": func(t *testing.T, n *node) {
			_, r := n.create(t)
			st := n.publish(t, r)
			_, r = n.create(t)
			n.publish(t, r)
			_, r = n.create(t)
			refused(t, n, r)
			st.Close(true)
			<-st.finished
			n.publish(t, r)
		},
		"streams of other nodes count": func(t *testing.T, n *node) {
			channel, r := n.create(t)
			n.publish(t, r)
			announce(t, n, channel)
			_, r = n.create(t)
			refused(t, n, r)
		},
		"those of other accounts and regions do not": func(t *testing.T, n *node) {
			channel, r := n.create(t)
			n.publish(t, r)
			region, account := channel, channel
			region.Region, account.Account = "eu-west-1", "999999999999"
			announce(t, n, region)
			announce(t, n, account)
			_, r = n.create(t)
			n.publish(t, r)
		},
		"a channel that comes back is not counted twice": func(t *testing.T, n *node) {
			_, r := n.create(t)
			n.publish(t, r)
			channel, r := n.create(t)
			e := roster.Entry{State: live.State{Channel: channel, Stream: "st-x", Node: "b"}, Generation: 1}
			if err := n.roster.Announce(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			n.publish(t, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, start(t, two)) })
		})
	}
	t.Run("without a limit there is none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := start(t)
			for range 5 {
				_, r := n.create(t)
				n.publish(t, r)
			}
		})
	})
}
