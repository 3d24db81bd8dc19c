package stream

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/roster"
)

// maxReporters bounds how many other nodes one stream counts viewers of.
const maxReporters = 4096

// remote is the viewers that other nodes have of a stream. A node that is silent for as
// long as a stream may be has none any more.
type remote struct {
	mu    sync.Mutex
	nodes map[string]report // by node; guarded by mu
}

type report struct {
	viewers int64
	seen    time.Time
}

// note takes the word of a node. Past maxReporters it hears of no new ones.
func (r *remote) note(node string, viewers int64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if viewers <= 0 {
		delete(r.nodes, node)
		return
	}
	if r.nodes == nil {
		r.nodes = map[string]report{}
	}
	if _, known := r.nodes[node]; known || len(r.nodes) < maxReporters {
		r.nodes[node] = report{viewers, now}
	}
}

// count forgets silent nodes and returns the sum of the others.
func (r *remote) count(now time.Time) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for node, x := range r.nodes {
		if now.Sub(x.seen) > roster.Expiry {
			delete(r.nodes, node)
			continue
		}
		n += x.viewers
	}
	return n
}

// Viewed notes that a client, by its address and user agent, asked for a playlist.
func (st *Stream) Viewed(addr netip.Addr, agent string) {
	st.audience.Note(addr, agent, time.Now())
	st.Wanted()
}

// ViewedBy notes that a viewer asked for a playlist, by the number of the session.
func (st *Stream) ViewedBy(session uint64) {
	st.audience.See(session, time.Now())
	st.Wanted()
}

// Wanted notes that somebody watches who is counted elsewhere.
func (st *Stream) Wanted() {
	if l := st.ladder.Load(); l != nil {
		l.viewed()
	}
}

func (st *Stream) viewers(now time.Time) int64 {
	return st.audience.Count(now) + st.remote.count(now)
}

// hearViews takes what other nodes say of the viewers of this node's streams.
func (s *Streams) hearViews(_ context.Context, v roster.Views) {
	now := time.Now()
	for id, n := range v.Streams {
		if st, ok := s.Stream(id); ok && v.Node != s.cfg.Node {
			st.remote.note(v.Node, n, now)
		}
	}
}
