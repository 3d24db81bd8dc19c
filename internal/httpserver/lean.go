package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/sluice-live/sluice/internal/leanhttp"
)

// A listener without TLS is leanhttp's. It answers what Config.Lean names, if the request
// is a plain one, and gives each connection with another request to net/http, for good.

func newLean(log *slog.Logger, c Config, h http.Handler) *leanhttp.Server {
	match := c.Lean
	if match == nil {
		match = func(string) bool { return false }
	}
	return leanhttp.New(leanhttp.Config{
		Handler: h, Match: match, Log: log,
		MaxConns: c.MaxConns, HeadTimeout: c.ReadHeaderTimeout, IdleTimeout: c.IdleTimeout,
	})
}

// serveLean serves the listener until it is closed, by Shutdown or Close of s.http too.
func (s *Server) serveLean(base context.Context) error {
	others := s.lean.Others(s.ln)
	failed := make(chan error, 1)
	go func() { // ends with the listener, which is closed at the latest below
		failed <- s.lean.Serve(base, s.ln)
		_ = others.Close() // ends the Serve below
	}()
	err := s.http.Serve(others)
	_ = s.ln.Close()
	accept := <-failed
	select {
	case <-s.draining:
		if errors.Is(accept, net.ErrClosed) { // by shutdown
			return http.ErrServerClosed
		}
	default:
	}
	return errors.Join(accept, err)
}

// shutdown stops accepting and lets requests finish, until ctx is done.
func (s *Server) shutdown(ctx context.Context) error {
	if s.lean == nil {
		return s.http.Shutdown(ctx)
	}
	_ = s.ln.Close() // it is closed once more by whoever serves it
	lean := make(chan error, 1)
	go func() { lean <- s.lean.Shutdown(ctx) }()
	err := s.http.Shutdown(ctx)
	return errors.Join(err, <-lean)
}

// cut closes all connections. Contexts of requests have ended.
func (s *Server) cut() {
	_ = s.http.Close() // its error is that of closing sockets nobody uses now
	if s.lean != nil {
		s.lean.Close()
	}
}

// Connections is how many connections are open.
func (s *Server) Connections() int {
	if s.lean != nil {
		return s.lean.Open()
	}
	return int(s.open.Load())
}

// track is http.Server's ConnState, of connections with TLS.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}
