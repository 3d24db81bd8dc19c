// Package bus carries messages between nodes, and between the parts of one node, over
// NATS: to everyone who listens now (Publish, Subscribe), to one who answers
// (Request), through a durable queue (Enqueue, Consume), and by a durable log that any
// number of groups follow (Append, Follow). With no cluster named it
// runs the NATS server in this process, without a port, so a single node runs the code
// a cluster runs. It knows nothing of what the messages say.
//
// Guarantees. Publish is at most once: who does not listen, is cut off or falls too
// far behind misses messages, so whatever it tells must be told again or be found
// elsewhere. Messages of one publisher on one subject arrive in the order they were
// published. A queue is at least once: what Enqueue accepted is handled until a
// handler returns nil, through restarts of everyone, possibly twice and, after a
// failure, out of order. A log is at least once, too, and in order, for each group; it
// forgets what is old.
//
// All subjects lie under "sluice.", so that a NATS cluster can have other users.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrNoResponders means that nobody is subscribed to the subject of a request.
	ErrNoResponders = errors.New("bus: nobody answers this subject")
	// ErrDisconnected means that the cluster is out of reach now; the bus keeps
	// trying to come back. Nothing was sent.
	ErrDisconnected = errors.New("bus: not connected")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("bus: closed")
)

const (
	prefix = "sluice.m." // of the subjects of messages; queues have their own

	// MaxData is the most one message holds, in bytes: the default of a NATS server.
	MaxData    = 1 << 20
	maxSubject = 256 // bytes

	// What one subscription keeps for a handler that is behind. Beyond either, new
	// messages are dropped and counted.
	maxPendingMsgs  = 8192
	maxPendingBytes = 16 << 20

	answerTimeout = 5 * time.Second // of the server, where the caller's context has no deadline
)

// Config says which NATS to use.
type Config struct {
	URL  string       // nats://host[,host...]; "" runs a server in this process
	Dir  string       // where that server keeps its queues; no two may share one
	Name string       // of this node, as the cluster's operator sees it; may be ""
	Log  *slog.Logger // required
}

// Bus is a connection and, without a cluster, the server behind it. It is safe for
// concurrent use.
type Bus struct {
	log *slog.Logger
	nc  *nats.Conn
	js  jetstream.JetStream
	ns  *server.Server // nil with a cluster

	mu      sync.Mutex
	closed  bool                       // guarded by mu
	subs    map[*subscription]struct{} // those not stopped; guarded by mu
	dropped int64                      // by subscriptions that are stopped; guarded by mu
	streams map[string]bool            // those known to be there, of queues and logs; guarded by mu
	back    chan struct{}              // closed at the next reconnection; guarded by mu
}

// Open connects to the cluster, or starts the server in this process. A cluster that
// cannot be reached now is an error; one that goes away later is waited for, for ever.
func Open(ctx context.Context, c Config) (*Bus, error) {
	b := &Bus{log: c.Log, subs: map[*subscription]struct{}{}, streams: map[string]bool{}, back: make(chan struct{})}
	opts := []nats.Option{
		nats.Name("sluice " + c.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a cluster whose users are being reloaded
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(200*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // while disconnected, Publish says so
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(b.disconnected),
		nats.ReconnectHandler(b.reconnected),
		nats.ErrorHandler(b.asyncError),
	}
	if c.URL == "" {
		ns, err := embed(c.Log, filepath.Join(c.Dir, "bus"))
		if err != nil {
			return nil, err
		}
		b.ns = ns
		opts = append(opts, nats.InProcessServer(ns))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(time.Until(deadline)))
	}
	var err error
	if b.nc, err = nats.Connect(c.URL, opts...); err == nil {
		b.js, err = jetstream.New(b.nc)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("bus: connect: %w", err) // NATS's errors hold no URL
	}
	return b, nil
}

// Close stops all subscriptions, waiting for their handlers, and then the connection
// and the server in this process. It must not be called from a handler. Consume must
// have been stopped before.
func (b *Bus) Close() {
	b.mu.Lock()
	b.closed = true
	var subs []*subscription
	for s := range b.subs {
		subs = append(subs, s)
	}
	b.mu.Unlock()
	for _, s := range subs {
		s.stop()
	}
	if b.nc != nil {
		b.nc.Close() // sends what is buffered
	}
	if b.ns != nil {
		b.ns.Shutdown()
		b.ns.WaitForShutdown()
	}
}

// Ready returns nil when the server answers.
func (b *Bus) Ready(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return ErrDisconnected
	}
	return b.flush(ctx)
}

// flush waits until the server has seen everything sent to it.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("bus: flush: %w", known(err))
	}
	return nil
}

// Publish sends data to all who subscribe to subject now. A nil error means that it
// is on its way, not that it arrived.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := check(subject, data, false); err != nil {
		return err
	}
	if !b.nc.IsConnected() {
		return b.down()
	}
	if err := b.nc.Publish(prefix+subject, data); err != nil {
		return fmt.Errorf("bus: publish %s: %w", subject, known(err))
	}
	return nil
}

// Request sends data to one subscriber of subject and returns its answer. Without a
// deadline in ctx it waits 5 s. Nobody there is ErrNoResponders, at once.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := check(subject, data, false); err != nil {
		return nil, err
	}
	if !b.nc.IsConnected() {
		return nil, b.down()
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, prefix+subject, data)
	if err != nil {
		return nil, fmt.Errorf("bus: request %s: %w", subject, known(err))
	}
	return m.Data, nil
}

// Dropped counts the messages that this node's subscriptions lost because their
// handlers were too far behind.
func (b *Bus) Dropped() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.dropped
	for s := range b.subs {
		n += s.dropped()
	}
	return n
}

// down is the reason why nothing can be sent.
func (b *Bus) down() error {
	if b.nc.IsClosed() {
		return ErrClosed
	}
	return ErrDisconnected
}

func (b *Bus) disconnected(_ *nats.Conn, err error) {
	if err != nil { // nil: Close
		b.log.Warn("bus disconnected", slog.Any("err", err))
	}
}

func (b *Bus) reconnected(nc *nats.Conn) {
	b.log.Info("bus reconnected", slog.String("url", nc.ConnectedUrlRedacted()))
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.back)
	b.back = make(chan struct{})
}

func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = strings.TrimPrefix(sub.Subject, prefix)
	}
	b.log.Warn("bus", slog.String("subject", subject), slog.Any("err", err))
}

// known translates what callers branch on.
func known(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case errors.Is(err, nats.ErrConnectionClosed):
		return ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionReconnecting):
		return ErrDisconnected
	}
	return err
}

// withDeadline bounds how long a server may take to answer.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, answerTimeout)
}

// check refuses what NATS would misread. A subject is words joined by dots; a word is
// printable ASCII without blanks. With wild, a word may be "*", which stands for any
// one word, and the last one ">", which stands for any one or more.
func check(subject string, data []byte, wild bool) error {
	if len(data) > MaxData {
		return fmt.Errorf("bus: %s: message of %d bytes, at most %d", subject, len(data), MaxData)
	}
	bad := len(subject) > maxSubject
	words := strings.Split(subject, ".")
	for i, w := range words {
		switch {
		case wild && (w == "*" || w == ">" && i == len(words)-1):
		case w == "", strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '>' }):
			bad = true
		}
	}
	if bad {
		return fmt.Errorf("bus: %.64q is not a subject", subject)
	}
	return nil
}
