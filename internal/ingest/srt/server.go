// Package srt takes in what encoders publish over SRT: MPEG-TS with H.264 and AAC, from
// callers to one listener. It reads stream ids, bounds what a stranger can hold, asks an
// ingest.Handler about each publication, refuses in SRT's own reasons, and hands over
// units with exact timestamps.
//
// It knows no channel, no key rule and no passphrase, and it keeps no media. The protocol
// on datagrams is package internal/srt, the multiplex package internal/mpegts. A
// connection is one goroutine that takes its packets, and a published one has a second
// that waits for the session's end. Server.Run waits for all.
package srt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	wire "github.com/sluice-live/sluice/internal/srt"
)

// Config tunes a Server. The zero value of each field has the meaning noted.
type Config struct {
	Log     *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nowhere; takes one server
	Guard   *ingest.Guard         // shared with other listeners; nil is one of its own

	Latency    time.Duration // least delay, in which lost packets are sent again; 0 means 120ms
	MaxLatency time.Duration // that an encoder may ask for; 0 means 10s
	MaxConns   int           // open connections; 0 means 5000. More are refused.
	MaxPending int           // of them, from one address and not yet publishing; 0 means 128

	Opening time.Duration // from accept to the first media; 0 means 10s
	Idle    time.Duration // without media while publishing; 0 means 30s (low-latency.md 3.2)
	NoVideo time.Duration // from the first media to the first picture; 0 means 15s
}

// A Server takes publishers on one listener.
type Server struct {
	cfg     Config
	handler ingest.Handler
	ln      *wire.Listener
	log     *slog.Logger
	metrics *metrics
	limiter *ingest.Limiter
}

