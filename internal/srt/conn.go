package srt

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"time"
)

// A Conn is one caller's connection. Its packets are taken by Next, from one goroutine;
// other methods may be called from any.
type Conn struct {
	l       *Listener
	remote  peer
	local   uint32 // socket id by which the caller reaches it
	peer    uint32 // the caller's
	latency time.Duration
	wake    chan struct{} // has a token when Next has to look again

	last  *datagram // what Next returned last
	timer *time.Timer

	mu       sync.Mutex // guards all below
	window   window
	clock    clock
	keys     *keyring      // nil without encryption
	shutdown bool          // the caller said goodbye
	closed   bool          // Close was called
	heard    int64         // when the last media arrived, microseconds
	spoke    int64         // when we last sent anything
	rtt, dev time.Duration // of the round trip: smoothed, and its deviation
	timed    bool          // they were measured
	ackSent  uint32        // sequence number of the last acknowledgement
	ackSure  uint32        // and of the last one that arrived
	ackAt    int64         // when it was sent
	acks     acknowledgements
	ackDue   bool  // there may be something to acknowledge
	waiting  int64 // when Next looks again by itself
	nakAt    int64 // when losses were last reported
	rekeyAt  int64 // when key material was last looked at
	rate     rate
	stats    Stats
}

// Stats are counts since the start of a connection.
type Stats struct {
	Packets       int64 // received, with all but retransmissions of what was there
	Bytes         int64 // of their payload
	Lost          int64 // given up: they were missing when their time came
	Retransmitted int64 // received as a retransmission
	Useless       int64 // received too late, twice, or beyond the window
	Undecryptable int64 // in the clear on an encrypted connection, or under an unknown key
	Reports       int64 // of losses, sent
	RTT           time.Duration
}

// Stats returns the counts up to now.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.RTT = c.rtt
	return c.stats
}

// Latency is how long after it was sent a packet is delivered, less the way it took when
// the connection was made.
func (c *Conn) Latency() time.Duration { return c.latency }

// Next returns the payload of the next packet when its time has come; it is valid until
// the next call. lost is how many packets are missing before it. The error is io.EOF
// after the caller's goodbye, os.ErrDeadlineExceeded when no media came for idle, or that
// of ctx.
func (c *Conn) Next(ctx context.Context, idle time.Duration) (payload []byte, lost int, err error) {
	for {
		d, lost, wait, err := c.step(idle)
		if d != nil || err != nil {
			if d == nil {
				return nil, 0, err
			}
			return d.payload(), lost, nil
		}
		c.timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-c.wake:
		case <-c.timer.C:
		}
	}
}

// step delivers a packet whose time has come or says how long to wait. On the way it
// does what is due: acknowledgements, loss reports, signs of life.
func (c *Conn) step(idle time.Duration) (d *datagram, lost int, wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil {
		c.l.pool.Put(c.last)
		c.last = nil
	}
	now := c.l.now()
	due := c.spoke + keepalive.Microseconds()
	if now >= due {
		c.control(now, ctlKeepalive, 0, 0)
		due = now + keepalive.Microseconds()
	}
	seq, at, ok := c.window.head()
	ripe := c.clock.base + at + c.latency.Microseconds()
	if ok && (ripe <= now || c.shutdown) {
		d, lost = c.window.take(seq)
		c.last = d
		c.stats.Lost += int64(lost)
		c.ackDue = true // what was given up counts as received
		c.acknowledge(now)
		return d, lost, 0, nil
	}
	quiet := c.heard + idle.Microseconds()
	switch {
	case c.shutdown || c.closed:
		return nil, 0, 0, io.EOF
	case now >= quiet:
		return nil, 0, 0, os.ErrDeadlineExceeded
	case ok:
		due = min(due, ripe)
	}
	due = min(due, quiet)
	if at, ok := c.acknowledge(now); ok {
		due = min(due, at)
	}
	if at, ok := c.report(now); ok {
		due = min(due, at)
	}
	c.waiting = max(due, now+minWait)
	return nil, 0, time.Duration(c.waiting-now) * time.Microsecond, nil
}

