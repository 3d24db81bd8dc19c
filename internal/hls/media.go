// Package hls is the text of HLS playlists (draft-pantos-hls-rfc8216bis): it writes
// media and multivariant playlists, writes delta updates, and parses what it writes.
// It does no I/O, keeps no state between playlists and decides nothing: which
// segments to list and when is the packager's business.
package hls

import (
	"strconv"
	"time"
)

// Media is a media playlist. A field at its zero value writes no tag unless said.
type Media struct {
	Version               int
	TargetDuration        time.Duration // whole seconds; always written
	Control               ServerControl
	PartTarget            time.Duration // EXT-X-PART-INF; no Part may be longer
	Sequence              int64         // media sequence number of the first segment, skipped ones included; always written
	DiscontinuitySequence int64
	Skipped               int // EXT-X-SKIP: segments that this delta update leaves out before Segments
	DateRanges            []DateRange
	Segments              []Segment
	Open                  Segment // the segment still being produced: only its Parts and what precedes them are written
	Hint                  string  // EXT-X-PRELOAD-HINT: URI of the next part
	Reports               []Report
	Prefetch              []string // EXT-X-PREFETCH, IVS's own: URIs of the segment being produced and of the next
	EndList               bool
}

// ServerControl is EXT-X-SERVER-CONTROL.
type ServerControl struct {
	CanBlockReload bool
	CanSkipUntil   time.Duration // the skip boundary: at least 6 target durations
	HoldBack       time.Duration // at least 3 target durations
	PartHoldBack   time.Duration // at least 3 part targets
}

// DateRange is EXT-X-DATERANGE: something that goes on for a while. A playlist with one
// has an EXT-X-PROGRAM-DATE-TIME, too.
type DateRange struct {
	ID       string // the same in all renditions
	Class    string // "" writes none
	Start    time.Time
	Duration time.Duration // 0 writes none: it is not known
	AdBreak  string        // the id of an ad break, by IVS's own attribute; "" writes none
}

// Segment is one media segment.
type Segment struct {
	URI             string
	Duration        time.Duration
	Title           string // of EXTINF; IVS names the source here
	Discontinuity   bool   // EXT-X-DISCONTINUITY before it
	Gap             bool   // EXT-X-GAP: there is no media for it
	ProgramDateTime time.Time
	Map             string // URI of its initialization section; written where it changes and after a discontinuity
	Parts           []Part
}

// Part is one partial segment.
type Part struct {
	URI         string
	Duration    time.Duration
	Independent bool // it can be decoded from its start
}

// Report is EXT-X-RENDITION-REPORT: how far another rendition of the stream is.
type Report struct {
	URI      string
	LastMSN  int64
	LastPart int // -1 writes none
}

// Append appends the playlist's text to b. It allocates nothing but room in b.
func (m *Media) Append(b []byte) []byte { return m.append(b, 0) }

// AppendDelta appends the playlist as a delta update, which leaves out the Skippable
// segments. With none of those it is the full playlist, as the protocol allows.
func (m *Media) AppendDelta(b []byte) []byte { return m.append(b, m.Skippable()) }

// Skippable is how many of the oldest segments a delta update may leave out: those
// that lie wholly before the skip boundary (rfc8216bis 6.2.5.1). The distance is
// measured to the end of the last complete segment, the closer of its two readings.
func (m *Media) Skippable() int {
	if m.Control.CanSkipUntil <= 0 {
		return 0
	}
	var after time.Duration
	for i := len(m.Segments) - 1; i > 0; i-- {
		if after += m.Segments[i].Duration; after >= m.Control.CanSkipUntil {
			return i
		}
	}
	return 0
}

