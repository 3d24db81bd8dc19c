package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/store"
)

// Log is the log on the bus that events go to, each under its Subject.
const Log = "events"

// Times and bounds of the relay.
const (
	relayEvery = 500 * time.Millisecond // how late an event is told at most, in quiet times
	relayBatch = 100                    // messages read from the outbox at a time
	relayPause = 5 * time.Second        // after a failure of the bus or the store
	relayTime  = 5 * time.Second        // for one message, or one statement
	claimTTL   = 10 * time.Second       // how long a dead node holds up the events of all
	claimEvery = claimTTL / 3           // how often a node tries to get or to keep the claim
	pruneEvery = time.Minute            // how late what is too old goes
	outboxAge  = 24 * time.Hour         // after which nobody wants to know (EventBridge gives up then, too)
	outboxMost = 500_000                // messages that wait; beyond, the oldest go
	lastWords  = 2 * time.Second        // for what was committed while the node drained
	relayClaim = "outbox"               // what the lease is called
)

// outbox is what a relay needs of package store.
type outbox interface {
	Pending(ctx context.Context, n int) ([]store.Message, error)
	Delivered(ctx context.Context, ids []int64) error
	Undeliverable(ctx context.Context, before time.Time, most int64) (int64, error)
	Acquire(ctx context.Context, channel, node, origin string, now time.Time, ttl time.Duration) (store.Lease, error)
	Renew(ctx context.Context, l store.Lease, now time.Time, ttl time.Duration) (store.Lease, error)
	Release(ctx context.Context, l store.Lease) error
}

// journal is what it needs of package bus.
type journal interface {
	Append(ctx context.Context, log, subject, id string, data []byte) error
}

// A Relay moves events from the outbox to the bus.
type Relay struct {
	log     *slog.Logger
	node    string
	store   outbox
	bus     journal
	metrics *relayMetrics

	// Run's own.
	claim  store.Lease
	good   time.Time // until then nobody else has the claim; zero without it
	failed bool      // the last try, of which the log has a line
	pruned time.Time
}

type relayMetrics struct {
	relayed, dropped, failures prometheus.Counter
	delay                      prometheus.Gauge
}

// NewRelay returns a relay for a node, which has started nothing.
func NewRelay(log *slog.Logger, node string, st outbox, b journal, reg prometheus.Registerer) *Relay {
	f := promauto.With(reg)
	return &Relay{log: log, node: node, store: st, bus: b, metrics: &relayMetrics{
		relayed:  f.NewCounter(prometheus.CounterOpts{Name: "sluice_events_relayed_total", Help: "Events that this node brought to the bus."}),
		dropped:  f.NewCounter(prometheus.CounterOpts{Name: "sluice_events_dropped_total", Help: "Events given up: older than a day, or too many waited."}),
		failures: f.NewCounter(prometheus.CounterOpts{Name: "sluice_events_relay_failures_total", Help: "Rounds of the relay that the store or the bus failed."}),
		delay:    f.NewGauge(prometheus.GaugeOpts{Name: "sluice_events_delay_seconds", Help: "Age of the oldest event that waits for the bus; 0 on a node that does not relay."}),
	}}
}

// Run relays until ctx is done, then what is left for 2 s at most, and returns nil. Of
// the nodes that run it on one store, one relays at a time.
func (r *Relay) Run(ctx context.Context) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			r.finish(context.WithoutCancel(ctx))
			return nil
		case <-wait.C:
			wait.Reset(r.round(ctx))
		}
	}
}

// round does what there is to do now and returns when to look again.
func (r *Relay) round(ctx context.Context) time.Duration {
	held, err := r.hold(ctx)
	if err == nil && held {
		err = r.relay(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		r.metrics.failures.Inc()
		if !r.failed {
			r.log.Warn("events wait, will go on trying", "err", err)
		}
		r.failed = true
		return relayPause
	case r.failed:
		r.failed = false
		r.log.Info("events are relayed again")
	}
	if !held {
		r.metrics.delay.Set(0)
		return claimEvery
	}
	return relayEvery
}

// finish relays what the end of the streams caused, and lets another node go on.
func (r *Relay) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	held, err := r.hold(ctx)
	if held {
		err = errors.Join(r.relay(ctx), r.store.Release(ctx, r.claim))
	}
	if err != nil {
		r.log.Warn("events wait for the next start, or another node", "err", err)
	}
}

// hold gets or keeps the claim and reports whether this node has it, for a while.
func (r *Relay) hold(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	now := time.Now()
	switch {
	case r.good.IsZero():
		l, err := r.store.Acquire(ctx, relayClaim, r.node, "", now, claimTTL)
		if errors.Is(err, store.ErrHeld) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		r.claim = l
	case r.good.Sub(now) > claimTTL-claimEvery:
		return true, nil
	default:
		l, err := r.store.Renew(ctx, r.claim, now, claimTTL)
		if errors.Is(err, store.ErrFenced) {
			r.good = time.Time{}
			return false, nil
		} else if err != nil {
			return false, err
		}
		r.claim = l
	}
	r.good = now.Add(claimTTL)
	return true, nil
}

// relay brings what waits to the bus, in order, as long as the claim lasts.
func (r *Relay) relay(ctx context.Context) error {
	if err := r.prune(ctx); err != nil {
		return err
	}
	for {
		all, err := r.pending(ctx)
		if err != nil {
			return err
		}
		r.metrics.delay.Set(age(all))
		if len(all) == 0 {
			return nil
		}
		done, err := r.tell(ctx, all)
		if derr := r.delivered(ctx, done); derr != nil {
			return errors.Join(err, derr)
		}
		r.metrics.relayed.Add(float64(len(done)))
		if err != nil {
			return err
		}
		if held, err := r.hold(ctx); err != nil || !held {
			return err
		}
	}
}

// age is that of the first message, in seconds.
func age(all []store.Message) float64 {
	if len(all) == 0 {
		return 0
	}
	return max(time.Since(all[0].Created), 0).Seconds()
}

// tell appends messages to the log on the bus and returns the ids of those it has.
func (r *Relay) tell(ctx context.Context, all []store.Message) (done []int64, err error) {
	for _, m := range all {
		if time.Until(r.good) < relayTime {
			return done, nil // the claim first
		}
		if err := r.append(ctx, m); err != nil {
			return done, fmt.Errorf("event: %w", err)
		}
		done = append(done, m.ID)
	}
	return done, nil
}

func (r *Relay) append(ctx context.Context, m store.Message) error {
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	return r.bus.Append(ctx, Log, m.Subject, m.UID, m.Body)
}

func (r *Relay) pending(ctx context.Context) ([]store.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	return r.store.Pending(ctx, relayBatch)
}

// delivered removes messages from the outbox. What the bus has, it has, also when the
// node is stopping.
func (r *Relay) delivered(ctx context.Context, ids []int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTime)
	defer cancel()
	return r.store.Delivered(ctx, ids)
}

// prune gives up what has waited for too long.
func (r *Relay) prune(ctx context.Context) error {
	now := time.Now()
	if now.Sub(r.pruned) < pruneEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	gone, err := r.store.Undeliverable(ctx, now.Add(-outboxAge), outboxMost)
	if err != nil {
		return err
	}
	r.pruned = now
	if gone > 0 {
		r.metrics.dropped.Add(float64(gone))
		r.log.Error("events given up: the bus was away for too long", "events", gone)
	}
	return nil
}
