package edge

import (
	"bytes"
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/packager"
)

// An object is one answer of an owner, from the moment that it is asked for. Whoever
// wants it waits here. What has arrived does not change.
type object struct {
	key string

	mu       sync.Mutex // guards the fields below
	chunks   [][]byte   // in the order in which they arrived
	size     int        // of all chunks, in bytes
	over     bool       // nothing more arrives
	err      error      // why not all of it did; set with over, as is:
	arrived  time.Time
	etag     string        // this, and the next two, are known with the first chunk
	duration time.Duration // that it plays for; 0 when the owner did not say
	expires  time.Time
	changed  chan struct{} // closed at the next change; nil if nobody waits

	once sync.Once
	text *packager.Playlist

	place *list.Element // in the cache; guarded by its mu, as is:
	held  int           // bytes that the cache counts for it
}

// head takes what the owner said before the body.
func (o *object) head(etag string, duration time.Duration, expires time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.etag, o.duration, o.expires = etag, duration, expires
}

// add appends what has arrived; the object keeps it.
func (o *object) add(chunk []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chunks = append(o.chunks, chunk)
	o.size += len(chunk)
	o.wake()
}

// end says that nothing more arrives; err is nil if it is whole.
func (o *object) end(err error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over, o.err, o.arrived = true, err, now
	o.wake()
}

func (o *object) wake() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// from returns what has arrived from chunk n on, once that is something or the object is
// whole. With the last of it more is false.
func (o *object) from(ctx context.Context, n int) (chunks [][]byte, more bool, err error) {
	err = o.wait(ctx, func() bool {
		have := len(o.chunks)
		n = min(n, have)
		chunks, more = o.chunks[n:have:have], !o.over
		return have > n
	})
	return chunks, more, err
}

// whole waits until all has arrived.
func (o *object) whole(ctx context.Context) error {
	return o.wait(ctx, func() bool { return false })
}

// wait returns when ok, or when the object is over, with its error. ok is called with mu
// held.
func (o *object) wait(ctx context.Context, ok func() bool) error {
	for {
		changed, err := o.look(ok)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (o *object) look(ok func() bool) (changed <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ok() || o.over {
		return nil, o.err
	}
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed, nil
}

// good reports whether somebody who asks now may have it: it is on its way, or not too old.
func (o *object) good(now time.Time) (ok, coming bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		return true, true
	}
	return o.err == nil && now.Before(o.expires), false
}

// blob is an object that is whole.
func (o *object) blob() packager.Blob {
	o.mu.Lock()
	defer o.mu.Unlock()
	return packager.Blob{Chunks: o.chunks, Size: o.size, Duration: o.duration}
}

// join is the bytes of an object that is whole. They must not be changed.
func (o *object) join() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.chunks) == 1 {
		return o.chunks[0]
	}
	return bytes.Join(o.chunks, nil)
}

// playlist is an object that is whole, as the playlist that it is. All who ask share it.
func (o *object) playlist() *packager.Playlist {
	o.once.Do(func() {
		body := o.join()
		o.text = packager.NewPlaylist(o.etag, body, bytes.Contains(body, []byte("\n#EXT-X-ENDLIST")))
	})
	return o.text
}

// when is the time at which an object was whole.
func (o *object) when() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.arrived
}
