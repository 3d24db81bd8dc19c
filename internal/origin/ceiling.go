package origin

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Ceiling is how much a node takes on. Past it new viewers are told to come back later,
// and those who watch go on as before: rather some good streams than many bad ones.
type Ceiling struct {
	Connections    int        // open at once; 0 means any number
	Open           func() int // how many are open
	BytesPerSecond int64      // of playlists and media; 0 means any number
}

// busy answers who asks to begin while the node is at its ceiling.
func (o *Origin) busy(w http.ResponseWriter, r *http.Request) bool {
	c := &o.cfg.Ceiling
	if (c.Connections == 0 || c.Open() <= c.Connections) &&
		(c.BytesPerSecond == 0 || o.rate.perSecond(time.Now()) < c.BytesPerSecond) {
		return false
	}
	o.metrics.refused[atCeiling].Inc()
	w.Header().Set("Retry-After", "5")
	fail(w, r, http.StatusServiceUnavailable, "this server has as many viewers as it can serve", "server_busy")
	return true
}

// A rate is bytes per second. It forgives a few that are counted for the wrong second.
type rate struct {
	second      atomic.Int64 // Unix time of now
	now, before atomic.Int64 // bytes in that second, and in the one before it
}

func (r *rate) add(n int64, at time.Time) {
	r.turn(at.Unix())
	r.now.Add(n)
}

// perSecond is what the last whole second had, or the present one, if that has more.
func (r *rate) perSecond(at time.Time) int64 {
	r.turn(at.Unix())
	return max(r.before.Load(), r.now.Load())
}

// turn begins a new second.
func (r *rate) turn(second int64) {
	last := r.second.Load()
	if second <= last || !r.second.CompareAndSwap(last, second) {
		return
	}
	bytes := r.now.Swap(0)
	if second > last+1 {
		bytes = 0
	}
	r.before.Store(bytes)
}
