package stream

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// A viewer counts while it asked for a playlist less than viewTime ago. A new one is
// counted at the next announcement (low-latency.md 10: within 15 s up, 60 s down).
const viewTime = 30 * time.Second

// maxViewers bounds what one stream remembers of its audience; past it the count stands still.
const maxViewers = 1 << 20

// audience estimates how many views a public stream has: one for each pair of address
// and user agent, because its URLs are the same for everybody.
type audience struct {
	seed maphash.Seed
	mu   sync.Mutex
	seen map[uint64]int64 // fingerprint to Unix nanoseconds of its last request
}

func newAudience() *audience {
	return &audience{seed: maphash.MakeSeed(), seen: map[uint64]int64{}}
}

func (a *audience) note(addr netip.Addr, agent string, now time.Time) {
	var h maphash.Hash
	h.SetSeed(a.seed)
	ip := addr.As16()
	_, _ = h.Write(ip[:])
	_, _ = h.WriteString(agent)
	a.mu.Lock()
	defer a.mu.Unlock()
	id := h.Sum64()
	if _, known := a.seen[id]; known || len(a.seen) < maxViewers {
		a.seen[id] = now.UnixNano()
	}
}

func (a *audience) count(now time.Time) int64 {
	since := now.Add(-viewTime).UnixNano()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.seen {
		if at < since {
			delete(a.seen, id)
		}
	}
	return int64(len(a.seen))
}

// Viewed notes that a client, by its address and user agent, asked for a playlist.
func (st *Stream) Viewed(addr netip.Addr, agent string) { st.audience.note(addr, agent, time.Now()) }

func (st *Stream) viewers(now time.Time) int64 { return st.audience.count(now) }
