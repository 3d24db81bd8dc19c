package multitrack

import (
	"github.com/sluice-live/sluice/internal/media"
)

// A Track is one rendition that an encoder must make.
type Track struct {
	Width, Height int // pixels
	FrameRate     int // frames per second
	BitRate       int // kbit/s of 1000
	Codec         media.Codec
}

// A Ladder is the renditions of one encoder by track number, best first.
type Ladder []Track

// BitRate is that of all tracks together, in kbit/s.
func (l Ladder) BitRate() int {
	n := 0
	for _, t := range l {
		n += t.BitRate
	}
	return n
}

// A rung is one line of the table that ladders are made of.
type rung struct {
	edge       int  // the shorter one, in pixels
	rate, fast int  // kbit/s of H.264 at up to 30 frames per second, and above
	halved     bool // never above 30 frames per second
	topOnly    bool // exists only as the highest, for a canvas of its size
}

// rungs are those that IVS hands out (low-latency.md 3.4), highest first.
func rungs() []rung {
	return []rung{
		{edge: 1080, rate: 4500, fast: 6000},
		{edge: 720, rate: 2000, fast: 2500},
		{edge: 540, rate: 1300, fast: 1300, halved: true, topOnly: true},
		{edge: 480, rate: 1000, fast: 1000, halved: true},
		{edge: 360, rate: 500, fast: 500, halved: true},
		{edge: 240, rate: 300, fast: 300, halved: true, topOnly: true},
		{edge: 160, rate: 200, fast: 200, halved: true},
	}
}

// Bounds of ladders.
const (
	mostTracks    = 5
	mostBitRate   = 15_000 // kbit/s, the sound included
	audioBitRate  = 160    // kbit/s
	slowFrameRate = 30     // what counts as "30 frames per second" in the table
)

// class is a limit of resolution by its name in the API; "" and others are FULL_HD.
type class struct{ short, long int } // edges in pixels

func classOf(name string) class {
	switch name {
	case "SD":
		return class{480, 864}
	case "HD":
		return class{720, 1280}
	}
	return class{1080, 1920}
}

func (c class) min(o class) class { return class{min(c.short, o.short), min(c.long, o.long)} }

// A wish is what a ladder is made for.
type wish struct {
	width, height int   // canvas, in pixels
	frameRate     int   // frames per second
	limit         class // of every track
	bitRate       int   // kbit/s of everything; 0 for any
	tracks        int   // at most; 0 for any
	codec         media.Codec
}

// ladder makes the ladder of w, nil when not even the lowest rungs fit.
func (w wish) ladder() Ladder {
	budget := mostBitRate
	if w.bitRate > 0 {
		budget = min(budget, w.bitRate)
	}
	most, least := mostTracks, 2
	if w.tracks > 0 {
		most = min(most, w.tracks)
		least = min(least, most)
	}
	var all []rung
	for _, r := range rungs() {
		if r.edge <= min(w.width, w.height, w.limit.short) && (!r.topOnly || len(all) == 0) {
			all = append(all, r)
		}
	}
	for ; len(all) >= least; all = all[1:] {
		l := w.tracksOf(all[:min(len(all), most)])
		if l.BitRate()+audioBitRate <= budget {
			return l
		}
	}
	return nil
}

func (w wish) tracksOf(all []rung) Ladder {
	l := make(Ladder, len(all))
	for i, r := range all {
		t := Track{FrameRate: w.frameRate, BitRate: r.rate, Codec: w.codec}
		if t.FrameRate > slowFrameRate {
			if t.BitRate = r.fast; r.halved {
				t.FrameRate /= 2
			}
		}
		if w.codec == media.H265 {
			t.BitRate = t.BitRate * 2 / 3 / 50 * 50
		}
		t.Width, t.Height = w.fit(r.edge)
		l[i] = t
	}
	return l
}

// fit scales the canvas so that its shorter edge is edge, or less where the longer one
// would pass the limit. The other edge is rounded to a multiple of 4: 16:9 gives 852x480,
// 640x360 and 284x160, as on IVS.
func (w wish) fit(edge int) (width, height int) {
	short, long := min(w.width, w.height), max(w.width, w.height)
	s, l := edge, min(scale(edge, long, short), long&^1)
	if l > w.limit.long {
		s, l = scale(w.limit.long, short, long), w.limit.long
	}
	if w.width < w.height {
		return s, l
	}
	return l, s
}

// scale is v*num/den, to the nearest multiple of 4 above 0.
func scale(v, num, den int) int { return max((v*num+2*den)/(4*den)*4, 4) }
