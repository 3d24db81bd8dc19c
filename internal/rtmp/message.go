package rtmp

import "encoding/binary"

// MessageType is a message type id (specification 5.4, 6.2, 7.1).
type MessageType uint8

// The message types.
const (
	TypeSetChunkSize     MessageType = 1
	TypeAbort            MessageType = 2
	TypeAcknowledgement  MessageType = 3
	TypeUserControl      MessageType = 4
	TypeWindowAckSize    MessageType = 5
	TypeSetPeerBandwidth MessageType = 6
	TypeAudio            MessageType = 8
	TypeVideo            MessageType = 9
	TypeDataAMF3         MessageType = 15
	TypeCommandAMF3      MessageType = 17
	TypeData             MessageType = 18
	TypeCommand          MessageType = 20
	TypeAggregate        MessageType = 22
)

// media reports whether payloads of the type carry media, and so are kept for ever.
func (t MessageType) media() bool { return t == TypeAudio || t == TypeVideo || t == TypeAggregate }

// User control events (specification 7.1.7).
const (
	eventStreamBegin  = 0
	eventPingRequest  = 6
	eventPingResponse = 7
)

// A Message is one RTMP message.
type Message struct {
	Type      MessageType
	Stream    uint32 // message stream id; 0 is the connection
	Timestamp int64  // ms; from ServerConn extended past 2^32, from Reader below it

	// Payload of audio and video is fresh and never written again. That of any
	// other type is good until the next read.
	Payload []byte
}

// Chunk stream ids that we send on; any above 1 would do, these are what others use.
const (
	chunkControl = 2
	chunkCommand = 3
	chunkAudio   = 4
	chunkData    = 5
	chunkVideo   = 6
)

func controlMessage(t MessageType, v uint32) Message {
	return Message{Type: t, Payload: binary.BigEndian.AppendUint32(nil, v)}
}

func peerBandwidthMessage(v uint32) Message {
	const dynamic = 2
	return Message{Type: TypeSetPeerBandwidth, Payload: append(binary.BigEndian.AppendUint32(nil, v), dynamic)}
}

func userControlMessage(event uint16, data ...byte) Message {
	return Message{Type: TypeUserControl, Payload: append(binary.BigEndian.AppendUint16(nil, event), data...)}
}

// An aggregate walks the messages inside an aggregate message (specification 7.1.6).
type aggregate struct {
	left   []byte
	stream uint32
	base   int64 // timestamp of the aggregate less that of its first message; ms
	first  bool
}

func newAggregate(m Message) aggregate {
	return aggregate{left: m.Payload, stream: m.Stream, base: m.Timestamp, first: true}
}

// next returns the next message inside; ok is false at the end.
func (a *aggregate) next() (m Message, ok bool, err error) {
	if len(a.left) == 0 {
		return m, false, nil
	}
	const header, backPointer = 11, 4
	if len(a.left) < header {
		return m, false, protocolError(ReasonMedia, "aggregate cut short in a header")
	}
	h, rest := a.left[:header], a.left[header:]
	n := int(uint24(h[1:]))
	ts := int64(uint24(h[4:]) | uint32(h[7])<<24)
	if n > len(rest) {
		return m, false, protocolError(ReasonMedia, "aggregate cut short in a message of %d bytes", n)
	}
	if a.first {
		a.base, a.first = a.base-ts, false
	}
	m = Message{Type: MessageType(h[0]), Stream: a.stream, Timestamp: int64(uint32(a.base + ts)), Payload: rest[:n:n]}
	a.left = rest[min(n+backPointer, len(rest)):]
	return m, true, nil
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
