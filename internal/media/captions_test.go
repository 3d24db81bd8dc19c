package media

import (
	"bytes"
	"slices"
	"testing"
)

// hello is cc_data of CEA-608, "HI", as ATSC user data.
const hello = "\xb5\x00\x31GA94\x03\x46\xff\xfc\x94\x20\xfc\x94\xae\xfc\x94\x70\xfc\xc8\x49\xfc\x94\x2f\xfc\x80\x80"

func TestCaptionSEI(t *testing.T) {
	const sei = "\x04\x1d" + hello + "\xff\x80"
	long := "\xb5\x00\x31GA94\x03\x5f\xff" + string(bytes.Repeat([]byte{0xfc, 0, 0}, 31))
	for name, tt := range map[string]struct {
		codec Codec
		in    string
		want  string // "" for an error
	}{
		"user data":                            {H264, hello, "\x06" + sei},
		"with the marker":                      {H264, hello + "\xff", "\x06" + sei},
		"and with more behind it":              {H264, hello + "\xff\x80\x00\x00\x00", "\x06" + sei},
		"without country and provider":         {H264, hello[3:], "\x06" + sei},
		"H.265":                                {H265, hello, "\x4e\x01" + sei},
		"no triple":                            {H264, hello[:8] + "\x40\xff", "\x06\x04\x0b" + hello[:8] + "\x40\xff\xff\x80"},
		"31 triples, with zeros to be escaped": {H264, long, "\x06\x04\x68" + long[:11] + "\x00\x00" + string(bytes.Repeat([]byte{0xfc, 0, 0}, 30)) + "\xff\x80"},
		"zeros before a small byte":            {H264, "\xb5\x00\x31GA94\x03\x41\x00\x00\x01\x02", "\x06\x04\x0e\xb5\x00\x31GA94\x03\x41\x00\x00\x03\x01\x02\xff\x80"},
		"triples cut short":                    {H264, hello[:len(hello)-1], ""},
		"another type of user data":            {H264, hello[:7] + "\x06" + hello[8:], ""},
		"another provider":                     {H264, "\xb5\x00\x2f" + hello[3:], ""},
		"nothing":                              {H264, "", ""},
		"cut short before the count":           {H264, hello[:8], ""},
		"sound":                                {AAC, hello, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := CaptionSEI(tt.codec, []byte(tt.in))
			if string(got) != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("CaptionSEI = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestInsertSEI(t *testing.T) {
	unit := func(nals ...string) []byte {
		var b []byte
		for _, n := range nals {
			b = append(append(b, 0, 0, 0, byte(len(n))), n...)
		}
		return b
	}
	for name, tt := range map[string]struct {
		codec    Codec
		in, want []byte
	}{
		"a slice alone":                      {H264, unit("\x41a"), unit("S", "T", "\x41a")},
		"behind parameter sets and own SEI":  {H264, unit("\x09\xf0", "\x67", "\x68", "\x06\x01", "\x65a", "\x65b"), unit("\x09\xf0", "\x67", "\x68", "\x06\x01", "S", "T", "\x65a", "\x65b")},
		"before the prefix of a slice":       {H264, unit("\x6e", "\x65a"), unit("S", "T", "\x6e", "\x65a")},
		"H.265":                              {H265, unit("\x46\x01", "\x4e\x01", "\x26\x01"), unit("\x46\x01", "\x4e\x01", "S", "T", "\x26\x01")},
		"a type of H.264 in H.265 is no one": {H265, unit("\x42\x01", "\x02\x01"), unit("\x42\x01", "S", "T", "\x02\x01")},
		"no slice":                           {H264, unit("\x06"), unit("\x06", "S", "T")},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(tt.in)
			got := InsertSEI(tt.codec, tt.in, []byte("S"), []byte("T"))
			if !bytes.Equal(got, tt.want) {
				t.Errorf("InsertSEI = %q, want %q", got, tt.want)
			}
			if !bytes.Equal(tt.in, before) || cap(got) != len(got) {
				t.Error("the unit was written to, or memory is wasted")
			}
		})
	}
}

// Whatever becomes a NAL unit reads back as what it was made of.
func FuzzCaptionSEI(f *testing.F) {
	f.Add([]byte(hello))
	f.Add([]byte(hello[3:]))
	f.Add([]byte("\xb5\x00\x31GA94\x03\x41\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		nal, err := CaptionSEI(H264, b)
		if err != nil {
			return
		}
		if bytes.Contains(nal, []byte{0, 0, 1}) || bytes.Contains(nal, []byte{0, 0, 0}) {
			t.Fatalf("start code in %q", nal)
		}
		if bytes.HasPrefix(b, atsc[3:]) {
			b = append(atsc[:3:3], b...)
		}
		n := 0
		for typ, payload := range seiMessages(unescape(nal[1:])) {
			if n++; typ != seiRegistered || !bytes.HasPrefix(append(b, 0xff), payload[:len(payload)-1]) || payload[len(payload)-1] != 0xff {
				t.Errorf("message %d: %q of %q", typ, payload, b)
			}
		}
		if n != 1 {
			t.Errorf("%d messages in %q", n, nal)
		}
	})
}
