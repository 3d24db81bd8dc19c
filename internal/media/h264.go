package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Bounds of what an encoder's parameter sets may say.
const (
	maxParameterSet = 4096 // bytes
	maxDimension    = 8192 // pixels
	maxFrameRate    = 300  // frames per second; more is a clock, not a rate
)

// NAL unit types (H.264 table 7-1).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
)

// AVCConfig is an AVCDecoderConfigurationRecord ("avcC", ISO 14496-15 5.3.3.1).
type AVCConfig struct {
	LengthSize int      // bytes of the length before each NAL unit: 1, 2 or 4
	SPS, PPS   [][]byte // without start codes; parts of the record
}

// ParseAVCConfig reads an avcC. It does not look into the parameter sets.
func ParseAVCConfig(b []byte) (AVCConfig, error) {
	if len(b) < 7 || b[0] != 1 {
		return AVCConfig{}, errors.New("media: not an avcC")
	}
	c := AVCConfig{LengthSize: int(b[4]&3) + 1}
	if c.LengthSize == 3 {
		return AVCConfig{}, errors.New("media: avcC with 3-byte NAL lengths")
	}
	n, rest := int(b[5]&0x1f), b[6:]
	var ok bool
	if c.SPS, rest, ok = parameterSets(rest, n); !ok || len(rest) == 0 {
		return AVCConfig{}, errors.New("media: avcC cut short in its SPS")
	}
	if c.PPS, _, ok = parameterSets(rest[1:], int(rest[0])); !ok {
		return AVCConfig{}, errors.New("media: avcC cut short in its PPS")
	}
	return c, nil // what may follow for High profiles repeats the SPS
}

func parameterSets(b []byte, n int) (sets [][]byte, rest []byte, ok bool) {
	for range n {
		if len(b) < 2 {
			return nil, nil, false
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size > len(b) {
			return nil, nil, false
		}
		if size > 0 {
			sets = append(sets, b[:size:size])
		}
		b = b[size:]
	}
	return sets, b, true
}

// NewH264Track returns the track that the parameter sets describe. It keeps them.
// FrameRate is what the VUI says, 0 when it says nothing sensible.
func NewH264Track(sps, pps [][]byte) (*Track, error) {
	if len(sps) == 0 || len(pps) == 0 {
		return nil, errors.New("media: H.264 without SPS or PPS")
	}
	for _, s := range sps {
		if err := parameterSet(s, nalSPS); err != nil {
			return nil, err
		}
	}
	for _, p := range pps {
		if err := parameterSet(p, nalPPS); err != nil {
			return nil, err
		}
	}
	s, err := parseSPS(sps[0])
	if err != nil {
		return nil, err
	}
	t := &Track{
		Kind: Video, Codec: H264, Timescale: VideoTimescale, SPS: sps, PPS: pps,
		FrameRate: vuiFrameRate(s),
	}
	if t.Width, t.Height, err = dimensions(s); err != nil {
		return nil, err
	}
	return t, nil
}

func parameterSet(b []byte, typ byte) error {
	switch {
	case len(b) < 2 || b[0]&0x1f != typ:
		return fmt.Errorf("media: NAL unit is not a parameter set of type %d", typ)
	case len(b) > maxParameterSet:
		return fmt.Errorf("media: H.264 parameter set of %d bytes, limit %d", len(b), maxParameterSet)
	}
	return nil
}

// parseSPS guards the parser: a hostile SPS must not end the process.
func parseSPS(b []byte) (s *h264.SPS, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("media: SPS: %v", p)
		}
	}()
	s = new(h264.SPS)
	if err := s.Unmarshal(b); err != nil {
		return nil, fmt.Errorf("media: SPS: %w", err)
	}
	return s, nil
}

