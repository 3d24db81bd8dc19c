package packager

import (
	"bytes"
	"compress/gzip"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
)

// fixed is what a playlist promises for the life of its stream.
type fixed struct {
	lowLatency bool
	ext        string
	target     time.Duration // TARGETDURATION, whole seconds
	partTarget time.Duration // PART-TARGET, whole milliseconds
}

// A segment is complete and immutable once it is in writer.segs; an open one is seen by
// readers as a copy, whose slices do not change as far as they reach.
type segment struct {
	msn     int64
	section int         // version of its initialization section
	size    int         // bytes
	tags    hls.Segment // with all its parts
	data    [][]byte    // one entry per part
}

// A section is an initialization section.
type section struct {
	version int
	data    []byte // nil in a container that has none
}

// A snapshot is all that readers see, as of one part. It never changes; what is
// rendered of it is rendered once.
type snapshot struct {
	number uint64
	live   bool // a segment is complete
	ended  bool
	*fixed // nil until live

	segs     []*segment // complete, oldest first; those before listed are out of the playlist
	listed   int
	breaks   int64 // EXT-X-DISCONTINUITY-SEQUENCE
	open     segment
	next     int64 // media sequence number of open, or of the segment to come if there is none
	hintMSN  int64
	hintPart int
	sections []section
	ranges   []hls.DateRange
	info     Info

	wake chan struct{} // closed by the next snapshot; never if ended

	full, delta rendering
}

type rendering struct {
	once sync.Once
	p    *Playlist
}

// last is the media sequence number of the last complete segment, -1 before the first.
func (s *snapshot) last() int64 {
	if len(s.segs) == 0 {
		return -1
	}
	return s.segs[len(s.segs)-1].msn
}

// segment returns a complete segment, nil if it is gone.
func (s *snapshot) segment(msn int64) *segment {
	if len(s.segs) == 0 || msn < s.segs[0].msn || msn > s.last() {
		return nil
	}
	return s.segs[msn-s.segs[0].msn]
}

// Playlist is one rendered media playlist, shared by all who ask for the same.
type Playlist struct {
	ETag  string // weak: good for both bodies, unique within the stream and rendition
	Final bool   // it has EXT-X-ENDLIST and will not change

	body []byte
	once sync.Once
	gzip []byte
}

// NewPlaylist is a playlist that another node rendered. It keeps body.
func NewPlaylist(etag string, body []byte, final bool) *Playlist {
	return &Playlist{ETag: etag, Final: final, body: body}
}

// Body is the text. It must not be changed.
func (p *Playlist) Body() []byte { return p.body }

// Gzip is Body compressed, by the first caller. It must not be changed.
func (p *Playlist) Gzip() []byte {
	p.once.Do(func() { p.gzip = compress(p.body) })
	return p.gzip
}

// compressors is a free list: a compressor is hundreds of kilobytes, too much for
// every rendition to keep.
var compressors = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

