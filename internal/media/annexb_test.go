package media

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

func TestAnnexB(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":                     {"", nil},
		"no start code":               {"\x65\x88", nil},
		"both lengths of start codes": {"\x00\x00\x00\x01\x67\x42\x00\x00\x01\x68\xce", []string{"\x67\x42", "\x68\xce"}},
		"zeros at the end":            {"\x00\x00\x01\x65\x88\x00\x00\x00\x00\x00\x01\x41\x00\x00", []string{"\x65\x88", "\x41"}},
		"empty units":                 {"\x00\x00\x01\x00\x00\x01\x00\x00\x01\x65", []string{"\x65"}},
		"garbage before":              {"xx\x00\x00\x01\x65", []string{"\x65"}},
		"a start code at the end":     {"\x00\x00\x01\x65\x00\x00\x01", []string{"\x65"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for nal := range AnnexB([]byte(tt.in)) {
				got = append(got, string(nal))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Parameter sets of two sizes, and pictures that need none.
const (
	sps240 = "\x67\x42\xc0\x15\xd9\x01\xb1\xfe\x4f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x62\xe4\x80"
	sps720 = "\x67\x4d\x40\x1f\xec\xa0\x28\x02\xdd\x80\x88\x00\x00\x1f\x48\x00\x07\x53\x00\x78\xc1\x8c\xb0"
	pps0   = "\x68\xcb\x83\xcb\x20" // number 0
	pps0b  = "\x68\xce\x3c\x80"     // number 0, another
	pps1   = "\x68\x5c\xe3\xcb\x20" // number 1
	aud    = "\x09\xf0"
	sei    = "\x06\x05\x01\x02"
	idrNAL = "\x65\x88\x84\x21"
	pNAL   = "\x41\x9a\x02"
)

func annexB(nals ...string) (b []byte) {
	for _, nal := range nals {
		b = append(append(b, 0, 0, 0, 1), nal...)
	}
	return b
}

func TestH264Reader(t *testing.T) {
	var r H264Reader
	var last *Track
	for i, step := range []struct {
		in      []string
		err     error
		data    string // NAL units, each behind its length
		key     bool
		changed bool
		width   int
	}{
		{in: []string{aud, pNAL}, err: ErrNoParameterSets},
		{in: []string{sps240}, err: ErrNoPicture},
		{in: []string{aud, pps0, idrNAL}, data: "\x00\x00\x00\x04" + idrNAL, key: true, changed: true, width: 426},
		{in: []string{aud, sei, pNAL}, data: "\x00\x00\x00\x04" + sei + "\x00\x00\x00\x03" + pNAL, width: 426},
		{in: []string{sps240, sps240, pps0, idrNAL}, data: "\x00\x00\x00\x04" + idrNAL, key: true, width: 426},
		{in: []string{pps0, pNAL}, data: "\x00\x00\x00\x03" + pNAL, width: 426},
		{in: []string{pps1, pNAL}, data: "\x00\x00\x00\x03" + pNAL, changed: true, width: 426},
		{in: []string{pps0b, pNAL}, data: "\x00\x00\x00\x03" + pNAL, changed: true, width: 426},
		{in: []string{sei}, err: ErrNoPicture},
		{in: []string{sps720, pps0, idrNAL, idrNAL}, data: "\x00\x00\x00\x04" + idrNAL + "\x00\x00\x00\x04" + idrNAL, key: true, changed: true, width: 1280},
	} {
		p, track, err := r.Read(annexB(step.in...))
		if !errors.Is(err, step.err) {
			t.Fatalf("step %d: %v, want %v", i, err, step.err)
		}
		if err != nil {
			continue
		}
		if string(p.Data) != step.data || p.IDR != step.key || track.Width != step.width || (track != last) != step.changed {
			t.Errorf("step %d: %q, key=%t, changed=%t, %d wide", i, p.Data, p.IDR, track != last, track.Width)
		}
		last = track
	}
	if last.SPS[0][1] != 0x4d || len(last.PPS) != 1 {
		t.Errorf("the last track has the sets %x, %x", last.SPS, last.PPS)
	}
	if _, _, err := r.Read(annexB("\x67\x42", pps0, idrNAL)); err == nil {
		t.Error("a broken SPS is taken")
	}
}

// Pictures are fresh memory: the reader's input is somebody else's buffer.
func TestH264ReaderCopies(t *testing.T) {
	var r H264Reader
	in := annexB(sps240, pps0, idrNAL)
	p, track, err := r.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	clear(in)
	if string(p.Data[4:]) != idrNAL || string(track.SPS[0]) != sps240 || string(track.PPS[0]) != pps0 {
		t.Error("the result changes with the input")
	}
}

func FuzzH264Reader(f *testing.F) {
	f.Add(annexB(aud, sps240, pps0, sei, idrNAL))
	f.Add(annexB(pps1, pps0b, pNAL, "\x68\x00\x00\x03\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r H264Reader
		for range 2 {
			p, track, err := r.Read(b)
			if err != nil {
				continue
			}
			n := 0
			for nal := range NALs(p.Data) {
				n += 4 + len(nal)
			}
			if track == nil || !p.Slices || n != len(p.Data) || len(track.SPS) > maxSets || len(track.PPS) > maxSets {
				t.Fatalf("%+v, %+v", p, track)
			}
		}
	})
}

func latm(t testing.TB, withConfig bool, c *mpeg4audio.StreamMuxConfig, frames ...string) []byte {
	t.Helper()
	e := mpeg4audio.AudioMuxElement{MuxConfigPresent: true, UseSameStreamMux: !withConfig, StreamMuxConfig: c}
	for _, f := range frames {
		e.Payloads = append(e.Payloads, [][][]byte{{[]byte(f)}})
	}
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func muxConfig(subframes uint) *mpeg4audio.StreamMuxConfig {
	return &mpeg4audio.StreamMuxConfig{NumSubFrames: subframes, Programs: []*mpeg4audio.StreamMuxConfigProgram{{Layers: []*mpeg4audio.StreamMuxConfigLayer{{
		AudioSpecificConfig: &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 44100, ChannelConfig: 2, ChannelCount: 2}, //nolint:staticcheck // what the marshaller reads
		LatmBufferFullness:  255,
	}}}}}
}

func TestLATMReader(t *testing.T) {
	var r LATMReader
	one, two := muxConfig(0), muxConfig(1)
	if _, _, err := r.Read(latm(t, false, one, "early")); err == nil {
		t.Error("a frame before its configuration is taken")
	}
	for _, step := range []struct {
		in   []byte
		want []string
	}{
		{latm(t, true, one, "first"), []string{"first"}},
		{latm(t, false, one, "second"), []string{"second"}},
		{latm(t, true, two, "third", "fourth"), []string{"third", "fourth"}},
	} {
		config, frames, err := r.Read(step.in)
		if err != nil || !bytes.Equal(config, []byte{0x12, 0x10}) {
			t.Fatalf("config %x, %v", config, err)
		}
		var got []string
		for _, f := range frames {
			got = append(got, string(f))
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
}

func FuzzLATMReader(f *testing.F) {
	f.Add(latm(f, true, muxConfig(0), "frame"), latm(f, false, muxConfig(0), "frame"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var r LATMReader
		for _, e := range [][]byte{a, b} {
			config, frames, err := r.Read(e)
			for _, frame := range frames {
				if err != nil || len(config) == 0 || len(frame) == 0 || len(frame) > len(e) {
					t.Fatalf("%x, %d bytes of %d, %v", config, len(frame), len(e), err)
				}
			}
		}
	})
}
