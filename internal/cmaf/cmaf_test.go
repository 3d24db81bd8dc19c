package cmaf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/google/go-cmp/cmp"
)

// Parameter sets that x264 made for 640x360 at 30 frames per second.
const (
	spsBaseline = "6742c01ed900a02ff970110000030001000003003c0f162e48"
	spsHigh     = "6764001eacd940a02ff970110000030001000003003c0f162d96"
	spsHigh422  = "677a001eb6cd940a02ff89c044000003000400000300f03c58b658"
	ppsHigh     = "68ebe3cb22c0"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func section(t testing.TB) Init {
	return Init{
		Video: &Video{
			ID: 1, Timescale: 90000, Width: 640, Height: 360,
			SPS: [][]byte{unhex(t, spsHigh)}, PPS: [][]byte{unhex(t, ppsHigh)},
		},
		Audio: &Audio{ID: 2, Timescale: 48000, SampleRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}},
	}
}

func TestInitIsReadBack(t *testing.T) {
	text := section(t).Append([]byte("before"))
	text = text[len("before"):]
	var got fmp4.Init
	if err := got.Unmarshal(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if len(got.Tracks) != 2 {
		t.Fatalf("%d tracks, want 2", len(got.Tracks))
	}
	v, a := got.Tracks[0], got.Tracks[1]
	want := &codecs.H264{SPS: unhex(t, spsHigh), PPS: unhex(t, ppsHigh)}
	if diff := cmp.Diff(want, v.Codec); v.ID != 1 || v.TimeScale != 90000 || diff != "" {
		t.Errorf("video: id %d, timescale %d, codec (-want +got):\n%s", v.ID, v.TimeScale, diff)
	}
	aac, ok := a.Codec.(*codecs.MPEG4Audio)
	if !ok || a.ID != 2 || a.TimeScale != 48000 || aac.Config.SampleRate != 48000 || aac.Config.ChannelConfig != 2 {
		t.Errorf("audio: %+v, codec %+v", a, a.Codec)
	}
	if got, want := boxes(t, text), []string{"ftyp", "moov"}; !cmp.Equal(got, want) {
		t.Errorf("boxes %v, want %v and nothing else", got, want)
	}
}

func TestInitWithoutAudio(t *testing.T) {
	i := section(t)
	i.Audio = nil
	var got fmp4.Init
	if err := got.Unmarshal(bytes.NewReader(i.Append(nil))); err != nil || len(got.Tracks) != 1 {
		t.Errorf("%d tracks, %v; want one", len(got.Tracks), err)
	}
}

// Records that x265 wrote, through ffmpeg's MP4 muxer, and what is in them.
const (
	hvcMain   = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959809a10001002a42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000303c1a2000100074401c172b46240"
	hvcMain10 = "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003c959809a10001002942010102200000030090000003000003003ca00d880f1c9b65959a4932bc05a02000007d20000ea601a2000100074401c172b46240"
	hvc444    = "0104080000009e08000000003cf000fcfff8f800000f03a00001001740010c01ffff0408000003009e0800000300003c959809a10001002b4201010408000003009e0800000300003c90014901f39e7cb2b349265780b4040000030004000003006020a2000100084401c172860c4624"
)

// sets cuts the parameter sets, one of each type, out of an hvcC.
func sets(t testing.TB, hvcC []byte) (all [3][][]byte) {
	t.Helper()
	rest := hvcC[23:]
	for i := range all {
		n := int(binary.BigEndian.Uint16(rest[3:]))
		all[i], rest = [][]byte{rest[5 : 5+n]}, rest[5+n:]
	}
	return all
}

func TestHEVCConfigurationIsThatOfOthers(t *testing.T) {
	for name, record := range map[string]string{"8 bit": hvcMain, "10 bit": hvcMain10, "4:4:4": hvc444} {
		t.Run(name, func(t *testing.T) {
			want := unhex(t, record)
			s := sets(t, want)
			i := section(t)
			i.Video.VPS, i.Video.SPS, i.Video.PPS = s[0], s[1], s[2]
			if got := i.Video.hvcC(nil)[8:]; !bytes.Equal(got, want) {
				t.Errorf("hvcC\n%x, want\n%x", got, want)
			}
			var got fmp4.Init
			if err := got.Unmarshal(bytes.NewReader(i.Append(nil))); err != nil {
				t.Fatal(err)
			}
			codec := &codecs.H265{VPS: s[0][0], SPS: s[1][0], PPS: s[2][0]}
			if diff := cmp.Diff(codec, got.Tracks[0].Codec); diff != "" {
				t.Errorf("codec (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseHEVC(t *testing.T) {
	main := sets(t, unhex(t, hvcMain))[1][0]
	for name, tt := range map[string]struct {
		sps  []byte
		want hevcFormat
		ok   bool
	}{
		"4:2:0, 8 bit": {main, hevcFormat{profile: [12]byte{1, 0x60, 5: 0x90, 11: 63}, chroma: 1, layers: 1, nested: 1}, true},
		"three temporal layers, one with a profile and one with a level": {
			append([]byte{0x42, 1, 0x05, 1, 0x60, 1, 1, 1, 0x90, 1, 1, 1, 1, 1, 63, 0b10_01_0000, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 30}, 0b1_010_1_1_0_1, 0b1_1_000000),
			hevcFormat{profile: [12]byte{1, 0x60, 1, 1, 1, 0x90, 1, 1, 1, 1, 1, 63}, chroma: 1, layers: 3, nested: 1},
			true,
		},
		"cut short": {main[:16], hevcFormat{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := parseHEVC(tt.sps); got != tt.want || ok != tt.ok {
				t.Errorf("parseHEVC = %+v, %t; want %+v, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// boxes lists the types of the top boxes of b and checks that they fill it.
func boxes(t *testing.T, b []byte) (types []string) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 8 || int(binary.BigEndian.Uint32(b)) > len(b) || binary.BigEndian.Uint32(b) < 8 {
			t.Fatalf("a box of %d bytes in %d", binary.BigEndian.Uint32(b), len(b))
		}
		types = append(types, string(b[4:8]))
		b = b[binary.BigEndian.Uint32(b):]
	}
	return types
}

func TestFormatOfHighProfiles(t *testing.T) {
	for name, tt := range map[string]struct {
		sps  string
		want format
		ok   bool
	}{
		"4:2:0, 8 bit":  {spsHigh, format{1, 0, 0}, true},
		"4:2:2, 10 bit": {spsHigh422, format{2, 2, 2}, true},
		"cut short":     {spsHigh[:8], format{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := parseFormat(unhex(t, tt.sps)); got != tt.want || ok != tt.ok {
				t.Errorf("parseFormat = %v, %t; want %v, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
	high := unhex(t, spsHigh)
	v := Video{SPS: [][]byte{high}, PPS: [][]byte{{0x68}}}
	if got := v.avcC(nil); !bytes.HasSuffix(got, []byte{0xfd, 0xf8, 0xf8, 0}) {
		t.Errorf("avcC of High does not end with its format: %x", got)
	}
	v.SPS[0] = unhex(t, spsBaseline)
	if got := v.avcC(nil); !bytes.HasSuffix(got, []byte{1, 0, 1, 0x68}) {
		t.Errorf("avcC of Baseline does not end with its PPS: %x", got)
	}
}

func nal(n int, fill byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), bytes.Repeat([]byte{fill}, n)...)
}

func TestFragmentIsReadBack(t *testing.T) {
	audio := Run{Track: 2, BaseTime: 480000, Samples: []Sample{
		{Data: []byte("aac0"), Duration: 1024, Sync: true}, {Data: []byte("aac11"), Duration: 1024, Sync: true},
	}}
	for name, runs := range map[string][]Run{
		"a key picture first": {{Track: 1, BaseTime: 900000, Samples: []Sample{
			{Data: nal(100, 5), Duration: 3000, Sync: true}, {Data: nal(10, 1), Duration: 3000}, {Data: nal(11, 1), Duration: 3000},
		}}, audio},
		"no key picture": {{Track: 1, BaseTime: 1 << 40, Samples: []Sample{{Data: nal(10, 1), Duration: 3000}}}, audio},
		"a key picture in the middle": {{Track: 1, BaseTime: 9, Samples: []Sample{
			{Data: nal(3, 1), Duration: 1}, {Data: nal(4, 5), Duration: 1, Sync: true}, {Data: nal(5, 1), Duration: 1},
		}}},
		"B-frames and uneven durations": {{Track: 1, Samples: []Sample{
			{Data: nal(3, 5), Duration: 3000, Offset: 6000, Sync: true},
			{Data: nal(4, 1), Duration: 2970, Offset: -3000},
			{Data: nal(5, 1), Duration: 3030},
		}}, audio},
		"audio alone":       {audio},
		"an empty run":      {{Track: 1}, audio},
		"key pictures only": {{Track: 1, Samples: []Sample{{Data: nal(3, 5), Sync: true}, {Data: nal(4, 5), Sync: true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := Fragment{Sequence: 7, Runs: runs}
			text := f.Append([]byte("emsg"))[4:]
			if f.Size() != len(text) {
				t.Errorf("Size = %d, appended %d", f.Size(), len(text))
			}
			if got, want := boxes(t, text), []string{"moof", "mdat"}; !cmp.Equal(got, want) {
				t.Errorf("boxes %v, want %v", got, want)
			}
			var got fmp4.Parts
			if err := got.Unmarshal(text); err != nil || len(got) != 1 {
				t.Fatalf("%d parts, %v", len(got), err)
			}
			var want []*fmp4.PartTrack
			for _, r := range runs {
				p := &fmp4.PartTrack{ID: int(r.Track), BaseTime: r.BaseTime}
				for _, s := range r.Samples {
					p.Samples = append(p.Samples, &fmp4.Sample{
						Duration: s.Duration, PTSOffset: s.Offset, IsNonSyncSample: !s.Sync, Payload: s.Data,
					})
				}
				if len(p.Samples) > 0 {
					want = append(want, p)
				}
			}
			if diff := cmp.Diff(want, got[0].Tracks); got[0].SequenceNumber != 7 || diff != "" {
				t.Errorf("sequence %d, tracks (-want +got):\n%s", got[0].SequenceNumber, diff)
			}
		})
	}
}

// No SPS, however broken, makes an initialization section that cannot be read.
func FuzzSPS(f *testing.F) {
	for _, s := range []string{spsBaseline, spsHigh, spsHigh422, "", "67640000", "6764001f0000030000030000030000"} {
		f.Add(unhex(f, s))
	}
	for _, s := range []string{hvcMain, hvcMain10, hvc444} {
		f.Add(sets(f, unhex(f, s))[1][0])
	}
	f.Fuzz(func(t *testing.T, sps []byte) {
		i := section(t)
		i.Video.SPS = [][]byte{sps}
		boxes(t, i.Append(nil))
		i.Video.VPS = [][]byte{{0x40, 1}}
		boxes(t, i.Append(nil))
	})
}

func BenchmarkFragmentAppend(b *testing.B) {
	f := Fragment{Runs: []Run{{Track: 1}, {Track: 2}}}
	for i := range 6 { // 200 ms at 30 frames per second and 2.5 Mbit/s
		f.Runs[0].Samples = append(f.Runs[0].Samples, Sample{Data: nal(10000, 1), Duration: 3000, Sync: i == 0})
	}
	for range 9 {
		f.Runs[1].Samples = append(f.Runs[1].Samples, Sample{Data: nal(340, 1), Duration: 1024, Sync: true})
	}
	buf := make([]byte, 0, f.Size())
	b.SetBytes(int64(f.Size()))
	b.ReportAllocs()
	for b.Loop() {
		buf = f.Append(buf[:0])
	}
}
