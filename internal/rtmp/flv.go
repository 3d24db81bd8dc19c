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
	AVC FourCC = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
	AAC FourCC = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
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
	PacketOther    Packet = iota // nothing that we use: colour information, commands
	PacketConfig                 // sequence header: avcC or AudioSpecificConfig
	PacketFrames                 // one access unit
	PacketEnd                    // end of sequence
	PacketMultiple               // Enhanced RTMP multitrack
)

// A Tag is the body of an FLV audio or video tag, which is the payload of an audio
// or video message.
type Tag struct {
	Codec  FourCC
	Packet Packet
	Key    bool   // video: the encoder calls it a key frame
	Offset int32  // video: PTS - DTS in ms, as sent; 24 bits, signed
	Data   []byte // a part of the payload; never written
}

// FLV and Enhanced RTMP fields.
const (
	frameKey     = 1
	frameCommand = 5 // "video info/command frame": one byte, no picture

	flvAVC        = 7
	flvAAC        = 10
	flvExtended   = 9    // sound format that marks an Enhanced RTMP header
	videoExtended = 0x80 // bit that marks one in video

	exSequenceStart = 0
	exCodedFrames   = 1
	exSequenceEnd   = 2
	exCodedFramesX  = 3
	exAudioMulti    = 5
	exVideoMulti    = 6
	exModEx         = 7
)

var errShortTag = &ProtocolError{ReasonMedia, "tag cut short"}

// ParseVideo reads the payload of a video message (FLV E.4.3, Enhanced RTMP v2
// "Enhanced Video"). An empty payload is PacketOther.
func ParseVideo(b []byte) (Tag, error) {
	if len(b) == 0 {
		return Tag{}, nil
	}
	if b[0]&videoExtended != 0 {
		return parseExVideo(b)
	}
	frame, codec := b[0]>>4, FourCC(b[0]&0x0f)
	t := Tag{Codec: legacyVideo | codec, Key: frame == frameKey}
	switch {
	case frame == frameCommand:
		t.Codec = AVC // it belongs to no codec; do not have it refused
		return t, nil
	case codec != flvAVC:
		t.Packet = PacketFrames
		return t, nil
	case len(b) < 5:
		return Tag{}, errShortTag
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
		return Tag{}, protocolError(ReasonMedia, "AVC packet type %d", b[1])
	}
	return t, nil
}

func parseExVideo(b []byte) (Tag, error) {
	frame, typ := b[0]>>4&7, b[0]&0x0f
	t := Tag{Codec: AVC, Key: frame == frameKey}
	typ, b, err := skipModEx(typ, b[1:])
	switch {
	case err != nil:
		return Tag{}, err
	case frame == frameCommand:
		return t, nil
	case typ == exVideoMulti:
		t.Packet = PacketMultiple
		return t, nil
	case len(b) < 4:
		return Tag{}, errShortTag
	}
	t.Codec, t.Data = FourCC(binary.BigEndian.Uint32(b)), b[4:]
	switch typ {
	case exSequenceStart:
		t.Packet = PacketConfig
	case exCodedFrames:
		t.Packet = PacketFrames
		if t.Codec == AVC {
			if len(t.Data) < 3 {
				return Tag{}, errShortTag
			}
			t.Offset, t.Data = int24(t.Data), t.Data[3:]
		}
	case exCodedFramesX:
		t.Packet = PacketFrames
	case exSequenceEnd:
		t.Packet = PacketEnd
	}
	return t, nil
}

// ParseAudio reads the payload of an audio message (FLV E.4.2, Enhanced RTMP v2
// "Enhanced Audio"). An empty payload is PacketOther.
func ParseAudio(b []byte) (Tag, error) {
	if len(b) == 0 {
		return Tag{}, nil
	}
	switch format := b[0] >> 4; format {
	case flvExtended:
		return parseExAudio(b)
	case flvAAC:
	default:
		return Tag{Codec: legacyAudio | FourCC(format), Packet: PacketFrames}, nil
	}
	if len(b) < 2 {
		return Tag{}, errShortTag
	}
	t := Tag{Codec: AAC, Data: b[2:]}
	switch b[1] {
	case 0:
		t.Packet = PacketConfig
	case 1:
		t.Packet = PacketFrames
	default:
		return Tag{}, protocolError(ReasonMedia, "AAC packet type %d", b[1])
	}
	return t, nil
}

func parseExAudio(b []byte) (Tag, error) {
	typ, b, err := skipModEx(b[0]&0x0f, b[1:])
	switch {
	case err != nil:
		return Tag{}, err
	case typ == exAudioMulti:
		return Tag{Codec: AAC, Packet: PacketMultiple}, nil
	case len(b) < 4:
		return Tag{}, errShortTag
	}
	t := Tag{Codec: FourCC(binary.BigEndian.Uint32(b)), Data: b[4:]}
	switch typ {
	case exSequenceStart:
		t.Packet = PacketConfig
	case exCodedFrames:
		t.Packet = PacketFrames
	case exSequenceEnd:
		t.Packet = PacketEnd
	}
	return t, nil
}

// skipModEx skips the modifiers before a packet; the one that exists adds nanoseconds
// to a timestamp that we round to milliseconds anyway.
func skipModEx(typ byte, b []byte) (byte, []byte, error) {
	for typ == exModEx {
		if len(b) < 1 {
			return 0, nil, errShortTag
		}
		n, at := int(b[0])+1, 1
		if n == 256 {
			if len(b) < 3 {
				return 0, nil, errShortTag
			}
			n, at = int(binary.BigEndian.Uint16(b[1:]))+1, 3
		}
		if len(b) < at+n+1 {
			return 0, nil, errShortTag
		}
		typ, b = b[at+n]&0x0f, b[at+n+1:]
	}
	return typ, b, nil
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
