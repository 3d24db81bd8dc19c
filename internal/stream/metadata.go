package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/id3"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
)

// errNotLive refuses a command for a stream that nobody can watch yet, or any more.
var errNotLive = live.Errorf(live.NotLive, "channel is not broadcasting")

// putMetadata puts the text of a PutMetadata into the media. It returns when the text
// has its place, before viewers can have it: the time until then is measured.
func (st *Stream) putMetadata(text string) error {
	if !st.live() {
		return errNotLive
	}
	queued := time.Now()
	return st.insert(id3.OwnerAPI, text, func(time.Time) {
		st.owner.metrics.metadataDelay.Observe(time.Since(queued).Seconds())
	})
}

// Metadata implements ingest.Session.
func (e *encoder) Metadata(text string) {
	if e.current() {
		_ = e.stream.insert(id3.OwnerInband, text, nil) // what there is no room for is counted
	}
}

// insert puts a text into the media at its next picture. The text is never logged.
func (st *Stream) insert(owner, text string, out packager.Out) error {
	m := st.owner.metrics
	err := st.media.Insert(packager.Tag{ID3: id3.Private(owner, text), Out: out})
	switch {
	case err == nil:
		m.metadata.WithLabelValues(owner).Inc()
		return nil
	case errors.Is(err, packager.ErrFull):
		err = live.Errorf(live.Throttled, "Rate exceeded: more metadata waits for the stream's next picture than it can carry")
	case errors.Is(err, packager.ErrNoRendition):
		err = errNotLive
	default:
		err = fmt.Errorf("stream: metadata: %w", err)
	}
	m.metadataDropped.Inc()
	return err
}

// current reports whether viewers get the encoder's media.
func (e *encoder) current() bool {
	st := e.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.ended && st.encoder == e
}
