// Package hls reads as much of an HLS playlist as a load generator needs, fast enough
// for thousands of viewers on one core: parts, segments, prefetch segments and the
// delivery directives (draft-pantos-hls-rfc8216bis). It validates nothing and writes
// nothing; the server's own package hls is not used, so that a mistake there is not
// made twice.
package hls

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Pos is a place in a media playlist: a media sequence number and a part index, which
// is -1 for a whole segment.
type Pos struct {
	MSN  int
	Part int
}

// After orders positions of the same kind.
func (p Pos) After(q Pos) bool { return p.MSN > q.MSN || p.MSN == q.MSN && p.Part > q.Part }

// Before returns the position before everything of a kind.
func Before(k Kind) Pos {
	if k == Parts {
		return Pos{MSN: -1, Part: 1 << 30}
	}
	return Pos{MSN: -1, Part: -1}
}

// Info is what a media playlist says of itself.
type Info struct {
	TargetDuration time.Duration
	PartTarget     time.Duration
	HoldBack       time.Duration
	PartHoldBack   time.Duration
	CanBlock       bool   // CAN-BLOCK-RELOAD
	CanSkip        bool   // CAN-SKIP-UNTIL
	Map            string // URI of EXT-X-MAP
	Hint           string // URI of EXT-X-PRELOAD-HINT:TYPE=PART
	Skipped        int    // segments left out by EXT-X-SKIP
	NextPart       Pos    // the part after the last one listed
	LastSegment    int    // number of the last complete segment; -1 if none is listed
	Ended          bool
	ByteRanges     bool // parts or segments are byte ranges, which the tools do not fetch
}

// Item is a part or a segment to fetch.
type Item struct {
	Pos         Pos
	Duration    time.Duration
	URI         string
	Independent bool
	Prefetch    bool // still growing, or not yet begun
}

// Kind selects what Scan reports.
type Kind int

// Kinds of items.
const (
	Parts    Kind = iota // EXT-X-PART
	Segments             // complete segments
	Prefetch             // complete segments and EXT-X-PREFETCH
)

// Scan reads a media playlist and appends the items of kind that come after a position.
func Scan(b []byte, kind Kind, after Pos, items []Item) (Info, []Item) {
	in := Info{LastSegment: -1}
	var msn, part int
	var length time.Duration
	var gap bool
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if line[0] != '#' {
			if kind != Parts && msn > after.MSN && !gap {
				items = append(items, Item{Pos: Pos{msn, -1}, Duration: length, URI: string(line)})
			}
			in.LastSegment = msn
			msn++
			part, gap = 0, false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "#EXT-X-PART":
			a := parsePart(value)
			in.ByteRanges = in.ByteRanges || a.ranged
			if p := (Pos{msn, part}); kind == Parts && p.After(after) && !a.gap {
				items = append(items, Item{Pos: p, Duration: a.duration, URI: string(a.uri), Independent: a.independent})
			}
			part++
		case "#EXTINF":
			v, _, _ := bytes.Cut(value, []byte(","))
			length = seconds(v)
		case "#EXT-X-GAP":
			gap = true
		case "#EXT-X-BYTERANGE":
			in.ByteRanges = true
		case "#EXT-X-MEDIA-SEQUENCE":
			msn = max(msn, number(value))
		case "#EXT-X-SKIP":
			in.Skipped = number(attr(value, "SKIPPED-SEGMENTS"))
			msn += in.Skipped
		case "#EXT-X-TARGETDURATION":
			in.TargetDuration = seconds(value)
		case "#EXT-X-PART-INF":
			in.PartTarget = seconds(attr(value, "PART-TARGET"))
		case "#EXT-X-SERVER-CONTROL":
			in.CanBlock = string(attr(value, "CAN-BLOCK-RELOAD")) == "YES"
			in.CanSkip = attr(value, "CAN-SKIP-UNTIL") != nil
			in.PartHoldBack = seconds(attr(value, "PART-HOLD-BACK"))
			in.HoldBack = seconds(attr(value, "HOLD-BACK"))
		case "#EXT-X-MAP":
			in.Map = string(attr(value, "URI"))
		case "#EXT-X-PRELOAD-HINT":
			if string(attr(value, "TYPE")) == "PART" {
				in.Hint = string(attr(value, "URI"))
				in.ByteRanges = in.ByteRanges || attr(value, "BYTERANGE-START") != nil
			}
		case "#EXT-X-ENDLIST":
			in.Ended = true
		case "#EXT-X-PREFETCH", "#EXT-X-TWITCH-PREFETCH":
			if kind == Prefetch && msn > after.MSN {
				items = append(items, Item{Pos: Pos{msn, -1}, Duration: length, URI: string(value), Prefetch: true})
			}
			// The parts of a growing segment are listed before it: its number is not taken yet.
			if kind == Prefetch {
				msn++
				part = 0
			}
		}
	}
	in.NextPart = Pos{msn, part}
	return in, items
}

