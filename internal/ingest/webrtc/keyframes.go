package webrtc

import "time"

// The rhythm of keyframes. Browsers make one only when asked.
const (
	keyframeEvery = 2 * time.Second        // what IVS recommends; a segment begins with each
	keyframeSlack = 40 * time.Millisecond  // for a sender that keeps the same rhythm by itself
	askAgain      = 500 * time.Millisecond // while nothing can be decoded
)

// keyframes decides when a sender is asked for a keyframe: at once when nothing can be
// decoded, else so that one comes every two seconds.
type keyframes struct {
	asked  time.Time
	came   time.Time     // the newest
	answer time.Duration // how long a keyframe took the last time, up to askAgain
}

// arrived takes note of a keyframe.
func (k *keyframes) arrived(at time.Time) {
	if d := at.Sub(k.asked); d <= askAgain && k.came.Before(k.asked) {
		k.answer = d
	}
	k.came = at
}

// ask reports whether to ask now, and counts on it that the caller does. urgent says
// that nothing can be decoded.
func (k *keyframes) ask(now time.Time, urgent bool) bool {
	due := k.came.Add(keyframeEvery + keyframeSlack - k.answer)
	if urgent {
		due = now
	}
	if now.Before(due) || now.Sub(k.asked) < askAgain {
		return false
	}
	k.asked = now
	return true
}
