package mpegts

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A section is a table on its way (ISO 13818-1 2.4.4).
type section struct {
	counter continuity
	damaged bool
	started bool
	buf     []byte
	last    []byte // the newest that was taken
}

// take collects payloads and calls use with each section that is whole, right and new.
func (s *section) take(start bool, payload []byte, stats *DemuxStats, use func([]byte) error) error {
	if s.damaged {
		if s.started {
			stats.Damaged++
		}
		s.started, s.damaged = false, false
	}
	if start {
		if len(payload) == 0 {
			return nil
		}
		skip := 1 + int(payload[0]) // pointer_field: the end of the section before
		if skip > len(payload) {
			s.started = false
			stats.Damaged++
			return nil
		}
		if s.started {
			if err := s.add(payload[1:skip], stats, use); err != nil {
				return err
			}
		}
		payload = payload[skip:]
		s.started, s.buf = true, s.buf[:0]
	}
	if !s.started {
		return nil
	}
	return s.add(payload, stats, use)
}

func (s *section) add(b []byte, stats *DemuxStats, use func([]byte) error) error {
	s.buf = append(s.buf, b...) // at most maxSection and one packet
	for len(s.buf) >= 3 && s.started {
		if s.buf[0] == 0xff { // stuffing: no section follows
			s.started = false
			return nil
		}
		size := 3 + (int(s.buf[1]&0x0f)<<8 | int(s.buf[2]))
		if size > maxSection {
			s.started = false
			stats.Damaged++
			return nil
		}
		if len(s.buf) < size {
			return nil
		}
		whole := s.buf[:size]
		switch {
		case crc(whole) != 0:
			stats.Damaged++
		case !bytes.Equal(whole, s.last):
			s.last = append(s.last[:0], whole...)
			if err := use(whole); err != nil {
				return err
			}
		}
		s.buf = append(s.buf[:0], s.buf[size:]...)
	}
	return nil
}

// table checks the head that association and program map share, and cuts it and the CRC off.
func table(b []byte, id byte) (extension uint16, rest []byte, ok bool) {
	if len(b) < 12 || b[0] != id || b[1]&0x80 == 0 || b[5]&1 == 0 { // of another kind, or not in force yet
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(b[3:]), b[8 : len(b)-4], true
}

// association takes the program association table.
func (d *Demuxer) association(b []byte) error {
	_, b, ok := table(b, 0)
	if !ok {
		return nil
	}
	for ; len(b) >= 4; b = b[4:] {
		program, pid := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])&0x1fff
		if program == 0 || pid == pidPAT { // the network's table
			continue
		}
		if program != d.program || pid != d.pmtPID {
			d.program, d.pmtPID, d.pmt, d.streams = program, pid, section{}, nil
		}
		return nil
	}
	return nil
}

// programMap takes the program map table.
func (d *Demuxer) programMap(b []byte) error {
	program, b, ok := table(b, 2)
	if !ok || program != d.program || len(b) < 4 {
		return nil
	}
	skip := 4 + int(binary.BigEndian.Uint16(b[2:])&0x0fff) // PCR PID, program descriptors
	if skip > len(b) {
		d.stats.Damaged++
		return nil
	}
	var streams []Stream
	for b = b[skip:]; len(b) >= 5; {
		size := 5 + int(binary.BigEndian.Uint16(b[3:])&0x0fff)
		if size > len(b) {
			d.stats.Damaged++
			return nil
		}
		streams = append(streams, Stream{PID: binary.BigEndian.Uint16(b[1:]) & 0x1fff, Type: b[0], Format: registration(b[5:size])})
		b = b[size:]
	}
	wanted, err := d.h.Program(streams)
	if err != nil {
		return err
	}
	old := d.streams
	d.streams = make(map[uint16]*assembly)
	for _, pid := range wanted[:min(len(wanted), maxWanted)] {
		if !slices.ContainsFunc(streams, func(s Stream) bool { return s.PID == pid }) || pid == d.pmtPID || pid == pidPAT {
			continue
		}
		if d.streams[pid] = old[pid]; old[pid] == nil {
			d.streams[pid] = &assembly{pid: pid}
		}
	}
	return nil
}

// registration is the format_identifier of a registration descriptor, "" without one.
func registration(b []byte) string {
	for len(b) >= 2 {
		tag, size := b[0], 2+int(b[1])
		if size > len(b) {
			return ""
		}
		if tag == 5 && size >= 6 {
			return string(b[2:6])
		}
		b = b[size:]
	}
	return ""
}
