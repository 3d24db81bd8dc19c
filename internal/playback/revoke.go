package playback

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// How new revocations are looked for that the bus did not bring. Clocks of nodes may
// differ, and a revocation is in the table a moment after the time it has.
const (
	pollEvery = time.Second
	pollTime  = 3 * time.Second // for one look
	overlap   = 30 * time.Second
	pollPage  = 1000
)

// Run hears of revocations until ctx is done.
func (g *Gate) Run(ctx context.Context) error {
	stop, err := g.bus.OnRevoke(ctx, func(_ context.Context, all []live.Revocation) { g.revoke(all) })
	if err != nil {
		return fmt.Errorf("playback: %w", err)
	}
	defer stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	since, deaf := g.now(), false // deaf: the newest look failed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if g.sessions.tick.Add(1)%idleTicks == 0 {
			g.sessions.sweep()
		}
		now := g.now()
		err := g.poll(ctx, since.Add(-overlap))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !deaf:
			g.log.Warn("revocations not read, will go on trying", "err", err)
		case err == nil && deaf:
			g.log.Info("revocations read again")
		}
		if deaf = err != nil; !deaf {
			since = now
		}
	}
}

func (g *Gate) revoke(all []live.Revocation) {
	for _, r := range all {
		g.sessions.revoke(r)
	}
}

// poll reads what was revoked since a time, if anybody is here whom it could be about.
// Who comes later is looked up.
func (g *Gate) poll(ctx context.Context, since time.Time) error {
	if !g.sessions.named() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	for {
		page, err := g.store.RevocationsSince(ctx, since, pollPage)
		if err != nil {
			return fmt.Errorf("playback: %w", err)
		}
		g.revoke(page)
		if len(page) < pollPage {
			return nil
		}
		// The next page begins with the time that this one ends with. One such time has
		// fewer revocations than a page: a call revokes 20.
		last := page[len(page)-1].Time
		if !last.After(since) {
			last = since.Add(time.Millisecond)
		}
		since = last
	}
}
