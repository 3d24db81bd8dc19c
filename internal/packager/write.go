package packager

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/media"
)

// Lengths of segments. The longest is what the largest target duration allows, which
// EXTINF meets after rounding.
const (
	minSegment = 900 * time.Millisecond // a keyframe before that does not end a segment
	minTarget  = 2 * time.Second        // of TARGETDURATION
	maxTarget  = 6 * time.Second
	halfSecond = 500 * time.Millisecond

	maxBack   = 500 * time.Millisecond // a step back of the clock up to this is jitter
	maxGap    = 5 * time.Second        // a longer pause of the pictures breaks the timeline
	maxSilent = 3 * time.Second        // audio that is away for longer leaves the tracks
)

// Bounds of memory, against input whose clock hardly moves.
const (
	maxSegmentSize = 64 << 20  // bytes
	maxHeld        = 256 << 20 // bytes of complete segments
	maxSegments    = 512
	maxUnits       = 4096 // in a part
	maxGathered    = 1 << 14
)

var errClock = errors.New("packager: too much media for the time its timestamps span")

// ticks converts to the timescale of video.
func ticks(d time.Duration) int64 { return media.Ticks(d, media.VideoTimescale) }

// length converts from the timescale of video.
func length(t int64) time.Duration { return media.Time(t, media.VideoTimescale) }

// A writer is what Write and Close keep between units. Times are in ticks of video.
type writer struct {
	format    format
	closed    bool
	withdrawn bool // closed, and not to be played
	waiting   bool // for a keyframe: nothing decodable can be kept before it
	broken    bool // the next segment begins behind a discontinuity
	spliced   bool // the next picture is another encoder's

	// Until the first segment is complete.
	gathered []media.Unit
	size     int // bytes of gathered

	// From the first segment on.
	fixed   *fixed
	tracks  tracks // in the section in force
	cadence cadence
	limit   int64 // longest segment

	heard  *media.Track // of the newest audio unit, nil before
	silent int64        // how long the pictures after that unit last

	lastDTS int64 // of the newest picture
	seen    bool  // lastDTS holds, and follows on what came before
	gop     int64 // length of the last segment that a keyframe ended

	anchorPTS  int64 // the wall clock read anchorTime when this picture came
	anchorTime time.Time
	began      time.Time // anchorTime at the start of the stream

	shown  int64           // end of what the pictures so far show, in presentation time
	ranges []hls.DateRange // that the playlist tells of; never written into
	outs   []mark          // in a part that nobody can have yet

	part     []media.Unit // of the part being gathered, in order of arrival
	pictures int          // in part
	partSize int          // bytes in part
	edge     int64        // end of the last part, start of the next: the playlist's own timeline

	cut cut // of the source, where the open segment begins

	sound, leader *media.Track // of sound alone: as it comes, and as what plays the pictures' part

	open     *open // nil between a break and the next keyframe
	next     int64 // media sequence number of the next segment
	segs     []*segment
	listed   int   // index in segs of the first in the playlist
	breaks   int64 // EXT-X-DISCONTINUITY-SEQUENCE
	sections []section
	info     Info
	bytes    int64         // of all complete segments
	length   time.Duration // of all complete segments
}

// An open segment grows with each part.
type open struct {
	segment
	start    int64 // DTS of its first picture
	key      bool  // it starts with a keyframe
	pts      int64 // of its first picture
	received time.Time
	offset   time.Duration // from the start of the stream
}

