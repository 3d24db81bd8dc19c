package stream

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/store"
)

// dbTime bounds one write for a stream. It is less than the lease, so that a database
// that hangs costs the stream and never lets two owners run.
const dbTime = 3 * time.Second

// A lease that is held may protect a write to the channel (package control), which
// takes milliseconds. An encoder that comes at that moment waits instead of failing.
const (
	heldTime  = 300 * time.Millisecond
	heldEvery = 30 * time.Millisecond
)

// open takes the lease and opens the session's record, for the stream's first encoder.
// On error nothing is left behind.
func (st *Stream) open(ctx context.Context, e *encoder) error {
	ctx, cancel := context.WithTimeout(ctx, 2*dbTime)
	defer cancel()
	if err := st.acquire(ctx); err != nil {
		return err
	}
	if err := st.create(ctx, e); err != nil {
		// A time of its own: what failed may be that ctx has ended.
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dbTime)
		defer cancel()
		return errors.Join(err, st.owner.store.Release(rctx, st.lease))
	}
	st.log.Info("session created", "protocol", e.request.Protocol, "remote", e.request.Remote, "agent", e.request.Agent, "config", configID(e.request))
	return nil
}

func (st *Stream) acquire(ctx context.Context) error {
	o, began := st.owner, time.Now()
	for {
		now := time.Now()
		lease, err := o.store.Acquire(ctx, st.channel.ARN.String(), o.cfg.Node, o.cfg.Origin, now, o.cfg.LeaseTTL)
		switch {
		case err == nil:
			st.lease, st.generation, st.good = lease, lease.Generation, now.Add(o.cfg.LeaseTTL)
			return nil
		case !errors.Is(err, store.ErrHeld):
			return unavailable(err)
		case now.Sub(began) > heldTime:
			return st.elsewhereBusy(ctx, st.encoder.request)
		}
		select {
		case <-ctx.Done():
			return unavailable(ctx.Err())
		case <-time.After(heldEvery):
		}
	}
}

// create opens the record. Only now is the channel ours: what it is, and whether it
// still exists, is read again, because it may have changed between the key check and
// the lease.
func (st *Stream) create(ctx context.Context, e *encoder) error {
	o := st.owner
	ch, err := o.loadChannel(ctx, st.channel.ARN)
	if err != nil {
		return err
	}
	recording, err := o.loadRecording(ctx, ch)
	if err != nil {
		return err
	}
	if st.restriction, err = o.loadRestriction(ctx, ch); err != nil {
		return err
	}
	st.channel = ch
	if err := st.planPostRoll(ctx); err != nil {
		return err
	}
	st.session = live.Session{
		ID: st.id, Channel: ch.ARN, Node: o.cfg.Node, Generation: st.generation,
		Created: time.Now(), Snapshot: ch, Recording: recording,
		Ingest: live.Ingest{Protocol: string(e.request.Protocol)},
	}
	st.about = event.Of(st.session)
	st.meter = meter.New(o.limits(ch), st.born)
	st.emit(event.State{Name: event.SessionCreated})
	if err := o.store.CreateSession(ctx, st.session, st.taken()...); err != nil {
		return unavailable(err)
	}
	return nil
}

// renewEvery is how often a lease is renewed that is renewed well.
func (s *Streams) renewEvery() time.Duration { return s.cfg.LeaseTTL / 3 }

// retryEvery is how often one is that could not be. It is also the time that an owner
// gives up before its lease runs out, to be gone when the next one comes.
func (s *Streams) retryEvery() time.Duration { return s.cfg.LeaseTTL / 10 }

// keep renews the lease and returns when to do so again. A lease that is lost, or that
// ran out while the database did not answer, ends the stream: another node may own the
// channel now.
func (st *Stream) keep(ctx context.Context) (next time.Duration) {
	now, retry := time.Now(), st.owner.retryEvery()
	// After a pause of the whole process good may be over. The lease is lost only if
	// somebody took it, so there is one more try.
	rctx, cancel := context.WithTimeout(ctx, min(dbTime, max(st.good.Sub(now)-retry, retry)))
	defer cancel()
	l, err := st.owner.store.Renew(rctx, st.lease, now, st.owner.cfg.LeaseTTL)
	switch {
	case err == nil:
		st.lease, st.good = l, now.Add(st.owner.cfg.LeaseTTL)
		st.record(ctx)
		return st.owner.renewEvery()
	case errors.Is(err, store.ErrHeld), errors.Is(err, store.ErrFenced):
		st.log.Warn("lease lost", "err", err)
		st.end("lease lost")
	case time.Until(st.good) <= retry:
		st.log.Error("lease could not be renewed", "err", err)
		st.end("lease ran out")
	default:
		st.log.Warn("lease not renewed, will try again", "err", err)
	}
	return retry
}

// A write is one change of the session's record.
type write struct {
	what string // for the log
	do   func(context.Context) error
}

// later puts a change behind those that are still to be made; record makes them. They
// are a handful in the life of a stream.
func (st *Stream) later(what string, do func(context.Context) error) {
	st.unwritten = append(st.unwritten, write{what, do})
}

// describeAgain brings the session up to date after another encoder took over.
func (st *Stream) describeAgain() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.swapped {
		return false
	}
	st.swapped = false
	st.session.Ingest = describe(st.encoder)
	return true
}

// update writes the session as it is now, with the events until now.
func (st *Stream) update(what string) {
	x, notes := st.session, st.taken()
	st.later(what, func(ctx context.Context) error { return st.owner.store.UpdateSession(ctx, x, notes...) })
}

// record makes the changes of the record that are still to be made, in order. What
// fails is tried again with the next renewal, so that a database that was away for a
// moment is complete in the end; a change whose answer was lost is made once all the
// same. A fenced one means that the channel belongs to another node, and ends the stream.
func (st *Stream) record(ctx context.Context) {
	if st.describeAgain() {
		st.update("takeover")
	}
	if notes := st.taken(); len(notes) > 0 {
		st.later("events", func(ctx context.Context) error {
			return st.owner.store.AppendEvents(ctx, st.id, st.generation, notes...)
		})
	}
	for len(st.unwritten) > 0 {
		w := st.unwritten[0]
		err := st.try(ctx, w)
		switch {
		case err == nil:
			st.unwritten = st.unwritten[1:]
		case errors.Is(err, store.ErrFenced):
			st.log.Warn("stream record belongs to another node now", "what", w.what, "err", err)
			st.unwritten = nil
			st.end("lease lost")
		default:
			st.log.Error("stream record not written", "what", w.what, "err", err)
			return
		}
	}
}

func (st *Stream) try(ctx context.Context, w write) error {
	ctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	return w.do(ctx)
}
