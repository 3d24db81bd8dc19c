package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// Msg is a message as its handler gets it.
type Msg struct {
	Subject string // "" from a queue
	Data    []byte // the handler's to keep
	// Respond answers a Request; for a message that is none it does nothing.
	Respond func([]byte) error

	ID      string // from a queue or a log: the id it was added with
	Attempt int    // from a queue or a log: 1 for the first delivery
}

// Subscribe calls f for each message on subject, one at a time and in order. In
// subject "*" stands for any one word and a last ">" for all that follow. Of the
// subscribers with the same queue, in all nodes, one gets each message; with "" every
// one does. When Subscribe returns, the server knows of the subscription; through a
// loss of connection it lasts, without what was published meanwhile.
//
// f's context has the values of ctx and ends with stop, which returns once f is not
// running any more, and will not again. f must not call stop, nor take long: 8192
// messages or 16 MiB wait for it, the rest is dropped (the newest first) and counted
// in Dropped.
func (b *Bus) Subscribe(ctx context.Context, subject, queue string, f func(context.Context, Msg)) (stop func(), err error) {
	if err := check(subject, nil, true); err != nil {
		return nil, err
	}
	if queue != "" && check(queue, nil, false) != nil {
		return nil, fmt.Errorf("bus: %.64q is not a queue group", queue)
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &subscription{bus: b, cancel: cancel}
	deliver := func(m *nats.Msg) {
		s.running.Lock()
		defer s.running.Unlock()
		if inner.Err() == nil {
			f(inner, Msg{Subject: strings.TrimPrefix(m.Subject, prefix), Data: m.Data, Respond: responder(m)})
		}
	}

	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		cancel()
		return nil, ErrClosed
	}
	if s.sub, err = b.nc.QueueSubscribe(prefix+subject, queue, deliver); err == nil {
		b.subs[s] = struct{}{}
	}
	b.mu.Unlock()
	if err == nil {
		err = s.sub.SetPendingLimits(maxPendingMsgs, maxPendingBytes)
	}
	if err == nil {
		err = b.flush(ctx)
	}
	if err != nil {
		if s.sub != nil {
			s.stop()
		}
		cancel()
		return nil, fmt.Errorf("bus: subscribe %s: %w", subject, known(err))
	}
	return s.stop, nil
}

// subscription is one Subscribe until it is stopped.
type subscription struct {
	bus    *Bus
	sub    *nats.Subscription
	cancel context.CancelFunc

	running sync.Mutex // held while the handler runs
	once    sync.Once
}

func (s *subscription) stop() {
	s.once.Do(func() {
		s.cancel()
		s.bus.mu.Lock()
		s.bus.dropped += s.dropped() // NATS forgets it below
		delete(s.bus.subs, s)
		s.bus.mu.Unlock()
		_ = s.sub.Unsubscribe() // fails when the connection is gone, and the subscription with it
	})
	s.running.Lock() // waits; a delivery after this sees the context's end
	defer s.running.Unlock()
}

func (s *subscription) dropped() int64 {
	n, err := s.sub.Dropped()
	if err != nil { // gone with its connection
		return 0
	}
	return int64(n)
}

func responder(m *nats.Msg) func([]byte) error {
	if m.Reply == "" {
		return ignore
	}
	return func(data []byte) error {
		if len(data) > MaxData {
			return fmt.Errorf("bus: answer of %d bytes, at most %d", len(data), MaxData)
		}
		if err := m.Respond(data); err != nil {
			return fmt.Errorf("bus: answer: %w", known(err))
		}
		return nil
	}
}

func ignore([]byte) error { return nil }
