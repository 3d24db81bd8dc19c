package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrFull means that a queue holds as much as it may; nothing was enqueued.
	ErrFull = errors.New("bus: the queue is full")
	// ErrGroup means that another group consumes the queue already.
	ErrGroup = errors.New("bus: the queue has another group")

	errBack = errors.New("bus: reconnected")
)

const (
	queuePrefix = "sluice.q." // of a queue's subject
	streamName  = "sluice_"   // and the queue's name: its JetStream stream

	maxQueue    = 256 << 20        // bytes a queue holds before Enqueue refuses
	dedupe      = 10 * time.Minute // how long an id is remembered
	ackWait     = 30 * time.Second // after which a silent consumer is taken for dead
	maxUnacked  = 1000             // messages being handled or waiting for their next attempt
	firstRetry  = 100 * time.Millisecond
	maxRetry    = time.Minute
	heartbeat   = time.Second // twice without one, and the server is not there
	reattach    = time.Second // before Consume tries again to reach its queue
	maxName     = 64          // bytes, of a queue or a group
	maxID       = 256         // bytes
	replicas    = 3           // of a queue, in a cluster that has as many servers
	codeStore   = 10077       // JetStream: the message was not stored, for the reason in its text
	codeGroup   = 10099       // JetStream: multiple consumers on a work queue
	codeOverlap = 10100       // JetStream: the same, where the subjects are told
	codePeers   = 10005       // JetStream: no suitable peers for placement
	codeReplica = 10074       // JetStream: replicas > 1 not supported
)

// Enqueue adds data to the durable queue, once for each id: the same id again within
// ten minutes is accepted and ignored, so that a caller who does not know whether it
// succeeded can repeat. A nil error means that the queue has it, on disk when the
// server is in this process. At 256 MiB a queue is full: ErrFull.
func (b *Bus) Enqueue(ctx context.Context, queue, id string, data []byte) error {
	switch {
	case !name(queue):
		return fmt.Errorf("bus: %.64q is not a queue", queue)
	case !usableID(id):
		return fmt.Errorf("bus: %.64q is not an id", id)
	case len(data) > MaxData:
		return fmt.Errorf("bus: enqueue: message of %d bytes, at most %d", len(data), MaxData)
	case !b.nc.IsConnected():
		return b.down()
	}
	err := b.keep(ctx, queueStream(queue), id, &nats.Msg{Subject: queuePrefix + queue, Data: data})
	switch {
	case err == nil:
		return nil
	case full(err):
		err = ErrFull
	}
	return fmt.Errorf("bus: enqueue in %s: %w", queue, known(err))
}

// keep adds m to the stream that takes its subject, and makes that stream if need be.
func (b *Bus) keep(ctx context.Context, stream jetstream.StreamConfig, id string, m *nats.Msg) (err error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	for range 2 { // the second time when the stream we knew of has been removed
		if err = b.ensure(ctx, stream); err != nil {
			break
		}
		if _, err = b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			break
		}
		b.forget(stream.Name)
	}
	return err
}

// queueStream is the stream of a queue.
func queueStream(queue string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:       streamName + queue,
		Subjects:   []string{queuePrefix + queue},
		Retention:  jetstream.WorkQueuePolicy, // handled is gone
		Discard:    jetstream.DiscardNew,      // full is an error, not a loss
		MaxBytes:   maxQueue,
		Storage:    jetstream.FileStorage,
		Duplicates: dedupe,
		Replicas:   1,
	}
}

// Consume calls f for the messages of the queue, one at a time, until ctx is done; it
// then returns nil, with f not running. Nodes that consume as the same group share the
// messages; a queue has one group (ErrGroup). Several calls in one node handle as many
// messages at a time.
//
// A message for which f returns nil is gone. After an error it comes again, to any
// node: the wait starts at 100 ms, doubles with each attempt up to a minute, and has no
// end, so f must swallow what can never work. It also comes again 30 s after the node
// that was handling it died. f's context ends with ctx.
func (b *Bus) Consume(ctx context.Context, queue, group string, f func(context.Context, Msg) error) error {
	if !name(queue) || !name(group) {
		return fmt.Errorf("bus: consume: %.64q or %.64q is not a name", queue, group)
	}
	return b.attend(ctx, queueStream(queue), jetstream.ConsumerConfig{Durable: group, MaxAckPending: maxUnacked}, f)
}

// attend consumes from a stream until ctx is done, through everything that passes.
func (b *Bus) attend(ctx context.Context, stream jetstream.StreamConfig, c jetstream.ConsumerConfig, f func(context.Context, Msg) error) error {
	for {
		err := b.consume(ctx, stream, c, f)
		switch {
		case ctx.Err() != nil:
			return nil
		case code(err) == codeGroup, code(err) == codeOverlap:
			return fmt.Errorf("bus: consume %s: %w", stream.Name, ErrGroup)
		case b.nc.IsClosed():
			return ErrClosed
		}
		b.forget(stream.Name)
		if b.nc.IsConnected() { // else disconnected has told
			b.log.LogAttrs(ctx, slog.LevelWarn, "queue out of reach", slog.String("queue", stream.Name), slog.Any("err", err))
		}
		for waited := false; !waited; waited = b.nc.IsConnected() || b.nc.IsClosed() {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reattach):
			}
		}
	}
}

