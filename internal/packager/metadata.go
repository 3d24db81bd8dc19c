package packager

import (
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/id3"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// MaxTag is the longest ID3 tag that a stream takes, in bytes.
const MaxTag = mpegts.MaxMetadata

// ErrFull means that more marks came than a stream has room for.
var ErrFull = errors.New("packager: too much metadata at once")

// ErrNoRendition means a mark for a stream without media.
var ErrNoRendition = errors.New("packager: no rendition")

// A Tag is timed metadata.
type Tag struct {
	ID3 []byte // a whole ID3 tag of at most MaxTag bytes, not to be changed any more
	Out Out
}

// A Break is a time for ads, which the playlists tell of; the stream goes on in it.
type Break struct {
	ID       string // of letters and digits
	Duration time.Duration
	Out      Out
}

// Out is called when viewers of the first rendition can have what was inserted, with its
// place on the timeline of EXT-X-PROGRAM-DATE-TIME. The goroutine that writes the media
// calls it, once at most: it must be quick, and call nothing of this package. It may be nil.
type Out func(at time.Time)

// A mark is a tag or a break on its way into a rendition.
type mark struct {
	pts int64  // ticks of video; unstamped until it is known
	id  uint32 // of a tag's event messages
	tag []byte
	ads hls.DateRange // of a break: its id and duration, and the rest with the time
	at  time.Time     // the date of pts
	out Out           // on the first rendition only
}

// unstamped is the time of a mark that goes with the next picture, whenever that is.
const unstamped = math.MinInt64

// Bounds of what waits.
const (
	maxPending = 64  // marks for the next picture of the first rendition
	maxMarks   = 256 // marks on a rendition that is behind the first; the oldest give way
	maxRanges  = 128 // breaks in a playlist; the oldest give way
)

// Insert puts a tag at the next picture of the first rendition, and at the same time of
// all others: each carries it in the part that shows that time.
func (p *Presentation) Insert(t Tag) error {
	if len(t.ID3) > MaxTag {
		return errors.New("packager: ID3 tag too long")
	}
	return p.mark(mark{pts: unstamped, tag: t.ID3, out: t.Out})
}

// InsertBreak puts a break at the next picture, like Insert. There is one at a time:
// the caller sees to that.
func (p *Presentation) InsertBreak(b Break) error {
	return p.mark(mark{pts: unstamped, ads: hls.DateRange{AdBreak: b.ID, Duration: b.Duration}, out: b.Out})
}

// PostRoll makes the playlists tell of a break at their end, unless the stream ends in
// one. It is called before there is any rendition.
func (p *Presentation) PostRoll(b Break) { p.postRoll = &b }

func (p *Presentation) mark(m mark) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.Renditions()) == 0:
		return ErrNoRendition
	case len(p.pending) >= maxPending:
		return ErrFull
	}
	p.marked++
	m.id = p.marked &^ segmentEvent
	p.pending = append(p.pending, m)
	p.waiting.Store(true)
	return nil
}

// stamp gives the marks that wait the time of the picture that r takes now, if r is the
// first rendition, and hands them to all.
func (p *Presentation) stamp(r *Rendition, pts int64) {
	if !p.waiting.Load() {
		return
	}
	all := p.Renditions()
	if all[0] != r {
		return
	}
	p.mu.Lock()
	marks := p.pending
	p.pending = nil
	p.waiting.Store(false)
	p.mu.Unlock()
	at := r.w.wall(pts)
	for i := range marks {
		m := &marks[i]
		m.pts, m.at = pts, at
		if m.tag == nil {
			m.ads = adRange(m.ads.AdBreak, at, m.ads.Duration)
		}
	}
	for _, o := range all {
		o.marks.add(marks, o == r)
	}
}

// adRange is how IVS tells of ads (low-latency.md 13).
func adRange(id string, at time.Time, d time.Duration) hls.DateRange {
	return hls.DateRange{
		ID:    "stitched-ad-" + strconv.FormatInt(at.Unix(), 10) + "-" + strconv.FormatInt(int64(d), 10),
		Class: "live-video-net-stitched-ad", Start: at, Duration: d, AdBreak: id,
	}
}

