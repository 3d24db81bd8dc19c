package mpegts

// noPCR is the pcr of a packet without one.
const noPCR = -1 << 63

// appendHeader appends the 4 bytes of a packet header and counts the packet. field is
// the adaptation_field_control: 0x10 payload, 0x20 adaptation field, or both.
func appendHeader(b []byte, pid uint16, start bool, field byte, counter *uint8) []byte {
	unit := byte(0)
	if start {
		unit = 0x40
	}
	b = append(b, 0x47, unit|byte(pid>>8), byte(pid), field|*counter)
	*counter = (*counter + 1) & 0x0f
	return b
}

// appendPES cuts a PES packet into transport packets. The first has the PCR and the
// random access indicator, the last is stuffed: the next PES packet starts a packet of
// its own, so a cut between two of them is a cut between packets.
func appendPES(b []byte, pid uint16, counter *uint8, pes []byte, pcr int64, random bool) []byte {
	for first := true; len(pes) > 0; first = false {
		field := 0 // adaptation field with its length byte
		if first && (random || pcr != noPCR) {
			field = 2
			if pcr != noPCR {
				field += 6
			}
		}
		const room = PacketSize - 4
		n := min(len(pes), room-field)
		if field+n == room && field == 0 {
			b = appendHeader(b, pid, first, 0x10, counter)
			b = append(b, pes[:n]...)
			pes = pes[n:]
			continue
		}
		b = appendHeader(b, pid, first, 0x30, counter)
		length := room - n - 1
		b = append(b, byte(length))
		if length > 0 {
			flags := byte(0)
			if first && random {
				flags |= 0x40
			}
			used := 1
			if field > 2 {
				flags |= 0x10
				used += 6
			}
			b = append(b, flags)
			if field > 2 {
				b = appendPCR(b, pcr)
			}
			b = fill(b, length-used)
		}
		b = append(b, pes[:n]...)
		pes = pes[n:]
	}
	return b
}

// appendPCR appends a program clock reference, its base in 90 kHz ticks modulo 2^33.
func appendPCR(b []byte, base int64) []byte {
	return append(b, byte(base>>25), byte(base>>17), byte(base>>9), byte(base>>1), byte(base<<7)|0x7e, 0)
}

// appendPESHeader appends a PES header with length 0: unbounded, which video may be.
func appendPESHeader(b []byte, id byte, pts, dts int64) []byte {
	if pts == dts {
		b = append(b, 0, 0, 1, id, 0, 0, 0x84, 0x80, 5) // aligned, PTS
		return appendTime(b, 2, pts)
	}
	b = append(b, 0, 0, 1, id, 0, 0, 0x84, 0xc0, 10) // aligned, PTS and DTS
	b = appendTime(b, 3, pts)
	return appendTime(b, 1, dts)
}

// appendTime appends a PTS or DTS modulo 2^33 after its 4 bit prefix.
func appendTime(b []byte, prefix byte, t int64) []byte {
	return append(b, prefix<<4|byte(t>>29)&0x0e|1, byte(t>>22), byte(t>>14)|1, byte(t>>7), byte(t<<1)|1)
}

// fill appends n stuffing bytes.
func fill(b []byte, n int) []byte {
	for range n {
		b = append(b, 0xff)
	}
	return b
}

// crc is CRC-32/MPEG-2. Sections are short and rare: no table.
func crc(b []byte) uint32 {
	c := uint32(0xffffffff)
	for _, v := range b {
		c ^= uint32(v) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
	}
	return c
}
