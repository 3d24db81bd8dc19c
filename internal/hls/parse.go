package hls

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	errHead  = errors.New("no #EXTM3U on line 1")
	errValue = errors.New("bad value")
	errURI   = errors.New("no URI, or one where none belongs")
)

// Parse reads a media playlist. Tags that Media does not hold are ignored. Whatever
// it accepts, Append writes so that Parse reads the same again. The caller bounds text.
func Parse(text []byte) (*Media, error) {
	p := mediaParser{m: new(Media)}
	if err := eachLine(text, p.line); err != nil {
		return nil, err
	}
	if p.open {
		return nil, fmt.Errorf("hls: at the end: %w", errURI)
	}
	p.m.Open = p.seg
	return p.m, nil
}

type mediaParser struct {
	m    *Media
	seg  Segment // what the tags so far say of the next segment
	open bool    // an EXTINF waits for its URI
}

func (p *mediaParser) line(l string) error {
	if l[0] != '#' {
		if !p.open {
			return errURI
		}
		p.seg.URI = l
		p.m.Segments = append(p.m.Segments, p.seg)
		p.seg, p.open = Segment{Map: p.seg.Map}, false
		return nil
	}
	tag, v, _ := strings.Cut(l, ":")
	var err error
	switch tag {
	case "#EXT-X-VERSION":
		p.m.Version, err = parseInt(v)
	case "#EXT-X-TARGETDURATION":
		var n int
		n, err = parseInt(v)
		p.m.TargetDuration = time.Duration(n) * time.Second
	case "#EXT-X-MEDIA-SEQUENCE":
		p.m.Sequence, err = parseInt64(v)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		p.m.DiscontinuitySequence, err = parseInt64(v)
	case "#EXT-X-DISCONTINUITY":
		p.seg.Discontinuity = true
	case "#EXT-X-GAP":
		p.seg.Gap = true
	case "#EXT-X-ENDLIST":
		p.m.EndList = true
	case "#EXT-X-PROGRAM-DATE-TIME":
		p.seg.ProgramDateTime, err = parseDateTime(v)
	case "#EXTINF":
		d, title, _ := strings.Cut(v, ",")
		p.seg.Duration, err = parseSeconds(d)
		p.seg.Title, p.open = title, true
	case "#EXT-X-SERVER-CONTROL":
		err = eachAttr(v, p.control)
	case "#EXT-X-PART-INF":
		err = eachAttr(v, func(name, v string) (err error) {
			if name == "PART-TARGET" {
				p.m.PartTarget, err = parseSeconds(v)
			}
			return err
		})
	case "#EXT-X-SKIP":
		err = eachAttr(v, func(name, v string) (err error) {
			if name == "SKIPPED-SEGMENTS" {
				p.m.Skipped, err = parseInt(v)
			}
			return err
		})
	case "#EXT-X-DATERANGE":
		err = p.dateRange(v)
	case "#EXT-X-MAP":
		p.seg.Map, err = uriOf(v)
	case "#EXT-X-PART":
		err = p.part(v)
	case "#EXT-X-PRELOAD-HINT":
		err = p.hint(v)
	case "#EXT-X-PREFETCH":
		if v == "" {
			return errURI
		}
		p.m.Prefetch = append(p.m.Prefetch, v)
	case "#EXT-X-RENDITION-REPORT":
		err = p.report(v)
	}
	return err
}

func (p *mediaParser) control(name, v string) (err error) {
	c := &p.m.Control
	switch name {
	case "CAN-BLOCK-RELOAD":
		c.CanBlockReload = v == "YES"
	case "CAN-SKIP-UNTIL":
		c.CanSkipUntil, err = parseSeconds(v)
	case "HOLD-BACK":
		c.HoldBack, err = parseSeconds(v)
	case "PART-HOLD-BACK":
		c.PartHoldBack, err = parseSeconds(v)
	}
	return err
}

func (p *mediaParser) dateRange(v string) error {
	var d DateRange
	err := eachAttr(v, func(name, v string) (err error) {
		switch name {
		case "ID":
			d.ID = v
		case "CLASS":
			d.Class = v
		case "START-DATE":
			d.Start, err = parseDateTime(v)
		case "DURATION":
			d.Duration, err = parseSeconds(v)
		case "X-NET-LIVE-VIDEO-AD-AD-BREAK-ID":
			d.AdBreak = v
		}
		return err
	})
	if err == nil && (d.ID == "" || d.Start.IsZero()) {
		err = errValue
	}
	p.m.DateRanges = append(p.m.DateRanges, d)
	return err
}

func (p *mediaParser) part(v string) error {
	var part Part
	err := eachAttr(v, func(name, v string) (err error) {
		switch name {
		case "URI":
			part.URI = v
		case "DURATION":
			part.Duration, err = parseSeconds(v)
		case "INDEPENDENT":
			part.Independent = v == "YES"
		}
		return err
	})
	if err == nil && part.URI == "" {
		err = errURI
	}
	p.seg.Parts = append(p.seg.Parts, part)
	return err
}

func (p *mediaParser) hint(v string) error {
	typ := ""
	err := eachAttr(v, func(name, v string) error {
		if name == "TYPE" {
			typ = v
		}
		return nil
	})
	if err == nil && typ == "PART" {
		p.m.Hint, err = uriOf(v)
	}
	return err
}

func (p *mediaParser) report(v string) error {
	r := Report{LastPart: -1}
	err := eachAttr(v, func(name, v string) (err error) {
		switch name {
		case "URI":
			r.URI = v
		case "LAST-MSN":
			r.LastMSN, err = parseInt64(v)
		case "LAST-PART":
			r.LastPart, err = parseInt(v)
		}
		return err
	})
	if err == nil && r.URI == "" {
		err = errURI
	}
	p.m.Reports = append(p.m.Reports, r)
	return err
}

