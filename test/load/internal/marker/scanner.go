package marker

import (
	"encoding/binary"
	"time"
)

const (
	packetLen = 188      // an MPEG-TS packet
	maxUnit   = 32 << 20 // bytes of one box or access unit; more is not media
)

type container int

const (
	undecided container = iota
	fmp4
	mpegts
	unusable // neither, or broken: marks in the rest are not found
)

// Scanner finds the marks in one media resource (part or segment) while it arrives,
// and says when each marked frame became usable, that is, when a demuxer could first
// hand it on:
//
//   - fragmented MP4: at the last byte of the mdat box that holds it, so a resource of
//     several moof/mdat pairs counts pair by pair;
//   - MPEG-TS: when its PES packet is complete, which shows by the announced length,
//     by the start of the next one on that PID, or by the end of the resource.
//
// So a whole part and one that streams as it grows are measured by the same rule.
type Scanner struct {
	Emit func(m Mark, usable time.Time)

	kind container
	buf  []byte            // an incomplete box or packet
	pes  map[uint16][]byte // by PID: the video PES packet that is arriving
}

// Reset readies the scanner for another resource.
func (s *Scanner) Reset() {
	s.kind = undecided
	s.buf = s.buf[:0]
	clear(s.pes)
}

// Feed takes body bytes that arrived at now.
func (s *Scanner) Feed(b []byte, now time.Time) {
	if s.kind == unusable {
		return
	}
	s.buf = append(s.buf, b...)
	if s.kind == undecided {
		switch {
		case len(s.buf) < 8:
			return
		case s.buf[0] == 0x47:
			s.kind = mpegts
		default:
			s.kind = fmp4
		}
	}
	rest := s.buf
	for s.kind == fmp4 {
		n := s.box(rest, now)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	for s.kind == mpegts && len(rest) >= packetLen {
		s.packet(rest[:packetLen], now)
		rest = rest[packetLen:]
	}
	if len(rest) > maxUnit {
		s.kind = unusable
	}
	if s.kind == unusable {
		rest = nil
	}
	s.buf = s.buf[:copy(s.buf, rest)]
}

// box handles the box at the start of b and returns its size, or 0 if it is not whole.
func (s *Scanner) box(b []byte, now time.Time) int {
	if len(b) < 8 {
		return 0
	}
	n, header := uint64(binary.BigEndian.Uint32(b)), uint64(8)
	if n == 1 { // ISO 14496-12 4.2: a 64-bit size follows
		if len(b) < 16 {
			return 0
		}
		n, header = binary.BigEndian.Uint64(b[8:]), 16
	}
	if n < header || n > maxUnit {
		s.kind = unusable
		return 0
	}
	if n > uint64(len(b)) {
		return 0
	}
	if string(b[4:8]) == "mdat" {
		s.emit(b[:n], now)
	}
	return int(n)
}

// packet handles one MPEG-TS packet (ISO 13818-1 2.4.3.2).
func (s *Scanner) packet(p []byte, now time.Time) {
	if p[0] != 0x47 {
		s.kind = unusable
		return
	}
	pid := binary.BigEndian.Uint16(p[1:]) & 0x1fff
	start := p[1]&0x40 != 0
	payload := p[4:]
	if p[3]&0x20 != 0 { // adaptation field
		payload = payload[min(len(payload), 1+int(payload[0])):]
	}
	if p[3]&0x10 == 0 || len(payload) == 0 {
		return
	}
	if start {
		s.flush(pid, now)
		video := len(payload) >= 6 && string(payload[:3]) == "\x00\x00\x01" && payload[3]&0xf0 == 0xe0
		if !video { // tables, audio, metadata
			return
		}
		if s.pes == nil {
			s.pes = map[uint16][]byte{}
		}
		s.pes[pid] = append(s.pes[pid][:0], payload...)
	} else {
		u := s.pes[pid]
		if len(u) == 0 || len(u) > maxUnit {
			return
		}
		s.pes[pid] = append(u, payload...)
	}
	u := s.pes[pid]
	if n := int(binary.BigEndian.Uint16(u[4:])); n > 0 && len(u) >= 6+n {
		s.flush(pid, now)
	}
}

// flush ends the PES packet on pid.
func (s *Scanner) flush(pid uint16, now time.Time) {
	if u := s.pes[pid]; len(u) > 0 {
		s.emit(u, now)
		s.pes[pid] = u[:0]
	}
}

// Finish says that the resource ended.
func (s *Scanner) Finish(now time.Time) {
	for pid := range s.pes {
		s.flush(pid, now)
	}
	s.Reset()
}

func (s *Scanner) emit(b []byte, now time.Time) {
	find(b, func(m Mark) { s.Emit(m, now) })
}