func compress(text []byte) []byte {
	w := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	var b bytes.Buffer
	b.Grow(len(text)/3 + 64)
	w.Reset(&b)
	_, _ = w.Write(text) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// playlist renders s for r, or returns what was rendered before.
func (s *snapshot) playlist(r *Rendition, delta bool) *Playlist {
	if delta {
		s.delta.once.Do(func() {
			m := s.media(r)
			if m.Skippable() == 0 {
				s.delta.p = s.playlist(r, false)
				return
			}
			s.delta.p = &Playlist{ETag: s.etag("d"), body: m.AppendDelta(make([]byte, 0, 3<<10))}
		})
		return s.delta.p
	}
	s.full.once.Do(func() {
		m := s.media(r)
		s.full.p = &Playlist{ETag: s.etag(""), Final: s.ended, body: m.Append(make([]byte, 0, 4<<10))}
	})
	return s.full.p
}

func (s *snapshot) etag(kind string) string {
	return `W/"` + strconv.FormatUint(s.number, 36) + kind + `"`
}

// Tags of a playlist, as multiples of the target duration and the part target.
const (
	holdBack     = 3 // HOLD-BACK, rfc8216bis 4.4.3.8
	partHoldBack = 3 // PART-HOLD-BACK
	skipUntil    = 6 // CAN-SKIP-UNTIL, the least allowed
	partsListed  = 3 // parts older than that are not listed
)

// versions of the protocol that the tags need (rfc8216bis 8).
const (
	versionTS  = 3
	versionMP4 = 6 // EXT-X-MAP
	versionLow = 9 // EXT-X-SKIP
)

// media is the playlist of s. It has no EXT-X-INDEPENDENT-SEGMENTS: a keyframe distance
// beyond the target duration would break that promise, and it cannot be taken back.
func (s *snapshot) media(r *Rendition) *hls.Media {
	listed := s.segs[s.listed:]
	m := &hls.Media{
		Version: versionTS, TargetDuration: s.target,
		Control:  hls.ServerControl{HoldBack: holdBack * s.target},
		Sequence: listed[0].msn, DiscontinuitySequence: s.breaks,
		DateRanges: s.ranges,
		Segments:   make([]hls.Segment, len(listed)),
		EndList:    s.ended,
	}
	if s.ext != "ts" {
		m.Version = versionMP4
	}
	for i, seg := range listed {
		m.Segments[i] = seg.tags
	}
	if !s.lowLatency {
		clearParts(m.Segments)
		return m
	}
	m.Version = versionLow
	m.PartTarget = s.partTarget
	m.Control = hls.ServerControl{
		CanBlockReload: true, CanSkipUntil: skipUntil * s.target,
		HoldBack: holdBack * s.target, PartHoldBack: partHoldBack * s.partTarget,
	}
	if s.ended {
		clearParts(m.Segments)
		return m
	}
	m.Open = s.open.tags
	m.Hint = partURI(s.hintMSN, s.hintPart, s.ext)
	var after time.Duration // from the end of a segment to the end of the playlist
	for _, p := range m.Open.Parts {
		after += p.Duration
	}
	for i := len(m.Segments) - 1; i >= 0; i-- {
		if after >= partsListed*s.target {
			clearParts(m.Segments[:i+1])
			break
		}
		after += m.Segments[i].Duration
	}
	m.Reports = r.reports()
	m.Prefetch = []string{segmentURI(s.next, s.ext), segmentURI(s.next+1, s.ext)}
	return m
}

func clearParts(segs []hls.Segment) {
	for i := range segs {
		segs[i].Parts = nil
	}
}

// reports says how far the other renditions of the stream are.
func (r *Rendition) reports() (out []hls.Report) {
	p := r.home.Load()
	if p == nil {
		return nil
	}
	for _, o := range p.Renditions() {
		s := o.snap.Load()
		if o == r || !s.live {
			continue
		}
		rep := hls.Report{URI: "../" + o.name + "/index.m3u8", LastMSN: s.last(), LastPart: -1}
		if s.lowLatency {
			rep.LastPart = len(s.segs[len(s.segs)-1].data) - 1
			if n := len(s.open.data); n > 0 {
				rep.LastMSN, rep.LastPart = s.open.msn, n-1
			}
		}
		out = append(out, rep)
	}
	return out
}

// File names are relative and short: one rendered playlist serves every viewer,
// whatever the URL it was asked for by.

func segmentURI(msn int64, ext string) string {
	var b [32]byte
	return string(append(append(strconv.AppendInt(b[:0], msn, 10), '.'), ext...))
}

func partURI(msn int64, part int, ext string) string {
	var b [48]byte
	t := append(strconv.AppendInt(b[:0], msn, 10), '.')
	return string(append(append(strconv.AppendInt(t, int64(part), 10), '.'), ext...))
}

func sectionURI(version int, ext string) string {
	if ext == "ts" {
		return ""
	}
	return "init" + strconv.Itoa(version) + "." + ext
}
