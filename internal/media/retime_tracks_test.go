package media

import "testing"

// Frames that an encoder shows together, in tracks of other rates and with other
// B-frames, get one presentation time.
func TestRetimerKeepsTracksTogether(t *testing.T) {
	type track struct {
		encoder
		delay  int64 // of DTS before PTS; frames
		frames int64 // to each one of the slowest track
	}
	for name, tracks := range map[string][2]track{
		"60 and 30":              {{encoder{60, 1, 0, true}, 0, 2}, {encoder{30, 1, 0, true}, 0, 1}},
		"60 with B-frames":       {{encoder{60, 1, 0, true}, 2, 2}, {encoder{30, 1, 0, true}, 0, 1}},
		"59.94 and 29.97":        {{encoder{60000, 1001, 0, true}, 0, 2}, {encoder{30000, 1001, 0, true}, 0, 1}},
		"the slower track first": {{encoder{25, 1, 0, true}, 0, 1}, {encoder{50, 1, 0, true}, 0, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			var desc [2]*Track
			for i, tr := range tracks {
				desc[i] = &Track{ID: i, Timescale: VideoTimescale, FrameRate: float64(tr.num) / float64(tr.den)}
			}
			const lead = 1000 // of all timestamps; ms
			for n := range int64(5000) {
				var pts [2]int64
				for i, tr := range tracks {
					for k := n * tr.frames; k < (n+1)*tr.frames; k++ {
						ms := lead + tr.ms(k)
						dts := ms - tr.ms(tr.delay)
						if _, p := r.Video(desc[i], dts, ms-dts); k == n*tr.frames {
							pts[i] = p
						}
					}
				}
				if d := pts[0] - pts[1]; d > 1 || d < -1 { // half ticks of 59.94 round
					t.Fatalf("frame %d: %d and %d", n, pts[0], pts[1])
				}
			}
		})
	}
}

// A jump of the clock moves all tracks alike.
func TestRetimerMovesTracksAlike(t *testing.T) {
	var r Retimer
	a := &Track{ID: 0, Timescale: VideoTimescale, FrameRate: 25}
	b := &Track{ID: 1, Timescale: VideoTimescale, FrameRate: 25}
	for _, base := range []int64{0, 500_000, 40} {
		for k := range int64(100) {
			_, pa := r.Video(a, base+40*k, 0)
			_, pb := r.Video(b, base+40*k, 0)
			if pa != pb {
				t.Fatalf("frame %d after %d: %d and %d", k, base, pa, pb)
			}
		}
	}
}
