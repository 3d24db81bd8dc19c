package transcode

import (
	"sync"

	"github.com/sluice-live/sluice/internal/media"
)

// Bounds of what waits for ffmpeg: some seconds of the largest input there is.
const (
	maxQueued      = 1024
	maxQueuedBytes = 16 << 20
)

// queue is what stands between the encoder's goroutine and ffmpeg's input. It never
// makes the writer wait: when it is full it lets go of everything and takes pictures
// again from the next keyframe on, because nothing in between could be decoded.
type queue struct {
	mu      sync.Mutex // guards the fields below
	units   []media.Unit
	bytes   int
	waiting bool          // for a keyframe
	wake    chan struct{} // holds one
}

func newQueue() *queue { return &queue{waiting: true, wake: make(chan struct{}, 1)} }

// put takes u, or lets it go.
func (q *queue) put(u media.Unit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.units) >= maxQueued || q.bytes+len(u.Data) > maxQueuedBytes {
		clear(q.units)
		q.units, q.bytes, q.waiting = q.units[:0], 0, true
	}
	if q.waiting {
		if u.Track.Kind != media.Video || !u.Key {
			return
		}
		q.waiting = false
	}
	q.units = append(q.units, u)
	q.bytes += len(u.Data)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take moves what waits into buf, which it returns; empty when there is nothing.
func (q *queue) take(buf []media.Unit) []media.Unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	buf = append(buf[:0], q.units...)
	clear(q.units)
	q.units, q.bytes = q.units[:0], 0
	return buf
}

// reset lets go of what waits, and of what comes before the next keyframe: a new ffmpeg
// begins there.
func (q *queue) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.units)
	q.units, q.bytes, q.waiting = q.units[:0], 0, true
}
