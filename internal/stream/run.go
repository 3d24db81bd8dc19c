package stream

import (
	"context"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
)

// run is the stream's one loop. It returns when the record is closed.
func (st *Stream) run(ctx context.Context) {
	var (
		built []*packager.Rendition // those that are not ready; a player must see all at once
		ready <-chan struct{}       // of the first of them

		settling bool // the sources are ready, what is encoded from them may not be
	)
	stop := st.listen(ctx)
	quit := st.owner.quit
	renew := time.NewTimer(st.owner.renewEvery())
	defer renew.Stop()
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	for !st.over() {
		select {
		case <-st.done:
		case <-quit:
			st.end("server is shutting down")
		case built = <-st.built:
			ready = built[0].Ready()
		case <-ready:
			if len(built) > 1 {
				built = built[1:]
				ready = built[0].Ready()
				continue
			}
			if l := st.ladder.Load(); l != nil && !settling {
				settling, ready = true, l.settled(ladderTime)
				continue
			}
			ready = nil
			st.start(ctx)
		case <-st.events.woken:
			if len(st.unwritten) == 0 { // what failed waits for the next renewal, which has precedence
				st.record(ctx)
			}
		case <-watch.C:
			st.watch(time.Now())
		case <-renew.C:
			renew.Reset(st.keep(ctx))
			if stop == nil && !st.over() {
				stop = st.listen(ctx)
			}
		}
	}
	if l := st.ladder.Load(); l != nil {
		l.finish()
	}
	st.finish(ctx)
	st.owner.release(st)
	if stop != nil {
		stop() // waits for a StopStream that waited for the release
	}
}

// listenTime bounds one try to be reached by commands: the loop has more to do.
const listenTime = time.Second

// listen makes commands reach the stream. While the bus is away it returns nil: the
// stream goes on, nobody can stop it over the API, and run tries again.
func (st *Stream) listen(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	stop, err := st.owner.roster.Serve(ctx, st.channel.ARN, st.command)
	if err != nil {
		st.log.Warn("no commands can reach the stream, will try again", "err", err)
		return nil
	}
	return stop
}

// finishTime bounds the end of a stream: a drain waits for it, and has more to wait for.
const finishTime = 4 * time.Second

// start makes the stream live: viewers can play its first segment.
func (st *Stream) start(ctx context.Context) {
	now := time.Now()
	st.mu.Lock()
	if st.ended {
		st.mu.Unlock()
		return
	}
	st.started = now
	st.session.Started = now
	st.session.Ingest = describe(st.encoder)
	st.mu.Unlock()
	st.owner.metrics.started.Inc()
	_ = st.announce(ctx) // the next one repeats it
	st.emit(event.State{Name: event.StreamStart})
	st.update("start")
	st.record(ctx)
	st.log.Info("stream live", "took", now.Sub(st.born))
}

// finish closes roster entry, record and lease, in that order: a viewer must not see
// a channel that is live and cannot be played. What it could not write in time, some
// node writes when the lease has run out.
func (st *Stream) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	now := time.Now()
	wasLive := !st.session.Started.IsZero()
	if wasLive {
		_ = st.tell(ctx, roster.Entry{State: st.state(now), Generation: st.generation, Gone: true}) // nodes that miss it let it expire
	}
	st.emit(event.State{Name: event.SessionEnded, Code: st.code})
	if wasLive {
		st.emit(event.State{Name: event.StreamEnd})
	}
	notes := st.taken()
	st.later("end", func(ctx context.Context) error {
		return st.owner.store.EndSession(ctx, st.id, st.generation, now, notes...)
	})
	st.record(ctx)
	if err := st.owner.store.Release(ctx, st.lease); err != nil {
		st.log.Warn("lease not released, it will run out", "err", err)
	}
	st.owner.metrics.ended.Inc()
	st.log.Info("stream ended", "live", wasLive, "lasted", now.Sub(st.born), "unwritten", len(st.unwritten))
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
			return live.Errorf(live.Unavailable, "the stream did not end in time")
		}
	case roster.OpMetadata:
		return st.putMetadata(c.Metadata)
	case roster.OpAdBreak:
		return st.insertAdBreak(c.AdBreak)
	default:
		return live.Errorf(live.Invalid, "unknown command")
	}
}

// announce says on the roster that the stream is live, if it is.
func (st *Stream) announce(ctx context.Context) error {
	if !st.live() {
		return nil
	}
	return st.tell(ctx, roster.Entry{State: st.state(time.Now()), Generation: st.generation})
}

// tell publishes e, unless it says "live" of a stream that ended meanwhile.
func (st *Stream) tell(ctx context.Context, e roster.Entry) error {
	st.announcing.Lock()
	defer st.announcing.Unlock()
	if !e.Gone && st.over() {
		return nil
	}
	return st.owner.roster.Announce(ctx, e)
}

func (st *Stream) state(now time.Time) live.State {
	st.mu.Lock()
	started := st.started
	st.mu.Unlock()
	return live.State{
		Channel: st.channel.ARN, Stream: st.id, Started: started, Health: st.vitals.health(),
		Viewers: st.viewers(now), Node: st.owner.cfg.Node, Origin: st.owner.cfg.Origin,
	}
}
