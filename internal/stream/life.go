package stream

import (
	"time"

	"github.com/sluice-live/sluice/internal/event"
)

// Times of a stream's life (low-latency.md 3.2).
const (
	silence     = 30 * time.Second // without any media, and it is over
	maxDuration = 48 * time.Hour
	watchEvery  = time.Second // how late either is noticed

	// stoodStill is how late the loop must be for the whole process to have stood still.
	// What encoders sent meanwhile is still to be read.
	stoodStill = silence / 2
)

// end makes the stream end, from wherever it is called; only the first reason counts.
// Viewers get the end of the playlist at once, whatever the database does.
func (st *Stream) end(reason string) { st.fail(reason, "") }

// fail is end with the code that the event of the session's end carries.
func (st *Stream) fail(reason string, code event.Code) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.conclude(reason, code)
}

// conclude is fail with mu held.
func (st *Stream) conclude(reason string, code event.Code) {
	if st.ended {
		return
	}
	st.ended, st.code = true, code
	for _, s := range st.sources {
		s.rendition.Close()
	}
	if o := st.alone.Load(); o != nil {
		o.close()
	}
	if !st.encoder.gone {
		close(st.encoder.done)
	}
	if st.trial != nil {
		close(st.trial.done)
	}
	close(st.done)
	st.log.Info("stream ending", "reason", reason, "code", string(code))
}

// watch ends what has lasted too long: the stream, its silence, or the trial of another
// encoder. During a trial silence is no reason: that encoder is there to end it.
func (st *Stream) watch(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	age, late := now.Sub(st.born), now.Sub(st.watched)
	st.watched = now
	switch {
	case st.ended, late > stoodStill:
	case age >= maxDuration:
		st.conclude("it lasted 48 hours", "")
	case st.trial != nil && now.Sub(st.trial.since) >= trialTime:
		_ = st.takeoverFailed(event.TakeoverMediaMismatch)
		st.dismiss()
	case st.trial == nil && age-st.heard >= silence:
		st.conclude("no data for 30 seconds", "")
	}
}
