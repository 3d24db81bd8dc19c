package stream

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/store"
)

// A Stream is one go-live of one channel. It implements ingest.Session.
type Stream struct {
	owner   *Streams
	log     *slog.Logger
	id      string
	request ingest.Request
	born    time.Time // what lastUnit counts from, so that a clock that is set starves nobody

	// Written by open, before anybody else knows of the stream.
	channel    live.Channel // as it was at go-live
	generation int64        // of the lease; every write of the record carries it

	media    *packager.Presentation
	audience *audience
	built    chan *packager.Rendition // tells run of the rendition; holds one
	done     chan struct{}            // closed by end: the encoder must go
	finished chan struct{}            // closed by Streams.release: the channel is free
	lastUnit atomic.Int64             // nanoseconds from born to the newest unit

	// run's alone, after open.
	lease     store.Lease
	good      time.Time // until then nobody else can have the lease; on the monotonic clock
	session   live.Session
	unwritten []write // changes of the record that are still to be made, oldest first

	announcing sync.Mutex // held while the roster is told, so that "gone" is the last word

	mu        sync.Mutex          // guards the fields below
	rendition *packager.Rendition // nil until the first picture
	announced ingest.Announcement
	tracks    [2]*media.Track // newest video and audio track
	started   time.Time       // zero until live
	ended     bool            // no unit reaches the rendition any more
}

func newStream(owner *Streams, ch live.Channel, r ingest.Request) *Stream {
	id, now := live.NewStreamID(), time.Now()
	r.Key = "" // it has done its work
	return &Stream{
		owner: owner, id: id, channel: ch, request: r, born: now,
		log:   owner.log.With("channel", ch.ARN.String(), "stream", id),
		media: packager.NewPresentation(), audience: newAudience(now),
		built: make(chan *packager.Rendition, 1),
		done:  make(chan struct{}), finished: make(chan struct{}),
	}
}

// ID is the stream id, "st-...".
func (st *Stream) ID() string { return st.id }

// Channel is the channel as it was at go-live. It must not be changed.
func (st *Stream) Channel() *live.Channel { return &st.channel }

// Media is what viewers play.
func (st *Stream) Media() *packager.Presentation { return st.media }

// Done is closed when the encoder must be disconnected.
func (st *Stream) Done() <-chan struct{} { return st.done }

// over reports whether the stream has ended.
func (st *Stream) over() bool {
	select {
	case <-st.done:
		return true
	default:
		return false
	}
}

// live reports whether viewers can play the stream.
func (st *Stream) live() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.started.IsZero() && !st.ended
}

// end makes the stream end, from wherever it is called; only the first reason counts.
// Viewers get the end of the playlist at once, whatever the database does.
func (st *Stream) end(reason string) {
	if st.close() {
		st.log.Info("stream ending", "reason", reason)
	}
}

func (st *Stream) close() (first bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return false
	}
	st.ended = true
	if st.rendition != nil {
		st.rendition.Close()
	}
	close(st.done)
	return true
}

// Close implements ingest.Session.
func (st *Stream) Close(clean bool) {
	if clean {
		st.end("encoder finished")
	} else {
		st.end("encoder disconnected")
	}
}

// Announce implements ingest.Session.
func (st *Stream) Announce(a ingest.Announcement) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.announced = a
}

// Metadata implements ingest.Session.
func (st *Stream) Metadata(string) {}

// errEnded ends the encoder's connection after the stream was stopped.
var errEnded = live.Errorf(live.Unavailable, "the stream was stopped")

// Write implements ingest.Session.
func (st *Stream) Write(u media.Unit) error {
	st.lastUnit.Store(int64(u.Received.Sub(st.born)))
	err := st.take(u)
	if err != nil && !errors.Is(err, errEnded) {
		st.log.Warn("media refused", "err", err)
		st.end("media not usable")
	}
	return err
}

func (st *Stream) take(u media.Unit) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return errEnded
	}
	if u.Track.Kind == media.Audio {
		st.tracks[1] = u.Track
	} else {
		st.tracks[0] = u.Track
	}
	if st.rendition == nil {
		if u.Track.Kind != media.Video || !u.Key {
			return nil // a viewer could decode nothing before the first keyframe
		}
		r, err := st.newRendition(u.Track)
		if err != nil {
			return err
		}
		st.rendition = r
		st.built <- r
	}
	return st.rendition.Write(u)
}
