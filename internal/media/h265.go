package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// NAL unit types (H.265 table 7-1).
const (
	nal265FirstIRAP = 16 // a picture at which decoding can start: BLA, IDR, CRA
	nal265LastIRAP  = 21
	nal265LastVCL   = 31 // slices are below and here
	nal265VPS       = 32
	nal265SPS       = 33
	nal265PPS       = 34
	nal265PrefixSEI = 39
	nal265SuffixSEI = 40
)

// maxSets bounds the parameter sets of a track, or of a kind in it; encoders send three.
const maxSets = 64

// HVCConfig is an HEVCDecoderConfigurationRecord ("hvcC", ISO 14496-15 8.3.3.1).
type HVCConfig struct {
	LengthSize    int      // bytes of the length before each NAL unit: 1, 2 or 4
	VPS, SPS, PPS [][]byte // without start codes; parts of the record
}

// ParseHVCConfig reads an hvcC. It does not look into the parameter sets.
func ParseHVCConfig(b []byte) (HVCConfig, error) {
	const head = 23 // bytes, the number of arrays included
	if len(b) < head || b[0] != 1 {
		return HVCConfig{}, errors.New("media: not an hvcC")
	}
	c := HVCConfig{LengthSize: int(b[21]&3) + 1}
	if c.LengthSize == 3 {
		return HVCConfig{}, errors.New("media: hvcC with 3-byte NAL lengths")
	}
	arrays, rest, total := int(b[22]), b[head:], 0
	for range arrays {
		if len(rest) < 3 {
			return HVCConfig{}, errors.New("media: hvcC cut short in an array")
		}
		typ, n := rest[0]&0x3f, int(binary.BigEndian.Uint16(rest[1:]))
		if total += n; total > maxSets {
			return HVCConfig{}, fmt.Errorf("media: hvcC with more than %d parameter sets", maxSets)
		}
		sets, after, ok := parameterSets(rest[3:], n)
		if !ok {
			return HVCConfig{}, errors.New("media: hvcC cut short in a parameter set")
		}
		rest = after
		switch typ {
		case nal265VPS:
			c.VPS = append(c.VPS, sets...)
		case nal265SPS:
			c.SPS = append(c.SPS, sets...)
		case nal265PPS:
			c.PPS = append(c.PPS, sets...)
		}
	}
	return c, nil
}

// NewH265Track returns the track that the parameter sets describe. It keeps them.
// FrameRate is what the VUI says, 0 when it says nothing sensible.
func NewH265Track(vps, sps, pps [][]byte) (*Track, error) {
	if len(vps) == 0 || len(sps) == 0 || len(pps) == 0 {
		return nil, errors.New("media: H.265 without VPS, SPS or PPS")
	}
	for typ, sets := range map[byte][][]byte{nal265VPS: vps, nal265SPS: sps, nal265PPS: pps} {
		for _, s := range sets {
			switch {
			case len(s) < 3 || s[0]>>1&0x3f != typ:
				return nil, fmt.Errorf("media: NAL unit is not a parameter set of type %d", typ)
			case len(s) > maxParameterSet:
				return nil, fmt.Errorf("media: H.265 parameter set of %d bytes, limit %d", len(s), maxParameterSet)
			}
		}
	}
	if _, ok := parseProfile(sps[0]); !ok {
		return nil, errors.New("media: H.265 SPS without a profile")
	}
	s, err := parseSPS265(sps[0])
	if err != nil {
		return nil, err
	}
	t := &Track{
		Kind: Video, Codec: H265, Timescale: VideoTimescale, VPS: vps, SPS: sps, PPS: pps,
		FrameRate: vuiFrameRate265(s),
	}
	if t.Width, t.Height, err = dimensions265(s); err != nil {
		return nil, err
	}
	return t, nil
}

// parseSPS265 guards the parser: a hostile SPS must not end the process.
func parseSPS265(b []byte) (s *h265.SPS, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("media: H.265 SPS: %v", p)
		}
	}()
	s = new(h265.SPS)
	if err := s.Unmarshal(b); err != nil {
		return nil, fmt.Errorf("media: H.265 SPS: %w", err)
	}
	return s, nil
}

