package media

import "cmp"

// Retimer gives units exact timestamps again. RTMP carries milliseconds, so 30 frames
// per second arrive in steps of 33 and 34 ms; a Retimer puts frames back on the grid
// of their frame rate and audio back on its count of samples, as long as the input
// stays within what rounding explains. Input without a steady rate passes as it is.
// Time never goes back: a jump of the input becomes a continuation, shifted alike for
// both tracks so that they stay together. Output begins at one second, so that a track
// that starts a little before the first unit seen stays above 0.
//
// The zero Retimer is ready. It serves one session with MaxVideoTracks video tracks and
// one audio track and is not safe for concurrent use.
type Retimer struct {
	started bool
	shift   int64 // the newest shift from input to output; ms
	latest  int64 // output time that any track reached; ms
	video   videoClock
	more    [MaxVideoTracks - 1]*videoClock // of the tracks above 0; nil before they begin
	audio   audioClock
}

// MaxVideoTracks is how many video tracks an encoder may send. Those that are known
// send ten.
const MaxVideoTracks = 16

// Times in ms.
const (
	sessionStart = 1000
	maxBack      = 200    // a smaller step back is jitter, not a new timeline
	maxAhead     = 30_000 // longer silence ends a session, so no pause looks like this
	maxOffset    = 10_000 // of PTS from DTS
	someStep     = 20     // of a track that has shown none
)

// Video returns the timestamps, in ticks of VideoTimescale, of a frame of t with the
// given DTS and PTS - DTS in ms. Frames of one track come in decode order. Tracks are
// told apart by their ID, which is below MaxVideoTracks.
func (r *Retimer) Video(t *Track, dts, offset int64) (outDTS, outPTS int64) {
	v := r.clock(t.ID)
	return v.next(t, r.place(&v.timeline, dts), min(max(offset, 0), maxOffset))
}

func (r *Retimer) clock(id int) *videoClock {
	if id <= 0 || id >= MaxVideoTracks {
		return &r.video
	}
	v := &r.more[id-1]
	if *v == nil {
		*v = &videoClock{lead: &r.video}
	}
	return *v
}

// Audio returns the timestamp, in ticks of t.Timescale, of a frame of t at ts ms.
func (r *Retimer) Audio(t *Track, ts int64) int64 {
	return r.audio.next(t, r.place(&r.audio.timeline, ts))
}

// A timeline is how one track's input maps to the session; all in ms.
type timeline struct {
	seen  bool
	shift int64 // from input to output
	last  int64 // latest output
	step  int64 // last step forward that was an ordinary one
}

// place returns the session time, in ms, of input time in.
func (r *Retimer) place(t *timeline, in int64) int64 {
	if !r.started {
		r.started, r.shift, r.latest = true, sessionStart-in, sessionStart
	}
	if !t.seen {
		t.seen, t.shift = true, r.shift
		if out := in + t.shift; out < 0 || out < r.latest-maxAhead || out > r.latest+maxAhead {
			t.shift = r.latest - in // its clock has nothing to do with the other track's
		}
		t.last = in + t.shift
		r.latest = max(r.latest, t.last)
		return t.last
	}
	out := in + t.shift
	if !r.plausible(t, out) {
		// The input's time jumped. Follow the other track if it jumped first, else go on
		// where the session is.
		if out = in + r.shift; r.shift == t.shift || !r.plausible(t, out) {
			out = r.latest + cmp.Or(t.step, someStep)
			r.shift = out - in
		}
		t.shift = r.shift
	}
	if step := out - t.last; step > 0 && step <= maxBack {
		t.step = step
	}
	t.last = max(t.last, out)
	r.latest = max(r.latest, out)
	return out
}

func (r *Retimer) plausible(t *timeline, out int64) bool {
	return out >= t.last-maxBack && out <= r.latest+maxAhead
}

// An audioClock counts samples.
type audioClock struct {
	timeline
	running bool
	rate    int64 // Hz
	last    int64 // output; samples
}

// audioJitter is how far input may be from the count of samples, in ms: less than half
// a frame, so that a lost frame is noticed and its gap kept.
const audioJitter = 10

// next returns the timestamp in samples of a frame of t at ms of the session.
func (a *audioClock) next(t *Track, ms int64) int64 {
	if a.rate != t.Timescale {
		if a.running {
			a.last = (a.last*t.Timescale + a.rate - 1) / a.rate
		}
		a.rate = t.Timescale
	}
	in := (ms*a.rate + 500) / 1000
	if !a.running {
		a.running, a.last = true, in
		return in
	}
	due, jitter := a.last+SamplesPerFrame, audioJitter*a.rate/1000
	// A frame may also come with the timestamp of the one before: some encoders send pairs.
	if late := in - due; late > jitter || late < -jitter-SamplesPerFrame {
		due = max(in, a.last+SamplesPerFrame/2) // back in step, without going back
	}
	a.last = due
	return due
}
