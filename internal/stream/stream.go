package stream

import (
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
	channel live.Channel // as it was at go-live
	request ingest.Request

	media    *packager.Presentation
	audience *audience
	built    chan *packager.Rendition // tells run of the rendition; holds one
	done     chan struct{}            // closed by end: the encoder must go
	endOnce  sync.Once
	finished chan struct{} // closed when the record is closed and the lease is free
	closedAt atomic.Int64  // Unix nanoseconds of finished; 0 before
	lastUnit atomic.Int64  // Unix nanoseconds of the newest unit; 0 before the first

	lease   store.Lease  // run's alone, after open
	session live.Session // run's alone, after open

	mu        sync.Mutex          // guards the fields below
	rendition *packager.Rendition // nil until the first picture
	announced ingest.Announcement
	tracks    [2]*media.Track // newest video and audio track
	started   time.Time       // zero until live
	closed    bool            // no unit may reach the rendition any more
}

func newStream(owner *Streams, ch live.Channel, r ingest.Request) *Stream {
	id := live.NewStreamID()
	r.Key = "" // it has done its work
	return &Stream{
		owner: owner, id: id, channel: ch, request: r,
		log:   owner.log.With("channel", ch.ARN.String(), "stream", id),
		media: packager.NewPresentation(), audience: newAudience(),
		built: make(chan *packager.Rendition, 1),
		done:  make(chan struct{}), finished: make(chan struct{}),
	}
}

// ID is the stream id, "st-...".
func (st *Stream) ID() string { return st.id }

// Channel is the channel as it was at go-live.
func (st *Stream) Channel() live.Channel { return st.channel }

// Media is what viewers play.
func (st *Stream) Media() *packager.Presentation { return st.media }

// Done is closed when the encoder must be disconnected.
func (st *Stream) Done() <-chan struct{} { return st.done }

func (st *Stream) ended() bool {
	select {
	case <-st.done:
		return true
	default:
		return false
	}
}

func (st *Stream) live() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.started.IsZero() && !st.closed
}

func (st *Stream) finishedAt() (time.Time, bool) {
	at := st.closedAt.Load()
	return time.Unix(0, at), at != 0
}

// end makes the stream end. Only the first reason counts.
func (st *Stream) end(reason string) {
	st.endOnce.Do(func() {
		st.log.Info("stream ending", "reason", reason)
		close(st.done)
	})
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

// errEnded ends the encoder's connection after the stream was stopped.
var errEnded = live.Errorf(live.Unavailable, "the stream was stopped")

// Write implements ingest.Session.
func (st *Stream) Write(u media.Unit) error {
	st.lastUnit.Store(u.Received.UnixNano())
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.ended() {
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
			st.end("media not usable")
			return err
		}
		st.rendition = r
		st.built <- r
	}
	if err := st.rendition.Write(u); err != nil {
		st.log.Warn("media refused", "err", err)
		st.end("media not usable")
		return err
	}
	return nil
}
