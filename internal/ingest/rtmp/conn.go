package rtmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// serve runs one connection to its end and closes it.
func (s *Server) serve(ctx context.Context, nc net.Conn, place *ingest.Slot) {
	s.metrics.connections.Inc()
	defer s.metrics.connections.Dec()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	c := &conn{Conn: nc, write: s.cfg.Write}
	defer func() { c.Close() }() // not c.Conn as it is now: TLS comes between
	defer context.AfterFunc(ctx, c.interrupt)()

	log := s.log.With(slog.String("protocol", string(s.protocol)), slog.String("remote", nc.RemoteAddr().String()))
	rc, pub, err := s.open(ctx, c)
	if err != nil {
		s.failed(ctx, log, err)
		if pe, ok := errors.AsType[*wire.ProtocolError](err); ok && (pe.Reason == wire.ReasonApp || pe.Reason == wire.ReasonPlay) {
			c.linger(s.cfg.Linger) // these were answered
		}
		return
	}
	log = log.With(slog.String("agent", pub.Agent))
	s.publish(ctx, log, c, rc, pub, place)
}

// open brings a connection to the point where it asks to publish.
func (s *Server) open(ctx context.Context, c *conn) (*wire.ServerConn, wire.Publication, error) {
	if err := c.within(s.cfg.Handshake); err != nil {
		return nil, wire.Publication{}, err
	}
	if s.cfg.TLS != nil {
		if err := c.startTLS(ctx, s.tlsServer(c.Conn)); err != nil {
			return nil, wire.Publication{}, fmt.Errorf("rtmp: TLS: %w", err)
		}
	}
	rc := wire.NewServerConn(c, app)
	if err := rc.Handshake(); err != nil {
		return nil, wire.Publication{}, err
	}
	if err := c.within(s.cfg.Opening); err != nil {
		return nil, wire.Publication{}, err
	}
	pub, err := rc.Publication()
	return rc, pub, err
}

// failed records a connection that ended before it asked to publish. Scanners do it
// all day, so it is not worth more than a debug line.
func (s *Server) failed(ctx context.Context, log *slog.Logger, err error) {
	if pe, ok := errors.AsType[*wire.ProtocolError](err); ok {
		s.metrics.breaches.WithLabelValues(string(pe.Reason)).Inc()
	}
	log.LogAttrs(ctx, slog.LevelDebug, "connection ended before publish", slog.Any("err", err))
}

// errGuarded refuses an address that was wrong too often.
var errGuarded error = live.Errorf(live.Throttled, "Too many wrong stream keys came from this address; try again in a minute.")

// ask asks the handler for a session.
func (s *Server) ask(ctx context.Context, c *conn, pub wire.Publication) (ingest.Session, error) {
	if !s.cfg.Guard.Allow(c.RemoteAddr()) {
		return nil, errGuarded
	}
	return s.handler.Publish(ctx, ingest.Request{
		Protocol: s.protocol, Encrypted: s.protocol == ingest.RTMPS, Key: pub.Key, Params: pub.Params, Remote: c.RemoteAddr().String(), Agent: pub.Agent,
	})
}

// publish asks the handler and runs the publication.
func (s *Server) publish(ctx context.Context, log *slog.Logger, c *conn, rc *wire.ServerConn, pub wire.Publication, place *ingest.Slot) {
	session, err := s.ask(ctx, c, pub)
	if err != nil {
		code, text, outcome := refusal(err)
		s.metrics.publishes.WithLabelValues(outcome).Inc()
		level := slog.LevelInfo
		if errors.Is(err, errGuarded) {
			level = slog.LevelDebug // a guesser does not fill the log
		}
		log.LogAttrs(ctx, level, "publish refused", slog.String("outcome", outcome), slog.Any("err", err))
		if outcome == string(live.Denied) && s.cfg.Guard.Fail(c.RemoteAddr()) {
			log.LogAttrs(ctx, slog.LevelWarn, "too many wrong keys from one address: no more are tried for a while")
		}
		if rc.Refuse(code, text) == nil {
			c.linger(s.cfg.Linger)
		}
		return
	}
	place.Publish()
	s.metrics.publishes.WithLabelValues(outcomeAccepted).Inc()
	log.LogAttrs(ctx, slog.LevelInfo, "publishing")

	f := newFeed(session, s.metrics)
	started := time.Now()
	reason, err := s.pump(ctx, c, rc, f)
	session.Close(reason == endUnpublished)
	f.count()
	s.metrics.ended.WithLabelValues(reason).Inc()
	log.LogAttrs(ctx, slog.LevelInfo, "publication ended", slog.String("reason", reason), slog.Any("err", err),
		slog.Duration("after", time.Since(started)), slog.Int64("messages", f.messages), slog.Int64("bytes", f.bytes), slog.Int64("dropped", f.dropped))
	if s.farewell(rc, reason, err) {
		c.linger(s.cfg.Linger)
	}
}

