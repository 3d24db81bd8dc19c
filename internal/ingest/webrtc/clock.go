package webrtc

import (
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

// Bounds of what a sender's clocks may do.
const (
	sessionStart = time.Second      // so that what is a little before the first packet stays above 0
	maxJump      = 10 * time.Second // of a track's clock against arrival; more is another clock
	maxApart     = 5 * time.Second  // of the tracks by the sender's reports; more is not believed
	inStep       = 5 * time.Millisecond
)

// A timeline lays one track's RTP clock over the session's time. Times are in ticks of
// the track's clock unless they say otherwise.
type timeline struct {
	rate   int64 // ticks per second
	seen   bool
	newest int64     // extended RTP timestamp of the newest unit
	at     time.Time // when that arrived
	shift  int64     // from extended timestamps to the session's time

	// From the newest sender report.
	reported bool
	rtp      int64         // extended timestamp
	ntp      time.Duration // the same moment on the sender's wall clock, since 1900
}

// extend returns the extended timestamp nearest to the newest one.
func (t *timeline) extend(ts uint32) int64 {
	return t.newest + int64(int32(ts-uint32(t.newest)))
}

// A sessionClock gives the units of both tracks timestamps of one session. Sound is
// counted in samples and never moved. Pictures are put where they belong by the
// sender's reports (RFC 3550 6.4.1); until both tracks have one, by arrival. What the
// reports then say is approached by stretching time a little, so that nothing jumps.
type sessionClock struct {
	started bool
	began   time.Time // arrival that is sessionStart
	audio   timeline
	video   timeline
	shown   bool  // a picture has a time
	last    int64 // the newest picture's time
}

func newSessionClock() *sessionClock {
	return &sessionClock{audio: timeline{rate: opusRate}, video: timeline{rate: media.VideoTimescale}}
}

// place returns the session's time of a unit of t.
func (c *sessionClock) place(t *timeline, ts uint32, at time.Time) int64 {
	if !c.started {
		c.started, c.began = true, at
	}
	if !t.seen {
		t.newest = int64(ts)
	}
	ext := t.extend(ts)
	drift := media.Time(ext-t.newest, t.rate) - at.Sub(t.at)
	if jumped := drift > maxJump || drift < -maxJump; !t.seen || jumped {
		t.seen, t.reported = true, false
		t.newest, t.at = ext, at
		t.shift = media.Ticks(sessionStart+at.Sub(c.began), t.rate) - ext
	}
	if ext > t.newest {
		t.newest, t.at = ext, at
	}
	return ext + t.shift
}

// report takes a sender report of t: an RTP timestamp and the 64-bit NTP time of the
// same moment.
func (c *sessionClock) report(t *timeline, ts uint32, ntp uint64) {
	if !t.seen {
		return // it cannot be extended yet; another one comes
	}
	t.reported = true
	t.rtp = t.extend(ts)
	t.ntp = time.Duration(ntp>>32)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
}

// soundAt returns the session's time of sound, in samples.
func (c *sessionClock) soundAt(ts uint32, at time.Time) int64 { return c.place(&c.audio, ts, at) }

// pictureAt returns the session's time of a picture, in ticks of video. ok is false for
// one that is not after the last.
func (c *sessionClock) pictureAt(ts uint32, at time.Time) (t int64, ok bool) {
	v := &c.video
	before := v.newest
	t = c.place(v, ts, at)
	if apart, known := c.apart(); known {
		limit := max(v.newest-before, 0) / 10
		if !c.shown {
			limit = max(apart, -apart)
		}
		if small := media.Ticks(inStep, v.rate); c.shown && apart < small && apart > -small {
			limit = 0
		}
		move := min(max(apart, -limit), limit)
		v.shift += move
		t += move
	}
	if c.shown && t <= c.last {
		return 0, false
	}
	c.shown, c.last = true, t
	return t, true
}

// apart is how much later pictures should be, by what the sender says.
func (c *sessionClock) apart() (ticks int64, known bool) {
	a, v := &c.audio, &c.video
	if !a.reported || !v.reported {
		return 0, false
	}
	// The session's time of the moment of the video's report, by the sound and by the pictures.
	sound := media.Time(a.rtp+a.shift, a.rate) + v.ntp - a.ntp
	apart := sound - media.Time(v.rtp+v.shift, v.rate)
	if apart > maxApart || apart < -maxApart {
		return 0, false
	}
	return media.Ticks(apart, v.rate), true
}