// ParseMultivariant reads a multivariant playlist; tags that Multivariant does not
// hold are ignored. The caller bounds text.
func ParseMultivariant(text []byte) (*Multivariant, error) {
	p := multiParser{m: new(Multivariant), names: map[string]string{}}
	if err := eachLine(text, p.line); err != nil {
		return nil, err
	}
	if p.open {
		return nil, fmt.Errorf("hls: at the end: %w", errURI)
	}
	for i := range p.m.Variants { // a group may be defined after its use
		p.m.Variants[i].Name = p.names[p.m.Variants[i].Group]
	}
	return p.m, nil
}

type multiParser struct {
	m     *Multivariant
	names map[string]string // NAME of each video group
	v     Variant
	open  bool // an EXT-X-STREAM-INF waits for its URI
}

func (p *multiParser) line(l string) error {
	if l[0] != '#' {
		if !p.open {
			return errURI
		}
		p.v.URI = l
		p.m.Variants = append(p.m.Variants, p.v)
		p.v, p.open = Variant{}, false
		return nil
	}
	tag, v, _ := strings.Cut(l, ":")
	switch tag {
	case "#EXT-X-SESSION-DATA":
		var d SessionData
		err := eachAttr(v, func(name, v string) error {
			switch name {
			case "DATA-ID":
				d.ID = v
			case "VALUE":
				d.Value = v
			}
			return nil
		})
		p.m.Session = append(p.m.Session, d)
		return err
	case "#EXT-X-MEDIA":
		var typ, group, label string
		err := eachAttr(v, func(name, v string) error {
			switch name {
			case "TYPE":
				typ = v
			case "GROUP-ID":
				group = v
			case "NAME":
				label = v
			}
			return nil
		})
		if typ == "VIDEO" {
			p.names[group] = label
		}
		return err
	case "#EXT-X-STREAM-INF":
		p.open = true
		return eachAttr(v, p.streamInf)
	}
	return nil
}

func (p *multiParser) streamInf(name, v string) (err error) {
	switch name {
	case "BANDWIDTH":
		p.v.Bandwidth, err = parseInt64(v)
	case "AVERAGE-BANDWIDTH":
		p.v.AverageBandwidth, err = parseInt64(v)
	case "CODECS":
		p.v.Codecs = v
	case "VIDEO":
		p.v.Group = v
	case "FRAME-RATE":
		var d time.Duration // it is written the same way, with three decimals
		d, err = parseSeconds(v)
		p.v.FrameRate = d.Round(time.Millisecond).Seconds()
	case "RESOLUTION":
		w, h, _ := strings.Cut(v, "x")
		if p.v.Width, err = parseInt(w); err == nil {
			p.v.Height, err = parseInt(h)
		}
	}
	return err
}

// eachLine calls f with every line that is not empty, after the first.
func eachLine(text []byte, f func(string) error) error {
	n := 0
	for l := range strings.Lines(string(text)) {
		n++
		l = strings.TrimRight(l, "\r\n")
		if n == 1 {
			if l != "#EXTM3U" {
				return fmt.Errorf("hls: %w", errHead)
			}
			continue
		}
		if l == "" {
			continue
		}
		if err := f(l); err != nil {
			return fmt.Errorf("hls: line %d: %w", n, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("hls: %w", errHead)
	}
	return nil
}

// eachAttr calls f with each name and value of an attribute list, quotes removed.
func eachAttr(s string, f func(name, v string) error) error {
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errValue
		}
		var v string
		if q, quoted := strings.CutPrefix(rest, `"`); quoted {
			if v, rest, ok = strings.Cut(q, `"`); !ok {
				return errValue
			}
			if rest != "" && rest[0] != ',' {
				return errValue
			}
			s = strings.TrimPrefix(rest, ",")
		} else {
			v, s, _ = strings.Cut(rest, ",")
			if strings.Contains(v, `"`) {
				return errValue
			}
		}
		if err := f(name, v); err != nil {
			return err
		}
	}
	return nil
}

func uriOf(attrs string) (uri string, err error) {
	err = eachAttr(attrs, func(name, v string) error {
		if name == "URI" {
			uri = v
		}
		return nil
	})
	if err == nil && uri == "" {
		err = errURI
	}
	return uri, err
}

func parseInt(s string) (int, error) {
	n, err := parseDigits(s, 9)
	return int(n), err
}

func parseInt64(s string) (int64, error) { return parseDigits(s, 18) }

// parseDigits reads a decimal-integer of at most limit digits, so it cannot overflow.
func parseDigits(s string, limit int) (int64, error) {
	if s == "" || len(s) > limit || s[0] == '+' || s[0] == '-' {
		return 0, errValue
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errValue
	}
	return n, nil
}

// parseSeconds reads an unsigned decimal-floating-point number of seconds, rounded
// to what appendSeconds writes.
func parseSeconds(s string) (time.Duration, error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := parseDigits(whole, 9)
	if err != nil {
		return 0, err
	}
	var ns int64
	if frac = frac[:min(len(frac), 9)]; frac != "" {
		if ns, err = parseDigits(frac, 9); err != nil {
			return 0, err
		}
		for range 9 - len(frac) {
			ns *= 10
		}
	}
	return (time.Duration(sec)*time.Second + time.Duration(ns)).Round(time.Microsecond), nil
}

func parseDateTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errValue
	}
	if t = t.UTC().Truncate(time.Millisecond); t.Year() < 1 || t.Year() > 9999 || t.IsZero() {
		return time.Time{}, errValue // a zone moved it out of what four digits can say
	}
	return t, nil
}
