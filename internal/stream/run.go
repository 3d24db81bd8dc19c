package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// Events of a session's history (low-latency.md 9.2).
const (
	stateChange    = "IVS Stream State Change"
	sessionCreated = "Session Created"
	sessionEnded   = "Session Ended"
	streamStart    = "Stream Start"
	streamEnd      = "Stream End"
)

// dbTime bounds one write for a stream; it is less than the lease, so that a database
// that hangs costs the stream and never lets two owners run.
const dbTime = 3 * time.Second

// open takes the lease and opens the session's record. On error nothing is left behind.
func (st *Stream) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*dbTime)
	defer cancel()
	o := st.owner
	now := time.Now()
	lease, err := o.store.Acquire(ctx, st.channel.ARN.String(), o.cfg.Node, o.cfg.Origin, now, o.cfg.LeaseTTL)
	if errors.Is(err, store.ErrHeld) {
		return errBusy
	} else if err != nil {
		return unavailable(err)
	}
	st.lease = lease
	// Only now is the channel ours: what it is, and whether it still exists, is read
	// again, because it may have changed between the key check and the lease.
	ch, err := o.loadChannel(ctx, st.channel.ARN)
	var rc *live.RecordingConfiguration
	if err == nil {
		rc, err = o.loadRecording(ctx, ch)
	}
	if err == nil {
		st.channel = ch
		st.session = live.Session{
			ID: st.id, Channel: ch.ARN, Node: o.cfg.Node, Generation: lease.Generation,
			Created: now, Snapshot: ch, Recording: rc, Ingest: live.Ingest{Protocol: string(st.request.Protocol)},
		}
		if err = o.store.CreateSession(ctx, st.session); err != nil {
			err = unavailable(err)
		}
	}
	if err != nil {
		if rerr := o.store.Release(ctx, lease); rerr != nil {
			err = errors.Join(err, rerr)
		}
		return err
	}
	st.event(ctx, sessionCreated, now)
	st.log.Info("session created", "protocol", st.request.Protocol, "remote", st.request.Remote, "agent", st.request.Agent)
	return nil
}

// run is the stream's one loop. It returns when the record is closed.
func (st *Stream) run(ctx context.Context) {
	defer st.owner.metrics.ended.Inc()
	stop, err := st.owner.roster.Serve(ctx, st.channel.ARN, st.command)
	if err != nil {
		st.log.Error("no commands can reach the stream", "err", err)
		st.end("bus unavailable")
		stop = func() {}
	}
	defer func() { stop() }()
	renew := time.NewTicker(st.owner.cfg.LeaseTTL / 3)
	defer renew.Stop()
	var ready <-chan struct{}
	for {
		select {
		case <-st.done:
			st.finish(ctx)
			return
		case <-st.owner.quit:
			st.end("server is shutting down")
		case r := <-st.built:
			ready = r.Ready()
		case <-ready:
			ready = nil
			st.start(ctx)
		case <-renew.C:
			st.keep(ctx)
		}
	}
}

// start makes the stream live: viewers can play its first segment.
func (st *Stream) start(ctx context.Context) {
	now := time.Now()
	st.mu.Lock()
	st.started = now
	st.session.Started = now
	st.session.Ingest = describe(st.request.Protocol, st.announced, st.tracks)
	st.mu.Unlock()
	st.announce(ctx)
	st.owner.metrics.started.Inc()
	wctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	if err := st.owner.store.UpdateSession(wctx, st.session); err != nil {
		st.failed("session update", err)
	}
	st.event(ctx, streamStart, now)
	st.log.Info("stream live", "took", now.Sub(st.session.Created))
}

// keep renews the lease. A lease that is lost, or that ran out while the database did
// not answer, ends the stream: another node may own the channel now.
func (st *Stream) keep(ctx context.Context) {
	wctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	l, err := st.owner.store.Renew(wctx, st.lease, time.Now(), st.owner.cfg.LeaseTTL)
	switch {
	case err == nil:
		st.lease = l
	case errors.Is(err, store.ErrHeld), errors.Is(err, store.ErrFenced):
		st.end("lease lost")
	case time.Until(st.lease.Expires) < st.owner.cfg.LeaseTTL/3:
		st.log.Error("lease could not be renewed", "err", err)
		st.end("lease ran out")
	default:
		st.log.Warn("lease renewal failed, will try again", "err", err)
	}
}

