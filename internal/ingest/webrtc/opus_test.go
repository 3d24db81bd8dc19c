package webrtc

import (
	"bytes"
	"testing"
)

func TestOpusSamples(t *testing.T) {
	for name, tt := range map[string]struct {
		packet []byte
		want   int64 // samples; 0 for an error
	}{
		"SILK, 10 ms":                         {[]byte{0 << 3}, 480},
		"SILK, 60 ms":                         {[]byte{11 << 3}, 2880},
		"hybrid, 20 ms":                       {[]byte{15 << 3}, 960},
		"CELT, 2.5 ms":                        {[]byte{16 << 3}, 120},
		"CELT, 20 ms":                         {[]byte{31 << 3}, 960},
		"two frames":                          {[]byte{31<<3 | 1}, 1920},
		"two frames of two sizes":             {[]byte{31<<3 | 2}, 1920},
		"as many frames as it says":           {[]byte{31<<3 | 3, 6}, 5760},
		"more than 120 ms":                    {[]byte{31<<3 | 3, 7}, 0},
		"no frame":                            {[]byte{31<<3 | 3, 0}, 0},
		"two frames of 60 ms":                 {[]byte{3<<3 | 1}, 5760},
		"nothing":                             {nil, 0},
		"a number of frames that is cut away": {[]byte{3}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := opusSamples(tt.packet)
			if got != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("opusSamples(%x) = %d, %v, want %d", tt.packet, got, err, tt.want)
			}
		})
	}
}

func TestSilenceFills(t *testing.T) {
	for n := int64(0); n < 3000; n += 7 {
		left := n
		for {
			p, samples := silence(left)
			if p == nil {
				break
			}
			if got, err := opusSamples(p); err != nil || got != samples {
				t.Fatalf("silence of %d samples is a packet of %d, %v", samples, got, err)
			}
			left -= samples
		}
		if left < 0 || left >= 120 {
			t.Errorf("%d samples filled but for %d", n, left)
		}
	}
}

// Whatever the packet, it lasts as long as one may, and its page says how long it is.
func FuzzOpus(f *testing.F) {
	f.Add([]byte{0xfc, 0xff, 0xfe})
	f.Add([]byte{0xff, 0x06})
	f.Add(bytes.Repeat([]byte{0x78}, 255))
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := opusSamples(p)
		if err == nil && (n < 120 || n > maxOpus) || err != nil && n != 0 {
			t.Fatalf("opusSamples(%x) = %d, %v", p, n, err)
		}
		if err != nil || len(p) > maxOpusPacket {
			return
		}
		var o oggWriter
		page := o.packet(nil, p, n)
		size, table := 0, int(page[26])
		for _, c := range page[oggPage : oggPage+table] {
			size += int(c)
		}
		if size != len(p) || !bytes.Equal(page[oggPage+table:], p) || page[oggPage+table-1] == 255 {
			t.Fatalf("a page of %d bytes for %d", size, len(p))
		}
	})
}
