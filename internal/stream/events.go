package stream

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/store"
)

// maxEmitted bounds the events of a stream that wait for its loop. It takes them within
// the time of one write; a stream of which more happens has a fault that the first ones
// tell of.
const maxEmitted = 100

// emitted are the events of a stream that its loop has not yet taken.
type emitted struct {
	woken chan struct{} // holds one: there is something to take

	mu      sync.Mutex
	count   int64        // of all events so far; guarded by mu
	waiting []store.Note // guarded by mu; at most maxEmitted
	dropped int          // since the last take; guarded by mu
}

// emit tells the world, and the session's history, that something happened to the
// stream now. It never waits, and may be called from anywhere, with any lock held; the
// stream's loop writes it down, in the order of the calls. After the stream's end it
// does nothing.
func (st *Stream) emit(what event.What) {
	e := &st.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= maxEmitted {
		e.dropped++
		return
	}
	// The id is the event's own, so that a write that was not confirmed can be repeated.
	n, err := event.Event{
		ID: event.NewID(st.id, strconv.FormatInt(e.count, 10)), Time: time.Now(), Stream: st.about, What: what,
	}.Note()
	if err != nil {
		st.log.Error("event not told", "err", err)
		return
	}
	e.count++
	e.waiting = append(e.waiting, n)
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

// taken returns the events that wait, oldest first.
func (st *Stream) taken() []store.Note {
	e := &st.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dropped > 0 {
		st.log.Error("events dropped: too many at once", "events", e.dropped)
	}
	all := e.waiting
	e.waiting, e.dropped = nil, 0
	return all
}

// emit tells the world what happened to an account, of which no session knows.
func (s *Streams) emit(ctx context.Context, account, region string, what event.What) error {
	ctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	n, err := event.Event{
		ID: event.NewID(rand.Text()), Time: time.Now(), Stream: event.Stream{Account: account, Region: region}, What: what,
	}.Note()
	if err != nil {
		return err
	}
	return s.store.Emit(ctx, n.Message)
}
