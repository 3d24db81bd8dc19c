package webrtc

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestADTS(t *testing.T) {
	plain := []byte{0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0xaa, 0xbb}        // AAC-LC, 48 kHz, stereo
	summed := []byte{0xff, 0xf0, 0x50, 0x40, 0x01, 0x7f, 0xfc, 9, 9, 0xcc, 0xdd} // 44.1 kHz, mono, a checksum
	r := adtsReader{bufio.NewReader(bytes.NewReader(append(append([]byte{}, plain...), summed...)))}
	frame, config, err := r.next()
	if err != nil || !bytes.Equal(frame, []byte{0xaa, 0xbb}) || config != [2]byte{0x11, 0x90} {
		t.Errorf("next = %x, %x, %v, want aabb, 1190", frame, config, err)
	}
	frame, config, err = r.next()
	if err != nil || !bytes.Equal(frame, []byte{0xcc, 0xdd}) || config != [2]byte{0x12, 0x08} {
		t.Errorf("next = %x, %x, %v, want ccdd, 1208", frame, config, err)
	}
	if _, _, err = r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("next at the end = %v", err)
	}
	for name, b := range map[string][]byte{
		"no sync word":             append([]byte{0xff, 0xe1}, plain[2:]...),
		"several frames in one":    {0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfd, 0, 0},
		"less than its own header": {0xff, 0xf1, 0x4c, 0x80, 0x00, 0x3f, 0xfc, 0, 0},
		"nothing in it":            {0xff, 0xf1, 0x4c, 0x80, 0x00, 0xff, 0xfc, 0, 0},
		"cut short":                plain[:8],
	} {
		t.Run(name, func(t *testing.T) {
			if frame, _, err := (adtsReader{bufio.NewReader(bytes.NewReader(b))}).next(); err == nil {
				t.Errorf("next = %x", frame)
			}
		})
	}
}