// Listen binds addr, so a bad address or a taken port fails before anything runs. The
// server decides about publishers by h.
func Listen(addr string, cfg Config, h ingest.Handler) (*Server, error) {
	cfg.Latency = cmp.Or(cfg.Latency, 120*time.Millisecond)
	cfg.MaxLatency = max(cmp.Or(cfg.MaxLatency, 10*time.Second), cfg.Latency)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 5000)
	cfg.MaxPending = cmp.Or(cfg.MaxPending, 128)
	cfg.Opening = cmp.Or(cfg.Opening, 10*time.Second)
	cfg.Idle = cmp.Or(cfg.Idle, 30*time.Second)
	cfg.NoVideo = cmp.Or(cfg.NoVideo, 15*time.Second)
	s := &Server{cfg: cfg, handler: h, log: cfg.Log, limiter: ingest.NewLimiter(cfg.MaxConns, cfg.MaxPending)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Guard == nil {
		s.cfg.Guard = ingest.NewGuard()
	}
	s.metrics = newMetrics(cfg.Metrics)
	var err error
	s.ln, err = wire.Listen(addr, wire.Config{
		Latency: cfg.Latency, MaxLatency: cfg.MaxLatency, MaxConns: cfg.MaxConns,
		Refused: func(r wire.Reason) { s.metrics.refused.WithLabelValues(r.String()).Inc() },
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run takes publishers until ctx is done and then returns nil. When it returns, every
// connection is closed and every goroutine it started has returned.
func (s *Server) Run(ctx context.Context) error {
	if err := s.ln.Serve(ctx, s.serve); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

// serve decides about one caller and runs its connection to the end.
func (s *Server) serve(ctx context.Context, r *wire.Request) {
	s.metrics.connections.Inc()
	defer s.metrics.connections.Dec()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	from := net.UDPAddrFromAddrPort(r.Remote())
	log := s.log.With(slog.String("protocol", string(ingest.SRT)), slog.String("remote", r.Remote().String()))
	place, ok := s.limiter.Acquire(from)
	if !ok {
		s.refuse(r, wire.Overload)
		return
	}
	defer place.Release()
	id, reason := parseStreamID(r.StreamID())
	switch {
	case reason != 0:
	case r.Latency() > s.cfg.MaxLatency:
		reason = wire.BadRequest
	case !s.cfg.Guard.Allow(from):
		reason = wire.Overload
	}
	if reason != 0 { // strangers do it all day
		s.refuse(r, reason)
		log.LogAttrs(ctx, slog.LevelDebug, "connection refused", slog.String("reason", reason.String()), slog.Duration("latency", r.Latency()))
		return
	}
	session, err := s.publish(ctx, r, id)
	if err != nil {
		s.refused(ctx, log, r, from, err)
		return
	}
	c, err := r.Accept()
	if err != nil { // what it can fail with was asked before
		session.Close(false)
		s.refuse(r, wire.Internal)
		log.LogAttrs(ctx, slog.LevelError, "connection not accepted", slog.Any("err", err))
		return
	}
	place.Publish()
	s.metrics.publishes.WithLabelValues(outcomeAccepted).Inc()
	log.LogAttrs(ctx, slog.LevelInfo, "publishing", slog.Bool("encrypted", r.Encrypted()), slog.Duration("latency", c.Latency()))
	s.run(ctx, log, c, session)
}

// publish asks the handler. Whoever has no good key waits for as long as one with a wrong
// passphrase.
func (s *Server) publish(ctx context.Context, r *wire.Request, id streamID) (ingest.Session, error) {
	req := ingest.Request{
		Protocol: ingest.SRT, Encrypted: r.Encrypted(), Key: id.key, Params: id.params, Remote: r.Remote().String(), Agent: agent(r.Version()),
	}
	tried := false
	if r.Encrypted() {
		req.Unlock = func(passphrase string) bool {
			tried = true
			return r.Unlock(passphrase)
		}
	}
	session, err := s.handler.Publish(ctx, req)
	if err != nil && req.Unlock != nil && !tried {
		r.Unlock("nobody has this passphrase")
	}
	return session, err
}

// agent is how an encoder is named that tells only its version of SRT.
func agent(version uint32) string {
	return fmt.Sprintf("SRT %d.%d.%d", version>>16&0xff, version>>8&0xff, version&0xff)
}

func (s *Server) refuse(r *wire.Request, reason wire.Reason) {
	s.metrics.refused.WithLabelValues(reason.String()).Inc()
	r.Refuse(reason)
}

// refused answers a caller whom the handler does not take.
func (s *Server) refused(ctx context.Context, log *slog.Logger, r *wire.Request, from net.Addr, err error) {
	reason, outcome := refusal(err, r.Encrypted())
	s.metrics.publishes.WithLabelValues(outcome).Inc()
	s.refuse(r, reason)
	log.LogAttrs(ctx, slog.LevelInfo, "publish refused", slog.String("outcome", outcome), slog.Any("err", err))
	if outcome == string(live.Denied) && s.cfg.Guard.Fail(from) {
		log.LogAttrs(ctx, slog.LevelWarn, "too many wrong keys from one address: no more are tried for a while")
	}
}

// refusal is the reason that a caller hears of a Handler's error, and the outcome that it
// counts as. An unknown key and a wrong passphrase are one, and so are an unknown key and
// a channel that wants encryption: who guesses learns nothing.
func refusal(err error, encrypted bool) (reason wire.Reason, outcome string) {
	e, ok := errors.AsType[*live.Error](err)
	if !ok {
		return wire.Internal, outcomeError
	}
	switch e.Kind {
	case live.Denied, live.NotFound:
		if reason = wire.Unsecure; encrypted {
			reason = wire.BadSecret
		}
	case live.Conflict:
		reason = wire.Conflict
	case live.Unsupported:
		reason = wire.Unsupported
	case live.Invalid:
		reason = wire.BadRequest
	case live.Quota, live.Throttled:
		reason = wire.Overload
	case live.Unavailable:
		reason = wire.Unavailable
	default:
		reason = wire.Internal
	}
	return reason, string(e.Kind)
}

// errStopped is the cause of a context that the session's end has ended.
var errStopped = errors.New("srt: the session has ended")

// run hands the encoder's media to the session until one of them ends it.
func (s *Server) run(ctx context.Context, log *slog.Logger, c *wire.Conn, session ingest.Session) {
	ctx, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		select {
		case <-session.Done():
			stop(errStopped)
		case <-over:
		}
	})
	started := time.Now()
	f := newFeed(session, s.metrics, s.cfg.NoVideo)
	reason, err := s.pump(ctx, c, f)
	close(over)
	watch.Wait()
	stop(nil)
	stats := c.Stats()
	f.count(stats)
	s.metrics.ended.WithLabelValues(reason).Inc()
	session.Close(reason == endUnpublished)
	c.Close()
	log.LogAttrs(ctx, slog.LevelInfo, "publication ended", slog.String("reason", reason), slog.Any("err", err),
		slog.Duration("after", time.Since(started)), slog.Int64("packets", stats.Packets), slog.Int64("bytes", stats.Bytes),
		slog.Int64("lost", stats.Lost), slog.Int64("retransmitted", stats.Retransmitted), slog.Int64("dropped", f.dropped),
		slog.Duration("rtt", stats.RTT))
}

// pump returns why it ended; err is nil when it was not an accident.
func (s *Server) pump(ctx context.Context, c *wire.Conn, f *feed) (reason string, err error) {
	idle := s.cfg.Opening
	for {
		payload, lost, err := c.Next(ctx, idle)
		switch {
		case err == nil:
		case errors.Is(err, errStopped):
			return endStopped, nil
		case ctx.Err() != nil:
			return endShutdown, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return endIdle, nil
		case errors.Is(err, io.EOF):
			if err := f.flush(time.Now()); err != nil {
				return s.why(f, err)
			}
			return endUnpublished, nil
		default:
			return endError, err
		}
		idle = s.cfg.Idle
		now := time.Now()
		if err := f.take(payload, lost, now); err != nil {
			return s.why(f, err)
		}
		if f.due(now) {
			f.count(c.Stats())
		}
	}
}

// why is the end that an error of the feed or the session makes.
func (s *Server) why(f *feed, err error) (string, error) {
	select {
	case <-f.session.Done(): // which failed the write
		return endStopped, nil
	default:
		return endRefused, err
	}
}