// Write takes the next access unit. It is called from one goroutine at a time and never
// waits for a viewer. An error means that the stream cannot go on.
func (r *Rendition) Write(u media.Unit) error {
	w := &r.w
	if w.closed {
		return ErrClosed
	}
	if err := check(&u, r.ext); err != nil {
		return err
	}
	if r.cfg.AudioOnly {
		if u.Track.Kind != media.Audio {
			return nil
		}
		u = w.lead(u)
	}
	if u.Track.Kind == media.Audio {
		w.heard, w.silent = u.Track, 0
	} else {
		if w.seen && w.breaksAt(&u) {
			r.interrupt()
		}
		if u.Key && (w.spliced || w.waiting && r.joins(&u)) {
			w.waiting = false
			w.anchorPTS, w.anchorTime = u.PTS, u.Received
			if w.fixed == nil {
				w.began = u.Received
				r.line.add(cut{msn: w.next, pts: u.PTS, date: u.Received, began: u.Received, received: u.Received}, 0)
			}
		}
	}
	if w.waiting {
		return nil
	}
	if u.Track.Kind == media.Video {
		if p := r.home.Load(); p != nil {
			p.stamp(r, u.PTS)
		}
		if w.seen {
			u.DTS = max(u.DTS, w.lastDTS+1)
		}
		w.tick(u.DTS)
		w.silent += min(w.cadence.next(), ticks(maxPart)) // a pause of everything is not silence
	}
	var err error
	if w.fixed == nil {
		err = r.gather(u)
	} else {
		err = r.push(u)
	}
	if u.Track.Kind == media.Video {
		w.spliced = false
	}
	return err
}

// tick takes note of a picture's decode time.
func (w *writer) tick(dts int64) {
	if w.seen {
		w.cadence.last = dts - w.lastDTS
	}
	w.lastDTS, w.seen = dts, true
}

// breaksAt reports whether picture u does not continue what came before.
func (w *writer) breaksAt(u *media.Unit) bool {
	before := w.tracks.video
	if w.fixed == nil {
		before = w.gathered[0].Track
	}
	return !sameTrack(before, u.Track) && !w.splices(before, u) ||
		u.DTS < w.lastDTS-ticks(maxBack) || u.DTS > w.lastDTS+w.cadence.next()+ticks(maxGap)
}

// Splice says that the next picture, a keyframe, comes from another encoder that goes on
// where the last one was. Its parameter sets may be others: they begin a segment, in a
// section of its own, and no break. It is called like Write.
func (r *Rendition) Splice() { r.w.spliced = true }

// splices reports whether picture u of another encoder is of the same kind as the track
// before, and so goes on without a break. Until the first segment is complete there is
// nobody for whom to avoid one.
func (w *writer) splices(before *media.Track, u *media.Unit) bool {
	t := u.Track
	return w.spliced && u.Key && w.fixed != nil &&
		before.Kind == t.Kind && before.Codec == t.Codec && before.Width == t.Width && before.Height == t.Height
}

// interrupt ends the segment where it is. The next one begins with the next keyframe,
// behind a discontinuity.
func (r *Rendition) interrupt() {
	w := &r.w
	w.waiting, w.seen, w.spliced = true, false, false
	w.gathered, w.size = nil, 0 // nobody has seen a first segment: it begins anew
	if w.fixed != nil {
		r.closeSegment(w.lastDTS + w.cadence.next())
		w.dropPart()
		w.broken, w.gop = true, 0
		r.publish()
		w.shown = unstamped
		r.marks.unstamp()
	}
}

// gather collects the first segment, which decides what never changes afterwards.
func (r *Rendition) gather(u media.Unit) error {
	w := &r.w
	if len(w.gathered) == 0 {
		w.heard = nil // audio before the keyframe promises none after it
	}
	w.gathered = append(w.gathered, u)
	w.size += len(u.Data)
	if len(w.gathered) > maxGathered || w.size > maxSegmentSize {
		return errClock
	}
	if u.Track.Kind == media.Audio {
		return nil
	}
	span := u.DTS - w.gathered[0].DTS
	if r.ends(&u, span) {
		return r.begin(length(span))
	}
	return nil
}