// minWait is the least time between two looks, microseconds: packets of one burst are
// delivered together.
const minWait = 1000

// acknowledge sends an acknowledgement if one is due; at is when the next may be.
func (c *Conn) acknowledge(now int64) (at int64, ok bool) {
	seq := c.window.acked
	switch {
	case !c.ackDue:
		return 0, false
	case now < c.ackAt+ackInterval.Microseconds():
		return c.ackAt + ackInterval.Microseconds(), true
	case seq == c.ackSent && seq == c.ackSure:
		c.ackDue = false
		return 0, false
	case seq == c.ackSent && now < c.ackAt+unackedAgain.Microseconds():
		return c.ackAt + unackedAgain.Microseconds(), true
	}
	packets, bytes := c.rate.perSecond(now)
	var b [28]byte
	for i, v := range [...]uint32{
		seq, uint32(c.rtt.Microseconds()), uint32(c.dev.Microseconds()), uint32(max(c.window.room(), 2)), packets, packets, bytes,
	} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	c.ackSent, c.ackAt = seq, now
	c.control(now, ctlACK, 0, c.acks.add(seq, now), b[:]...)
	return now + unackedAgain.Microseconds(), true // ackDue stays until its receipt is confirmed
}

// report repeats what is missing; at is when the next report is due.
func (c *Conn) report(now int64) (at int64, ok bool) {
	if c.window.acked == c.window.top {
		return 0, false
	}
	interval := max((c.rtt+4*c.dev)/2, minNAK).Microseconds()
	if now >= c.nakAt+interval {
		c.sendLosses(now, c.window.losses(make([]byte, 0, maxLossReport), maxLossReport))
	}
	return c.nakAt + interval, true
}

// maxLossReport is the size of a loss report, in bytes: hundreds of gaps.
const maxLossReport = 1400

func (c *Conn) sendLosses(now int64, list []byte) {
	c.nakAt = now
	c.stats.Reports++
	c.control(now, ctlNAK, 0, 0, list...)
}

// control sends a control packet. A failure is as if it was lost on the way.
func (c *Conn) control(now int64, kind, subtype uint16, info uint32, content ...byte) {
	b := appendControl(make([]byte, 0, headerSize+len(content)), kind, subtype, info, uint32(now), c.peer)
	c.spoke = now
	c.l.send(append(b, content...), c.remote)
}

// handle takes a packet for this connection. It says whether it keeps d, which p refers to.
func (c *Conn) handle(p packet, d *datagram, now int64) (kept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.shutdown {
		return false
	}
	if !p.control {
		return c.media(p, d, now)
	}
	switch p.kind {
	case ctlShutdown:
		c.shutdown = true
		c.look()
	case ctlACKACK:
		c.confirmed(p, now)
	case ctlDrop:
		// What the caller has dropped is given up when its time comes, as what is lost.
	case ctlUser:
		if p.subtype == extKMReq {
			c.rekey(p.payload, now)
		}
	}
	return false
}

// look makes Next look again.
func (c *Conn) look() {
	select {
	case c.wake <- struct{}{}:
	default: // it will
	}
}

// maxAhead is how far in the future a packet may lie, beyond the latency: more is not
// what a clock of microseconds that both sides agree on can do.
const maxAhead = 5 * time.Second

func (c *Conn) media(p packet, d *datagram, now int64) (kept bool) {
	at := c.clock.unwrap(p.timestamp)
	if p.retransmitted {
		c.stats.Retransmitted++
	}
	if c.clock.base+at > now+maxAhead.Microseconds() {
		c.stats.Useless++
		return false
	}
	if c.keys == nil && p.key != 0 || c.keys != nil && !c.keys.has(p.key) {
		c.stats.Undecryptable++
		return false
	}
	if ahead(p.seq, c.window.next) >= maxWindow && c.window.held == 0 {
		c.stats.Lost += int64(c.window.jump(p.seq)) // the caller has given up all before it
	}
	top := c.window.top
	d.n = len(p.payload)
	result := c.window.put(p.seq, at, d)
	switch result {
	case late, twice, tooFar:
		c.stats.Useless++
		return false
	case pastTop:
		c.sendLosses(now, appendLoss(nil, top, (p.seq-1)&seqMask))
	}
	if c.keys != nil {
		c.keys.decrypt(p.payload, p.key, p.seq)
	}
	c.heard = now
	c.stats.Packets++
	c.stats.Bytes += int64(d.n)
	c.rate.count(now, d.n)
	c.ackDue = true
	_, first, _ := c.window.head()
	if due := min(c.clock.base+first+c.latency.Microseconds(), c.ackAt+ackInterval.Microseconds()); due < c.waiting-minWait {
		c.waiting = due
		c.look()
	}
	return true
}

