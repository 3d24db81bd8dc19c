package webrtc

import "time"

// A packet is one RTP packet of a track, out of its envelope.
type packet struct {
	seq     uint16
	ts      uint32 // of the track's clock
	marker  bool   // the last of its picture
	payload []byte // empty in packets that only pad
	at      time.Time
}

// reorderSize is how many packets one track may have between the oldest that is missing
// and the newest: 1 s of 8.5 Mbit/s.
const reorderSize = 1024

// How long a missing packet is waited for. One of pictures was asked for again; one of
// sound will not be sent again.
const (
	waitForPictures = 250 * time.Millisecond
	waitForSound    = 80 * time.Millisecond
)

// A reorderer puts the packets of one track back into the order they were sent in. It
// holds what came too early, and gives up what does not come.
type reorderer struct {
	wait time.Duration // for a packet that is missing

	started bool
	next    uint16 // sequence number to deliver
	ring    []packet
	filled  []bool
	count   int       // of filled
	since   time.Time // when the gap at next was noticed; zero without one
	lost    bool      // packets before next were given up

	late int64 // packets that came twice, or after they were given up
	gone int64 // packets that were given up
}

// push takes a packet. What is too far from the others begins anew: the sender did.
func (r *reorderer) push(p packet) {
	if !r.started {
		r.started, r.next = true, p.seq
		r.ring, r.filled = make([]packet, reorderSize), make([]bool, reorderSize)
	}
	ahead := int(int16(p.seq - r.next)) // the nearer way round
	switch {
	case ahead < 0 && ahead > -reorderSize:
		r.late++
		return
	case ahead < 0 || ahead >= reorderSize:
		r.gone += int64(r.count)
		clear(r.ring)
		clear(r.filled)
		r.count, r.next, r.since, r.lost = 0, p.seq, time.Time{}, true
	}
	i := int(p.seq) % reorderSize
	if r.filled[i] {
		r.late++
		return
	}
	r.ring[i], r.filled[i] = p, true
	r.count++
}

// pop returns the next packet in order, if its turn has come at now. lost says that
// packets before it were given up.
func (r *reorderer) pop(now time.Time) (p packet, lost, ok bool) {
	if r.count == 0 {
		return packet{}, false, false
	}
	if !r.filled[int(r.next)%reorderSize] {
		if r.since.IsZero() {
			r.since = now
		}
		if now.Sub(r.since) < r.wait {
			return packet{}, false, false
		}
		for !r.filled[int(r.next)%reorderSize] { // count is above 0, so there is one
			r.next++
			r.gone++
		}
		r.lost = true
	}
	i := int(r.next) % reorderSize
	p, lost = r.ring[i], r.lost
	r.ring[i], r.filled[i] = packet{}, false // the payload is not ours to hold
	r.count--
	r.next++
	r.since, r.lost = time.Time{}, false
	return p, lost, true
}
