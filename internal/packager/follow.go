package packager

import (
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/media"
)

// Renditions that are encoded from a source follow it: they cut where it cut, by
// presentation time, and give their segments its numbers and dates. So a player finds the
// same pictures behind the same number on every rendition, however late one of them is,
// and where one has nothing to show, its playlist says so with EXT-X-GAP.

// A cut is the start of a segment of the source.
type cut struct {
	msn      int64
	pts      int64         // of its first picture
	length   time.Duration // 0 until it is complete
	broken   bool          // it begins behind a discontinuity
	breaks   int64         // discontinuities up to it, its own included
	date     time.Time     // of pts; zero when not known
	began    time.Time     // the start of the stream
	received time.Time     // when its first picture arrived
}

// maxCuts is how far a follower may be behind, in segments.
const maxCuts = maxSegments

// A timeline is where a source has cut. Its writer adds to it, followers read.
type timeline struct {
	mu     sync.Mutex // guards the fields below
	cuts   []cut      // of consecutive numbers, oldest first
	target time.Duration
}

func (t *timeline) add(c cut, target time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.target = target
	if n := len(t.cuts); n > 0 && t.cuts[n-1].msn == c.msn { // it was announced, and begins here
		t.cuts = t.cuts[:n-1]
	}
	if n := len(t.cuts); n > 0 {
		c.breaks = t.cuts[n-1].breaks
	}
	if c.broken {
		c.breaks++
	}
	if len(t.cuts) == maxCuts {
		t.cuts = append(t.cuts[:0], t.cuts[1:]...)
	}
	t.cuts = append(t.cuts, c)
}

// done notes how long the newest segment became.
func (t *timeline) done(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.cuts); n > 0 {
		t.cuts[n-1].length = d
	}
}

// at returns the newest cut within slack of a picture.
func (t *timeline) at(pts, slack int64) (cut, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.cuts) - 1; i >= 0; i-- {
		if d := t.cuts[i].pts - pts; d >= -slack && d <= slack {
			return t.cuts[i], true
		}
	}
	return cut{}, false
}

// passed returns the last cut, from number msn on, that is not after a picture. Behind a
// discontinuity times mean something else: such a cut only at can find.
func (t *timeline) passed(msn, pts, slack int64) (last cut, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.cuts {
		c := &t.cuts[i]
		if c.msn < msn {
			continue
		}
		if c.broken || c.pts > pts+slack {
			break
		}
		last, ok = *c, true
	}
	return last, ok
}

// find returns cut msn, if it is known.
func (t *timeline) find(msn int64) (cut, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cuts) == 0 || msn < t.cuts[0].msn || msn > t.cuts[len(t.cuts)-1].msn {
		return cut{}, false
	}
	return t.cuts[msn-t.cuts[0].msn], true
}

func (t *timeline) targetDuration() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.target
}

// Follow makes r, which has taken nothing yet, cut where source cuts.
func (r *Rendition) Follow(source *Rendition) { r.source = source }

// slack is how far a picture may be from where the source cut: its encoder kept the
// source's times.
func (w *writer) slack() int64 { return min(w.cadence.next()/2, media.VideoTimescale/50) }

// joins reports whether r may begin with keyframe u.
func (r *Rendition) joins(u *media.Unit) (ok bool) {
	if r.source == nil {
		return true
	}
	r.w.cut, ok = r.source.line.at(u.PTS, r.w.slack())
	return ok
}

// ends reports whether the first segment, which is span long, ends before u.
func (r *Rendition) ends(u *media.Unit, span int64) (ok bool) {
	w := &r.w
	if r.source == nil {
		return u.Key && span >= ticks(minSegment) || span+w.cadence.next() >= ticks(maxTarget+halfSecond)
	}
	_, ok = r.source.line.passed(w.cut.msn+1, u.PTS, w.slack())
	return ok || span+w.cadence.next() >= 2*ticks(maxTarget) // the source has gone on without us
}

// cuts reports whether the open segment ends before u.
func (r *Rendition) cuts(u *media.Unit) bool {
	w := &r.w
	if r.source == nil {
		return u.Key && (u.DTS-w.open.start >= ticks(minSegment) || !w.open.key || !sameTrack(u.Track, w.tracks.video)) ||
			u.DTS+w.cadence.next()-w.open.start >= w.limit
	}
	c, ok := r.source.line.passed(w.open.msn+1, u.PTS, w.slack())
	if ok {
		w.cut = c
	}
	return ok
}

// adopt gives the segment to be opened the number and the date of the source's, and lists
// as gaps those that r has missed.
func (r *Rendition) adopt() {
	if r.source == nil {
		return
	}
	w := &r.w
	c := w.cut
	if len(w.segs) == 0 {
		w.breaks = c.breaks
		if c.broken {
			w.breaks--
		}
		w.next = c.msn
	}
	for ; w.next < c.msn; w.next++ {
		missed, ok := r.source.line.find(w.next)
		if !ok { // further behind than anybody remembers
			w.segs, w.listed, w.next, w.breaks = nil, 0, c.msn, c.breaks
			break
		}
		r.keep(&segment{msn: missed.msn, section: w.sections[len(w.sections)-1].version, tags: hls.Segment{
			URI: segmentURI(missed.msn, r.ext), Title: "live", Gap: true, Duration: max(missed.length, time.Millisecond),
			Discontinuity: missed.broken, ProgramDateTime: missed.date,
			Map: sectionURI(w.sections[len(w.sections)-1].version, r.ext),
		}})
	}
	w.broken = c.broken
	w.anchorPTS, w.anchorTime, w.began = c.pts, c.date, c.began
}

// lasting is how long the source's segment msn is, 0 while that is not known.
func (r *Rendition) lasting(msn int64) time.Duration {
	if r.source == nil {
		return 0
	}
	c, _ := r.source.line.find(msn)
	return c.length
}
