package rtmp

import "encoding/binary"

// Packet types of Enhanced RTMP v2. Video and audio have the first three and the last
// in common.
const (
	exSequenceStart = 0
	exCodedFrames   = 1
	exSequenceEnd   = 2
	exCodedFramesX  = 3 // video: coded frames without a composition time
	exMetadata      = 4 // video: AMF0, such as colorInfo; audio: a channel layout
	exAudioMulti    = 5
	exVideoMulti    = 6
	exModEx         = 7
)

// Forms of a multitrack message.
const (
	exOneTrack   = 0
	exManyTracks = 1 // of one codec
	exManyCodecs = 2
)

// maxTags is how many tracks a message may hold: track numbers have one byte.
const maxTags = 256

var errShortTag = &ProtocolError{ReasonMedia, "tag cut short"}

// exKind tells the two kinds of Enhanced RTMP headers apart.
type exKind byte

// The kinds, by the packet type that means multitrack.
const (
	exAudio exKind = exAudioMulti
	exVideo exKind = exVideoMulti
)

// parseEx appends what an Enhanced RTMP payload holds to tags. Colour information is
// left to the parameter sets, which say the same.
func parseEx(tags []Tag, b []byte, kind exKind) ([]Tag, error) {
	frame := byte(0)
	if kind == exVideo {
		frame = b[0] >> 4 & 7
	}
	typ, b, err := skipModEx(b[0]&0x0f, b[1:])
	if err != nil {
		return tags, err
	}
	if frame == frameCommand && typ != exMetadata {
		return tags, nil
	}
	t := Tag{Key: frame == frameKey}
	if typ != byte(kind) {
		if t.Codec, b, err = fourCC(b); err != nil {
			return tags, err
		}
		return appendEx(tags, t, kind, typ, b)
	}

	if len(b) == 0 {
		return tags, errShortTag
	}
	form, typ, b := b[0]>>4, b[0]&0x0f, b[1:]
	if form > exManyCodecs || typ == byte(kind) {
		return tags, protocolError(ReasonMedia, "multitrack of form %d and packet type %d", form, typ)
	}
	if form != exManyCodecs {
		if t.Codec, b, err = fourCC(b); err != nil {
			return tags, err
		}
	}
	for range maxTags {
		if form == exManyCodecs {
			if t.Codec, b, err = fourCC(b); err != nil {
				return tags, err
			}
		}
		if len(b) == 0 {
			return tags, errShortTag
		}
		t.Track, b = b[0], b[1:]
		body := b
		if form != exOneTrack {
			if len(b) < 3 || int(uint24(b)) > len(b)-3 {
				return tags, errShortTag
			}
			n := 3 + int(uint24(b))
			body, b = b[3:n:n], b[n:]
		}
		if tags, err = appendEx(tags, t, kind, typ, body); err != nil || form == exOneTrack || len(b) == 0 {
			return tags, err
		}
	}
	return tags, protocolError(ReasonMedia, "more than %d tracks in a message", maxTags)
}

// appendEx appends t with what packet type typ makes of its body.
func appendEx(tags []Tag, t Tag, kind exKind, typ byte, body []byte) ([]Tag, error) {
	t.Data = body
	switch {
	case typ == exSequenceStart:
		t.Packet = PacketConfig
	case typ == exSequenceEnd:
		t.Packet = PacketEnd
	case typ == exCodedFrames:
		t.Packet = PacketFrames
		if kind == exVideo && (t.Codec == AVC || t.Codec == HEVC) {
			if len(body) < 3 {
				return tags, errShortTag
			}
			t.Offset, t.Data = int24(body), body[3:]
		}
	case typ == exCodedFramesX && kind == exVideo:
		t.Packet = PacketFrames
	}
	return append(tags, t), nil
}

func fourCC(b []byte) (FourCC, []byte, error) {
	if len(b) < 4 {
		return 0, nil, errShortTag
	}
	return FourCC(binary.BigEndian.Uint32(b)), b[4:], nil
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

// AppendExVideo appends t as the body of an Enhanced RTMP video message: as encoders
// do, track 0 by itself and every other as a multitrack message of one track.
func AppendExVideo(b []byte, t Tag) []byte {
	frame, typ := byte(2), byte(exCodedFramesX)
	if t.Key || t.Packet == PacketConfig || t.Packet == PacketEnd {
		frame = frameKey
	}
	switch {
	case t.Packet == PacketConfig:
		typ = exSequenceStart
	case t.Packet == PacketEnd:
		typ = exSequenceEnd
	case t.Offset != 0:
		typ = exCodedFrames
	}
	head := byte(videoExtended) | frame<<4
	if t.Track == 0 {
		b = binary.BigEndian.AppendUint32(append(b, head|typ), uint32(t.Codec))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, head|exVideoMulti, exOneTrack<<4|typ), uint32(t.Codec))
		b = append(b, t.Track)
	}
	if typ == exCodedFrames {
		b = append(b, byte(t.Offset>>16), byte(t.Offset>>8), byte(t.Offset))
	}
	return append(b, t.Data...)
}

// AppendExAudio appends t as the body of an Enhanced RTMP audio message, like
// AppendExVideo.
func AppendExAudio(b []byte, t Tag) []byte {
	typ := byte(exCodedFrames)
	switch t.Packet {
	case PacketConfig:
		typ = exSequenceStart
	case PacketEnd:
		typ = exSequenceEnd
	}
	if t.Track == 0 {
		b = binary.BigEndian.AppendUint32(append(b, flvExtended<<4|typ), uint32(t.Codec))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, flvExtended<<4|exAudioMulti, exOneTrack<<4|typ), uint32(t.Codec))
		b = append(b, t.Track)
	}
	return append(b, t.Data...)
}