// dimensions265 is the size after the conformance window (H.265 7.4.3.2.1), computed
// wide enough that no value in the SPS can overflow.
func dimensions265(s *h265.SPS) (width, height int, err error) {
	w, h := uint64(s.PicWidthInLumaSamples), uint64(s.PicHeightInLumaSamples)
	if c := s.ConformanceWindow; c != nil {
		unitX, unitY := uint64(1), uint64(1) // monochrome and 4:4:4
		switch s.ChromaFormatIdc {
		case 1:
			unitX, unitY = 2, 2
		case 2:
			unitX = 2
		}
		cropX := unitX * (uint64(c.LeftOffset) + uint64(c.RightOffset))
		cropY := unitY * (uint64(c.TopOffset) + uint64(c.BottomOffset))
		if cropX >= w || cropY >= h {
			return 0, 0, errors.New("media: SPS crops everything away")
		}
		w, h = w-cropX, h-cropY
	}
	if w == 0 || h == 0 || w > maxDimension || h > maxDimension {
		return 0, 0, fmt.Errorf("media: SPS with a picture of %dx%d, limit %d", w, h, maxDimension)
	}
	return int(w), int(h), nil
}

func vuiFrameRate265(s *h265.SPS) float64 {
	if s.VUI == nil || s.VUI.TimingInfo == nil || s.VUI.TimingInfo.NumUnitsInTick == 0 {
		return 0
	}
	f := float64(s.VUI.TimingInfo.TimeScale) / float64(s.VUI.TimingInfo.NumUnitsInTick) // a tick is a picture's time
	if f < 1 || f > maxFrameRate || math.IsNaN(f) {
		return 0
	}
	return f
}

// A profile is the general part of profile_tier_level (H.265 7.3.3).
type profile struct {
	space, idc    byte
	high          bool // tier
	compatibility uint32
	constraints   [6]byte
	level         byte // 30 times the level
}

// parseProfile reads it from an SPS, where it stands behind three bytes.
func parseProfile(sps []byte) (p profile, ok bool) {
	const at, size = 3, 12
	var raw [at + size]byte
	n, zeros := 0, 0
	for _, c := range sps {
		if n == len(raw) {
			break
		}
		if zeros >= 2 && c == 3 { // emulation prevention
			zeros = 0
			continue
		}
		if zeros++; c != 0 {
			zeros = 0
		}
		raw[n] = c
		n++
	}
	if n < len(raw) {
		return profile{}, false
	}
	b := raw[at:]
	return profile{
		space: b[0] >> 6, high: b[0]&0x20 != 0, idc: b[0] & 0x1f,
		compatibility: binary.BigEndian.Uint32(b[1:]), constraints: [6]byte(b[5:11]), level: b[11],
	}, true
}

// codecString is the codec in the form of RFC 6381 (ISO 14496-15 annex E).
func (p profile) codecString() string {
	var b strings.Builder
	b.WriteString("hvc1.")
	if p.space > 0 {
		b.WriteByte('A' + p.space - 1)
	}
	tier := 'L'
	if p.high {
		tier = 'H'
	}
	fmt.Fprintf(&b, "%d.%X.%c%d", p.idc, bits.Reverse32(p.compatibility), tier, p.level)
	last := len(p.constraints)
	for last > 0 && p.constraints[last-1] == 0 {
		last--
	}
	for _, c := range p.constraints[:last] {
		fmt.Fprintf(&b, ".%X", c)
	}
	return b.String()
}

// name is the profile in a word, "" when it has none we know.
func (p profile) name() string {
	switch p.idc {
	case 1:
		return "Main"
	case 2:
		return "Main 10"
	case 3:
		return "Main Still Picture"
	case 4:
		return "Format Range Extensions"
	}
	return ""
}

// levelText is the level as text, "4.0".
func (p profile) levelText() string {
	return strconv.Itoa(int(p.level/30)) + "." + strconv.Itoa(int(p.level%30/3))
}

// ParseH265 is ParseH264 for H.265, where IDR says that the picture is one at which
// decoding can start: an IDR, or a CRA whose leading pictures a decoder skips.
func ParseH265(data []byte, lengthSize int) (Picture, error) {
	return parsePicture(data, lengthSize, func(nal []byte, p *Picture) {
		switch typ := nal[0] >> 1 & 0x3f; {
		case typ >= nal265FirstIRAP && typ <= nal265LastIRAP:
			p.IDR, p.Slices = true, true
		case typ <= nal265LastVCL:
			p.Slices = true
		}
	})
}
