package leanhttp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config tunes New. Zero values work, but for Handler and Match.
type Config struct {
	Handler http.Handler
	// Match says which paths Handler is for.
	Match func(path string) bool
	Log   *slog.Logger // of handlers that panic

	MaxConns    int           // open at once, those handed over included; more wait to be accepted. 0 means no limit
	HeadTimeout time.Duration // to send one header; 0 means 10 s
	IdleTimeout time.Duration // of a connection between requests; 0 means 2 min
	// WriteTimeout is how long a write may take beyond what its size needs at the
	// slowest rate that is served, 32 KiB/s; 0 means 20 s.
	WriteTimeout time.Duration
}

// slowest is the least rate, in bytes per second, at which a reader is served.
const slowest = 32 << 10

// Server serves connections. It may be used for one Serve.
type Server struct {
	cfg   Config
	clock clock
	slots chan struct{} // one for each connection; nil without limit
	open  atomic.Int64

	others   chan net.Conn // to net/http
	stopping atomic.Bool
	stop     chan struct{} // closed by Shutdown and Close
	once     sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu; not those handed over
	empty chan struct{}      // made by Shutdown, closed when conns is empty; guarded by mu
}

// New returns a server.
func New(c Config) *Server {
	c.HeadTimeout = cmp.Or(c.HeadTimeout, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 2*time.Minute)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 20*time.Second)
	s := &Server{cfg: c, others: make(chan net.Conn), stop: make(chan struct{}), conns: map[*conn]struct{}{}}
	if c.MaxConns > 0 {
		s.slots = make(chan struct{}, c.MaxConns)
	}
	return s
}

// Open is how many connections are open, those handed over included.
func (s *Server) Open() int { return int(s.open.Load()) }

// Serve accepts from ln until that fails, which it returns. Requests have contexts
// derived from ctx.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	pause := time.Duration(0)
	for {
		if !s.acquire() {
			return net.ErrClosed
		}
		c, err := ln.Accept()
		if err != nil {
			s.release()
			var ne net.Error
			// Out of file descriptors, say: it passes, and those who are here go on.
			if ok := errors.As(err, &ne) && ne.Timeout(); (ok || temporary(err)) && !s.stopping.Load() {
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				if !s.sleep(pause) {
					return err
				}
				continue
			}
			return err
		}
		pause = 0
		s.open.Add(1)
		n := &conn{server: s, net: c}
		if !s.add(n) {
			_ = n.shut() // there is nobody to tell
			continue
		}
		go n.serve(ctx) // ends with its connection; Shutdown and Close wait for it
	}
}

// temporary reports whether accepting may work again later.
func temporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

func (s *Server) acquire() bool {
	if s.slots == nil {
		return true
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-s.stop:
		return false
	}
}

func (s *Server) release() {
	if s.slots != nil {
		<-s.slots
	}
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// Shutdown lets each connection finish its request and waits for that, or for ctx. The
// listener is the caller's to close.
func (s *Server) Shutdown(ctx context.Context) error {
	empty := s.end(func(c *conn) { _ = c.net.SetReadDeadline(time.Unix(1, 0)) }) // who waits for a request has none
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close closes all connections and waits for their handlers, whose contexts the caller
// has ended.
func (s *Server) Close() { <-s.end(func(c *conn) { _ = c.net.Close() }) }

// end makes connections end, and returns a channel that is closed when all have.
func (s *Server) end(how func(*conn)) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping.Store(true)
	s.once.Do(func() { close(s.stop) })
	for c := range s.conns {
		how(c)
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	if len(s.conns) == 0 {
		close(s.empty)
		s.empty = nil
	}
	return empty
}

// Others is the listener of the connections whose requests are not ours. Its address is
// that of ln.
func (s *Server) Others(ln net.Listener) net.Listener {
	return &others{server: s, addr: ln.Addr(), closed: make(chan struct{})}
}

type others struct {
	server *Server
	addr   net.Addr
	closed chan struct{}
	once   sync.Once
}

func (o *others) Accept() (net.Conn, error) {
	select {
	case c := <-o.server.others:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *others) Close() error { o.once.Do(func() { close(o.closed) }); return nil }

func (o *others) Addr() net.Addr { return o.addr }
