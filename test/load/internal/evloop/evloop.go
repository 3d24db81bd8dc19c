//go:build linux

// Package evloop is a single-threaded epoll loop for load generators: one goroutine
// drives thousands of connections at a few microseconds an event, so that on a small
// machine the client is not what the benchmark measures. Linux only.
//
// A Loop and all that belongs to it must be used from the goroutine of Run, or before
// Run starts. Callbacks must not block.
package evloop

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readLen    = 256 << 10 // bytes read at once
	discardLen = 1 << 20   // bytes the kernel may drop at once
	maxReads   = 4         // of one connection before the others have their turn
	maxEvents  = 512       // taken from the kernel at once
	maxPending = 1 << 20   // bytes written and not yet taken by the socket

	reading = unix.EPOLLIN | unix.EPOLLRDHUP
)

// Loop is an event loop. Make it with New, drive it with Run, then Close it.
type Loop struct {
	epoll  int
	conns  map[int32]*Conn // by file descriptor
	timers timers
	seq    uint64 // of the last timer: equal times fire in order
	buf    []byte
	// drop is where discarded bytes would go; the kernel never writes to it, so it
	// takes address space but no memory.
	drop []byte
	stop bool
}

// Handler receives what happens on a connection.
type Handler interface {
	// Data delivers received bytes, valid during the call only.
	Data(b []byte)
	// Discarded says that n of the bytes announced with Discard were dropped.
	Discarded(n int)
	// Closed reports the end of the connection, unless Close brought it about.
	Closed(err error)
}

// Conn is a TCP connection that belongs to a Loop.
type Conn struct {
	loop    *Loop
	fd      int
	handler Handler
	pending []byte // written, not yet taken by the socket
	closed  bool
	discard int // bytes
}

// New makes a loop.
func New() (*Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("evloop: epoll: %w", err)
	}
	return &Loop{epoll: fd, conns: map[int32]*Conn{}, buf: make([]byte, readLen), drop: make([]byte, discardLen)}, nil
}

// Close closes every connection without telling its handler.
func (l *Loop) Close() error {
	for _, c := range l.conns {
		c.Close()
	}
	return unix.Close(l.epoll)
}

// Dial connects to a loopback address; there that takes no time, so it blocks.
func (l *Loop) Dial(addr netip.AddrPort, h Handler) (*Conn, error) {
	if !addr.Addr().IsLoopback() {
		return nil, errors.New("evloop: not a loopback address")
	}
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("evloop: socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Connect(fd, sa),
		unix.SetNonblock(fd, true),
	)
	if err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: reading, Fd: int32(fd)})
	}
	if err != nil {
		return nil, fmt.Errorf("evloop: connect %v: %w", addr, errors.Join(err, unix.Close(fd)))
	}
	c := &Conn{loop: l, fd: fd, handler: h}
	l.conns[int32(fd)] = c
	return c, nil
}

// Discard lets the kernel drop the next n received bytes without copying them
// (MSG_TRUNC, tcp(7)).
func (c *Conn) Discard(n int) { c.discard = n }

// Write sends b, and keeps what the socket does not take at once.
func (c *Conn) Write(b []byte) error {
	if c.closed {
		return io.ErrClosedPipe
	}
	if len(c.pending) > 0 {
		if len(c.pending)+len(b) > maxPending {
			return errors.New("evloop: the peer does not read")
		}
		c.pending = append(c.pending, b...)
		return nil
	}
	n, err := unix.Write(c.fd, b)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	if n = max(n, 0); n < len(b) {
		c.pending = append(c.pending, b[n:]...)
		return c.watch(reading | unix.EPOLLOUT)
	}
	return nil
}

func (c *Conn) watch(events uint32) error {
	return unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}

// Close closes the connection; its handler hears no more.
func (c *Conn) Close() {
	if !c.closed {
		c.closed = true
		delete(c.loop.conns, int32(c.fd))
		_ = unix.Close(c.fd) // the descriptor is gone whatever it says (close(2))
	}
}

// fail closes the connection and tells its handler why.
func (c *Conn) fail(err error) {
	if !c.closed {
		c.Close()
		c.handler.Closed(err)
	}
}

// After runs f on the loop after d.
func (l *Loop) After(d time.Duration, f func()) { l.At(time.Now().Add(d), f) }

// At runs f on the loop at t.
func (l *Loop) At(t time.Time, f func()) {
	l.seq++
	heap.Push(&l.timers, timer{t, l.seq, f})
}

// Stop ends Run after the current callback.
func (l *Loop) Stop() { l.stop = true }

// Run dispatches timers and events until Stop. It can run again after that.
func (l *Loop) Run() error {
	defer func() { l.stop = false }()
	events := make([]unix.EpollEvent, maxEvents)
	for {
		wait := l.fire()
		if l.stop {
			return nil
		}
		n, err := unix.EpollWait(l.epoll, events, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("evloop: wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			c := l.conns[e.Fd]
			if c == nil || l.stop {
				continue // closed by a callback before it
			}
			if e.Events&unix.EPOLLOUT != 0 {
				c.flush()
			}
			if e.Events&^unix.EPOLLOUT != 0 {
				c.read()
			}
		}
	}
}

// fire runs the timers that are due and returns the milliseconds to the next one, a
// second at most.
func (l *Loop) fire() int {
	for now := time.Now(); len(l.timers) > 0 && !l.timers[0].at.After(now) && !l.stop; {
		heap.Pop(&l.timers).(timer).f()
	}
	if len(l.timers) == 0 {
		return 1000
	}
	left := time.Until(l.timers[0].at)
	return int(min(max(0, left+time.Millisecond-1), time.Second) / time.Millisecond)
}

func (c *Conn) flush() {
	if len(c.pending) == 0 {
		return
	}
	n, err := unix.Write(c.fd, c.pending)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.fail(err)
		return
	}
	c.pending = c.pending[:copy(c.pending, c.pending[max(n, 0):])]
	if len(c.pending) == 0 {
		if err := c.watch(reading); err != nil {
			c.fail(err)
		}
	}
}

func (c *Conn) read() {
	for range maxReads {
		if c.closed || c.loop.stop {
			return
		}
		var n int
		var err error
		dropping := c.discard > 0
		if dropping {
			n, _, err = unix.Recvfrom(c.fd, c.loop.drop[:min(c.discard, len(c.loop.drop))], unix.MSG_TRUNC)
		} else {
			n, err = unix.Read(c.fd, c.loop.buf)
		}
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return
		case err != nil:
			c.fail(err)
			return
		case n == 0:
			c.fail(io.EOF)
			return
		case dropping:
			c.discard -= n
			c.handler.Discarded(n)
		default:
			c.handler.Data(c.loop.buf[:n])
			if n < len(c.loop.buf) && c.discard == 0 {
				return // the socket was drained
			}
		}
	}
}

type timer struct {
	at  time.Time
	seq uint64
	f   func()
}

// timers is a heap.Interface by time, then by order of arrival.
type timers []timer

func (h timers) Len() int      { return len(h) }
func (h timers) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h timers) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}
func (h *timers) Push(x any) { *h = append(*h, x.(timer)) }
func (h *timers) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return x
}
