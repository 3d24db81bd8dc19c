package media

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Captions of CEA-608 and CEA-708 travel in the video, as user data that ATSC has
// registered (ATSC A/72 part 1, 6.4.2, and A/53 part 4, 6.2.3). What encoders put there
// passes untouched; this is for captions that come beside the video.

const (
	seiRegistered = 4 // user_data_registered_itu_t_t35

	captionType   = 3    // user_data_type_code of cc_data
	captionCount  = 0x1f // of its first byte: cc_count, of triples
	captionMarker = 0xff
	captionHead   = 10 // bytes before the triples, with the ones of T.35
)

// atsc is the beginning of ATSC's user data: United States, the provider, "GA94".
var atsc = []byte{0xb5, 0x00, 0x31, 'G', 'A', '9', '4'}

var errCaptions = errors.New("media: not the captions of one picture")

// CaptionSEI makes an SEI NAL unit of captions: ATSC user data with cc_data, with or
// without the country and provider before it. What follows cc_data is left out.
func CaptionSEI(c Codec, userData []byte) ([]byte, error) {
	if bytes.HasPrefix(userData, atsc[3:]) {
		userData = append(atsc[:3:3], userData...)
	}
	if len(userData) < captionHead || !bytes.HasPrefix(userData, atsc) || userData[len(atsc)] != captionType {
		return nil, errCaptions
	}
	size := captionHead + 3*int(userData[len(atsc)+1]&captionCount)
	if len(userData) < size {
		return nil, errCaptions
	}
	var nal []byte
	switch c {
	case H264:
		nal = []byte{nalSEI}
	case H265:
		nal = []byte{nal265PrefixSEI << 1, 1}
	default:
		return nil, errCaptions
	}
	rbsp := append([]byte{seiRegistered, byte(size + 1)}, userData[:size]...)
	return append(escape(nal, append(rbsp, captionMarker)), seiTrailing), nil
}

// escape appends b to nal, with emulation prevention bytes (H.264 7.4.1).
func escape(nal, b []byte) []byte {
	zeros := 0
	for _, c := range b {
		if zeros == 2 && c <= 3 {
			nal, zeros = append(nal, 3), 0
		}
		if nal = append(nal, c); c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return nal
}

// InsertSEI returns the data of a video unit with SEI NAL units before its first slice,
// behind the SEI that is there. The result is a fresh buffer.
func InsertSEI(c Codec, data []byte, sei ...[]byte) []byte {
	at, size := 0, len(data)
	for nal := range NALs(data) {
		if leads(c, nal) {
			break
		}
		at += 4 + len(nal)
	}
	for _, nal := range sei {
		size += 4 + len(nal)
	}
	out := append(make([]byte, 0, size), data[:at]...)
	for _, nal := range sei {
		out = binary.BigEndian.AppendUint32(out, uint32(len(nal)))
		out = append(out, nal...)
	}
	return append(out, data[at:]...)
}

// leads reports whether nal is of the coded picture, or a prefix of what is.
func leads(c Codec, nal []byte) bool {
	if len(nal) == 0 {
		return false
	}
	if c == H265 {
		const firstOther = 32 // types below are slices (H.265 table 7-1)
		return nal[0]>>1&0x3f < firstOther
	}
	const nalPrefix = 14
	typ := nal[0] & 0x1f
	return typ >= nalSlice && typ <= nalIDR || typ == nalPrefix
}
