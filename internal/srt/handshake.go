package srt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
)

// Handshake types (draft-sharabayko-srt-01 table 4). A refusal is refused plus its Reason.
const (
	hsInduction  = 1
	hsConclusion = 0xffffffff
	refused      = 1000
)

// Extensions of a handshake.
const (
	extHSReq      = 1
	extHSRsp      = 2
	extKMReq      = 3
	extKMRsp      = 4
	extStreamID   = 5
	extCongestion = 6
	extFilter     = 7
	extGroup      = 8
)

// Flags in the extension field that say which extensions follow.
const (
	flagHS     = 1
	flagKM     = 2
	flagConfig = 4
)

const (
	inductionMagic = 0x4a17
	handshakeSize  = 48
	maxStreamID    = 512 // bytes
	maxCongestion  = 64

	ourVersion = 0x010503
	minVersion = 0x010300

	capTSBPDSnd    = 1 << 0
	capTSBPDRcv    = 1 << 1
	capCrypt       = 1 << 2
	capTLPktDrop   = 1 << 3
	capPeriodicNAK = 1 << 4
	capRexmit      = 1 << 5
	capStream      = 1 << 6
	ourCaps        = capTSBPDSnd | capTSBPDRcv | capCrypt | capTLPktDrop | capPeriodicNAK | capRexmit
)

// A handshake is the content of a handshake packet.
type handshake struct {
	version   uint32
	cipher    uint16 // 0, or a key's length in units of 8 bytes
	extension uint16
	isn       uint32 // first sequence number of the sender's data
	mtu       uint32
	window    uint32 // packets
	typ       uint32
	socket    uint32 // of whom it comes from
	cookie    uint32

	// From extensions.
	hasHS      bool
	srtVersion uint32
	caps       uint32
	recvDelay  uint16 // ms, of the one who sends this as a receiver
	sendDelay  uint16 // ms, that it wants of the other one as a receiver
	km         []byte // key material, nil without encryption; part of the packet
	streamID   string
	congestion string
	filter     bool
	group      bool

	confirmation bool   // write HSRSP and KMRSP, as a listener does
	ours         uint32 // and its socket id
}

var errHandshake = errors.New("srt: handshake is cut short, or its lengths do not add up")

// parseHandshake reads the content of a handshake packet.
func parseHandshake(b []byte) (h handshake, err error) {
	if len(b) < handshakeSize {
		return handshake{}, errHandshake
	}
	u32 := binary.BigEndian.Uint32
	h = handshake{
		version: u32(b), cipher: binary.BigEndian.Uint16(b[4:]), extension: binary.BigEndian.Uint16(b[6:]),
		isn: u32(b[8:]) & seqMask, mtu: u32(b[12:]), window: u32(b[16:]), typ: u32(b[20:]), socket: u32(b[24:]), cookie: u32(b[28:]),
	}
	if h.typ != hsConclusion || h.version < 5 {
		return h, nil // what may follow has no meaning
	}
	for b = b[handshakeSize:]; len(b) > 0; {
		if len(b) < 4 {
			return handshake{}, errHandshake
		}
		typ, size := binary.BigEndian.Uint16(b), 4*int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; size > len(b) {
			return handshake{}, errHandshake
		}
		if err := h.extend(typ, b[:size:size]); err != nil {
			return handshake{}, err
		}
		b = b[size:]
	}
	return h, nil
}

func (h *handshake) extend(typ uint16, b []byte) error {
	switch typ {
	case extHSReq, extHSRsp:
		if len(b) < 12 {
			return errHandshake
		}
		h.hasHS = true
		h.srtVersion, h.caps = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		h.recvDelay, h.sendDelay = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
	case extKMReq, extKMRsp:
		h.km = b
	case extStreamID:
		if len(b) > maxStreamID {
			return errHandshake
		}
		h.streamID = text(b)
	case extCongestion:
		if len(b) > maxCongestion {
			return errHandshake
		}
		h.congestion = text(b)
	case extFilter:
		h.filter = true
	case extGroup:
		h.group = true
	}
	return nil
}

// text reads a string whose 32-bit words are turned around, and which is filled with
// zeros (draft-sharabayko-srt-01 3.2.1.3).
func text(b []byte) string {
	s := make([]byte, len(b))
	for i := 0; i+4 <= len(b); i += 4 {
		s[i], s[i+1], s[i+2], s[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	return string(bytes.TrimRight(s, "\x00"))
}

func appendText(b []byte, typ uint16, s string) []byte {
	words := (len(s) + 3) / 4
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint16(b, uint16(words))
	padded := make([]byte, 4*words)
	copy(padded, s)
	for i := 0; i < len(padded); i += 4 {
		b = append(b, padded[i+3], padded[i+2], padded[i+1], padded[i])
	}
	return b
}

// append appends the content of a handshake packet to peer.
func (h *handshake) append(b []byte, peer netip.Addr) []byte {
	ext := h.extension
	if h.typ == hsConclusion {
		ext = 0
		if h.hasHS {
			ext |= flagHS
		}
		if h.km != nil {
			ext |= flagKM
		}
		if h.streamID != "" || h.congestion != "" {
			ext |= flagConfig
		}
	}
	b = binary.BigEndian.AppendUint32(b, h.version)
	b = binary.BigEndian.AppendUint16(b, h.cipher)
	b = binary.BigEndian.AppendUint16(b, ext)
	for _, v := range [...]uint32{h.isn, h.mtu, h.window, h.typ, h.socket, h.cookie} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = appendIP(b, peer)
	if ext&flagHS != 0 && h.typ == hsConclusion {
		b = binary.BigEndian.AppendUint16(b, h.kind(extHSReq))
		b = binary.BigEndian.AppendUint16(b, 3)
		b = binary.BigEndian.AppendUint32(b, h.srtVersion)
		b = binary.BigEndian.AppendUint32(b, h.caps)
		b = binary.BigEndian.AppendUint16(b, h.recvDelay)
		b = binary.BigEndian.AppendUint16(b, h.sendDelay)
	}
	if h.km != nil && h.typ == hsConclusion {
		b = binary.BigEndian.AppendUint16(b, h.kind(extKMReq))
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.km)/4))
		b = append(b, h.km...)
	}
	if h.streamID != "" {
		b = appendText(b, extStreamID, h.streamID)
	}
	if h.congestion != "" {
		b = appendText(b, extCongestion, h.congestion)
	}
	return b
}

// kind is the request's extension, or the one that answers it.
func (h *handshake) kind(request uint16) uint16 {
	if h.confirmation {
		return request + 1
	}
	return request
}

// appendIP appends an address as SRT has it: four words, each of them little-endian, of
// which an IPv4 address has the first.
func appendIP(b []byte, a netip.Addr) []byte {
	var words [16]byte
	switch a = a.Unmap(); {
	case a.Is4():
		v := a.As4()
		copy(words[:], v[:])
	case a.Is6():
		words = a.As16()
	}
	for i := 0; i < len(words); i += 4 {
		b = append(b, words[i+3], words[i+2], words[i+1], words[i])
	}
	return b
}

// unfit says why a caller's conclusion cannot become a connection; 0 when it can.
func (h *handshake) unfit() Reason {
	switch {
	case h.version < 5:
		return Version
	case h.version > 5 || !h.hasHS || h.mtu < minMTU:
		return Rogue
	case h.srtVersion < minVersion:
		return Version
	case h.caps&capStream != 0:
		return MessageAPI
	case h.congestion != "" && h.congestion != "live":
		return Congestion
	case h.filter:
		return Filter
	case h.group:
		return Group
	}
	return 0
}