func (m *Media) append(b []byte, skip int) []byte {
	b = append(b, "#EXTM3U\n"...)
	if m.Version > 0 {
		b = appendInt(b, "#EXT-X-VERSION:", int64(m.Version))
		b = append(b, '\n')
	}
	b = appendInt(b, "#EXT-X-TARGETDURATION:", int64(m.TargetDuration/time.Second))
	b = append(b, '\n')
	b = m.Control.append(b)
	if m.PartTarget > 0 {
		b = appendSeconds(b, "#EXT-X-PART-INF:PART-TARGET=", m.PartTarget)
		b = append(b, '\n')
	}
	b = appendInt(b, "#EXT-X-MEDIA-SEQUENCE:", m.Sequence)
	b = append(b, '\n')
	if m.DiscontinuitySequence > 0 {
		b = appendInt(b, "#EXT-X-DISCONTINUITY-SEQUENCE:", m.DiscontinuitySequence)
		b = append(b, '\n')
	}
	if n := m.Skipped + skip; n > 0 {
		b = appendInt(b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=", int64(n))
		b = append(b, '\n')
	}
	for i := range m.DateRanges {
		b = m.DateRanges[i].append(b)
	}
	section := "" // the EXT-X-MAP in force
	for i := range m.Segments[skip:] {
		s := &m.Segments[skip+i]
		b = s.appendHead(b, &section)
		b = appendSeconds(b, "#EXTINF:", s.Duration)
		b = append(b, ',')
		b = append(b, s.Title...)
		b = append(b, '\n')
		b = append(b, s.URI...)
		b = append(b, '\n')
	}
	if len(m.Open.Parts) > 0 {
		b = m.Open.appendHead(b, &section)
	}
	if m.Hint != "" {
		b = appendQuoted(b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=", m.Hint)
		b = append(b, '\n')
	}
	for i := range m.Reports {
		r := &m.Reports[i]
		b = appendQuoted(b, "#EXT-X-RENDITION-REPORT:URI=", r.URI)
		b = appendInt(b, ",LAST-MSN=", r.LastMSN)
		if r.LastPart >= 0 {
			b = appendInt(b, ",LAST-PART=", int64(r.LastPart))
		}
		b = append(b, '\n')
	}
	for _, uri := range m.Prefetch {
		b = append(b, "#EXT-X-PREFETCH:"...)
		b = append(b, uri...)
		b = append(b, '\n')
	}
	if m.EndList {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	return b
}

func (c *ServerControl) append(b []byte) []byte {
	if *c == (ServerControl{}) {
		return b
	}
	b = append(b, "#EXT-X-SERVER-CONTROL"...)
	colon := len(b) // every attribute comes with a comma before it; the first becomes the colon
	if c.CanBlockReload {
		b = append(b, ",CAN-BLOCK-RELOAD=YES"...)
	}
	if c.CanSkipUntil > 0 {
		b = appendSeconds(b, ",CAN-SKIP-UNTIL=", c.CanSkipUntil)
	}
	if c.HoldBack > 0 {
		b = appendSeconds(b, ",HOLD-BACK=", c.HoldBack)
	}
	if c.PartHoldBack > 0 {
		b = appendSeconds(b, ",PART-HOLD-BACK=", c.PartHoldBack)
	}
	b = append(b, '\n')
	b[colon] = ':'
	return b
}

func (d *DateRange) append(b []byte) []byte {
	b = appendQuoted(b, "#EXT-X-DATERANGE:ID=", d.ID)
	if d.Class != "" {
		b = appendQuoted(b, ",CLASS=", d.Class)
	}
	b = append(b, `,START-DATE="`...)
	b = d.Start.UTC().AppendFormat(b, dateTime)
	b = append(b, '"')
	if d.Duration > 0 {
		b = appendSeconds(b, ",DURATION=", d.Duration)
	}
	if d.AdBreak != "" {
		b = appendQuoted(b, ",X-NET-LIVE-VIDEO-AD-AD-BREAK-ID=", d.AdBreak)
	}
	return append(b, '\n')
}

// appendHead appends what stands before a segment's EXTINF: the tags that apply to
// it and its parts.
func (s *Segment) appendHead(b []byte, section *string) []byte {
	if s.Discontinuity {
		b = append(b, "#EXT-X-DISCONTINUITY\n"...)
	}
	// The IVS player wants the map again after a discontinuity, changed or not.
	if s.Map != "" && (s.Map != *section || s.Discontinuity) {
		b = appendQuoted(b, "#EXT-X-MAP:URI=", s.Map)
		b = append(b, '\n')
		*section = s.Map
	}
	if !s.ProgramDateTime.IsZero() {
		b = append(b, "#EXT-X-PROGRAM-DATE-TIME:"...)
		b = s.ProgramDateTime.UTC().AppendFormat(b, dateTime)
		b = append(b, '\n')
	}
	if s.Gap {
		b = append(b, "#EXT-X-GAP\n"...)
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		b = appendSeconds(b, "#EXT-X-PART:DURATION=", p.Duration)
		b = appendQuoted(b, ",URI=", p.URI)
		if p.Independent {
			b = append(b, ",INDEPENDENT=YES"...)
		}
		b = append(b, '\n')
	}
	return b
}

const dateTime = "2006-01-02T15:04:05.000Z07:00"

func appendInt(b []byte, before string, n int64) []byte {
	return strconv.AppendInt(append(b, before...), n, 10)
}

func appendQuoted(b []byte, before, s string) []byte {
	b = append(b, before...)
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendSeconds appends d in seconds, rounded to the microsecond, with three to six
// decimals: rounding is monotonic, so a part never prints longer than its target.
func appendSeconds(b []byte, before string, d time.Duration) []byte {
	b = append(b, before...)
	us := int64((d + 500) / time.Microsecond)
	b = strconv.AppendInt(b, us/1e6, 10)
	b = append(b, '.')
	digits, frac := 6, us%1e6
	for digits > 3 && frac%10 == 0 {
		digits, frac = digits-1, frac/10
	}
	at := len(b)
	b = append(b, "000000"[:digits]...)
	for i := at + digits - 1; i >= at; i-- {
		b[i], frac = byte('0'+frac%10), frac/10
	}
	return b
}
