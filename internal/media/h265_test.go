package media

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// Records that x265 wrote, through ffmpeg's MP4 muxer.
const (
	hvcMain   = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959809a10001002a42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000303c1a2000100074401c172b46240"
	hvcMain60 = "0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003007b959809a10001002a42010101600000030090000003000003007ba003c08010e596566924caf0168080000003008000001e04a2000100074401c172b46240"
	hvcMain10 = "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003c959809a10001002942010102200000030090000003000003003ca00d880f1c9b65959a4932bc05a02000007d20000ea601a2000100074401c172b46240"
	hvc444    = "0104080000009e08000000003cf000fcfff8f800000f03a00001001740010c01ffff0408000003009e0800000300003c959809a10001002b4201010408000003009e0800000300003c90014901f39e7cb2b349265780b4040000030004000003006020a2000100084401c172860c4624"
)

func h265Track(t testing.TB, hvcC []byte) (*Track, error) {
	t.Helper()
	c, err := ParseHVCConfig(hvcC)
	if err != nil {
		return nil, err
	}
	return NewH265Track(c.VPS, c.SPS, c.PPS)
}

func TestH265Track(t *testing.T) {
	for name, tt := range map[string]struct {
		hvcC           string
		width, height  int
		rate           float64
		codec          string
		profile, level string
	}{
		"main":                   {hvcMain, 640, 360, 30, "hvc1.1.6.L63.90", "Main", "2.1"},
		"main, cropped":          {hvcMain60, 1920, 1080, 60, "hvc1.1.6.L123.90", "Main", "4.1"},
		"main 10 at 29.97":       {hvcMain10, 426, 240, 30000. / 1001, "hvc1.2.4.L60.90", "Main 10", "2.0"},
		"4:4:4, two constraints": {hvc444, 322, 242, 24, "hvc1.4.10.L60.9E.8", "Format Range Extensions", "2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h265Track(t, unhex(t, tt.hvcC))
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != tt.width || got.Height != tt.height || got.FrameRate != tt.rate {
				t.Errorf("%dx%d at %v, want %dx%d at %v", got.Width, got.Height, got.FrameRate, tt.width, tt.height, tt.rate)
			}
			if got.CodecString() != tt.codec || got.Profile() != tt.profile || got.Level() != tt.level {
				t.Errorf("%s %q %q, want %s %q %q", got.CodecString(), got.Profile(), got.Level(), tt.codec, tt.profile, tt.level)
			}
			if got.Kind != Video || got.Codec != H265 || got.Timescale != VideoTimescale || len(got.VPS) != 1 || len(got.PPS) != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestH265CodecString(t *testing.T) {
	for want, p := range map[string]profile{
		"hvc1.1.6.L93.B0":               {idc: 1, compatibility: 0x60000000, level: 93, constraints: [6]byte{0xb0}},
		"hvc1.2.4.H153":                 {idc: 2, compatibility: 0x20000000, level: 153, high: true},
		"hvc1.A4.41.H120.B0.0.0.0.0.23": {space: 1, idc: 4, compatibility: 0x82000000, level: 120, high: true, constraints: [6]byte{0xb0, 5: 0x23}},
	} {
		if got := p.codecString(); got != want {
			t.Errorf("%+v is %s, want %s", p, got, want)
		}
	}
}

func TestH265TrackRefuses(t *testing.T) {
	good := unhex(t, hvcMain)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"version 2":          edit(func(b []byte) []byte { b[0] = 2; return b }),
		"3-byte lengths":     edit(func(b []byte) []byte { b[21] = 0x0e; return b }),
		"no arrays":          edit(func(b []byte) []byte { b[22] = 0; return b }),
		"no PPS":             edit(func(b []byte) []byte { b[22] = 2; return b }),
		"more arrays":        edit(func(b []byte) []byte { b[22] = 4; return b }),
		"cut in an array":    good[:24],
		"cut in a set":       good[:len(good)-1],
		"65535 sets":         edit(func(b []byte) []byte { b[24], b[25] = 0xff, 0xff; return b }),
		"SPS of wrong type":  edit(func(b []byte) []byte { i := bytes.Index(b, []byte{0x42, 1}); b[i] = 0x40; return b }),
		"SPS of two bytes":   append(slices.Clone(good[:23]), 0xa0, 0, 1, 0, 3, 0x40, 1, 1, 0xa1, 0, 1, 0, 2, 0x42, 1, 0xa2, 0, 1, 0, 3, 0x44, 1, 1),
		"SPS without a size": append(slices.Clone(good[:23]), 0xa0, 0, 1, 0, 3, 0x40, 1, 1, 0xa1, 0, 1, 0, 15, 0x42, 1, 1, 1, 0x60, 1, 1, 1, 0x90, 1, 1, 1, 1, 1, 63, 0xa2, 0, 1, 0, 3, 0x44, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if tr, err := h265Track(t, b); err == nil {
				t.Errorf("accepted as %+v", tr)
			}
		})
	}
}

func TestH265DimensionsAreBounded(t *testing.T) {
	const most = 1<<32 - 1
	for name, tt := range map[string]struct {
		sps  h265.SPS
		w, h int // 0: refused
	}{
		"the most we take":          {h265.SPS{PicWidthInLumaSamples: 8192, PicHeightInLumaSamples: 8192}, 8192, 8192},
		"one more":                  {h265.SPS{PicWidthInLumaSamples: 8193, PicHeightInLumaSamples: 8}, 0, 0},
		"nothing":                   {h265.SPS{PicHeightInLumaSamples: 8}, 0, 0},
		"4:2:0 crops pairs":         {h265.SPS{ChromaFormatIdc: 1, PicWidthInLumaSamples: 16, PicHeightInLumaSamples: 16, ConformanceWindow: &h265.SPS_Window{RightOffset: 1, BottomOffset: 2}}, 14, 12},
		"4:2:2 crops pairs one way": {h265.SPS{ChromaFormatIdc: 2, PicWidthInLumaSamples: 16, PicHeightInLumaSamples: 16, ConformanceWindow: &h265.SPS_Window{LeftOffset: 1, TopOffset: 2}}, 14, 14},
		"all cropped away":          {h265.SPS{PicWidthInLumaSamples: 16, PicHeightInLumaSamples: 16, ConformanceWindow: &h265.SPS_Window{RightOffset: 16}}, 0, 0},
		"a window that overflows":   {h265.SPS{ChromaFormatIdc: 1, PicWidthInLumaSamples: 16, PicHeightInLumaSamples: 16, ConformanceWindow: &h265.SPS_Window{LeftOffset: most, RightOffset: most}}, 0, 0},
	} {
		w, h, err := dimensions265(&tt.sps)
		if w != tt.w || h != tt.h || (err == nil) != (tt.w > 0) {
			t.Errorf("%s: %dx%d, %v; want %dx%d", name, w, h, err, tt.w, tt.h)
		}
	}
}

func TestParseH265(t *testing.T) {
	for name, tt := range map[string]struct {
		in          string
		size        int
		want        string
		key, slices bool
		ok          bool
	}{
		"IDR":                {"\x00\x00\x00\x03\x26\x01x", 4, "\x00\x00\x00\x03\x26\x01x", true, true, true},
		"IDR without leader": {"\x00\x00\x00\x03\x28\x01x", 4, "\x00\x00\x00\x03\x28\x01x", true, true, true},
		"CRA":                {"\x00\x00\x00\x03\x2a\x01x", 4, "\x00\x00\x00\x03\x2a\x01x", true, true, true},
		"a trailing picture": {"\x00\x00\x00\x03\x02\x01x", 4, "\x00\x00\x00\x03\x02\x01x", false, true, true},
		"2-byte lengths":     {"\x00\x03\x26\x01x", 2, "\x00\x00\x00\x03\x26\x01x", true, true, true},
		"SEI alone":          {"\x00\x00\x00\x03\x4e\x01x", 4, "\x00\x00\x00\x03\x4e\x01x", false, false, true},
		"parameter sets":     {"\x00\x00\x00\x03\x40\x01x\x00\x00\x00\x03\x26\x01x", 4, "\x00\x00\x00\x03\x40\x01x\x00\x00\x00\x03\x26\x01x", true, true, true},
		"past the end":       {"\x00\x00\x00\x04\x26\x01x", 4, "", false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParseH265([]byte(tt.in), tt.size)
			if (err == nil) != tt.ok || string(p.Data) != tt.want || p.IDR != tt.key || p.Slices != tt.slices {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// Whatever an hvcC says, the track that comes of it is one that a player can be told of.
func FuzzHVCConfig(f *testing.F) {
	for _, s := range []string{hvcMain, hvcMain60, hvcMain10, hvc444} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseHVCConfig(b)
		if err != nil {
			return
		}
		tr, err := NewH265Track(c.VPS, c.SPS, c.PPS)
		if err != nil {
			return
		}
		if tr.Width < 1 || tr.Width > maxDimension || tr.Height < 1 || tr.Height > maxDimension || tr.FrameRate < 0 || tr.FrameRate > maxFrameRate {
			t.Errorf("%dx%d at %v", tr.Width, tr.Height, tr.FrameRate)
		}
		if tr.CodecString() == "" || tr.Level() == "" {
			t.Errorf("codec %q, level %q", tr.CodecString(), tr.Level())
		}
		_ = tr.Profile()
	})
}

func FuzzParseH265(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03\x26\x01x\x00\x00\x00\x00\x00\x00\x00\x03\x02\x01x"), 4)
	f.Add([]byte("\x00\x03\x26\x01x"), 2)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if size != 1 && size != 2 && size != 4 {
			return
		}
		p, err := ParseH265(b, size)
		if err != nil {
			return
		}
		again, err := ParseH265(p.Data, 4)
		if err != nil || !bytes.Equal(again.Data, p.Data) || again.IDR != p.IDR || again.Slices != p.Slices {
			t.Errorf("%x became %+v, then %+v, %v", b, p, again, err)
		}
	})
}