// confirmed takes the receipt of an acknowledgement, which is how the round trip is timed.
func (c *Conn) confirmed(p packet, now int64) {
	seq, sent, ok := c.acks.find(p.info)
	if !ok {
		return
	}
	c.ackSure = seq
	sample := time.Duration(now-sent) * time.Microsecond
	if !c.timed {
		c.rtt, c.dev, c.timed = sample, sample/2, true
	} else {
		c.dev += ((c.rtt - sample).Abs() - c.dev) / 4
		c.rtt += (sample - c.rtt) / 8
	}
	c.clock.sample(c.clock.unwrap(p.timestamp), now, c.rtt)
}

// rekeyInterval bounds how often a caller makes us derive keys.
const rekeyInterval = 100 * time.Millisecond

// rekey takes the keys that the caller is going to use next, and confirms them.
func (c *Conn) rekey(message []byte, now int64) {
	if c.keys == nil || now < c.rekeyAt+rekeyInterval.Microseconds() {
		return // the caller repeats it until it is confirmed
	}
	c.rekeyAt = now
	if c.keys.take(message) == nil {
		c.control(now, ctlUser, extKMRsp, 0, message...)
	}
}

// Close ends the connection and tells the caller so. Next must not be under way.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if !c.shutdown {
		c.control(c.l.now(), ctlShutdown, 0, 0, 0, 0, 0, 0)
	}
	c.closed = true
	c.timer.Stop()
	for {
		seq, _, ok := c.window.head()
		if !ok {
			break
		}
		d, _ := c.window.take(seq)
		c.l.pool.Put(d)
	}
	if c.last != nil {
		c.l.pool.Put(c.last)
		c.last = nil
	}
	c.l.forget(c)
}

// acknowledgements remembers when the newest ones were sent.
type acknowledgements struct {
	number uint32 // of the newest; the first is 1
	sent   [64]struct {
		seq uint32
		at  int64
	}
}

func (a *acknowledgements) add(seq uint32, now int64) uint32 {
	if a.number++; a.number == 0 {
		a.number = 1
	}
	s := &a.sent[a.number%uint32(len(a.sent))]
	s.seq, s.at = seq, now
	return a.number
}

// find returns the acknowledgement of that number, once.
func (a *acknowledgements) find(number uint32) (seq uint32, at int64, ok bool) {
	if number == 0 || a.number-number >= uint32(len(a.sent)) {
		return 0, 0, false
	}
	s := &a.sent[number%uint32(len(a.sent))]
	seq, at = s.seq, s.at
	s.at = 0
	return seq, at, at != 0
}

// A rate is what arrived in the last full second.
type rate struct {
	start                      int64 // of this second, microseconds
	packets, bytes             uint32
	packetsPerSec, bytesPerSec uint32
}

func (r *rate) count(now int64, n int) {
	r.turn(now)
	r.packets++
	r.bytes += uint32(n)
}

func (r *rate) perSecond(now int64) (packets, bytes uint32) {
	r.turn(now)
	return r.packetsPerSec, r.bytesPerSec
}

func (r *rate) turn(now int64) {
	span := now - r.start
	if span < time.Second.Microseconds() {
		return
	}
	scale := func(v uint32) uint32 { return uint32(min(int64(v)*time.Second.Microseconds()/span, 1<<32-1)) }
	*r = rate{start: now, packetsPerSec: scale(r.packets), bytesPerSec: scale(r.bytes)}
}
