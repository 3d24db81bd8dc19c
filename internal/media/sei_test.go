package media

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func TestUserData(t *testing.T) {
	const (
		one = "0123456789abcdef"
		two = "fedcba9876543210"
	)
	nals := func(all ...string) (b []byte) {
		for _, n := range all {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
		}
		return b
	}
	h264, h265 := &Track{Kind: Video, Codec: H264}, &Track{Kind: Video, Codec: H265}
	for name, tt := range map[string]struct {
		unit Unit
		want []string
	}{
		"at the end of a picture":        {Unit{Track: h264, Data: nals("\x65abc", "\x06\x05\x12"+one+"xy\x80")}, []string{one + "xy"}},
		"two in a NAL unit":              {Unit{Track: h264, Data: nals("\x06\x05\x11" + one + "x\x05\x10" + two + "\x80")}, []string{one + "x", two}},
		"in two NAL units":               {Unit{Track: h264, Data: nals("\x06\x05\x11"+one+"x\x80", "\x06\x05\x10"+two+"\x80")}, []string{one + "x", two}},
		"behind captions":                {Unit{Track: h264, Data: nals("\x06\x04\x03abc\x05\x10" + one + "\x80")}, []string{one}},
		"behind a type past 255":         {Unit{Track: h264, Data: nals("\x06\xff\x01\x01a\x05\x10" + one + "\x80")}, []string{one}},
		"longer than 255 bytes":          {Unit{Track: h264, Data: nals("\x06\x05\xff\x01" + one + strings.Repeat("z", 240) + "\x80")}, []string{one + strings.Repeat("z", 240)}},
		"emulation prevention goes":      {Unit{Track: h264, Data: nals("\x06\x05\x15" + one + "\x00\x00\x03\x01\x00\x00\x03\x80")}, []string{one + "\x00\x00\x01\x00\x00"}},
		"H.265, before the picture":      {Unit{Track: h265, Data: nals("\x4e\x01\x05\x10"+one+"\x80", "\x26\x01abc")}, []string{one}},
		"H.265, behind the picture":      {Unit{Track: h265, Data: nals("\x26\x01abc", "\x50\x01\x05\x10"+one+"\x80")}, []string{one}},
		"none":                           {Unit{Track: h264, Data: nals("\x65abc")}, nil},
		"shorter than a UUID":            {Unit{Track: h264, Data: nals("\x06\x05\x03abc\x80")}, nil},
		"cut short":                      {Unit{Track: h264, Data: nals("\x06\x05\x7f" + one)}, nil},
		"a size that never ends":         {Unit{Track: h264, Data: nals("\x06\x05" + strings.Repeat("\xff", 100))}, nil},
		"an H.264 type in H.265 is none": {Unit{Track: h265, Data: nals("\x06\x05\x10" + one + "\x80")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for id, data := range UserData(tt.unit) {
				got = append(got, string(id[:])+string(data))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for range UserData(Unit{Track: h264, Data: nals("\x06\x05\x10" + one + "\x05\x10" + two + "\x80")}) {
		break // a caller may stop
	}
}

func FuzzUserData(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x14\x06\x05\x100123456789abcdef\x80"), false)
	f.Add([]byte("\x00\x00\x00\x17\x4e\x01\x05\x120123456789abcdef\x00\x00\x80"), true)
	f.Fuzz(func(t *testing.T, b []byte, hevc bool) {
		u := Unit{Track: &Track{Kind: Video, Codec: H264}, Data: b}
		if hevc {
			u.Track.Codec = H265
		}
		size := 0
		for _, data := range UserData(u) {
			size += uuidSize + len(data)
		}
		if size > len(b) {
			t.Errorf("%d bytes in %d", size, len(b))
		}
	})
}
