package srt

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

func number(seq uint32) *datagram {
	d := &datagram{n: 4}
	binary.BigEndian.PutUint32(d.payload(), seq)
	return d
}

// Whatever arrives, in whatever order, comes out once and in order, and what is delivered
// and lost adds up.
func TestWindowDeliversInOrder(t *testing.T) {
	for _, first := range []uint32{0, 7, seqMask - 100} {
		r := rand.New(rand.NewPCG(1, uint64(first)))
		w := newWindow(first)
		const n = 3000
		var taken, lost, kept int
		next := first
		drain := func() {
			for {
				seq, _, ok := w.head()
				if !ok {
					return
				}
				d, gone := w.take(seq)
				lost += gone
				next = (next + uint32(gone)) & seqMask
				if got := binary.BigEndian.Uint32(d.payload()); got != next {
					t.Fatalf("delivered %d, want %d", got, next)
				}
				next = (next + 1) & seqMask
				taken++
			}
		}
		for base := 0; base < n; base += 50 {
			for _, i := range r.Perm(50) {
				seq := (first + uint32(base+i)) & seqMask
				if r.IntN(10) == 0 {
					continue // lost on the way
				}
				for range 1 + r.IntN(2) {
					if o := w.put(seq, 0, number(seq)); o == stored || o == filled || o == pastTop {
						kept++
					}
				}
			}
			if w.held > 0 && ahead(w.top, w.acked) < 0 {
				t.Fatalf("acknowledges %d of %d", w.acked, w.top)
			}
			if r.IntN(3) == 0 {
				drain()
			}
		}
		drain()
		if taken != kept || taken+lost != ahead(w.top, first) {
			t.Errorf("%d of %d delivered and %d lost, of %d", taken, kept, lost, ahead(w.top, first))
		}
	}
}

func TestWindowOutcomes(t *testing.T) {
	const first = seqMask - 1
	at := func(n int) uint32 { return (first + uint32(n)) & seqMask }
	w := newWindow(first)
	for i, step := range []struct {
		n    int
		want outcome
	}{
		{0, stored}, {3, pastTop}, {3, twice}, {2, filled}, {-1, late}, {maxWindow, tooFar}, {maxWindow - 1, pastTop}, {1, filled},
	} {
		if got := w.put(at(step.n), 0, number(at(step.n))); got != step.want {
			t.Errorf("step %d: put(first%+d) = %d, want %d", i, step.n, got, step.want)
		}
	}
	if w.acked != at(4) || len(w.slots) != maxWindow || w.room() != 0 {
		t.Errorf("acknowledges %d, want %d; %d slots, room for %d", w.acked, at(4), len(w.slots), w.room())
	}
}

func TestLossReport(t *testing.T) {
	w := newWindow(100)
	for _, seq := range []uint32{100, 102, 105, 106, 110} {
		w.put(seq, 0, number(seq))
	}
	const single, span = 0, 1 << 31
	want := []uint32{101 | single, 103 | span, 104, 107 | span, 109}
	b := w.losses(nil, 100)
	var got []uint32
	for ; len(b) >= 4; b = b[4:] {
		got = append(got, binary.BigEndian.Uint32(b))
	}
	if len(got) != len(want) {
		t.Fatalf("%x, want %x", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%x, want %x", got, want)
		}
	}
	if b := w.losses(nil, 12); len(b) != 12 {
		t.Errorf("a report of at most 12 bytes has %d", len(b))
	}
}

func TestClockUnwraps(t *testing.T) {
	c := clock{newest: 1<<32 - 1000}
	for _, step := range []struct {
		timestamp uint32
		want      int64
	}{
		{1<<32 - 500, 1<<32 - 500},
		{500, 1<<32 + 500},
		{1<<32 - 400, 1<<32 - 400},
		{1000, 1<<32 + 1000},
		{1<<31 - 1, 1<<32 + 1<<31 - 1},
		{1<<32 - 10, 1<<33 - 10},
		{5, 1<<33 + 5},
	} {
		if got := c.unwrap(step.timestamp); got != step.want {
			t.Errorf("unwrap(%d) = %d, want %d", step.timestamp, got, step.want)
		}
	}
}

// A sender's clock that runs 100 ppm fast or slow is followed: after an hour, packets are
// delivered as long after they were sent as in the first minute.
func TestClockFollowsDrift(t *testing.T) {
	for _, ppm := range []int64{-100, 0, 100} {
		var c clock
		var late int64
		for now := int64(0); now < time.Hour.Microseconds(); now += ackInterval.Microseconds() {
			sent := now + now/1_000_000*ppm
			late = c.base + sent - now
			c.sample(sent, now, time.Millisecond)
		}
		if late < -2000 || late > 2000 {
			t.Errorf("%d ppm: %d µs off after an hour", ppm, late)
		}
	}
}
