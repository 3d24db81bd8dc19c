package mpegts

import "bytes"

// A Handler takes what a Demuxer finds. An error of it ends the Demuxer's call.
type Handler interface {
	// Program is told the elementary streams of the program, at its start and when they
	// change, and returns the PIDs of those that it wants.
	Program(streams []Stream) (wanted []uint16, err error)
	// PES takes a packet of a wanted stream. Its Data is valid until the call returns.
	PES(p PES) error
}

// A Stream is an elementary stream as the program map announces it.
type Stream struct {
	PID    uint16
	Type   uint8  // stream_type, ISO 13818-1 table 2-34
	Format string // of its registration descriptor, such as "Opus"; "" without
}

// A PES is one packet of an elementary stream.
type PES struct {
	PID uint16
	// PTS and DTS are in 90 kHz ticks, without their wraps after 26 hours: on one line
	// for all streams of the program, which begins anywhere.
	PTS, DTS int64
	Timed    bool // the packet has a PTS
	Data     []byte
}

// Bounds of what a Demuxer holds.
const (
	maxPES     = 8 << 20 // bytes of one PES packet
	maxSection = 1024    // bytes of a table, ISO 13818-1 2.4.4
	maxWanted  = 8       // streams
)

// A Demuxer takes a transport stream apart: the first program of its association table.
// What was damaged on the way it drops whole. It belongs to one goroutine.
type Demuxer struct {
	h     Handler
	carry [PacketSize]byte // begin of a packet whose rest is to come
	n     int

	pat, pmt  section
	pmtPID    uint16 // 0 before the association table
	program   uint16
	streams   map[uint16]*assembly // of wanted PIDs, at most maxWanted
	reference int64                // newest time of the program, without its wraps
	timed     bool

	stats DemuxStats
}

// DemuxStats are counts since the start.
type DemuxStats struct {
	Packets  int64
	Skipped  int64 // bytes that belong to no packet
	Gaps     int64 // places where the continuity counter says that packets are missing
	Damaged  int64 // PES packets and tables dropped for a gap, an error mark or their own form
	TooLarge int64 // PES packets dropped for their size
}

// NewDemuxer returns a Demuxer at the beginning of a stream.
func NewDemuxer(h Handler) *Demuxer { return &Demuxer{h: h} }

// Stats returns the counts up to now.
func (d *Demuxer) Stats() DemuxStats { return d.stats }

// Write takes the next bytes of the stream, which may begin and end anywhere.
func (d *Demuxer) Write(b []byte) error {
	for len(b) > 0 {
		if d.n == 0 && b[0] != syncByte {
			i := bytes.IndexByte(b, syncByte)
			if i < 0 {
				i = len(b)
			}
			d.stats.Skipped += int64(i)
			b = b[i:]
			continue
		}
		p := b
		if d.n > 0 || len(b) < PacketSize {
			n := copy(d.carry[d.n:], b)
			d.n += n
			if b = b[n:]; d.n < PacketSize {
				return nil
			}
			p, d.n = d.carry[:], 0
		} else {
			b = b[PacketSize:]
		}
		if err := d.packet(p[:PacketSize]); err != nil {
			return err
		}
	}
	return nil
}

// Gap says that bytes are missing before the next Write.
func (d *Demuxer) Gap() {
	d.stats.Skipped += int64(d.n)
	d.n = 0
}

// Flush ends the stream: what waits for the begin of the next packet is whole.
func (d *Demuxer) Flush() error {
	for {
		var first *assembly // by time, of those that wait
		for _, a := range d.streams {
			if a.started && (first == nil || a.order < first.order) {
				first = a
			}
		}
		if first == nil {
			return nil
		}
		if err := d.finish(first); err != nil {
			return err
		}
	}
}

const syncByte = 0x47

