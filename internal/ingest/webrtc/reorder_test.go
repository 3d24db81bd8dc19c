package webrtc

import (
	"slices"
	"testing"
	"time"
)

func TestReorderer(t *testing.T) {
	const wait = 100 * time.Millisecond
	type step struct {
		push []uint16
		at   time.Duration
		want []uint16
		lost uint16 // the packet before which something is lost; 0 for none
	}
	for name, tt := range map[string]struct {
		steps      []step
		late, gone int64
	}{
		"in order":                       {steps: []step{{push: []uint16{7, 8, 9}, want: []uint16{7, 8, 9}}}},
		"back in order":                  {steps: []step{{push: []uint16{7, 9, 10}, want: []uint16{7}}, {push: []uint16{8}, at: wait / 2, want: []uint16{8, 9, 10}}}},
		"around the end of the numbers":  {steps: []step{{push: []uint16{65534, 0, 65535, 1}, want: []uint16{65534, 65535, 0, 1}}}},
		"one that does not come":         {steps: []step{{push: []uint16{7, 9, 12}, want: []uint16{7}}, {at: wait, want: []uint16{9}, lost: 9}, {at: 2 * wait, want: []uint16{12}, lost: 12}}, gone: 3},
		"one that comes too late":        {steps: []step{{push: []uint16{7, 9}, want: []uint16{7}}, {at: wait, want: []uint16{9}, lost: 9}, {push: []uint16{8}, at: wait}}, late: 1, gone: 1},
		"twice":                          {steps: []step{{push: []uint16{7, 7, 9, 9, 8}, want: []uint16{7, 8, 9}}}, late: 2},
		"a sender that begins anew":      {steps: []step{{push: []uint16{7, 9}, want: []uint16{7}}, {push: []uint16{30000, 30001}, want: []uint16{30000, 30001}, lost: 30000}}, gone: 1},
		"numbers that jump back":         {steps: []step{{push: []uint16{30000}, want: []uint16{30000}}, {push: []uint16{7, 8}, want: []uint16{7, 8}, lost: 7}}},
		"the gap does not wait for more": {steps: []step{{push: []uint16{7, 9}, want: []uint16{7}}, {push: []uint16{10}, at: wait, want: []uint16{9, 10}, lost: 9}}, gone: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, began := reorderer{wait: wait}, time.Unix(1_700_000_000, 0)
			for i, s := range tt.steps {
				now := began.Add(s.at)
				var got []uint16
				var lost uint16
				take := func() {
					for {
						p, l, ok := r.pop(now)
						if !ok {
							return
						}
						if got = append(got, p.seq); l {
							lost = p.seq
						}
					}
				}
				for _, seq := range s.push {
					r.push(packet{seq: seq})
					take()
				}
				take()
				if !slices.Equal(got, s.want) || lost != s.lost {
					t.Errorf("step %d: got %d, lost before %d, want %d and %d", i, got, lost, s.want, s.lost)
				}
			}
			if r.late != tt.late || r.gone != tt.gone {
				t.Errorf("%d late and %d gone, want %d and %d", r.late, r.gone, tt.late, tt.gone)
			}
		})
	}
}

// Whatever numbers come, what is delivered does not go back but where the sender began
// anew, and nothing is kept beyond the bound.
func FuzzReorderer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 4, 0, 3})
	f.Add([]byte{255, 255, 0, 0, 128, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, now := reorderer{wait: 10 * time.Millisecond}, time.Unix(1_700_000_000, 0)
		var last uint16
		seen := false
		for ; len(b) >= 2; b = b[2:] {
			r.push(packet{seq: uint16(b[0])<<8 | uint16(b[1])})
			now = now.Add(time.Millisecond)
			for {
				p, lost, ok := r.pop(now)
				if !ok {
					break
				}
				if seen && !lost && p.seq != last+1 {
					t.Fatalf("%d after %d, and nothing is said to be lost", p.seq, last)
				}
				last, seen = p.seq, true
			}
			if r.count < 0 || r.count > reorderSize {
				t.Fatalf("%d packets are held", r.count)
			}
		}
	})
}
