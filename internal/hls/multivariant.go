package hls

import (
	"math"
	"strconv"
)

// Multivariant is a multivariant playlist in the layout of IVS: session data, then
// for each variant its EXT-X-MEDIA of type VIDEO, its EXT-X-STREAM-INF and its URI
// (low-latency.md 4.2). IVS writes no EXT-X-VERSION here, and neither do we.
type Multivariant struct {
	Session  []SessionData
	Variants []Variant
}

// SessionData is EXT-X-SESSION-DATA.
type SessionData struct{ ID, Value string }

// Variant is one variant stream with the one rendition in its video group.
type Variant struct {
	URI              string
	Group            string // GROUP-ID of its EXT-X-MEDIA: "720p30"
	Name             string // NAME of its EXT-X-MEDIA: "720p"
	Bandwidth        int64  // peak, bits per second
	AverageBandwidth int64  // bits per second; 0 writes none
	Width, Height    int    // pixels; 0 writes none
	Codecs           string // RFC 6381
	FrameRate        float64
}

// Append appends the playlist's text to b. It allocates nothing but room in b.
func (m *Multivariant) Append(b []byte) []byte {
	b = append(b, "#EXTM3U\n"...)
	for i := range m.Session {
		b = appendQuoted(b, "#EXT-X-SESSION-DATA:DATA-ID=", m.Session[i].ID)
		b = appendQuoted(b, ",VALUE=", m.Session[i].Value)
		b = append(b, '\n')
	}
	for i := range m.Variants {
		b = m.Variants[i].append(b)
	}
	return b
}

func (v *Variant) append(b []byte) []byte {
	if v.Group != "" {
		b = appendQuoted(b, "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=", v.Group)
		b = appendQuoted(b, ",NAME=", v.Name)
		if v.Width > 0 {
			b = append(b, ",AUTOSELECT=YES,DEFAULT=YES\n"...)
		} else { // sound alone, which a player takes only when told to
			b = append(b, ",AUTOSELECT=NO,DEFAULT=NO\n"...)
		}
	}
	b = appendInt(b, "#EXT-X-STREAM-INF:BANDWIDTH=", v.Bandwidth)
	if v.AverageBandwidth > 0 {
		b = appendInt(b, ",AVERAGE-BANDWIDTH=", v.AverageBandwidth)
	}
	if v.Width > 0 && v.Height > 0 {
		b = appendInt(b, ",RESOLUTION=", int64(v.Width))
		b = appendInt(b, "x", int64(v.Height))
	}
	if v.Codecs != "" {
		b = appendQuoted(b, ",CODECS=", v.Codecs)
	}
	if v.Group != "" {
		b = appendQuoted(b, ",VIDEO=", v.Group)
	}
	if v.FrameRate > 0 && !math.IsInf(v.FrameRate, 0) {
		b = append(b, ",FRAME-RATE="...)
		b = strconv.AppendFloat(b, v.FrameRate, 'f', 3, 64)
	}
	b = append(b, '\n')
	b = append(b, v.URI...)
	return append(b, '\n')
}
