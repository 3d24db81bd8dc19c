// Package rtmp takes in what encoders publish over RTMP and RTMPS: it accepts
// connections, bounds what a stranger can hold, asks an ingest.Handler about each
// publication and hands it H.264 and AAC units with exact timestamps.
//
// It knows no channel and no key rule, and it keeps no media. The protocol on bytes is
// package internal/rtmp. A connection is one goroutine that reads and answers; a
// published one has a second that waits for the session's end. Server.Run waits for all.
package rtmp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
)

// app is the application that encoders connect to: rtmp://host/app/<stream key>.
const app = "app"

// Config tunes a Server. The zero value of each field has the meaning noted.
type Config struct {
	// TLS gives the configuration of each new connection, which makes the server one
	// of RTMPS; nil means plain RTMP. Versions before 1.2 are refused whatever it says.
	TLS func() *tls.Config

	Log     *slog.Logger          // nil discards
	Guard   *ingest.Guard         // shared with other listeners; nil is one of its own
	Metrics prometheus.Registerer // nil registers nowhere; takes one server of each protocol

	MaxConns   int // open connections; 0 means 5000. More are closed at once.
	MaxPending int // of them, from one address and not yet publishing; 0 means 128

	Handshake time.Duration // from accept to the end of the handshake; 0 means 10s
	Opening   time.Duration // from there to publish; 0 means 10s
	Idle      time.Duration // without a byte while publishing; 0 means 30s (low-latency.md 3.2)
	Write     time.Duration // for the encoder to take an answer; 0 means 5s
	Linger    time.Duration // for the encoder to read why it is refused; 0 means 1s
}

// A Server takes publishers on one listener.
type Server struct {
	cfg      Config
	protocol ingest.Protocol
	handler  ingest.Handler
	ln       net.Listener
	log      *slog.Logger
	metrics  *metrics
	limiter  *ingest.Limiter
	conns    sync.WaitGroup
}

// Listen binds addr, so a bad address or a taken port fails before anything runs. The
// server decides about publishers by h.
func Listen(addr string, cfg Config, h ingest.Handler) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rtmp: %w", err)
	}
	return New(ln, cfg, h), nil
}

// New is Listen on a listener that exists. Run closes it.
func New(ln net.Listener, cfg Config, h ingest.Handler) *Server {
	s := newServer(cfg, h)
	s.ln = ln
	return s
}

func newServer(cfg Config, h ingest.Handler) *Server {
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 5000)
	cfg.MaxPending = cmp.Or(cfg.MaxPending, 128)
	cfg.Handshake = cmp.Or(cfg.Handshake, 10*time.Second)
	cfg.Opening = cmp.Or(cfg.Opening, 10*time.Second)
	cfg.Idle = cmp.Or(cfg.Idle, 30*time.Second)
	cfg.Write = cmp.Or(cfg.Write, 5*time.Second)
	cfg.Linger = cmp.Or(cfg.Linger, time.Second)
	s := &Server{
		cfg: cfg, handler: h, protocol: ingest.RTMP, log: cfg.Log,
		limiter: ingest.NewLimiter(cfg.MaxConns, cfg.MaxPending),
	}
	if cfg.TLS != nil {
		s.protocol = ingest.RTMPS
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Guard == nil {
		s.cfg.Guard = ingest.NewGuard()
	}
	s.metrics = newMetrics(cfg.Metrics, s.protocol)
	return s
}

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run takes publishers until ctx is done and then returns nil. When it returns, every
// connection is closed and every goroutine it started has returned.
func (s *Server) Run(ctx context.Context) error {
	defer s.conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Wait: however Run ends, its connections are told to
	defer s.ln.Close()
	defer context.AfterFunc(ctx, func() { s.ln.Close() })()
	for {
		c, err := s.accept(ctx)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("rtmp: accept: %w", err)
		}
		place, ok := s.limiter.Acquire(c.RemoteAddr())
		if !ok {
			s.metrics.rejected.Inc()
			c.Close()
			continue
		}
		s.conns.Go(func() {
			defer place.Release()
			s.serve(ctx, c, place)
		})
	}
}

// accept retries what net/http's Serve retries: a want of file descriptors passes.
func (s *Server) accept(ctx context.Context) (net.Conn, error) {
	const least, most = 5 * time.Millisecond, time.Second
	for delay := least; ; delay = min(2*delay, most) {
		c, err := s.ln.Accept()
		if err == nil {
			return c, nil
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Temporary() { //nolint:staticcheck // deprecated, and what net/http decides by
			return nil, err
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "accept failed, retrying", slog.Any("err", err), slog.Duration("delay", delay))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
	}
}

// tlsServer puts TLS on c.
func (s *Server) tlsServer(c net.Conn) *tls.Conn {
	return tls.Server(c, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := s.cfg.TLS()
			if cfg == nil {
				return nil, errors.New("rtmp: no TLS configuration")
			}
			if cfg.MinVersion < tls.VersionTLS12 {
				cfg = cfg.Clone()
				cfg.MinVersion = tls.VersionTLS12
			}
			return cfg, nil
		},
	})
}
