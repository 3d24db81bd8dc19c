package multitrack

import (
	"net/netip"
	"sync"
	"time"
)

// What one address may ask: an encoder asks once for each go-live, and a house has few.
const (
	burst      = 20
	refill     = 500 * time.Millisecond // for one more
	maxAddress = 20_000
)

// A limiter is one token bucket for each address, or IPv6 network of 64 bits. A bucket
// is known by the moment at which it is full again; one that is full is forgotten.
// Should more addresses ask than there is room for, all are forgotten: the limit gets
// softer rather than refuse everybody. The zero limiter is ready.
type limiter struct {
	mu   sync.Mutex // guards full
	full map[netip.Prefix]time.Time
}

// take takes a token of the bucket of from, and reports whether there was one.
func (l *limiter) take(now time.Time, from netip.Addr) bool {
	bits := from.BitLen()
	if from.Is6() {
		bits = 64
	}
	p, _ := from.Prefix(bits) // zero for what has no address
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.full[p]
	if full.Before(now) {
		full = now
	}
	if full = full.Add(refill); full.After(now.Add(burst * refill)) {
		return false
	}
	if len(l.full) >= maxAddress {
		for p, at := range l.full {
			if !at.After(now) {
				delete(l.full, p)
			}
		}
		if len(l.full) >= maxAddress {
			clear(l.full)
		}
	}
	if l.full == nil {
		l.full = map[netip.Prefix]time.Time{}
	}
	l.full[p] = full
	return true
}
