package webrtc

import (
	"encoding/binary"
	"slices"
	"time"
)

// Bounds of one access unit.
const (
	maxAccessUnit = 4 << 20 // bytes; a keyframe of 8.5 Mbit/s has a tenth of it
	maxNALs       = 512
	maxParameters = 16 // SPS, and PPS
)

// NAL unit types (H.264 table 7-1) and packet types (RFC 6184 5.2).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSEI   = 6
	nalSPS   = 7
	nalPPS   = 8
	stapA    = 24 // several NAL units in a packet
	fuA      = 28 // one NAL unit in several packets
)

// An accessUnit is one coded picture.
type accessUnit struct {
	ts       uint32
	first    time.Time // when its first packet came
	received time.Time // and its last
	data     []byte    // slices and SEI, each behind its 4-byte length; fresh
	sps, pps [][]byte  // parameter sets that came with it; fresh
	idr      bool
}

// An assembler makes access units of the packets of one track (RFC 6184, packetization
// mode 1), which come in order. A picture that misses a packet is dropped, and with it
// all that follow until a whole keyframe: they refer to it. The zero value waits for
// the first keyframe.
type assembler struct {
	decodable bool // what the next picture refers to was complete

	open    bool
	lost    bool // packets before the next one are missing
	damaged bool // the open picture is not complete
	au      accessUnit
	data    []byte // of au; reused
	nals    int    // in au
	slices  bool   // au has a picture
	unit    int    // in data, of the NAL unit that is in pieces; -1 without one

	dropped int64 // pictures that were damaged or not decodable
}

// push takes the next packet; lost says that some before it are missing. Pictures that
// are complete go to emit. needKey says that the sender must make a keyframe, since
// something was lost.
func (a *assembler) push(p packet, lost bool, emit func(accessUnit)) (needKey bool) {
	a.lost = a.lost || lost
	if a.open && (a.lost || p.ts != a.au.ts) {
		a.damaged = a.damaged || a.lost
		if p.ts != a.au.ts { // its last packet is lost, or the sender sets no markers
			needKey = a.finish(emit)
		}
	}
	if len(p.payload) == 0 {
		return needKey
	}
	if !a.open {
		a.open, a.damaged, a.slices, a.nals, a.unit = true, a.lost, false, 0, -1
		a.au = accessUnit{ts: p.ts, first: p.at}
		a.data = a.data[:0]
	}
	a.lost = false
	a.au.received = p.at
	if !a.damaged && !a.depacketize(p.payload) {
		a.damaged = true
	}
	if p.marker {
		needKey = a.finish(emit) || needKey
	}
	return needKey
}

// finish ends the open picture.
func (a *assembler) finish(emit func(accessUnit)) (needKey bool) {
	a.open = false
	switch {
	case a.damaged || a.unit >= 0:
		needKey = a.decodable
		a.decodable = false
		a.dropped++
	case !a.slices:
		if len(a.au.sps)+len(a.au.pps) > 0 { // parameter sets by themselves belong to what follows
			emit(a.au)
		}
	case a.au.idr || a.decodable:
		a.decodable = true
		a.au.data = slices.Clone(a.data)
		emit(a.au)
	default:
		a.dropped++
	}
	a.au = accessUnit{}
	return needKey
}

// depacketize adds what a packet holds to the open picture. It reports whether that is
// well formed and within bounds.
func (a *assembler) depacketize(b []byte) bool {
	typ := b[0] & 0x1f
	if a.unit >= 0 && typ != fuA {
		return false // a NAL unit without its end
	}
	switch {
	case typ > 0 && typ < stapA:
		return a.add(b)
	case typ == stapA:
		for b = b[1:]; len(b) > 0; {
			if len(b) < 2 {
				return false
			}
			n := int(binary.BigEndian.Uint16(b))
			if b = b[2:]; n == 0 || n > len(b) || !a.add(b[:n]) {
				return false
			}
			b = b[n:]
		}
		return true
	case typ == fuA:
		return a.addPiece(b)
	}
	return false
}

// addPiece adds a fragment of a NAL unit (RFC 6184 5.8).
func (a *assembler) addPiece(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	const startBit, endBit = 0x80, 0x40
	start, end := b[1]&startBit != 0, b[1]&endBit != 0
	if start != (a.unit < 0) || start && end {
		return false
	}
	if start {
		a.unit = len(a.data)
		a.data = append(a.data, 0, 0, 0, 0, b[0]&0xe0|b[1]&0x1f)
	}
	if len(a.data)+len(b) > maxAccessUnit {
		return false
	}
	a.data = append(a.data, b[2:]...)
	if !end {
		return true
	}
	nal := a.data[a.unit+4:]
	a.data, a.unit = a.data[:a.unit], -1
	return a.add(nal) // in place, when it is one to keep
}

// add adds a whole NAL unit. What only organizes a byte stream, or belongs to layers
// that nobody decodes here, is left out.
func (a *assembler) add(nal []byte) bool {
	if a.nals++; a.nals > maxNALs || len(a.data)+4+len(nal) > maxAccessUnit {
		return false
	}
	switch typ := nal[0] & 0x1f; {
	case typ == nalSPS && len(a.au.sps) < maxParameters:
		a.au.sps = append(a.au.sps, slices.Clone(nal))
		return true
	case typ == nalPPS && len(a.au.pps) < maxParameters:
		a.au.pps = append(a.au.pps, slices.Clone(nal))
		return true
	case typ >= nalSlice && typ <= nalIDR:
		a.slices = true
		a.au.idr = a.au.idr || typ == nalIDR
	case typ != nalSEI:
		return typ != nalSPS && typ != nalPPS // too many of them
	}
	a.data = binary.BigEndian.AppendUint32(a.data, uint32(len(nal)))
	a.data = append(a.data, nal...)
	return true
}