// dimensions is the size after cropping (H.264 7.4.2.1.1), computed wide enough that
// no value in the SPS can overflow.
func dimensions(s *h264.SPS) (width, height int, err error) {
	frameHeight := uint64(2)
	if s.FrameMbsOnlyFlag {
		frameHeight = 1
	}
	w := 16 * (uint64(s.PicWidthInMbsMinus1) + 1)
	h := 16 * (uint64(s.PicHeightInMapUnitsMinus1) + 1) * frameHeight
	if c := s.FrameCropping; c != nil {
		unitX, unitY := uint64(1), frameHeight // monochrome and 4:4:4
		switch s.ChromaFormatIdc {
		case 1:
			unitX, unitY = 2, 2*frameHeight
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
	if w > maxDimension || h > maxDimension {
		return 0, 0, fmt.Errorf("media: SPS with a picture of %dx%d, limit %d", w, h, maxDimension)
	}
	return int(w), int(h), nil
}

func vuiFrameRate(s *h264.SPS) float64 {
	if s.VUI == nil || s.VUI.TimingInfo == nil || s.VUI.TimingInfo.NumUnitsInTick == 0 {
		return 0
	}
	// A tick is a field's time (H.264 E.2.1).
	f := float64(s.VUI.TimingInfo.TimeScale) / (2 * float64(s.VUI.TimingInfo.NumUnitsInTick))
	if f < 1 || f > maxFrameRate || math.IsNaN(f) {
		return 0
	}
	return f
}

// CodecString is the codec in the form of RFC 6381: "avc1.4D4028", "hvc1.1.6.L120.90",
// "mp4a.40.2".
func (t *Track) CodecString() string {
	if p, ok := t.profile265(); ok {
		return p.codecString()
	}
	switch {
	case t.Codec == H264 && len(t.SPS) > 0 && len(t.SPS[0]) >= 4:
		s := t.SPS[0]
		return fmt.Sprintf("avc1.%02X%02X%02X", s[1], s[2], s[3])
	case t.Codec == AAC && len(t.Config) > 0:
		return "mp4a.40." + strconv.Itoa(int(t.Config[0]>>3))
	}
	return ""
}

// profile265 is the profile of an H.265 track.
func (t *Track) profile265() (profile, bool) {
	if t.Codec != H265 || len(t.SPS) == 0 {
		return profile{}, false
	}
	return parseProfile(t.SPS[0])
}

// Profile is the profile of H.264 or H.265 in a word, "" when it has none we know.
func (t *Track) Profile() string {
	if p, ok := t.profile265(); ok {
		return p.name()
	}
	if t.Codec != H264 || len(t.SPS) == 0 || len(t.SPS[0]) < 4 {
		return ""
	}
	switch t.SPS[0][1] {
	case 66:
		return "Baseline"
	case 77:
		return "Main"
	case 88:
		return "Extended"
	case 100:
		return "High"
	case 110:
		return "High 10"
	case 122:
		return "High 4:2:2"
	case 244:
		return "High 4:4:4"
	}
	return ""
}

// Level is the level of H.264 or H.265 as text, "4.0".
func (t *Track) Level() string {
	if p, ok := t.profile265(); ok {
		return p.levelText()
	}
	if t.Codec != H264 || len(t.SPS) == 0 || len(t.SPS[0]) < 4 {
		return ""
	}
	profile, constraints, level := t.SPS[0][1], t.SPS[0][2], t.SPS[0][3]
	if level == 9 || level == 11 && constraints&0x10 != 0 && profile <= 88 {
		return "1b" // H.264 A.3.1: constraint_set3_flag, in the older profiles
	}
	return strconv.Itoa(int(level/10)) + "." + strconv.Itoa(int(level%10))
}

// A Picture is what ParseH264 finds in an access unit.
type Picture struct {
	Data []byte // NAL units, none empty, each behind a 4-byte length
	IDR  bool
	// Slices says that there is a picture at all, and not only SEI or parameter sets.
	Slices bool
}

var errNAL = errors.New("media: NAL lengths do not add up to the access unit")

// ParseH264 checks an access unit whose NAL units are behind lengths of lengthSize
// bytes. Data is the same memory when that is 4 and no unit is empty, which is what
// encoders send; else it is a fresh buffer.
func ParseH264(data []byte, lengthSize int) (Picture, error) {
	return parsePicture(data, lengthSize, func(nal []byte, p *Picture) {
		switch typ := nal[0] & 0x1f; {
		case typ == nalIDR:
			p.IDR, p.Slices = true, true
		case typ >= nalSlice && typ < nalIDR:
			p.Slices = true
		}
	})
}

// parsePicture shows each NAL unit that is not empty to look, and puts them behind
// lengths of four bytes.
func parsePicture(data []byte, lengthSize int, look func(nal []byte, p *Picture)) (Picture, error) {
	p := Picture{Data: data}
	units, size, rewrite := 0, 0, lengthSize != 4
	for rest := data; len(rest) > 0; {
		nal, after, ok := cutNAL(rest, lengthSize)
		if !ok {
			return Picture{}, errNAL
		}
		rest = after
		if len(nal) == 0 {
			rewrite = true
			continue
		}
		units++
		size += 4 + len(nal)
		look(nal, &p)
	}
	if units == 0 {
		return Picture{}, errors.New("media: access unit without a NAL unit")
	}
	if rewrite {
		p.Data = make([]byte, 0, size)
		for rest := data; len(rest) > 0; {
			var nal []byte
			nal, rest, _ = cutNAL(rest, lengthSize)
			if len(nal) > 0 {
				p.Data = binary.BigEndian.AppendUint32(p.Data, uint32(len(nal)))
				p.Data = append(p.Data, nal...)
			}
		}
	}
	return p, nil
}

func cutNAL(b []byte, lengthSize int) (nal, rest []byte, ok bool) {
	if len(b) < lengthSize {
		return nil, nil, false
	}
	n := uint64(0)
	for _, c := range b[:lengthSize] {
		n = n<<8 | uint64(c)
	}
	if b = b[lengthSize:]; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// NALs walks the NAL units of an H.264 or H.265 Unit's Data; it stops where the lengths do not
// add up.
func NALs(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			nal, rest, ok := cutNAL(data, 4)
			if !ok || !yield(nal) {
				return
			}
			data = rest
		}
	}
}
