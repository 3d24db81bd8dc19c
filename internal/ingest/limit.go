package ingest

import (
	"net"
	"net/netip"
	"sync"
)

// A Limiter bounds the connections of a listener that are open at once, and how many of
// them one address may hold while they have not published anything.
type Limiter struct {
	maxOpen, maxPending int

	mu      sync.Mutex // guards all below
	open    int
	pending map[netip.Prefix]int // connections that have not published; none is 0
}

// NewLimiter returns a Limiter of maxOpen connections, of which one address may hold
// maxPending that do not publish.
func NewLimiter(maxOpen, maxPending int) *Limiter {
	return &Limiter{maxOpen: maxOpen, maxPending: maxPending, pending: make(map[netip.Prefix]int)}
}

// A Slot is one connection's place. It belongs to one goroutine.
type Slot struct {
	l         *Limiter
	from      netip.Prefix
	published bool // no longer counted as pending
}

// Acquire gives a connection from addr a slot, if there is one.
func (l *Limiter) Acquire(addr net.Addr) (*Slot, bool) {
	s := &Slot{l: l, from: Source(addr)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.maxOpen || l.pending[s.from] >= l.maxPending {
		return nil, false
	}
	l.open++
	l.pending[s.from]++
	return s, true
}

// Publish takes the connection out of the count of pending ones.
func (s *Slot) Publish() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.settle()
}

// Release gives the slot back.
func (s *Slot) Release() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.settle()
	s.l.open--
}

// settle ends the pending count of s; the lock is held.
func (s *Slot) settle() {
	if s.published {
		return
	}
	s.published = true
	if s.l.pending[s.from]--; s.l.pending[s.from] == 0 {
		delete(s.l.pending, s.from)
	}
}

// Source is whom addr belongs to: an IPv4 address, or an IPv6 network of 64 bits,
// which is what one customer has; the zero Prefix when addr is no IP address.
func Source(addr net.Addr) netip.Prefix {
	a, ok := addr.(interface{ AddrPort() netip.AddrPort }) // *net.TCPAddr, *net.UDPAddr
	if !ok {
		return netip.Prefix{}
	}
	ip := a.AddrPort().Addr().Unmap().WithZone("")
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