// pump hands the encoder's media to the session until one of them ends it, and says
// which; err is nil when it was not an accident.
func (s *Server) pump(ctx context.Context, c *conn, rc *wire.ServerConn, f *feed) (reason string, err error) {
	var watch sync.WaitGroup
	over := make(chan struct{})
	defer watch.Wait()
	defer close(over)
	watch.Go(func() {
		select {
		case <-f.session.Done():
			c.interrupt()
		case <-over:
		}
	})

	if err = rc.Accept(); err == nil {
		err = c.whileActive(s.cfg.Idle)
	}
	for err == nil {
		var m wire.Message
		if m, err = rc.Read(); err != nil {
			break
		}
		if err := f.take(m, time.Now()); err != nil {
			return s.why(ctx, f, err, endRefused)
		}
	}
	return s.why(ctx, f, err, endDisconnected)
}

// why classifies the end of a publication; other is for errors of no known kind.
func (s *Server) why(ctx context.Context, f *feed, err error, other string) (string, error) {
	if pe, ok := errors.AsType[*wire.ProtocolError](err); ok {
		s.metrics.breaches.WithLabelValues(string(pe.Reason)).Inc()
		return endProtocol, err
	}
	if le, ok := errors.AsType[*live.Error](err); ok && le.Kind != live.Unavailable {
		return endRefused, err // which the encoder should hear, although its session is over by it
	}
	select {
	case <-f.session.Done(): // it may also have failed a write, or interrupted the read
		return endStopped, nil
	default:
	}
	switch {
	case ctx.Err() != nil:
		return endShutdown, nil
	case errors.Is(err, wire.ErrUnpublished):
		return endUnpublished, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endIdle, nil
	case errors.Is(err, io.EOF):
		return endDisconnected, nil
	}
	return other, err
}

// farewell tells the encoder why its publication ended, if it can still be there.
func (s *Server) farewell(rc *wire.ServerConn, reason string, err error) (told bool) {
	switch reason {
	case endStopped:
		return rc.Unpublish(wire.CodeUnpublished, "The stream was stopped.") == nil
	case endShutdown:
		return rc.Unpublish(wire.CodeConnectClosed, "The server is going down.") == nil
	case endIdle:
		return rc.Refuse(wire.CodeFailed, "No data arrived for too long.") == nil
	case endRefused:
		code, text, _ := refusal(err)
		return rc.Refuse(code, text) == nil
	case endProtocol:
		return rc.Refuse(wire.CodeFailed, "The stream breaks the protocol.") == nil
	}
	return reason == endUnpublished // told by package internal/rtmp
}

// refusal is what an encoder hears of a Handler's or a Session's error, and the
// outcome that it counts as. Only the words of a *live.Error leave the server.
func refusal(err error) (code, description, outcome string) {
	e, ok := errors.AsType[*live.Error](err)
	if !ok {
		return wire.CodeFailed, "The server cannot take the stream now.", outcomeError
	}
	switch e.Kind {
	case live.Denied, live.Conflict, live.NotFound:
		code = wire.CodeBadName // what encoders show as "bad or used stream key"
	case live.Unsupported, live.Invalid, live.Quota:
		code = wire.CodeRejected
	default:
		code = wire.CodeFailed
	}
	return code, e.Detail, string(e.Kind)
}