// finish closes playlist, roster entry, record and lease, in that order: a viewer must
// not see a channel that is live and cannot be played.
func (st *Stream) finish(ctx context.Context) {
	now := time.Now()
	st.mu.Lock()
	st.closed = true
	wasLive := !st.started.IsZero()
	if st.rendition != nil {
		st.rendition.Close()
	}
	st.mu.Unlock()
	if wasLive {
		st.tell(ctx, roster.Entry{State: st.state(now), Generation: st.lease.Generation, Gone: true})
	}
	st.event(ctx, sessionEnded, now)
	if wasLive {
		st.event(ctx, streamEnd, now)
	}
	wctx, cancel := context.WithTimeout(ctx, 2*dbTime)
	defer cancel()
	if err := st.owner.store.EndSession(wctx, st.id, st.lease.Generation, now); err != nil {
		st.failed("session end", err)
	}
	if err := st.owner.store.Release(wctx, st.lease); err != nil {
		st.log.Warn("lease not released, it will run out", "err", err)
	}
	st.closedAt.Store(time.Now().UnixNano())
	st.log.Info("stream ended", "live", wasLive, "lasted", now.Sub(st.session.Created))
	close(st.finished)
}

// command answers what control asks of the owner.
func (st *Stream) command(ctx context.Context, c roster.Command) error {
	switch c.Op {
	case roster.OpStop:
		st.end("StopStream")
		ctx, cancel := context.WithTimeout(ctx, settle)
		defer cancel()
		select { // so that the caller may reconfigure or delete the channel next
		case <-st.finished:
			return nil
		case <-ctx.Done():
		}
		if _, ok := st.finishedAt(); !ok {
			return live.Errorf(live.Unavailable, "the stream did not end in time")
		}
		return nil
	default:
		return live.Errorf(live.Invalid, "unknown command")
	}
}

func (st *Stream) event(ctx context.Context, name string, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	e := live.Event{Name: name, Type: stateChange, Time: at}
	if err := st.owner.store.AppendEvent(ctx, st.id, st.lease.Generation, e); err != nil {
		st.failed("event "+name, err)
	}
}

// failed deals with a write that did not land: a fenced one means that the channel
// belongs to another node.
func (st *Stream) failed(what string, err error) {
	st.log.Error("stream record not written", "what", what, "err", err)
	if errors.Is(err, store.ErrFenced) {
		st.end("lease lost")
	}
}

// announce says on the roster that the stream is live, if it is.
func (st *Stream) announce(ctx context.Context) {
	if st.live() {
		st.tell(ctx, roster.Entry{State: st.state(time.Now()), Generation: st.session.Generation})
	}
}

func (st *Stream) tell(ctx context.Context, e roster.Entry) {
	if err := st.owner.roster.Announce(ctx, e); err != nil {
		st.log.Warn("roster not told", "err", err) // the next announcement repeats it
	}
}

// Thresholds of health (low-latency.md 10, proposed).
const (
	starveAfter  = 3 * time.Second // without media
	healthyAfter = 3 * time.Second // of media since the start
)

func (st *Stream) state(now time.Time) live.State {
	st.mu.Lock()
	started := st.started
	st.mu.Unlock()
	health := live.Healthy
	switch last := time.Unix(0, st.lastUnit.Load()); {
	case now.Sub(last) > starveAfter:
		health = live.Starving
	case now.Sub(started) < healthyAfter:
		health = live.Unknown
	}
	return live.State{
		Channel: st.channel.ARN, Stream: st.id, Started: started, Health: health,
		Viewers: st.viewers(now), Node: st.owner.cfg.Node, Origin: st.owner.cfg.Origin,
	}
}

// newRendition builds the passthrough rendition for a first picture of track t.
func (st *Stream) newRendition(t *media.Track) (*packager.Rendition, error) {
	c := st.owner.cfg.Packager
	c.Container = st.channel.ContainerFormat
	c.LowLatency = st.channel.LatencyMode != live.LatencyNormal
	r, err := packager.New(c, renditionName(t))
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	st.media.Add(r)
	return r, nil
}
