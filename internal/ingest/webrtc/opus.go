package webrtc

import (
	"encoding/binary"
	"errors"
)

// opusRate is the clock of Opus in RTP and in Ogg, whatever rate it was made at, in Hz.
const opusRate = 48000

// maxOpus is the longest that one Opus packet may last (RFC 6716 3.4), in samples.
const maxOpus = 120 * opusRate / 1000

var errOpus = errors.New("webrtc: not an Opus packet")

// opusSamples is how long an Opus packet lasts, in samples, by its table of contents
// (RFC 6716 3.1).
func opusSamples(b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, errOpus
	}
	var frame int64 // in samples
	switch config := b[0] >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = [...]int64{480, 960, 1920, 2880}[config%4]
	case config < 16: // hybrid: 10, 20 ms
		frame = 480 << (config % 2)
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 120 << (config % 4)
	}
	frames := int64(1)
	switch b[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(b) < 2 {
			return 0, errOpus
		}
		frames = int64(b[1] & 0x3f)
	}
	if n := frames * frame; n > 0 && n <= maxOpus {
		return n, nil
	}
	return 0, errOpus
}

// silence returns an Opus packet of silence, of the longest frame that n samples have
// room for, and how long it is; nil when they have none.
func silence(n int64) (packet []byte, samples int64) {
	for config := byte(31); config >= 28; config-- { // CELT, full band: 20, 10, 5, 2.5 ms
		if samples = 120 << (config % 4); samples <= n {
			return []byte{config<<3 | 4, 0xff, 0xfe}, samples // stereo
		}
	}
	return nil, 0
}

// An oggWriter makes an Ogg stream of Opus packets (RFC 3533, RFC 7845), one to a page
// so that none waits for the next.
type oggWriter struct {
	page    uint32 // number of the next
	granule uint64 // samples up to the end of the last packet
}

// Flags of a page.
const (
	oggFirst = 2
	oggPage  = 27 // bytes of a page's header before its table
)

// begin appends the two headers to b. There is no pre-skip: what a browser sends has no
// start that could be cut off.
func (o *oggWriter) begin(b []byte) []byte {
	head := []byte("OpusHead\x01\x02\x00\x00")
	head = binary.LittleEndian.AppendUint32(head, opusRate)
	head = append(head, 0, 0, 0) // gain, channel mapping
	tags := []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")
	return o.append(o.append(b, oggFirst, head), 0, tags)
}

// packet appends an Opus packet of that many samples to b. A packet is at most
// maxOpusPacket long.
func (o *oggWriter) packet(b, p []byte, samples int64) []byte {
	o.granule += uint64(samples)
	return o.append(b, 0, p)
}

// maxOpusPacket is longer than any that fits a datagram, in bytes, and short enough for
// one Ogg page.
const maxOpusPacket = 16 << 10

func (o *oggWriter) append(b []byte, flags byte, p []byte) []byte {
	start := len(b)
	b = append(b, "OggS\x00"...)
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, o.granule)
	b = append(b, "opus"...) // the stream's serial number; any will do
	b = binary.LittleEndian.AppendUint32(b, o.page)
	b = append(b, 0, 0, 0, 0, byte(len(p)/255+1))
	o.page++
	for n := len(p); ; n -= 255 {
		b = append(b, byte(min(n, 255)))
		if n < 255 {
			break
		}
	}
	b = append(b, p...)
	binary.LittleEndian.PutUint32(b[start+22:], oggSum(b[start:]))
	return b
}

// oggSum is the checksum of a page whose own field is zero: CRC-32 without reflection,
// which the standard library does not have.
func oggSum(b []byte) uint32 {
	const poly = 0x04c11db7
	crc := uint32(0)
	for _, c := range b {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ poly
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
