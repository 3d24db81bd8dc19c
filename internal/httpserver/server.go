// Package httpserver is the HTTP plumbing that every route shares: the listener
// with its limits, HTTP/1.1 and HTTP/2 with and without TLS, draining, who the client
// is behind proxies, request ids, the request log, panics, health and metrics. It has
// no routes but the last two, and knows nothing of what is served.
package httpserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sluice-live/sluice/internal/leanhttp"
	"github.com/sluice-live/sluice/internal/lifecycle"
)

var (
	// ErrDraining is the cause of a UntilDrain context that ended because the server
	// is stopping.
	ErrDraining = errors.New("httpserver: draining")
	// ErrDrained is the cause of a request context whose request took longer than
	// the drain.
	ErrDrained = errors.New("httpserver: the time to finish requests is up")
)

// Config tunes Listen. Zero values work.
type Config struct {
	Addr string // host:port; port 0 picks one
	// Certificate turns the listener to TLS; nil serves plain HTTP.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// TrustedProxies are the peers whose X-Forwarded headers are believed.
	TrustedProxies []netip.Prefix

	// Lean says which paths are served by leanhttp where it can, nil for none. The handler
	// must not keep their requests.
	Lean func(path string) bool

	MaxConns          int           // open at once, more wait to be accepted; 0 means no limit
	MaxHeaderBytes    int           // of one request; 0 means 64 KiB
	ReadHeaderTimeout time.Duration // to send one header; 0 means 10 s
	IdleTimeout       time.Duration // of a connection between requests; 0 means 2 min
}

// Server is a bound listener and what it serves. There is no limit on the time of a
// whole request: long polls and chunked media take as long as they take. Routes with
// a request body use Body.
type Server struct {
	ln   net.Listener
	http *http.Server
	tls  bool
	lean *leanhttp.Server // of connections without TLS; nil with

	proxies []netip.Prefix

	// The drain, made by Listen: drain begins it, draining is closed then, and
	// afterDrain registers what to call then, as context.AfterFunc does.
	drain      context.CancelFunc
	draining   <-chan struct{}
	afterDrain func(func()) (stop func() bool)

	open atomic.Int64 // connections with TLS

	mu     sync.Mutex
	active int           // requests being handled; guarded by mu
	idle   chan struct{} // made by Run to wait for active to reach 0, closed then; guarded by mu
}

// Listen binds c.Addr; Run serves h on it. Until then clients wait.
func Listen(ctx context.Context, log *slog.Logger, c Config, h http.Handler) (*Server, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("httpserver: %w", err)
	}
	if c.MaxConns > 0 && c.Certificate != nil {
		ln = netutil.LimitListener(ln, c.MaxConns)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // with prior knowledge: proxies and load tools
	drain, beginDrain := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		ln: ln, tls: c.Certificate != nil, proxies: c.TrustedProxies,
		drain: beginDrain, draining: drain.Done(),
		afterDrain: func(f func()) func() bool { return context.AfterFunc(drain, f) },
	}
	s.http = &http.Server{
		Handler:           s.count(patient(c.Lean, h)),
		Protocols:         &protocols,
		ReadHeaderTimeout: cmp.Or(c.ReadHeaderTimeout, 10*time.Second),
		IdleTimeout:       cmp.Or(c.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    cmp.Or(c.MaxHeaderBytes, 64<<10),
		// What net/http reports are clients' mistakes: broken handshakes, resets.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if s.tls {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Certificate}
		s.http.ConnState = s.track
	} else {
		s.lean = newLean(log, c, h)
	}
	return s, nil
}

// Addr is the bound address, with the real port.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Close gives the listener back without serving; for a start that failed elsewhere.
func (s *Server) Close() error { return s.ln.Close() }

// Run serves until ctx is done, then drains: it accepts no more, tells waiting
// handlers through Draining, lets requests finish within lifecycle.Drain, and cuts
// off what is left by ending the request contexts (ErrDrained) and the connections.
// When it returns, every handler has returned.
func (s *Server) Run(ctx context.Context) error {
	base, cut := context.WithCancelCause(context.WithValue(context.WithoutCancel(ctx), serverKey{}, s))
	defer cut(nil)
	s.http.BaseContext = func(net.Listener) context.Context { return base }

	served := make(chan error, 1)
	go func() { // ends with Shutdown or Close below, or by itself on an accept error
		if s.tls {
			served <- s.http.ServeTLS(s.ln, "", "")
		} else {
			served <- s.serveLean(base)
		}
	}()

	select {
	case err := <-served:
		served <- err // for below
	case <-ctx.Done():
	}
	s.drain()
	left, end := lifecycle.Drain(ctx)
	defer end()
	if s.shutdown(left) != nil { // the time was up
		cut(ErrDrained)
		s.cut()
	}
	err := <-served
	s.wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("httpserver: accept: %w", err)
	}
	return nil
}

// count keeps track of the requests being handled, which net/http does not tell once
// their connections are closed or hijacked.
func (s *Server) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.active++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.active--; s.active == 0 && s.idle != nil {
				close(s.idle)
				s.idle = nil
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// wait returns once no request is being handled.
func (s *Server) wait() {
	s.mu.Lock()
	if s.active == 0 {
		s.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	s.idle = idle
	s.mu.Unlock()
	<-idle
}

// serverKey is the context key of the Server. One value serves all requests, so
// that what few handlers need costs the others nothing.
type serverKey struct{}

func serverOf(ctx context.Context) *Server {
	s, _ := ctx.Value(serverKey{}).(*Server)
	return s
}

// Draining returns a channel that is closed when the server of this request begins
// to stop. The request itself may still finish; one that only waits for something to
// happen should answer now. Outside a Server it is nil, which never is ready.
func Draining(ctx context.Context) <-chan struct{} {
	if s := serverOf(ctx); s != nil {
		return s.draining
	}
	return nil
}

// UntilDrain returns a context for waiting: it ends with ctx, a request's context, or
// with cause ErrDraining when the server begins to stop.
func UntilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() bool { return true }
	if s := serverOf(ctx); s != nil {
		stop = s.afterDrain(func() { cancel(ErrDraining) })
	}
	return ctx, func() { stop(); cancel(nil) }
}
