package node

import (
	"context"
	"time"

	"github.com/sluice-live/sluice/internal/event"
)

// reapEvery is how often sessions whose owner died are looked for.
const reapEvery = 5 * time.Second

// reap closes the records of sessions whose node is gone. It leaves a round out after
// the clock was set or the process stood still: streams of this very node, whose leases
// look expired then, renew them before the next one.
func (n *node) reap(ctx context.Context) error {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		now := time.Now()
		if steady(last, now) {
			n.reapOnce(ctx, now)
		}
		last = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *node) reapOnce(ctx context.Context, now time.Time) {
	rctx, cancel := context.WithTimeout(ctx, reapEvery)
	defer cancel()
	switch ended, err := n.store.CloseAbandoned(rctx, now, event.Abandoned(now)); {
	case ctx.Err() != nil:
	case err != nil:
		n.log.Warn("abandoned sessions not closed, will try again", "err", err)
	case ended > 0:
		n.log.Info("closed sessions whose node died", "sessions", ended)
	}
}

// steady reports whether the wall clock took from last to now about as long as a round.
func steady(last, now time.Time) bool {
	gap := now.Round(0).Sub(last.Round(0))
	return gap >= 0 && gap <= reapEvery+time.Second
}
