package ingest

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Guard bounds how often one address may be wrong about its stream key. It spends a
// budget that fills up again; once it is used up, the address is not even asked for its
// key, so that guessing costs us neither a look-up nor a line in the log. Whoever shares
// the address of a guesser shares its fate, while it guesses.
type Guard struct {
	mu    sync.Mutex // guards all below
	spent map[netip.Prefix]spending
}

// A spending is how much of its budget an address had used up at a time.
type spending struct {
	failures float64
	at       time.Time
}

const (
	maxFailures    = 20   // in a row
	failuresBack   = 1    // a second
	maxGuarded     = 4096 // addresses that are remembered
	forgiveAnybody = 64   // addresses that one failure looks at, to forget some
)

// NewGuard returns a Guard. Listeners share it, for an address may try them all.
func NewGuard() *Guard { return &Guard{spent: make(map[netip.Prefix]spending)} }

// Allow reports whether addr may try a key.
func (g *Guard) Allow(addr net.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.spent[Source(addr)]
	return !ok || s.left(time.Now()) <= maxFailures-1
}

// Fail says that addr was wrong. It reports whether that used up the budget.
func (g *Guard) Fail(addr net.Addr) (exhausted bool) {
	now, from := time.Now(), Source(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.spent[from]
	if !ok && len(g.spent) >= maxGuarded {
		g.forgive(now)
	}
	before := s.left(now)
	g.spent[from] = spending{before + 1, now}
	return before <= maxFailures-1 && before+1 > maxFailures-1
}

// forgive makes room: it forgets addresses whose budget is full again, and if there are
// none where it looks, any.
func (g *Guard) forgive(now time.Time) {
	looked := 0
	for from, s := range g.spent { // in no order
		if looked++; s.left(now) == 0 || len(g.spent) >= maxGuarded && looked >= forgiveAnybody {
			delete(g.spent, from)
		}
		if looked >= forgiveAnybody && len(g.spent) < maxGuarded {
			return
		}
	}
}

// left is what of the failures still counts at now.
func (s spending) left(now time.Time) float64 {
	return max(s.failures-now.Sub(s.at).Seconds()*failuresBack, 0)
}