// begin fixes what the playlist promises for good, by the first segment of the given
// length, and cuts the segment and the picture after it.
func (r *Rendition) begin(span time.Duration) error {
	w := &r.w
	units := w.gathered
	w.gathered, w.size = nil, 0
	var dts []int64
	for i := range units {
		if units[i].Track.Kind == media.Video {
			dts = append(dts, units[i].DTS)
		}
	}
	w.cadence = measure(dts, units[0].Track.FrameRate)
	target := min(max(span.Round(time.Second), minTarget), maxTarget)
	if r.source != nil {
		target = max(r.source.line.targetDuration(), minTarget)
	}
	w.fixed = &fixed{
		lowLatency: r.cfg.LowLatency, ext: r.ext,
		target: target, partTarget: w.cadence.partTarget(r.cfg.Part),
	}
	w.limit = ticks(target + halfSecond)
	w.seen = false
	for i := range units {
		if units[i].Track.Kind == media.Video {
			w.tick(units[i].DTS)
		}
		if err := r.push(units[i]); err != nil {
			return err
		}
	}
	return nil
}

// push adds a unit to the part being gathered, after cutting what must end before it
// and before cutting what it completes.
func (r *Rendition) push(u media.Unit) error {
	w := &r.w
	if w.partSize+len(u.Data) > maxSegmentSize || w.open != nil && w.open.size+w.partSize > maxSegmentSize {
		return errClock
	}
	if u.Track.Kind == media.Audio {
		// Audio that the section does not describe waits for the next segment.
		if sameTrack(u.Track, w.tracks.audio) && len(w.part) < maxUnits {
			w.part = append(w.part, u)
			w.partSize += len(u.Data)
		}
		return nil
	}
	frame := w.cadence.next()
	switch {
	case w.open == nil:
		if err := r.openSegment(&u); err != nil {
			return err
		}
	case r.cuts(&u):
		if u.Key {
			w.gop = u.DTS - w.open.start
		}
		// With nothing cut, the segment shows with the first part of the next one:
		// nobody waits for less, and every wake-up is one for all viewers.
		if cut := r.closeSegment(u.DTS); cut || !w.fixed.lowLatency || len(w.segs) == 1 {
			r.publish()
		}
		if err := r.openSegment(&u); err != nil {
			return err
		}
	}
	if w.pictures > 0 && (!w.fits(u.DTS+frame) || len(w.part) >= maxUnits) {
		r.cutPart(u.DTS)
	}
	w.part = append(w.part, u)
	w.pictures++
	w.partSize += len(u.Data)
	w.shown = max(w.shown, u.PTS+frame)
	if end := u.DTS + frame; !w.fits(end + frame) {
		r.cutPart(end)
	}
	return nil
}

// fits reports whether a part may last until end.
func (w *writer) fits(end int64) bool {
	return end-w.edge <= ticks(w.fixed.partTarget)+w.cadence.slack()
}

// openSegment starts the segment of picture u, with new tracks if they changed. They
// change at keyframes only.
func (r *Rendition) openSegment(u *media.Unit) error {
	w := &r.w
	r.adopt()
	want := tracks{video: u.Track}
	if w.heard != nil && w.silent <= ticks(maxSilent) {
		want.audio = w.heard
	}
	if first := w.tracks.video == nil; first || u.Key && !w.tracks.same(want) {
		data, err := w.format.begin(want)
		if err != nil {
			return err
		}
		version := 0
		if !first {
			version = w.sections[len(w.sections)-1].version + 1
			if !w.spliced || !sameTrack(w.tracks.audio, want.audio) {
				w.broken = true
				w.dropPart() // what waits in it is audio of before
			}
		}
		w.tracks = want
		w.sections = append(w.sections[:len(w.sections):len(w.sections)], section{version, data})
	}
	version := w.sections[len(w.sections)-1].version
	w.open = &open{start: u.DTS, key: u.Key, pts: u.PTS, received: u.Received, segment: segment{
		msn: w.next, section: version,
		tags: hls.Segment{
			URI: segmentURI(w.next, r.ext), Title: "live", // IVS names the source so
			Discontinuity: w.broken, Map: sectionURI(version, r.ext),
		},
	}}
	if !w.anchorTime.IsZero() {
		w.open.tags.ProgramDateTime = w.wall(u.PTS)
		w.open.offset = w.open.tags.ProgramDateTime.Sub(w.began)
	}
	if r.source == nil {
		r.line.add(cut{
			msn: w.next, pts: u.PTS, broken: w.open.tags.Discontinuity,
			date: w.open.tags.ProgramDateTime, began: w.began, received: u.Received,
		}, w.fixed.target)
	} else {
		w.open.received = w.cut.received
	}
	w.next++
	w.edge, w.broken = u.DTS, false
	return nil
}