// consume attaches to the stream and handles messages until something fails.
func (b *Bus) consume(ctx context.Context, stream jetstream.StreamConfig, as jetstream.ConsumerConfig, f func(context.Context, Msg) error) error {
	setup, cancel := withDeadline(ctx)
	defer cancel()
	if err := b.ensure(setup, stream); err != nil {
		return err
	}
	as.AckPolicy, as.AckWait, as.MaxDeliver = jetstream.AckExplicitPolicy, ackWait, -1
	c, err := b.js.CreateOrUpdateConsumer(setup, stream.Name, as)
	if err != nil {
		return err
	}
	for {
		// Waits 30 s. The heartbeat tells a quiet queue from a server that is not there
		// any more, or came back and does not know that we wait.
		m, err := c.Next(jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(heartbeat))
		switch {
		case err == nil:
			b.handle(ctx, m, f)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoHeartbeat) && b.nc.IsConnected():
		default:
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// handle gives m to f and tells the queue how it went. Where that cannot be told, the
// message comes again after ackWait.
func (b *Bus) handle(ctx context.Context, m jetstream.Msg, f func(context.Context, Msg) error) {
	attempt := 1
	if meta, err := m.Metadata(); err == nil {
		attempt = int(meta.NumDelivered)
	}
	over := make(chan struct{})
	working := make(chan struct{})
	go func() { // ends with f
		defer close(working)
		t := time.NewTicker(ackWait / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = m.InProgress() // lost with the connection, and then so is the message
			case <-over:
				return
			}
		}
	}()
	err := f(ctx, Msg{Subject: logSubject(m.Subject()), Data: m.Data(), Respond: ignore, ID: m.Headers().Get(jetstream.MsgIDHeader), Attempt: attempt})
	close(over)
	<-working

	if err == nil {
		b.done(ctx, m)
		return
	}
	wait := backoff(attempt)
	if ctx.Err() != nil {
		wait = 0 // not its fault; another node may take it at once
	} else {
		b.log.LogAttrs(ctx, slog.LevelWarn, "message failed", slog.Int("attempt", attempt), slog.Duration("retry_in", wait), slog.Any("err", err))
	}
	_ = m.NakWithDelay(wait)
}

// done tells the queue that m is handled, and again after a reconnection that may have
// swallowed it. Done is done, also when ctx has ended.
func (b *Bus) done(ctx context.Context, m jetstream.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	for {
		try, end := b.untilBack(ctx, b.nextBack())
		err := m.DoubleAck(try)
		again := try.Err() != nil && ctx.Err() == nil
		end()
		if err == nil {
			return
		}
		if !again {
			b.log.LogAttrs(ctx, slog.LevelWarn, "message handled, but its queue does not know", slog.Any("err", err))
			return
		}
	}
}

// nextBack returns a channel that is closed at the next reconnection.
func (b *Bus) nextBack() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.back
}

// untilBack returns a context that also ends when back is closed, with errBack.
func (b *Bus) untilBack(ctx context.Context, back <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with ctx
		select {
		case <-back:
			cancel(errBack)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// backoff is the wait after a failed attempt, spread by a fifth either way.
func backoff(attempt int) time.Duration {
	d := maxRetry
	if attempt < 16 {
		d = min(maxRetry, firstRetry<<(attempt-1))
	}
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}

// ensure makes the stream unless it is there.
func (b *Bus) ensure(ctx context.Context, cfg jetstream.StreamConfig) error {
	b.mu.Lock()
	have := b.streams[cfg.Name]
	b.mu.Unlock()
	if have {
		return nil
	}
	_, err := b.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if b.nc.ConnectedClusterName() != "" {
			cfg.Replicas = replicas
		}
		_, err = b.js.CreateStream(ctx, cfg)
		if c := code(err); c == codePeers || c == codeReplica {
			b.log.LogAttrs(ctx, slog.LevelWarn, "queue has one copy only", slog.String("queue", cfg.Name), slog.Any("err", err))
			cfg.Replicas = 1
			_, err = b.js.CreateStream(ctx, cfg)
		}
	}
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	b.mu.Lock()
	b.streams[cfg.Name] = true
	b.mu.Unlock()
	return nil
}

// forget makes the next ensure look again.
func (b *Bus) forget(stream string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, stream)
}

// code is JetStream's number for err, 0 when err is something else.
func code(err error) jetstream.ErrorCode {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode
	}
	return 0
}

// full reports whether err is a queue's refusal to grow, which only its text tells
// from other failures to store.
func full(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == codeStore && api.Description == server.ErrMaxBytes.Error()
}

// usableID reports whether s can be the id of a message.
func usableID(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// name reports whether s can name a queue or a group.
func name(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}