type partAttrs struct {
	uri                      []byte
	duration                 time.Duration
	independent, gap, ranged bool
}

func parsePart(list []byte) partAttrs {
	var p partAttrs
	for len(list) > 0 {
		var k, v []byte
		k, v, list = next(list)
		switch string(k) {
		case "URI":
			p.uri = v
		case "DURATION":
			p.duration = seconds(v)
		case "INDEPENDENT":
			p.independent = string(v) == "YES"
		case "GAP":
			p.gap = string(v) == "YES"
		case "BYTERANGE":
			p.ranged = true
		}
	}
	return p
}

// next cuts the first attribute off an attribute list; quotes are removed.
func next(list []byte) (name, value, rest []byte) {
	name, rest, _ = bytes.Cut(list, []byte("="))
	name = bytes.TrimSpace(name)
	if len(rest) > 0 && rest[0] == '"' {
		value, rest, _ = bytes.Cut(rest[1:], []byte(`"`))
		_, rest, _ = bytes.Cut(rest, []byte(","))
		return name, value, rest
	}
	value, rest, _ = bytes.Cut(rest, []byte(","))
	return name, value, rest
}

// attr finds an attribute; nil if the list does not hold it.
func attr(list []byte, name string) []byte {
	for len(list) > 0 {
		var k, v []byte
		if k, v, list = next(list); string(k) == name {
			return v
		}
	}
	return nil
}

// number reads a decimal integer; 0 if it is none or absurd.
func number(b []byte) int {
	n, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int(n)
}

// seconds reads a decimal number of seconds; 0 if it is none or absurd.
func seconds(b []byte) time.Duration {
	s, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(s > 0 && s < 86400) {
		return 0
	}
	return time.Duration(math.Round(s * float64(time.Second)))
}

// Variant is one EXT-X-STREAM-INF.
type Variant struct {
	URI       string
	Bandwidth int    // bits per second
	Audio     string // URI of its audio rendition, if that is apart
}

// Multivariant reads a multivariant playlist; it returns none for a media playlist.
func Multivariant(b []byte) []Variant {
	type entry struct {
		Variant
		group string
	}
	var entries []entry
	audio := map[string]string{} // group: URI of its first rendition
	var open *entry
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0:
		case string(name) == "#EXT-X-MEDIA":
			group, uri := string(attr(value, "GROUP-ID")), attr(value, "URI")
			if _, dup := audio[group]; !dup && uri != nil && string(attr(value, "TYPE")) == "AUDIO" {
				audio[group] = string(uri)
			}
		case string(name) == "#EXT-X-STREAM-INF":
			open = &entry{Variant{Bandwidth: number(attr(value, "BANDWIDTH"))}, string(attr(value, "AUDIO"))}
		case line[0] != '#' && open != nil:
			open.URI = string(line)
			entries = append(entries, *open)
			open = nil
		}
	}
	vs := make([]Variant, 0, len(entries))
	for _, e := range entries { // renditions may be listed after the variant
		e.Audio = audio[e.group]
		vs = append(vs, e.Variant)
	}
	return vs
}
