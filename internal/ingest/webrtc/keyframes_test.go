package webrtc

import (
	"slices"
	"testing"
	"time"
)

func TestKeyframesAreAskedFor(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	ms := func(d time.Duration) int { return int(d / time.Millisecond) }
	for name, tt := range map[string]struct {
		answer time.Duration               // from asking to the keyframe; 0 for none
		own    time.Duration               // a keyframe comes by itself this often; 0 for never
		urgent func(at time.Duration) bool // nothing can be decoded
		want   []int                       // ms when it is asked for
	}{
		"at the start, until one comes": {0, 0, func(time.Duration) bool { return true }, []int{0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000}},
		"so that one comes every two seconds": {
			40 * time.Millisecond, 0, func(at time.Duration) bool { return at < 40*time.Millisecond },
			[]int{0, 2040, 4080},
		},
		"not when they come by themselves": {0, 2 * time.Second, func(time.Duration) bool { return false }, []int{}},
		"at once when something is lost": {
			40 * time.Millisecond, 0, func(at time.Duration) bool { return at < 40*time.Millisecond || at == 700*time.Millisecond },
			[]int{0, 700, 2740, 4780},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := keyframes{came: began}
			if tt.urgent(0) {
				k.came = time.Time{}
			}
			got := []int{}
			var due time.Duration = -1
			for at := time.Duration(0); at <= 5*time.Second; at += 10 * time.Millisecond {
				now := began.Add(at)
				if at == due || tt.own > 0 && at%tt.own == 0 {
					k.arrived(now)
				}
				if k.ask(now, tt.urgent(at)) {
					got = append(got, ms(at))
					if tt.answer > 0 {
						due = at + tt.answer
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("asked at %d ms, want %d", got, tt.want)
			}
		})
	}
}
