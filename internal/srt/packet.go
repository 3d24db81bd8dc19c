package srt

import "encoding/binary"

// Kinds of control packet (draft-sharabayko-srt-01 table 1).
const (
	ctlHandshake = 0
	ctlKeepalive = 1
	ctlACK       = 2
	ctlNAK       = 3
	ctlShutdown  = 5
	ctlACKACK    = 6
	ctlDrop      = 7
	ctlUser      = 0x7fff // its subtype is that of a handshake extension
)

// A packet is what is in a datagram, and refers to its bytes.
type packet struct {
	control bool
	kind    uint16 // of control packets
	subtype uint16
	info    uint32 // type-specific

	seq           uint32 // of data packets, 31 bits
	key           uint8  // KK: 0 plain, 1 even, 2 odd key
	retransmitted bool

	timestamp uint32 // microseconds of the sender's clock, which wraps
	socket    uint32 // whom it is for; 0 is the listener
	payload   []byte
}

// parsePacket reads a datagram.
func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < headerSize {
		return packet{}, false
	}
	first, second := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	p.timestamp, p.socket = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	p.payload = b[headerSize:]
	if p.control = first>>31 == 1; p.control {
		p.kind, p.subtype, p.info = uint16(first>>16)&0x7fff, uint16(first), second
	} else {
		p.seq, p.key, p.retransmitted = first, uint8(second>>27)&3, second>>26&1 == 1
	}
	return p, true
}

// appendControl appends the header of a control packet.
func appendControl(b []byte, kind, subtype uint16, info, timestamp, socket uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, kind|1<<15)
	b = binary.BigEndian.AppendUint16(b, subtype)
	b = binary.BigEndian.AppendUint32(b, info)
	b = binary.BigEndian.AppendUint32(b, timestamp)
	return binary.BigEndian.AppendUint32(b, socket)
}

// Sequence numbers have 31 bits and wrap.
const seqMask = 1<<31 - 1

// ahead is how far a is ahead of b, from -2^30 to 2^30-1.
func ahead(a, b uint32) int { return int(int32((a-b)<<1) >> 1) }

// appendLoss appends lost sequence numbers from first to last to a loss report
// (draft-sharabayko-srt-01 appendix A).
func appendLoss(b []byte, first, last uint32) []byte {
	if first == last {
		return binary.BigEndian.AppendUint32(b, first)
	}
	b = binary.BigEndian.AppendUint32(b, first|1<<31)
	return binary.BigEndian.AppendUint32(b, last)
}
