package playback

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-live/sluice/internal/live"
)

// Bounds of the sessions that a node remembers. One that is not among them is opened
// again when it comes, which takes some ten microseconds and, of a named viewer, a look
// into the store.
const (
	shards      = 64
	maxSessions = 1 << 18 // some 100 MB; past it any one makes room
	idleTicks   = 90      // after which one is forgotten; a tick is a second
)

// sessions are the opened ones, by path element.
type sessions struct {
	seed  maphash.Seed
	most  int          // of a shard
	tick  atomic.Int64 // a clock that costs nothing to read
	shard [shards]struct {
		mu   sync.RWMutex
		open map[string]*Session // guarded by mu
	}

	mu      sync.Mutex // taken with a shard's mu held, never the other way round
	viewers map[viewerKey]*viewer
}

func newSessions(most int) *sessions {
	s := &sessions{seed: maphash.MakeSeed(), most: most, viewers: map[viewerKey]*viewer{}}
	for i := range s.shard {
		s.shard[i].open = map[string]*Session{}
	}
	return s
}

// get returns a session that is open, and notes that it is used.
func (s *sessions) get(element, stream string) (*Session, bool) {
	sh := &s.shard[maphash.String(s.seed, element)%shards]
	sh.mu.RLock()
	x, ok := sh.open[element]
	sh.mu.RUnlock()
	if !ok || x.stream != stream {
		return nil, false
	}
	if now := s.tick.Load(); x.used.Load() != now {
		x.used.Store(now)
	}
	return x, true
}

// add keeps a session, or returns the one that is kept under its element. From then on
// revoke reaches it.
func (s *sessions) add(x *Session, channel live.ARN, id string) *Session {
	sh := &s.shard[maphash.String(s.seed, x.Element)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if have, ok := sh.open[x.Element]; ok {
		return have
	}
	for element, old := range sh.open { // whichever comes first
		if len(sh.open) < s.most {
			break
		}
		delete(sh.open, element)
		s.release(old)
	}
	x.used.Store(s.tick.Load())
	if id == "" {
		x.checked.Store(true) // there is nothing to check
	} else {
		x.viewer = s.hold(viewerKey{channel, strings.Clone(id)})
	}
	sh.open[x.Element] = x
	return x
}

// remove forgets a session that is not to be had.
func (s *sessions) remove(x *Session) {
	sh := &s.shard[maphash.String(s.seed, x.Element)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.open[x.Element] == x {
		delete(sh.open, x.Element)
		s.release(x)
	}
}

func (s *sessions) hold(key viewerKey) *viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.viewers[key]
	if !ok {
		v = newViewer(key)
		s.viewers[key] = v
	}
	v.held++
	return v
}

func (s *sessions) release(x *Session) {
	if x.viewer == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.viewer.held--; x.viewer.held == 0 {
		delete(s.viewers, x.viewer.key)
	}
}

// revoke takes effect on every open session that r is about.
func (s *sessions) revoke(r live.Revocation) {
	s.mu.Lock()
	v, ok := s.viewers[viewerKey{r.Channel, r.Viewer}]
	s.mu.Unlock()
	if ok {
		v.revoke(r.Version)
	}
}

// named reports whether a session is open that could be revoked.
func (s *sessions) named() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.viewers) > 0
}

// sweep forgets who has not been here for a while.
func (s *sessions) sweep() {
	old := s.tick.Load() - idleTicks
	for i := range s.shard {
		s.sweepShard(i, old)
	}
}

func (s *sessions) sweepShard(i int, old int64) {
	sh := &s.shard[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for element, x := range sh.open {
		if x.used.Load() < old {
			delete(sh.open, element)
			s.release(x)
		}
	}
}

// count is how many are open.
func (s *sessions) count() int {
	n := 0
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.RLock()
		n += len(sh.open)
		sh.mu.RUnlock()
	}
	return n
}
