package webrtc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

var errADTS = errors.New("webrtc: not ADTS")

// adtsHeader is the fixed and variable header (ISO 13818-7 6.2), without a checksum.
const adtsHeader = 7 // bytes

// An adtsReader reads AAC frames from a stream of ADTS.
type adtsReader struct{ r *bufio.Reader }

// next returns the next frame, fresh, and the AudioSpecificConfig of it.
func (a adtsReader) next() (frame []byte, config [2]byte, err error) {
	var h [adtsHeader]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return nil, config, fmt.Errorf("webrtc: ADTS: %w", err)
	}
	size := int(h[3]&3)<<11 | int(h[4])<<3 | int(h[5])>>5
	if h[0] != 0xff || h[1]&0xf6 != 0xf0 || size < adtsHeader || h[6]&3 != 0 {
		return nil, config, errADTS
	}
	skip := 0
	if h[1]&1 == 0 {
		skip = 2 // a checksum
	}
	if size -= adtsHeader + skip; size <= 0 {
		return nil, config, errADTS
	}
	if _, err := a.r.Discard(skip); err != nil {
		return nil, config, fmt.Errorf("webrtc: ADTS: %w", err)
	}
	frame = make([]byte, size)
	if _, err := io.ReadFull(a.r, frame); err != nil {
		return nil, config, fmt.Errorf("webrtc: ADTS: %w", err)
	}
	object, rate, channels := h[2]>>6+1, h[2]>>2&0xf, h[2]&1<<2|h[3]>>6
	return frame, [2]byte{object<<3 | rate>>1, rate<<7 | channels<<3}, nil
}