// An inbox holds the marks that a rendition has not reached yet, in order of time.
type inbox struct {
	mu    sync.Mutex // guards marks: the first rendition's writer adds, its own takes
	marks []mark
}

func (b *inbox) add(marks []mark, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if !first {
			m.out = nil
		}
		b.marks = append(b.marks, m)
	}
	if over := len(b.marks) - maxMarks; over > 0 {
		clear(b.marks[:over])
		b.marks = b.marks[over:]
	}
}

// take returns the marks before a time.
func (b *inbox) take(before int64) []mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.marks) && b.marks[n].pts < before {
		n++
	}
	due := b.marks[:n:n]
	if b.marks = b.marks[n:]; len(b.marks) == 0 {
		b.marks = nil
	}
	return due
}

// unstamp makes the marks that are left go with the next picture: their time will not
// come after a break of the timeline.
func (b *inbox) unstamp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.marks {
		b.marks[i].pts = unstamped
	}
}

// due returns what the part being gathered shows beside its pictures: at the start of a
// segment what tells players how old it is, and the marks whose time is come.
func (r *Rendition) due() (tags []mark) {
	w := &r.w
	if w.pictures == 0 {
		return nil
	}
	if len(w.open.data) == 0 && !w.open.received.IsZero() {
		tags = append(tags, w.segmentTag())
	}
	for _, m := range r.marks.take(w.shown) {
		if m.pts == unstamped {
			m.pts = earliest(w.part)
		}
		if m.tag != nil {
			tags = append(tags, m)
		} else {
			w.addRange(m.ads)
		}
		if m.out != nil {
			w.outs = append(w.outs, m)
		}
	}
	return tags
}

// addRange never writes into the slice that snapshots hold.
func (w *writer) addRange(d hls.DateRange) {
	from := max(len(w.ranges)+1-maxRanges, 0)
	w.ranges = append(w.ranges[from:len(w.ranges):len(w.ranges)], d)
}

// dropRanges lets go of the breaks that were over before the playlist begins.
func (w *writer) dropRanges(begin time.Time) {
	n := 0
	for n < len(w.ranges) && w.ranges[n].Start.Add(w.ranges[n].Duration).Before(begin) {
		n++
	}
	w.ranges = w.ranges[n:]
}

// endRange adds the break at the end of the stream, if there is to be one.
func (r *Rendition) endRange(end int64) {
	p, w := r.home.Load(), &r.w
	if p == nil || p.postRoll == nil || w.anchorTime.IsZero() || len(w.segs) == 0 {
		return
	}
	at := w.wall(end)
	if n := len(w.ranges); n > 0 && w.ranges[n-1].Start.Add(w.ranges[n-1].Duration).After(at) {
		return
	}
	b := p.postRoll
	w.addRange(adRange(b.ID, at, b.Duration))
	if b.Out != nil && p.Renditions()[0] == r {
		w.outs = append(w.outs, mark{at: at, out: b.Out})
	}
}

// wall is the date of a presentation time.
func (w *writer) wall(pts int64) time.Time { return w.anchorTime.Add(length(pts - w.anchorPTS)) }

// segmentEvent is set in the ids of the events that begin segments.
const segmentEvent = 1 << 31

// segmentTag is what the IVS player computes its latency and its sync time from
// (clients.md A.7): when the segment's first picture arrived, in ms since 1970. Ingest and
// transcoder are one here. An application of the player does not get to see it.
func (w *writer) segmentTag() mark {
	o := w.open
	ms := o.received.UnixMilli()
	b := make([]byte, 0, 160)
	b = strconv.AppendInt(append(b, `{"cmd":"ld_lat_data","ingest_r":`...), ms, 10)
	b = strconv.AppendInt(append(b, `,"ingest_s":`...), ms, 10)
	b = strconv.AppendFloat(append(b, `,"stream_offset":`...), max(o.offset.Seconds(), 0), 'f', 3, 64)
	b = strconv.AppendInt(append(b, `,"transc_r":`...), ms, 10)
	b = strconv.AppendInt(append(b, `,"transc_s":`...), max(w.part[len(w.part)-1].Received.UnixMilli(), ms), 10)
	b = append(b, '}')
	return mark{pts: o.pts, id: segmentEvent | uint32(o.msn), tag: id3.Text("segmentmetadata", string(b))}
}
