package ingest

import (
	"net/netip"
	"sync"
	"time"
)

// A Rate bounds how often one address may try something: a number of times within a
// period, and that many at once after a period without.
type Rate struct {
	period time.Duration
	each   time.Duration // of the period, that one try takes

	mu    sync.Mutex // guards all below
	until map[netip.Prefix]time.Time
	sweep time.Time // when until was last rid of what has passed
}

// maxAddresses is how many addresses a Rate remembers. More than that try within one
// period only in an attack, and then new ones wait for it to pass.
const maxAddresses = 1 << 16

// NewRate returns a Rate of n tries in a period.
func NewRate(n int, period time.Duration) *Rate {
	return &Rate{period: period, each: period / time.Duration(n), until: map[netip.Prefix]time.Time{}}
}

// Allow reports whether from may try at now, and counts it if so.
func (r *Rate) Allow(from netip.Prefix, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.sweep) >= r.period {
		r.sweep = now
		for a, until := range r.until {
			if !until.After(now) {
				delete(r.until, a)
			}
		}
	}
	until, known := r.until[from]
	if !known && len(r.until) >= maxAddresses {
		return false
	}
	if until.Before(now) {
		until = now
	}
	if until = until.Add(r.each); until.Sub(now) > r.period {
		return false
	}
	r.until[from] = until
	return true
}