// cutPart ends the part being gathered at end and publishes it.
func (r *Rendition) cutPart(end int64) {
	r.finishPart(end)
	if r.w.fixed.lowLatency && len(r.w.segs) > 0 {
		r.publish()
	}
}

func (r *Rendition) finishPart(end int64) {
	w, o := &r.w, r.w.open
	// A picture that stays longer than predicted does not stretch the part over its
	// target; the next part starts where this one says that it ends.
	d := min(max(end-w.edge, 1), ticks(w.fixed.partTarget))
	w.edge += d
	independent, last := w.span()
	data := w.format.part(w.part, r.due(), max(end-last, 1), independent || len(o.data) == 0)
	o.tags.Parts = append(o.tags.Parts, hls.Part{
		URI: partURI(o.msn, len(o.data), r.ext), Duration: length(d), Independent: independent,
	})
	o.data = append(o.data, data)
	o.size += len(data)
	w.dropPart()
}

// span looks at the pictures of the part being gathered: whether the first is a
// keyframe, and the decode time of the last.
func (w *writer) span() (key bool, last int64) {
	first := true
	for i := range w.part {
		if u := &w.part[i]; u.Track.Kind == media.Video {
			if first {
				key, first = u.Key, false
			}
			last = u.DTS
		}
	}
	return key, last
}

func (w *writer) dropPart() {
	clear(w.part) // the units' memory is not ours to hold
	w.part, w.pictures, w.partSize = w.part[:0], 0, 0
}

// closeSegment completes the open segment, if there is one, at end. It reports whether
// that cut a last part. Audio that came after it goes into the next segment.
func (r *Rendition) closeSegment(end int64) (cut bool) {
	w, o := &r.w, r.w.open
	if o == nil {
		return false
	}
	if cut = w.pictures > 0; cut {
		r.finishPart(end)
	}
	w.open = nil
	// EXTINF is the true length, kept under what TARGETDURATION allows.
	o.tags.Duration = length(min(max(end-o.start, 1), w.limit-1))
	if d := r.lasting(o.msn); d > 0 {
		o.tags.Duration = d
	}
	r.line.done(o.tags.Duration)
	r.keep(&o.segment)
	return cut
}

// keep lists a complete segment and lets go of those that are too old.
func (r *Rendition) keep(done *segment) {
	w := &r.w
	oldFirst := int64(0)
	if len(w.segs) > 0 {
		oldFirst = w.segs[w.listed].msn
	}
	all := append(slices.Clip(w.segs), done) // a copy: snapshots hold the old one
	window := max(r.cfg.Window, 3*w.fixed.target)
	var sum time.Duration
	size, listed, kept := 0, len(all)-1, len(all)-1
	for i := len(all) - 1; i >= 0; i-- {
		if sum < window {
			listed = i
		}
		size += all[i].size
		if sum >= window+r.cfg.Keep || i < len(all)-3 && (size > maxHeld || len(all)-i > maxSegments) {
			break
		}
		kept = i
		sum += all[i].tags.Duration
	}
	listed = max(listed, kept)
	for _, s := range all[:listed] {
		if s.msn >= oldFirst && s.tags.Discontinuity {
			w.breaks++
		}
	}
	if t := all[listed].tags.ProgramDateTime; !t.IsZero() {
		w.dropRanges(t)
	}
	clear(all[:kept])
	w.segs, w.listed = all[kept:], listed-kept
	for w.sections[0].version < w.segs[0].section {
		w.sections = w.sections[1:]
	}
	if !done.tags.Gap {
		w.describe(done, r.name, r.cfg.Bandwidth)
	}
}

