package media

import (
	"bytes"
	"iter"
)

// SEI of both codecs (H.264 annex D, H.265 annex D).
const (
	nalSEI             = 6
	seiUserData        = 5 // user_data_unregistered: a UUID and what it stands for
	uuidSize           = 16
	maxSEI             = 64 << 10 // bytes of a NAL unit that are looked into
	seiTrailing   byte = 0x80
	seiTypeEscape byte = 0xff
)

// UserData walks the user_data_unregistered messages in a video unit: UUIDs and what
// follows them, without emulation prevention. The bytes are good until the next one.
func UserData(u Unit) iter.Seq2[[uuidSize]byte, []byte] {
	return func(yield func([uuidSize]byte, []byte) bool) {
		for nal := range NALs(u.Data) {
			head := seiHeader(u.Track.Codec, nal)
			if head == 0 {
				continue
			}
			for typ, payload := range seiMessages(unescape(nal[head:min(len(nal), maxSEI)])) {
				if typ == seiUserData && len(payload) >= uuidSize && !yield([uuidSize]byte(payload), payload[uuidSize:]) {
					return
				}
			}
		}
	}
}

// seiHeader is the length of the NAL unit header if nal is SEI, else 0.
func seiHeader(c Codec, nal []byte) int {
	switch {
	case c == H264 && len(nal) > 1 && nal[0]&0x1f == nalSEI:
		return 1
	case c == H265 && len(nal) > 2 && (nal[0]>>1&0x3f == nal265PrefixSEI || nal[0]>>1&0x3f == nal265SuffixSEI):
		return 2
	}
	return 0
}

// seiMessages walks the messages of an SEI RBSP; it stops where one is cut short.
func seiMessages(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) > 1 && b[0] != seiTrailing {
			var typ, size int
			typ, b = seiNumber(b)
			size, b = seiNumber(b)
			if size > len(b) || !yield(typ, b[:size:size]) {
				return
			}
			b = b[size:]
		}
	}
}

// seiNumber reads a payload type or size: any number of 0xff and a last byte.
func seiNumber(b []byte) (n int, rest []byte) {
	for i, c := range b {
		n += int(c)
		if c != seiTypeEscape {
			return n, b[i+1:]
		}
	}
	return n, nil
}

// unescape removes emulation prevention bytes. Without any it returns b itself.
func unescape(b []byte) []byte {
	escape := []byte{0, 0, 3}
	i := bytes.Index(b, escape)
	if i < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i >= 0 {
		out = append(out, b[:i+2]...)
		b = b[i+3:]
		i = bytes.Index(b, escape)
	}
	return append(out, b...)
}
