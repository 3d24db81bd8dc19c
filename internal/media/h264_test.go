package media

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Records that x264 wrote, through ffmpeg's FLV muxer.
const (
	avcBaseline   = "0142c015ffe100196742c015d901b1fe4f0110000003001000000303c0f162e48001000568cb83cb20"
	avcMain       = "014d401fffe10017674d401feca02802dd808800001f480007530078c18cb001000568ebe3cb20"
	avcHigh       = "0164002affe1001b6764002aacd940780227e5c044000003000400000301e03c60c65801000668ebe3cb22c0fdf8f800"
	avcInterlaced = "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800"
	avcHigh444    = "01f4000dffe1001a67f4000d919b282a10f1f1f808800000030080000018078a14cb01000668ebe3c44844fff8f800"
	avcPortrait   = "014d401fffe10017674d401feca05a050d808800001f480005dc0078c18cb001000568ebe3cb20"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func h264Track(t testing.TB, avcC []byte) (*Track, error) {
	t.Helper()
	c, err := ParseAVCConfig(avcC)
	if err != nil {
		return nil, err
	}
	return NewH264Track(c.SPS, c.PPS)
}

func TestH264Track(t *testing.T) {
	for name, tt := range map[string]struct {
		avcC           string
		width, height  int
		rate           float64
		codec          string
		profile, level string
	}{
		"baseline":        {avcBaseline, 426, 240, 30, "avc1.42C015", "Baseline", "2.1"},
		"main 29.97":      {avcMain, 1280, 720, 30000. / 1001, "avc1.4D401F", "Main", "3.1"},
		"high, cropped":   {avcHigh, 1920, 1080, 60, "avc1.64002A", "High", "4.2"},
		"interlaced":      {avcInterlaced, 1920, 1080, 25, "avc1.640028", "High", "4.0"},
		"4:4:4, cropped":  {avcHigh444, 322, 242, 24, "avc1.F4000D", "High 4:4:4", "1.3"},
		"portrait 23.976": {avcPortrait, 720, 1280, 24000. / 1001, "avc1.4D401F", "Main", "3.1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h264Track(t, unhex(t, tt.avcC))
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != tt.width || got.Height != tt.height || got.FrameRate != tt.rate {
				t.Errorf("%dx%d at %v, want %dx%d at %v", got.Width, got.Height, got.FrameRate, tt.width, tt.height, tt.rate)
			}
			if got.CodecString() != tt.codec || got.Profile() != tt.profile || got.Level() != tt.level {
				t.Errorf("%s %q %q, want %s %q %q", got.CodecString(), got.Profile(), got.Level(), tt.codec, tt.profile, tt.level)
			}
			if got.Kind != Video || got.Codec != H264 || got.Timescale != VideoTimescale {
				t.Errorf("%v %v %d", got.Kind, got.Codec, got.Timescale)
			}
		})
	}
}

func TestLevelWords(t *testing.T) {
	for sps, want := range map[string]string{
		"\x67\x42\x10\x0b": "1b", // constraint_set3 in Baseline
		"\x67\x42\x00\x0b": "1.1",
		"\x67\x64\x10\x0b": "1.1", // in High the flag means something else
		"\x67\x64\x00\x09": "1b",
		"\x67\x64\x00\x33": "5.1",
	} {
		tr := &Track{Codec: H264, SPS: [][]byte{[]byte(sps)}}
		if got := tr.Level(); got != want {
			t.Errorf("level of %x = %q, want %q", sps, got, want)
		}
	}
}

func TestH264TrackRefuses(t *testing.T) {
	good := unhex(t, avcMain)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"version 2":         edit(func(b []byte) []byte { b[0] = 2; return b }),
		"3-byte lengths":    edit(func(b []byte) []byte { b[4] = 0xfe; return b }),
		"no SPS":            {1, 77, 64, 31, 0xff, 0xe0, 1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb},
		"no PPS":            edit(func(b []byte) []byte { return append(b[:8+0x17], 0) }),
		"cut in the SPS":    good[:20],
		"cut before PPS":    good[:8+0x17],
		"cut in the PPS":    good[:len(good)-2],
		"SPS of wrong type": edit(func(b []byte) []byte { b[8] = 0x68; return b }),
		"PPS of wrong type": edit(func(b []byte) []byte { b[8+0x17+3] = 0x67; return b }),
		"SPS of one byte":   {1, 77, 64, 31, 0xff, 0xe1, 0, 1, 0x67, 1, 0, 2, 0x68, 0xeb},
	} {
		t.Run(name, func(t *testing.T) {
			if tr, err := h264Track(t, b); err == nil {
				t.Errorf("accepted as %+v", tr)
			}
		})
	}
}