// describe brings Info up to date after a complete segment.
func (w *writer) describe(done *segment, name string, least int64) {
	w.bytes += int64(done.size)
	w.length += done.tags.Duration
	v := w.tracks.video
	peak := max(w.info.Bandwidth, least)
	if d := done.tags.Duration; d >= halfSecond { // rfc8216bis 4.4.6.2: of 0.5 target durations at least
		peak = max(peak, bitRate(int64(done.size), d))
	}
	average := bitRate(w.bytes, w.length)
	w.info = Info{
		Name: name, Width: v.Width, Height: v.Height, FrameRate: cmp.Or(v.FrameRate, w.cadence.rate),
		Codecs: w.tracks.codecs(), Bandwidth: max(peak, average), AverageBandwidth: average,
	}
	if w.tracks.audioOnly() {
		w.info.FrameRate = 0
	}
}

// bitRate is in bits per second.
func bitRate(bytes int64, d time.Duration) int64 {
	return int64(float64(bytes*8) / d.Seconds())
}

// Close says that the encoder is gone. It completes the last segment and ends the
// playlist; all who wait get that, or ErrNotFound. A stream that ends before its first
// segment is complete has none. It is called like Write, and again is harmless.
func (r *Rendition) Close() {
	w := &r.w
	if w.closed {
		return
	}
	if w.fixed != nil {
		end := w.lastDTS + w.cadence.next()
		if w.open != nil && w.pictures == 0 && len(w.part) > 0 {
			// Sound that outlasts the last picture has no later segment to go to.
			t := w.part[len(w.part)-1]
			end = max(end, clock(t.DTS+media.SamplesPerFrame, t.Track.Timescale))
			r.finishPart(end)
		}
		r.closeSegment(end)
		r.endRange(end)
	}
	w.closed = true
	r.publish()
	w.gathered, w.part, w.format = nil, nil, nil
}

// Withdraw says that no more of r will come although its stream goes on: it leaves the
// multivariant playlist, and its own is not found, which makes a player take another
// rendition. Complete segments stay for those who know of them. It is called like Write.
func (r *Rendition) Withdraw() {
	w := &r.w
	if w.closed {
		return
	}
	w.closed, w.withdrawn = true, true
	w.open = nil
	r.publish()
	w.gathered, w.part, w.format = nil, nil, nil
}

// publish makes a snapshot of the writer's state, wakes all who wait for one and, with
// the first, says that the stream is live.
func (r *Rendition) publish() {
	w, old := &r.w, r.snap.Load()
	s := &snapshot{
		number: old.number + 1, live: len(w.segs) > 0 && !w.withdrawn, ended: w.closed,
		fixed: w.fixed, segs: w.segs, listed: w.listed, breaks: w.breaks, sections: w.sections, ranges: w.ranges, info: w.info,
		next: w.next, wake: make(chan struct{}),
	}
	s.hintMSN = w.next
	if o := w.open; o != nil {
		s.open, s.next = o.segment, o.msn
		// Encoders keep their keyframe distance: if the segment is as long as the last
		// one, the next part starts the next segment.
		if w.gop == 0 || w.edge-o.start < w.gop-w.cadence.slack() {
			s.hintMSN, s.hintPart = o.msn, len(o.data)
		}
	}
	r.snap.Store(s)
	if s.live && !old.live {
		close(r.ready)
	}
	close(old.wake)
	for _, m := range w.outs {
		m.out(m.at)
	}
	w.outs = nil
}