// packet takes one transport packet (ISO 13818-1 2.4.3.2).
func (d *Demuxer) packet(p []byte) error {
	d.stats.Packets++
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	a := d.streams[pid]
	table := pid == pidPAT || pid == d.pmtPID && pid != 0
	if a == nil && !table {
		return nil
	}
	counter, damaged := &d.pat.counter, &d.pat.damaged
	switch {
	case a != nil:
		counter, damaged = &a.counter, &a.damaged
	case pid != pidPAT:
		counter, damaged = &d.pmt.counter, &d.pmt.damaged
	}
	if p[1]&0x80 != 0 || p[3]&0xc0 != 0 { // marked as broken, or scrambled
		*damaged = true
		return nil
	}
	payload := p[4:]
	restart := false
	if p[3]&0x20 != 0 {
		size := 1 + int(payload[0])
		if size > len(payload) {
			*damaged = true
			return nil
		}
		restart = size > 1 && payload[1]&0x80 != 0 // discontinuity_indicator
		payload = payload[size:]
	}
	if p[3]&0x10 == 0 {
		return nil
	}
	switch counter.next(p[3]&0x0f, restart) {
	case repeated:
		return nil
	case missing:
		d.stats.Gaps++
		*damaged = true
	}
	start := p[1]&0x40 != 0
	switch {
	case a != nil:
		return d.media(a, start, payload)
	case pid == pidPAT:
		return d.pat.take(start, payload, &d.stats, d.association)
	}
	return d.pmt.take(start, payload, &d.stats, d.programMap)
}

// A continuity is the 4-bit counter of the packets of one PID.
type continuity struct {
	seen bool
	last uint8
}

type step uint8

const (
	inOrder step = iota
	repeated
	missing
)

func (c *continuity) next(n uint8, restart bool) step {
	seen, last := c.seen, c.last
	c.seen, c.last = true, n
	switch {
	case !seen, restart, n == (last+1)&0x0f:
		return inOrder
	case n == last:
		return repeated
	}
	return missing
}

// An assembly is a PES packet of one stream on its way.
type assembly struct {
	pid      uint16
	counter  continuity
	started  bool
	damaged  bool // since it started, or the last one ended
	tooLarge bool
	size     int    // of the whole, when it says so; else 0
	order    int64  // of its start, among all
	buf      []byte // used again
}

// media takes the payload of a packet of a stream.
func (d *Demuxer) media(a *assembly, start bool, payload []byte) error {
	if start {
		broken := a.damaged // by what came before this packet, or is missing before it
		if a.started {
			if err := d.finish(a); err != nil {
				return err
			}
		} else if broken {
			d.stats.Damaged++
		}
		a.started, a.damaged, a.tooLarge, a.size, a.order = true, false, false, 0, d.stats.Packets
		a.buf = a.buf[:0]
	}
	if !a.started {
		return nil
	}
	if a.tooLarge = a.tooLarge || len(a.buf)+len(payload) > maxPES; a.tooLarge {
		return nil
	}
	a.buf = append(a.buf, payload...)
	if a.size == 0 && len(a.buf) >= 6 {
		if n := int(a.buf[4])<<8 | int(a.buf[5]); n > 0 {
			a.size = 6 + n
		}
	}
	if a.size > 0 && len(a.buf) >= a.size {
		a.buf = a.buf[:a.size]
		return d.finish(a)
	}
	return nil
}

// finish hands over a packet that is whole.
func (d *Demuxer) finish(a *assembly) error {
	a.started = false
	if a.tooLarge {
		d.stats.TooLarge++
		return nil
	}
	p, ok := d.parse(a.buf)
	if a.damaged || !ok {
		d.stats.Damaged++
		a.damaged = false
		return nil
	}
	if len(p.Data) == 0 {
		return nil
	}
	p.PID = a.pid
	return d.h.PES(p)
}

// parse reads the header of a PES packet (ISO 13818-1 2.4.3.6).
func (d *Demuxer) parse(b []byte) (p PES, ok bool) {
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]>>6 != 2 || b[6]&0x30 != 0 {
		return PES{}, false // no PES packet, one without a header of this form, or scrambled
	}
	head := 9 + int(b[8])
	if head > len(b) {
		return PES{}, false
	}
	p.Data = b[head:]
	switch flags := b[7] >> 6; {
	case flags == 2 && b[8] >= 5:
		p.PTS, p.Timed = d.unwrap(timestamp(b[9:])), true
		p.DTS = p.PTS
	case flags == 3 && b[8] >= 10:
		p.DTS, p.Timed = d.unwrap(timestamp(b[14:])), true
		p.PTS = p.DTS + wrapped(timestamp(b[9:])-p.DTS)
	}
	return p, true
}

func timestamp(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}

// wrapped is t modulo 2^33, from -2^32 on.
func wrapped(t int64) int64 { return t << 31 >> 31 }

// unwrap puts a time next to the newest one of the program.
func (d *Demuxer) unwrap(t int64) int64 {
	if !d.timed {
		d.timed, d.reference = true, t
		return t
	}
	d.reference += wrapped(t - d.reference)
	return d.reference
}
