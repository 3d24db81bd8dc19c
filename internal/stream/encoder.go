package stream

import (
	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/multitrack"
)

// An encoder is one connection that publishes into a Stream. It implements
// ingest.Session. A stream may outlive its encoder: another one can take its place.
type encoder struct {
	stream   *Stream
	request  ingest.Request    // without the key, which has done its work
	ladder   multitrack.Ladder // that its key carries; nil for a plain key
	priority int64             // against other encoders; 0 for none
	done     chan struct{}     // closed with the stream, or when another encoder took over: the connection must go

	// Guarded by stream.mu.
	announced ingest.Announcement
	tracks    tracks           // that it sends
	gate      *multitrack.Gate // what may pass of them; nil before the first unit
	gone      bool             // it left while another one was on trial
	shift     int64            // from its times to the stream's; ticks of video
	quiet     int64            // until then the stream has the sound of the former encoder, 0 for no such time; ticks of video
}

func newEncoder(st *Stream, r ingest.Request, l multitrack.Ladder) *encoder {
	r.Key = ""
	return &encoder{stream: st, request: r, ladder: l, priority: priorityOf(r), done: make(chan struct{})}
}

// tracks are what one encoder sends, the newest of each number.
type tracks struct {
	video, audio []*media.Track // by number; nil where there was none yet
}

// maxTracks bounds the numbers of an encoder's tracks of one kind.
const maxTracks = media.MaxVideoTracks

var errTracks = live.Errorf(live.Unsupported, "no more than %d tracks of a kind are supported", maxTracks)

// note takes note of a track that media came on.
func (s *tracks) note(t *media.Track) error {
	all := &s.video
	if t.Kind == media.Audio {
		all = &s.audio
	}
	if t.ID < 0 || t.ID >= maxTracks {
		return errTracks
	}
	for len(*all) <= t.ID {
		*all = append(*all, nil)
	}
	(*all)[t.ID] = t
	return nil
}

// Stream is where the encoder's media goes.
func (e *encoder) Stream() *Stream { return e.stream }

// Announce implements ingest.Session.
func (e *encoder) Announce(a ingest.Announcement) {
	e.stream.mu.Lock()
	defer e.stream.mu.Unlock()
	e.announced = a
}

// errEnded ends the encoder's connection after the stream was stopped.
var errEnded = live.Errorf(live.Unavailable, "the stream was stopped")

// Write implements ingest.Session.
func (e *encoder) Write(u media.Unit) error {
	st := e.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.ended:
		return errEnded
	case st.encoder == e:
		st.heard = u.Received.Sub(st.born)
	case st.trial == nil || st.trial.encoder != e:
		return errReplaced
	}
	err := st.take(e, u)
	switch {
	case err == nil:
		return nil
	case st.trial != nil && st.trial.encoder == e: // the stream goes on without it
		st.log.Info("media of another encoder refused", "err", err)
		err = st.takeoverFailed(event.TakeoverMediaMismatch)
		st.dismiss()
		return err
	}
	st.log.Warn("media refused", "err", err)
	code, err := st.refusedBy(err)
	st.conclude("media not usable", code)
	return err
}

// Done implements ingest.Session.
func (e *encoder) Done() <-chan struct{} { return e.done }

// Close implements ingest.Session.
func (e *encoder) Close(clean bool) {
	reason := "encoder disconnected"
	if clean {
		reason = "encoder finished"
	}
	st := e.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.ended:
	case st.encoder == e && st.trial != nil: // who is on trial often is the same encoder, come back over another network
		if !e.gone {
			e.gone = true
			close(e.done)
		}
	case st.encoder == e:
		st.conclude(reason, "")
	case st.trial != nil && st.trial.encoder == e:
		st.log.Info("takeover given up", "reason", reason)
		st.dismiss()
	}
}