func TestDimensionsAreBounded(t *testing.T) {
	const most = 1<<32 - 1
	for name, tt := range map[string]struct {
		sps  h264.SPS
		w, h int // 0: refused
	}{
		"one macroblock":            {h264.SPS{FrameMbsOnlyFlag: true}, 16, 16},
		"fields":                    {h264.SPS{PicWidthInMbsMinus1: 1}, 32, 32},
		"the most we take":          {h264.SPS{PicWidthInMbsMinus1: 511, PicHeightInMapUnitsMinus1: 511, FrameMbsOnlyFlag: true}, 8192, 8192},
		"one macroblock too wide":   {h264.SPS{PicWidthInMbsMinus1: 512, FrameMbsOnlyFlag: true}, 0, 0},
		"one macroblock too high":   {h264.SPS{PicHeightInMapUnitsMinus1: 512, FrameMbsOnlyFlag: true}, 0, 0},
		"wraps to 0 in 32 bits":     {h264.SPS{PicWidthInMbsMinus1: most, PicHeightInMapUnitsMinus1: most}, 0, 0},
		"crops everything":          {h264.SPS{ChromaFormatIdc: 1, FrameMbsOnlyFlag: true, FrameCropping: &h264.SPS_FrameCropping{LeftOffset: 4, RightOffset: 4}}, 0, 0},
		"crop wraps in 32 bits":     {h264.SPS{ChromaFormatIdc: 1, FrameMbsOnlyFlag: true, FrameCropping: &h264.SPS_FrameCropping{TopOffset: most, BottomOffset: 1}}, 0, 0},
		"monochrome crops by pixel": {h264.SPS{FrameMbsOnlyFlag: true, FrameCropping: &h264.SPS_FrameCropping{RightOffset: 3, BottomOffset: 1}}, 13, 15},
	} {
		t.Run(name, func(t *testing.T) {
			w, h, err := dimensions(&tt.sps)
			if w != tt.w || h != tt.h || (err == nil) != (tt.w > 0) {
				t.Errorf("got %dx%d, %v; want %dx%d", w, h, err, tt.w, tt.h)
			}
		})
	}
}

func TestParseH264(t *testing.T) {
	idr, slice, sei, sps := []byte{0x65, 1, 2}, []byte{0x41, 3}, []byte{0x06, 5}, []byte{0x67, 9}
	join := func(size int, nals ...[]byte) (b []byte) {
		for _, n := range nals {
			l := []byte{0, 0, 0, byte(len(n))}
			b = append(append(b, l[4-size:]...), n...)
		}
		return b
	}
	for name, tt := range map[string]struct {
		data        []byte
		size        int
		want        []byte // nil: the same memory
		idr, slices bool
		ok          bool
	}{
		"IDR with its parameter sets":    {join(4, sps, sei, idr), 4, nil, true, true, true},
		"slice":                          {join(4, slice), 4, nil, false, true, true},
		"no picture":                     {join(4, sei, sps), 4, nil, false, false, true},
		"2-byte lengths are widened":     {join(2, sei, slice), 2, join(4, sei, slice), false, true, true},
		"1-byte lengths are widened":     {join(1, idr), 1, join(4, idr), true, true, true},
		"empty NAL units are taken out":  {join(4, []byte{}, slice, nil), 4, join(4, slice), false, true, true},
		"only empty NAL units":           {join(4, nil, nil), 4, nil, false, false, false},
		"empty":                          {nil, 4, nil, false, false, false},
		"length past the end":            {[]byte{0, 0, 0, 9, 0x65}, 4, nil, false, false, false},
		"length of 2^32-1":               {[]byte{255, 255, 255, 255, 0x65}, 4, nil, false, false, false},
		"bytes left over":                {append(join(4, slice), 0, 0), 4, nil, false, false, false},
		"start codes instead of lengths": {append([]byte{0, 0, 0, 1}, idr...), 4, nil, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParseH264(tt.data, tt.size)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseH264(%x) = %v, want ok=%t", tt.data, err, tt.ok)
			}
			if !tt.ok {
				return
			}
			want := tt.want
			if want == nil {
				want = tt.data
				if &p.Data[0] != &tt.data[0] {
					t.Error("copied")
				}
			}
			if !bytes.Equal(p.Data, want) || p.IDR != tt.idr || p.Slices != tt.slices {
				t.Errorf("got %x IDR=%t slices=%t, want %x %t %t", p.Data, p.IDR, p.Slices, want, tt.idr, tt.slices)
			}
		})
	}
}

// Whatever is accepted is within the bounds that later stages rely on.
func FuzzH264ParameterSets(f *testing.F) {
	for _, s := range []string{avcBaseline, avcMain, avcHigh, avcInterlaced, avcHigh444, avcPortrait} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := h264Track(t, b)
		if err != nil {
			return
		}
		if tr.Width < 1 || tr.Height < 1 || tr.Width > maxDimension || tr.Height > maxDimension {
			t.Errorf("%dx%d", tr.Width, tr.Height)
		}
		if !(tr.FrameRate == 0 || tr.FrameRate >= 1 && tr.FrameRate <= maxFrameRate) {
			t.Errorf("%v frames per second", tr.FrameRate)
		}
		if len(tr.CodecString()) != len("avc1.4D401F") {
			t.Errorf("codec %q", tr.CodecString())
		}
		_, _ = tr.Profile(), tr.Level()
	})
}

// What ParseH264 accepts NALs walks to its last byte, without an empty unit.
func FuzzParseH264(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 0x65, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x41}, byte(4))
	f.Add([]byte{0, 2, 0x65, 1}, byte(2))
	f.Fuzz(func(t *testing.T, b []byte, size byte) {
		p, err := ParseH264(b, []int{1, 2, 4}[size%3])
		if err != nil {
			return
		}
		n := 0
		for nal := range NALs(p.Data) {
			if len(nal) == 0 {
				t.Fatal("empty NAL unit")
			}
			n += 4 + len(nal)
		}
		if n != len(p.Data) {
			t.Errorf("NALs covers %d of %d bytes", n, len(p.Data))
		}
	})
}

func BenchmarkParseH264(b *testing.B) {
	data := append([]byte{0, 0, 0, 20}, make([]byte, 20)...)
	data = append(data, 0, 0, 0x27, 0x10)
	data = append(data, bytes.Repeat([]byte{0x41}, 10_000)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseH264(data, 4); err != nil {
			b.Fatal(err)
		}
	}
}
