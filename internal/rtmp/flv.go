package rtmp

import (
	"encoding/binary"
	"fmt"
)

// A FourCC names a codec in Enhanced RTMP; codecs of plain FLV get the one that
// Enhanced RTMP has for them, and those without become an unprintable number.
type FourCC uint32

// The codecs we take. Others only need a name, so that a refusal can say it.
const (
	AVC  FourCC = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
	HEVC FourCC = 'h'<<24 | 'v'<<16 | 'c'<<8 | '1'
	AAC  FourCC = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
)

// The bits that tell a plain FLV codec id from a FourCC in a FourCC.
const (
	legacyVideo FourCC = 0x100
	legacyAudio FourCC = 0x200
)

// String is the codec's name, safe to show whatever the peer sent.
func (c FourCC) String() string {
	switch c &^ 0xff {
	case legacyVideo:
		return fmt.Sprintf("FLV video codec %d", c&0xff)
	case legacyAudio:
		return fmt.Sprintf("FLV sound format %d", c&0xff)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(c))
	for _, x := range b {
		if x <= ' ' || x > '~' {
			return fmt.Sprintf("0x%08x", uint32(c))
		}
	}
	return string(b)
}

// A Packet says what the data of an audio or video tag is.
type Packet uint8

// The kinds of Packet.
const (
	PacketOther  Packet = iota // nothing that we use: colour information, channel layouts
	PacketConfig               // sequence header: avcC, hvcC or AudioSpecificConfig
	PacketFrames               // one access unit
	PacketEnd                  // end of sequence
)

// A Tag is the body of an FLV audio or video tag: the payload of an audio or video
// message, or one track's share of it.
type Tag struct {
	Codec  FourCC
	Packet Packet
	Key    bool   // video: the encoder calls it a key frame
	Offset int32  // video: PTS - DTS in ms, as sent; 24 bits, signed
	Data   []byte // a part of the payload; never written
	Track  uint8  // number among the tracks of its kind; 0 unless Enhanced RTMP says another
}

// Fields of plain FLV.
const (
	frameKey     = 1
	frameCommand = 5 // "video info/command frame": one byte, no picture

	flvAVC        = 7
	flvAAC        = 10
	flvExtended   = 9    // sound format that marks an Enhanced RTMP header
	videoExtended = 0x80 // bit that marks one in video
)

// ParseVideo appends to tags what the payload of a video message holds (FLV E.4.3,
// Enhanced RTMP v2 "Enhanced Video"): one tag, none for an empty payload or a command,
// several for a multitrack message of many tracks.
func ParseVideo(tags []Tag, b []byte) ([]Tag, error) {
	if len(b) == 0 {
		return tags, nil
	}
	if b[0]&videoExtended != 0 {
		return parseEx(tags, b, exVideo)
	}
	frame, codec := b[0]>>4, FourCC(b[0]&0x0f)
	t := Tag{Codec: legacyVideo | codec, Key: frame == frameKey}
	switch {
	case frame == frameCommand:
		return tags, nil
	case codec != flvAVC:
		t.Packet = PacketFrames
		return append(tags, t), nil
	case len(b) < 5:
		return tags, errShortTag
	}
	t.Codec, t.Data = AVC, b[5:]
	switch b[1] {
	case 0:
		t.Packet = PacketConfig
	case 1:
		t.Packet, t.Offset = PacketFrames, int24(b[2:])
	case 2:
		t.Packet = PacketEnd
	default:
		return tags, protocolError(ReasonMedia, "AVC packet type %d", b[1])
	}
	return append(tags, t), nil
}

// ParseAudio appends to tags what the payload of an audio message holds (FLV E.4.2,
// Enhanced RTMP v2 "Enhanced Audio"), as ParseVideo does.
func ParseAudio(tags []Tag, b []byte) ([]Tag, error) {
	if len(b) == 0 {
		return tags, nil
	}
	switch format := b[0] >> 4; format {
	case flvExtended:
		return parseEx(tags, b, exAudio)
	case flvAAC:
	default:
		return append(tags, Tag{Codec: legacyAudio | FourCC(format), Packet: PacketFrames}), nil
	}
	if len(b) < 2 {
		return tags, errShortTag
	}
	t := Tag{Codec: AAC, Data: b[2:]}
	switch b[1] {
	case 0:
		t.Packet = PacketConfig
	case 1:
		t.Packet = PacketFrames
	default:
		return tags, protocolError(ReasonMedia, "AAC packet type %d", b[1])
	}
	return append(tags, t), nil
}

func int24(b []byte) int32 { return int32(uint24(b)<<8) >> 8 }

// AppendVideo appends t, which must be AVC, as the body of a plain FLV video tag.
func AppendVideo(b []byte, t Tag) []byte {
	frame := byte(2)
	if t.Key || t.Packet == PacketConfig || t.Packet == PacketEnd {
		frame = frameKey
	}
	packet := byte(1)
	switch t.Packet {
	case PacketConfig:
		packet = 0
	case PacketEnd:
		packet = 2
	}
	b = append(b, frame<<4|flvAVC, packet, byte(t.Offset>>16), byte(t.Offset>>8), byte(t.Offset))
	return append(b, t.Data...)
}

// AppendAudio appends t, which must be AAC, as the body of a plain FLV audio tag.
func AppendAudio(b []byte, t Tag) []byte {
	const rest = 0x0f // 44 kHz, 16 bit, stereo: what AAC always says (FLV E.4.2.1)
	packet := byte(1)
	if t.Packet == PacketConfig {
		packet = 0
	}
	return append(append(b, flvAAC<<4|rest, packet), t.Data...)
}
