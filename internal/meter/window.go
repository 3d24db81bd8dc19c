package meter

import "time"

// Span is how far back rates are measured.
const Span = 10 * time.Second

const (
	slotLength = 250 * time.Millisecond
	slots      = int(Span / slotLength)

	// maxLate is how much more media than time a window may hold without being faster
	// for it: what waited in a network that stalled comes all at once.
	maxLate = 10 * time.Second
)

// A window sums what arrived in the last Span. Its clock is the caller's: a time since
// some start, which goes forward. The zero window has begun with its first sample.
type window struct {
	begun bool
	since time.Duration // of the first sample
	now   time.Duration // of the newest
	slot  int64         // number of the newest one
	ring  [slots]struct {
		sum   int64
		media time.Duration // what media had come to when the slot began
	}
	sum     int64 // of the ring
	playing bool
	media   time.Duration // what media has come to
}

// add takes amount, which arrived at now.
func (w *window) add(now time.Duration, amount int64) {
	if !w.begun {
		w.begun, w.since, w.slot = true, now, int64(now/slotLength)
	}
	w.advance(now)
	w.ring[w.slot%int64(slots)].sum += amount
	w.sum += amount
}

// play says what time media has come to. A window over several tracks follows one.
func (w *window) play(media time.Duration) {
	if d := media - w.media; !w.playing || d > maxLate || d < -maxLate { // another timeline
		w.playing, w.media = true, media
		for i := range w.ring {
			w.ring[i].media = media
		}
	}
	w.media = max(w.media, media)
}

// advance forgets what is older than Span at now.
func (w *window) advance(now time.Duration) {
	w.now = max(w.now, now)
	slot := max(int64(w.now/slotLength), w.slot)
	for n := min(slot-w.slot, int64(slots)); n > 0; n-- {
		s := &w.ring[(slot-n+1)%int64(slots)]
		w.sum -= s.sum
		s.sum, s.media = 0, w.media
	}
	w.slot = slot
}

// over reports whether the window holds more than limit a second, whatever comes next.
// What has arrived in less time counts as if nothing followed it, so that a burst is
// no breach. Media that was held up on its way is given the time that it plays for.
func (w *window) over(limit float64) bool {
	return float64(w.sum) > limit*max(Span, w.played()).Seconds()
}

// rate is the amount a second of what the window holds.
func (w *window) rate() float64 {
	const least = time.Second
	return float64(w.sum) / max(min(Span, w.now-w.since), w.played(), least).Seconds()
}

// played is how much media the window holds.
func (w *window) played() time.Duration {
	oldest := w.ring[(w.slot+1)%int64(slots)].media
	return min(w.media-oldest, Span+maxLate)
}

// last is what arrived in the last d, in whole slots, the one being filled left out.
// The caller has advanced the window.
func (w *window) last(d time.Duration) int64 {
	var sum int64
	for n := range int64(min(d, Span-slotLength) / slotLength) {
		if slot := w.slot - 1 - n; slot >= 0 {
			sum += w.ring[slot%int64(slots)].sum
		}
	}
	return sum
}
