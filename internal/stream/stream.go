package stream

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/audience"
	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/store"
)

// A Stream is one go-live of one channel. Encoders write into it, one at a time.
type Stream struct {
	owner *Streams
	log   *slog.Logger
	id    string
	born  time.Time

	// Written by open, before anybody else knows of the stream.
	channel    live.Channel // as it was at go-live
	about      event.Stream // what events say that they are about
	generation int64        // of the lease; every write of the record carries it
	meter      *meter.Meter // of what encoders send

	restriction *playback.Restriction // as it was at go-live; nil for none

	media    *packager.Presentation
	audience *audience.Audience         // at this node
	remote   remote                     // at others
	built    chan []*packager.Rendition // tells run of the renditions; holds one
	done     chan struct{}              // closed by end
	finished chan struct{}              // closed by Streams.release: the channel is free
	ladder   atomic.Pointer[ladder]     // what is encoded from the only source; nil for nothing
	alone    atomic.Pointer[rung]       // the first source's sound; nil until somebody asks for it

	events emitted // that run has not written down
	vitals vitals

	// run's alone, after open.
	lease     store.Lease
	good      time.Time // until then nobody else can have the lease; on the monotonic clock
	session   live.Session
	unwritten []write // changes of the record that are still to be made, oldest first

	announcing sync.Mutex // held while the roster is told, so that "gone" is the last word

	mu       sync.Mutex    // guards the fields below, and those of encoders
	encoder  *encoder      // whose media viewers get
	edge     edge          // of what encoders sent so far
	sources  []source      // one for each of its video tracks that had a keyframe, the first one first
	started  time.Time     // zero until live
	adsUntil time.Time     // no other ad break before that
	ended    bool          // no unit reaches a rendition any more
	code     event.Code    // why, where there is one; no longer changed once ended
	heard    time.Duration // age at the newest unit

	watched   time.Time   // last time the loop looked what lasts too long
	trial     *challenger // that wants to take over; nil for none
	takeovers int         // so far
	refused   int         // takeovers that failed and were told
	swapped   bool        // the record describes a former encoder
}

// newStream is a stream with its first encoder.
func newStream(owner *Streams, ch live.Channel, r ingest.Request, l multitrack.Ladder) (*Stream, *encoder) {
	id, now := live.NewStreamID(), time.Now()
	st := &Stream{
		owner: owner, id: id, channel: ch, born: now,
		log:   owner.log.With("channel", ch.ARN.String(), "stream", id),
		media: packager.NewPresentation(), audience: audience.New(now),
		watched: now, built: make(chan []*packager.Rendition, 1),
		done: make(chan struct{}), finished: make(chan struct{}),
		events: emitted{woken: make(chan struct{}, 1)},
	}
	st.encoder = newEncoder(st, r, l)
	return st, st.encoder
}

// ID is the stream id, "st-...".
func (st *Stream) ID() string { return st.id }

// Channel is the channel as it was at go-live. It must not be changed.
func (st *Stream) Channel() *live.Channel { return &st.channel }

// Media is what viewers play.
func (st *Stream) Media() *packager.Presentation { return st.media }

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
