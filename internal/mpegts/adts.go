package mpegts

import (
	"errors"
	"slices"
)

// ErrAudio means an AudioSpecificConfig that an ADTS header cannot say.
var ErrAudio = errors.New("mpegts: this AAC configuration does not fit ADTS")

// MaxFrame is the longest AAC frame that an ADTS header can announce, in bytes.
const MaxFrame = 1<<13 - 1 - adtsSize

const adtsSize = 7

// ADTS is what the header of every AAC frame of a track repeats.
type ADTS struct{ profile, rate, channels uint8 }

// rates are the sampling frequencies by index (ISO 14496-3 table 1.18).
var rates = [...]uint32{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// ParseConfig reads an AudioSpecificConfig (ISO 14496-3 1.6.2.1). HE-AAC becomes its
// AAC-LC core, whose decoder finds the extension by itself.
func ParseConfig(config []byte) (ADTS, error) {
	r := bits{b: config}
	object := r.object()
	rate, ok := r.rate()
	channels := r.read(4)
	if object == 5 || object == 29 { // SBR, PS: the extension's rate, then the core's type
		_, _ = r.rate()
		object = r.object()
	}
	if r.bad || !ok || object < 1 || object > 4 || channels < 1 || channels > 7 {
		return ADTS{}, ErrAudio
	}
	return ADTS{profile: uint8(object - 1), rate: rate, channels: uint8(channels)}, nil
}

// append appends the header of a frame of n bytes.
func (h ADTS) append(b []byte, n int) []byte {
	n += adtsSize
	return append(b, 0xff, 0xf1,
		h.profile<<6|h.rate<<2|h.channels>>2,
		h.channels<<6|byte(n>>11)&3, byte(n>>3), byte(n<<5)|0x1f, 0xfc)
}

// Config is the AudioSpecificConfig of AAC frames under such headers.
func (h ADTS) Config() []byte {
	return []byte{(h.profile+1)<<3 | h.rate>>1, h.rate<<7 | h.channels<<3}
}

// ErrADTS means bytes that are no ADTS header, or one of a form that nobody uses.
var ErrADTS = errors.New("mpegts: not an ADTS header")

// ParseADTS reads the header of an AAC frame (ISO 13818-7 6.2): what it says of the
// track, its own size and that of the frame with it.
func ParseADTS(b []byte) (h ADTS, head, size int, err error) {
	if len(b) < adtsSize || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return ADTS{}, 0, 0, ErrADTS
	}
	h = ADTS{profile: b[2] >> 6, rate: b[2] >> 2 & 0x0f, channels: b[2]&1<<2 | b[3]>>6}
	head, size = adtsSize, int(b[3]&3)<<11|int(b[4])<<3|int(b[5]>>5)
	if b[1]&1 == 0 {
		head += 2 // a checksum
	}
	if int(h.rate) >= len(rates) || size <= head || b[6]&3 != 0 { // several frames in one
		return ADTS{}, 0, 0, ErrADTS
	}
	return h, head, size, nil
}

type bits struct {
	b   []byte
	at  int
	bad bool
}

func (r *bits) read(n int) (v uint32) {
	for range n {
		if r.at/8 >= len(r.b) {
			r.bad = true
			return 0
		}
		v = v<<1 | uint32(r.b[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

func (r *bits) object() uint32 {
	if v := r.read(5); v != 31 {
		return v
	}
	return 32 + r.read(6)
}

// rate reads a sampling frequency and returns its index.
func (r *bits) rate() (index uint8, ok bool) {
	v := r.read(4)
	if v == 15 { // given in full
		i := slices.Index(rates[:], r.read(24))
		return uint8(max(i, 0)), i >= 0
	}
	return uint8(v), int(v) < len(rates)
}
