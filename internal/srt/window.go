package srt

import "time"

// A datagram is a received packet's memory, which moves from the listener's pool to a
// connection's window and back.
type datagram struct {
	buf [maxPacket]byte
	n   int // bytes of payload, which starts at headerSize
}

func (d *datagram) payload() []byte { return d.buf[headerSize : headerSize+d.n] }

// A window puts packets into order: it holds what has arrived from the first packet that
// is not delivered on. It grows to maxWindow packets.
type window struct {
	slots []slot // of sequence number n at n modulo the length, a power of two
	next  uint32 // sequence number that is delivered next
	acked uint32 // first one that is missing, of those from next on; top when none is
	top   uint32 // one past the newest
	held  int    // packets in slots
}

type slot struct {
	d  *datagram // nil when it is missing
	at int64     // the sender's clock, microseconds
}

const initialWindow = 256

func newWindow(first uint32) window {
	return window{slots: make([]slot, initialWindow), next: first, acked: first, top: first}
}

// An outcome is what becomes of a packet that arrived.
type outcome uint8

const (
	stored  outcome = iota
	filled          // stored, where one was missing
	late            // it was delivered or given up before
	twice           // it is there already
	tooFar          // there is no room for all that would be missing
	pastTop         // stored, and what is between top and it is missing
)

// put takes the packet of sequence number seq. It keeps d unless the outcome is late,
// twice or tooFar.
func (w *window) put(seq uint32, at int64, d *datagram) outcome {
	offset := ahead(seq, w.next)
	switch {
	case offset < 0:
		return late
	case offset >= maxWindow:
		return tooFar
	}
	for offset >= len(w.slots) {
		w.grow()
	}
	s := w.slot(seq)
	if s.d != nil {
		return twice
	}
	*s = slot{d, at}
	w.held++
	result := filled
	if gap := ahead(seq, w.top); gap >= 0 {
		if result = stored; gap > 0 {
			result = pastTop
		}
		w.top = (seq + 1) & seqMask
	}
	w.advance()
	return result
}

func (w *window) slot(seq uint32) *slot { return &w.slots[seq&uint32(len(w.slots)-1)] }

func (w *window) grow() {
	old := *w
	w.slots = make([]slot, 2*len(old.slots))
	for seq := old.next; seq != old.top; seq = (seq + 1) & seqMask {
		*w.slot(seq) = *old.slot(seq)
	}
}

// advance moves acked over what is there.
func (w *window) advance() {
	for w.acked != w.top && w.slot(w.acked).d != nil {
		w.acked = (w.acked + 1) & seqMask
	}
}

// head is the clock time of the first packet that is there; ok is false when none is.
func (w *window) head() (seq uint32, at int64, ok bool) {
	if w.held == 0 {
		return 0, 0, false
	}
	for seq = w.next; w.slot(seq).d == nil; {
		seq = (seq + 1) & seqMask
	}
	return seq, w.slot(seq).at, true
}

// take delivers the packet that head named, and gives up those before it: lost of them.
func (w *window) take(seq uint32) (d *datagram, lost int) {
	lost = ahead(seq, w.next)
	s := w.slot(seq)
	d, s.d = s.d, nil
	w.held--
	w.next = (seq + 1) & seqMask
	if ahead(w.acked, w.next) < 0 {
		w.acked = w.next
		w.advance()
	}
	return d, lost
}

// jump makes an empty window begin at seq, and says how many packets that gives up.
func (w *window) jump(seq uint32) (lost int) {
	lost = ahead(seq, w.next)
	w.next, w.acked, w.top = seq, seq, seq
	return lost
}

// losses appends the loss report of what is missing, of at most limit bytes.
func (w *window) losses(b []byte, limit int) []byte {
	for seq := w.acked; seq != w.top && len(b)+8 <= limit; {
		if w.slot(seq).d != nil {
			seq = (seq + 1) & seqMask
			continue
		}
		first := seq
		for seq != w.top && w.slot(seq).d == nil {
			seq = (seq + 1) & seqMask
		}
		b = appendLoss(b, first, (seq-1)&seqMask)
	}
	return b
}

// room is how many packets more there is place for.
func (w *window) room() int { return maxWindow - ahead(w.top, w.next) }

// A clock maps the sender's 32-bit clock of microseconds to ours.
type clock struct {
	base   int64 // ours when the sender's was 0, microseconds
	newest int64 // the sender's newest time, without its wraps
	drift  driftMeter
}

// unwrap is the sender's time without its wraps, every 71 minutes.
func (c *clock) unwrap(timestamp uint32) int64 {
	t := c.newest + int64(int32(timestamp-uint32(c.newest)))
	c.newest = max(c.newest, t)
	return t
}

// A driftMeter averages how much later than the clock says packets arrive that are sent
// at once and never again. Over a span it is the drift of the sender's clock, since what
// delays a single packet evens out and a longer way shows in the round trip time.
type driftMeter struct {
	sum      int64 // microseconds
	samples  int64
	firstRTT time.Duration // when the clock was set; 0 before the first sample
}

const (
	driftSpan = 1000    // samples
	maxDrift  = 100_000 // microseconds in a span, 10 s at the least: more is not a clock's
)

// sample takes a packet that left at the sender's time sent and arrived at now.
func (c *clock) sample(sent, now int64, rtt time.Duration) {
	m := &c.drift
	if m.firstRTT == 0 {
		m.firstRTT = rtt
	}
	m.sum += now - (c.base + sent) - (rtt-m.firstRTT).Microseconds()/2
	if m.samples++; m.samples < driftSpan {
		return
	}
	c.base += min(max(m.sum/m.samples, -maxDrift), maxDrift)
	m.sum, m.samples = 0, 0
}
