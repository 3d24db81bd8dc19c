package rtmp

import (
	"net"
	"net/netip"
	"sync"
)

// A limiter bounds the connections that are open at once, and how many of them one
// address may hold while they have not published anything.
type limiter struct {
	maxOpen, maxPending int

	mu      sync.Mutex // guards all below
	open    int
	pending map[netip.Prefix]int // connections that have not published; none is 0
}

func newLimiter(maxOpen, maxPending int) *limiter {
	return &limiter{maxOpen: maxOpen, maxPending: maxPending, pending: make(map[netip.Prefix]int)}
}

// A slot is one connection's place. It belongs to one goroutine.
type slot struct {
	l         *limiter
	from      netip.Prefix
	published bool // no longer counted as pending
}

// acquire gives a connection from addr a slot, if there is one.
func (l *limiter) acquire(addr net.Addr) (*slot, bool) {
	s := &slot{l: l, from: source(addr)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.maxOpen || l.pending[s.from] >= l.maxPending {
		return nil, false
	}
	l.open++
	l.pending[s.from]++
	return s, true
}

// publish takes the connection out of the count of pending ones.
func (s *slot) publish() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.settle()
}

// release gives the slot back.
func (s *slot) release() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.settle()
	s.l.open--
}

// settle ends the pending count of s; the lock is held.
func (s *slot) settle() {
	if s.published {
		return
	}
	s.published = true
	if s.l.pending[s.from]--; s.l.pending[s.from] == 0 {
		delete(s.l.pending, s.from)
	}
}

// source is whom addr belongs to: an IPv4 address, or an IPv6 network of 64 bits,
// which is what one customer has.
func source(addr net.Addr) netip.Prefix {
	t, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
