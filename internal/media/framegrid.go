package media

import "math"

// Times of the frame grid, in ticks of VideoTimescale.
const (
	msTicks   = VideoTimescale / 1000
	gridError = 2 * msTicks            // input this near to the grid is on it
	rounding  = 3 * msTicks / 2        // span that rounding to ms explains, with margin
	learnTime = 5 * VideoTimescale / 4 // 30 and 30000/1001 are 1.25 ms apart by then
	missTime  = 10 * VideoTimescale
)

const (
	learnFrames = 12 // at least, to call a rate steady
	maxMisses   = 3  // within missTime, and the rate is not what we think
)

// A frameRate is num/den frames per second; zero means none.
type frameRate struct{ num, den int64 }

// rates are those that input without a declared rate is compared with, rising.
func rates() [18]frameRate {
	return [...]frameRate{
		{10, 1},
		{12, 1},
		{25, 2},
		{15000, 1001},
		{15, 1},
		{20, 1},
		{24000, 1001},
		{24, 1},
		{25, 1},
		{30000, 1001},
		{30, 1},
		{48, 1},
		{50, 1},
		{60000, 1001},
		{60, 1},
		{100, 1},
		{120000, 1001},
		{120, 1},
	}
}

// nominal returns the exact rate that f, as a parameter set or an encoder rounds it,
// stands for: n or n*1000/1001.
func nominal(f float64) frameRate {
	const near = 3e-4
	if !(f >= 1 && f <= maxFrameRate) { // NaN as well
		return frameRate{}
	}
	if n := math.Round(f); math.Abs(f-n) <= n*near {
		return frameRate{int64(n), 1}
	}
	if n := math.Round(f * 1.001); math.Abs(f*1.001-n) <= n*near {
		return frameRate{int64(n) * 1000, 1001}
	}
	return frameRate{}
}

// ticks is where frame k begins.
func (r frameRate) ticks(k int64) int64 {
	return floorDiv(2*k*VideoTimescale*r.den+r.num, 2*r.num)
}

// index is the frame that begins nearest to t ticks.
func (r frameRate) index(t int64) int64 {
	return floorDiv(2*t*r.num+VideoTimescale*r.den, 2*VideoTimescale*r.den)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// A videoClock counts frames, while they come at a steady rate.
type videoClock struct {
	timeline
	lead  *videoClock // of the primary track, for others: frames shown together get one time
	track *Track
	last  int64 // DTS of the last frame; ticks

	rate   frameRate // of the grid in use; zero: none
	anchor int64     // of its frame 0; ticks
	index  int64     // of the last frame

	misses int   // frames off the grid, each within missTime of the one before
	missed int64 // the last of them; ticks
	learn  learner
}

// next returns the timestamps of a frame of t at ms of the session, offset being
// PTS - DTS in ms.
func (v *videoClock) next(t *Track, ms, offset int64) (dts, pts int64) {
	in := ms * msTicks
	if t != v.track {
		v.track = t
		if r := nominal(t.FrameRate); r != (frameRate{}) && r != v.rate {
			v.rate, v.anchor, v.index, v.misses = r, v.lead.near(in), -1, 0
		}
	}
	dts = max(in, v.last+msTicks)
	if v.rate == (frameRate{}) {
		if r, anchor, index, ok := v.learn.add(in); ok {
			v.rate, v.anchor, v.index, v.misses = r, anchor, index-1, 0
		}
	}
	if v.rate != (frameRate{}) {
		k := max(v.rate.index(in-v.anchor), v.index+1)
		if g := v.anchor + v.rate.ticks(k); max(in-g, g-in) <= gridError && g > v.last {
			dts, v.index = g, k
		} else {
			v.miss(dts)
		}
	}
	v.last = dts

	off := offset * msTicks
	if v.rate != (frameRate{}) {
		m := v.rate.index(off)
		if d := off - v.rate.ticks(m); max(d, -d) <= gridError {
			return dts, v.anchor + v.rate.ticks(v.index+m)
		}
	}
	return dts, dts + off
}

// near returns the time on v's grid that input at t ticks may stand for, which milliseconds
// have rounded, or t itself.
func (v *videoClock) near(t int64) int64 {
	if v == nil || v.rate == (frameRate{}) {
		return t
	}
	if g := v.anchor + v.rate.ticks(v.rate.index(t-v.anchor)); max(t-g, g-t) <= msTicks {
		return g
	}
	return t
}

// miss begins the grid anew at dts, and gives it up when that keeps happening: then
// the rate is a wrong one, or there is none.
func (v *videoClock) miss(dts int64) {
	if dts-v.missed > missTime {
		v.misses = 0
	}
	v.misses++
	v.missed, v.anchor, v.index = dts, dts, 0
	if v.misses >= maxMisses {
		v.rate, v.learn = frameRate{}, learner{}
	}
}

// A learner finds the rate of frames that nobody declared.
type learner struct {
	start      int64 // first frame; ticks
	frames     int   // seen, 0 before the first
	candidates [18]candidate
}

// A candidate is how well one of rates fits so far.
type candidate struct {
	dead      bool
	low, high int64 // distance of the frames from the grid; ticks
	index     int64 // of the last frame
}

// add takes a frame. When a rate is found, anchor and index place this frame on its grid.
func (l *learner) add(in int64) (r frameRate, anchor, index int64, ok bool) {
	if l.frames == 0 {
		*l = learner{start: in, frames: 1}
		return
	}
	l.frames++
	since, alive := in-l.start, false
	for i, r := range rates() {
		c := &l.candidates[i]
		if c.dead {
			continue
		}
		k := r.index(since)
		d := since - r.ticks(k)
		c.low, c.high = min(c.low, d), max(c.high, d)
		if c.high-c.low > rounding || k <= c.index {
			c.dead = true
			continue
		}
		c.index, alive = k, true
	}
	if alive && (since < learnTime || l.frames < learnFrames) {
		return
	}
	best := -1
	for i := range l.candidates {
		// Multiples of the real rate fit as well, but for ticks; the lowest comes first.
		const ticks = 4
		c := &l.candidates[i]
		if b := &l.candidates[max(best, 0)]; !c.dead && (best < 0 || c.high-c.low < b.high-b.low-ticks) {
			best = i
		}
	}
	if best >= 0 {
		c := l.candidates[best]
		r, anchor, index, ok = rates()[best], l.start+(c.low+c.high)/2, c.index, true
	}
	*l = learner{start: in, frames: 1}
	return r, anchor, index, ok
}
