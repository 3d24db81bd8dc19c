// Package audience counts the viewers of one stream at one node, from the requests they
// make. What several nodes count is added up by whoever owns the stream.
package audience

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// A viewer counts while it asked for a playlist less than viewTime ago. A new one is
// counted at the next announcement (low-latency.md 10: within 15 s up, 60 s down).
const viewTime = 30 * time.Second

// Bounds of what one stream remembers of its audience.
const (
	maxViewers = 1 << 18 // past it the count stands still
	maxAgent   = 256     // bytes of a user agent that tell it from another
	shards     = 32      // of the memory, so that counting holds up few who ask
)

// An Audience counts the views of a stream. Those with a session are counted exactly. Of
// a public stream, whose URLs are the same for everybody, there is one for each pair of
// address and user agent.
type Audience struct {
	seed  maphash.Seed
	since time.Time // what times are counted from, so that a clock that is set moves nobody
	shard [shards]struct {
		mu   sync.Mutex
		seen map[uint64]time.Duration // fingerprint to its last request; guarded by mu
	}
}

// New returns an audience of nobody.
func New(now time.Time) *Audience {
	a := &Audience{seed: maphash.MakeSeed(), since: now}
	for i := range a.shard {
		a.shard[i].seen = map[uint64]time.Duration{}
	}
	return a
}

// Note counts a client that asked at now, by its address and user agent. Every request
// for a playlist comes through here.
func (a *Audience) Note(addr netip.Addr, agent string, now time.Time) {
	var h maphash.Hash
	h.SetSeed(a.seed)
	ip := addr.As16()
	_, _ = h.Write(ip[:])
	_, _ = h.WriteString(agent[:min(len(agent), maxAgent)])
	a.See(h.Sum64(), now)
}

// See counts a view at now, by a number that is its own.
func (a *Audience) See(id uint64, now time.Time) {
	s := &a.shard[id%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[id]; known || len(s.seen) < maxViewers/shards {
		s.seen[id] = now.Sub(a.since)
	}
}

// Count forgets who has left and returns how many are here.
func (a *Audience) Count(now time.Time) int64 {
	old := now.Sub(a.since) - viewTime
	var n int64
	for i := range a.shard {
		n += a.countShard(i, old)
	}
	return n
}

func (a *Audience) countShard(i int, old time.Duration) int64 {
	s := &a.shard[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.seen {
		if at < old {
			delete(s.seen, id)
		}
	}
	return int64(len(s.seen))
}
