package media

import (
	"math/rand/v2"
	"testing"
	"time"
)

// An encoder makes the timestamps that a steady source has after rounding to ms.
type encoder struct {
	num, den int64 // frames per second
	start    int64 // ms
	floor    bool  // rounds down, as OBS does; else to nearest, as ffmpeg does
}

func (e encoder) ms(k int64) int64 {
	if e.floor {
		return e.start + k*1000*e.den/e.num
	}
	return e.start + (2*k*1000*e.den+e.num)/(2*e.num)
}

// exact is the distance of frame k from frame 0 in ticks, to the nearest.
func (e encoder) exact(k int64) int64 { return (2*k*VideoTimescale*e.den + e.num) / (2 * e.num) }

func TestRetimerPutsFramesOnTheGridOfADeclaredRate(t *testing.T) {
	for name, tt := range map[string]struct {
		encoder
		declared float64
	}{
		"30":                          {encoder{30, 1, 0, false}, 30},
		"30 rounded down":             {encoder{30, 1, 0, true}, 30},
		"30 from a late start":        {encoder{30, 1, 123_457, true}, 30},
		"29.97":                       {encoder{30000, 1001, 0, true}, 30000. / 1001},
		"29.97 as metadata rounds it": {encoder{30000, 1001, 7, false}, 29.97},
		"23.976 as 23.98":             {encoder{24000, 1001, 0, false}, 23.98},
		"24":                          {encoder{24, 1, 0, false}, 24},
		"25":                          {encoder{25, 1, 40, false}, 25},
		"50":                          {encoder{50, 1, 0, false}, 50},
		"59.94":                       {encoder{60000, 1001, 0, true}, 59.94},
		"60":                          {encoder{60, 1, 0, true}, 60},
		"60 across 2^32 ms":           {encoder{60, 1, 1<<32 - 500, true}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			track := &Track{Timescale: VideoTimescale, FrameRate: tt.declared}
			first, _ := r.Video(track, tt.ms(0), 0)
			for k := int64(1); k < 60*60*5; k++ {
				dts, pts := r.Video(track, tt.ms(k), 0)
				if dts-first != tt.exact(k) || pts != dts {
					t.Fatalf("frame %d at %d ms: DTS %d, PTS %d after the first, want %d", k, tt.ms(k), dts-first, pts-first, tt.exact(k))
				}
			}
		})
	}
}

func TestRetimerLearnsARateThatNobodyDeclared(t *testing.T) {
	for name, e := range map[string]encoder{
		"12.5":            {25, 2, 0, false},
		"15":              {15, 1, 0, true},
		"23.976":          {24000, 1001, 0, true},
		"24":              {24, 1, 0, false},
		"25":              {25, 1, 0, false},
		"29.97":           {30000, 1001, 9, true},
		"30":              {30, 1, 0, false},
		"30 rounded down": {30, 1, 11, true},
		"48":              {48, 1, 0, true},
		"59.94":           {60000, 1001, 0, false},
		"60":              {60, 1, 0, true},
		"120":             {120, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			track := &Track{Timescale: VideoTimescale}
			learned := 3 * e.num / e.den / 2 // frames of 1.5 s
			var first, last int64
			for k := int64(0); k < 20*e.num/e.den; k++ {
				dts, _ := r.Video(track, e.ms(k), 0)
				if dts <= last {
					t.Fatalf("frame %d: DTS %d after %d", k, dts, last)
				}
				last = dts
				if k == learned {
					first = dts
				}
				// The two roundings may differ by a tick.
				if k == learned && r.video.rate != (frameRate{e.num, e.den}) {
					t.Fatalf("learned %v", r.video.rate)
				}
				if d := dts - first - (e.exact(k) - e.exact(learned)); k > learned && (d > 1 || d < -1) {
					t.Fatalf("frame %d: DTS off the grid by %d ticks", k, d)
				}
			}
		})
	}
}

// A wrong declaration must not make a false grid: after it is found out the real one
// is learned.
func TestRetimerGivesUpAWrongDeclaration(t *testing.T) {
	var r Retimer
	e := encoder{30000, 1001, 0, true}
	track := &Track{Timescale: VideoTimescale, FrameRate: 30}
	var prev int64
	for k := int64(0); k < 3000; k++ {
		dts, _ := r.Video(track, e.ms(k), 0)
		if d := dts - prev; k > 600 && d != 3003 {
			t.Fatalf("frame %d: %d ticks after the one before, want 3003", k, d)
		}
		prev = dts
	}
}

func TestRetimerLeavesVariableFrameRateAlone(t *testing.T) {
	for name, declared := range map[string]float64{"nothing declared": 0, "declared as 30": 30, "declared as a clock": 1000} {
		t.Run(name, func(t *testing.T) {
			var (
				r     Retimer
				rnd   = rand.New(rand.NewPCG(1, 2))
				track = &Track{Timescale: VideoTimescale, FrameRate: declared}
				in    = int64(0)
			)
			for k := range 2000 {
				dts, _ := r.Video(track, in, 0)
				if want := (sessionStart + in) * msTicks; k > 10 && dts != want {
					t.Fatalf("frame %d at %d ms: DTS %d, want %d", k, in, dts, want)
				}
				in += 17 + rnd.Int64N(60)
			}
		})
	}
}

func TestRetimerKeepsTheGridOverLostFrames(t *testing.T) {
	var r Retimer
	e := encoder{30, 1, 0, true}
	track := &Track{Timescale: VideoTimescale, FrameRate: 30}
	first, _ := r.Video(track, 0, 0)
	for _, k := range []int64{1, 2, 5, 6, 7, 40, 41, 300, 301} {
		if dts, _ := r.Video(track, e.ms(k), 0); dts-first != 3000*k {
			t.Errorf("frame %d: DTS %d after the first, want %d", k, dts-first, 3000*k)
		}
	}
}

func TestRetimerSnapsBFrames(t *testing.T) {
	for name, e := range map[string]encoder{
		"30":     {30, 1, 0, false},
		"29.97":  {30000, 1001, 0, false},
		"60":     {60, 1, 0, false},
		"23.976": {24000, 1001, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			track := &Track{Timescale: VideoTimescale, FrameRate: float64(e.num) / float64(e.den)}
			var first int64
			seen := map[int64]bool{}
			// I P B B: shown as 0 3 1 2 of each group, with DTS two frames early.
			order := []int64{0, 3, 1, 2}
			for k := int64(0); k < 4000; k++ {
				show := k/4*4 + order[k%4] + 2
				dts, pts := r.Video(track, e.ms(k), e.ms(show)-e.ms(k))
				if k == 0 {
					first = dts
				}
				if dts-first != e.exact(k) || pts-first != e.exact(show) {
					t.Fatalf("frame %d: DTS %d PTS %d, want %d %d", k, dts-first, pts-first, e.exact(k), e.exact(show))
				}
				if seen[pts] {
					t.Fatalf("frame %d: PTS %d twice", k, pts)
				}
				seen[pts] = true
			}
		})
	}
}

func TestRetimerBoundsOffsets(t *testing.T) {
	for name, tt := range map[string]struct{ offset, want int64 }{
		"negative":      {-40, 0},
		"absurd":        {8_000_000, maxOffset * msTicks},
		"off the grid":  {50, 50 * msTicks},
		"within 2 ms":   {65, 6000},
		"two frames":    {67, 6000},
		"just too late": {69, 69 * msTicks}, // 2.3 ms from the grid
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			dts, pts := r.Video(&Track{Timescale: VideoTimescale, FrameRate: 30}, 0, tt.offset)
			if pts-dts != tt.want {
				t.Errorf("offset %d ms became %d ticks, want %d", tt.offset, pts-dts, tt.want)
			}
		})
	}
}

func TestRetimerCountsAudioSamples(t *testing.T) {
	for name, rate := range map[string]int64{"48000": 48000, "44100": 44100, "22050": 22050} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			track := &Track{Kind: Audio, Timescale: rate}
			first := r.Audio(track, 0)
			for k := int64(1); k < 20_000; k++ {
				in := k * SamplesPerFrame * 1000 / rate
				if ts := r.Audio(track, in); ts-first != k*SamplesPerFrame {
					t.Fatalf("frame %d at %d ms: %d samples after the first, want %d", k, in, ts-first, k*SamplesPerFrame)
				}
			}
		})
	}
}

func TestRetimerAudioDisturbed(t *testing.T) {
	const frame = SamplesPerFrame
	for name, tt := range map[string]struct {
		in   []int64 // ms, at 48 kHz
		want []int64 // samples after the first
	}{
		"jitter below 10 ms is smoothed":    {[]int64{0, 28, 35, 64}, []int64{0, frame, 2 * frame, 3 * frame}},
		"pairs are spread":                  {[]int64{0, 0, 43, 43, 85}, []int64{0, frame, 2 * frame, 3 * frame, 4 * frame}},
		"a lost frame leaves its gap":       {[]int64{0, 21, 64, 85}, []int64{0, frame, 64 * 48, 64*48 + frame}},
		"far too early: back in small step": {[]int64{100, 121, 60, 60}, []int64{0, frame, 3 * frame / 2, 2 * frame}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Retimer
			track := &Track{Kind: Audio, Timescale: 48000}
			for i, in := range tt.in {
				if got := r.Audio(track, in) - sessionStart*48; got != tt.want[i] {
					t.Errorf("frame %d at %d ms: %d, want %d", i, in, got, tt.want[i])
				}
			}
		})
	}
}

// Whatever jumps, both tracks go on, in step with each other, and never back.
func TestRetimerJumps(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after int64 // where input time starts, and restarts after 2 s; ms
		straggler     bool  // one audio frame of the old time comes after the first of the new
	}{
		"back to 0":                 {100_000, 0, false},
		"back to 0, interleaved":    {100_000, 0, true},
		"an hour ahead":             {0, 3_600_000, false},
		"an hour ahead, straggling": {0, 3_600_000, true},
		"half a second back":        {0, 1500, false},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				r            Retimer
				video        = &Track{Kind: Video, Timescale: VideoTimescale, FrameRate: 25}
				audio        = &Track{Kind: Audio, Timescale: 48000}
				lastV, lastA int64
			)
			frame := func(in int64) {
				dts, _ := r.Video(video, in, 0)
				if lastV != 0 && (dts <= lastV || dts-lastV > VideoTimescale/4) {
					t.Fatalf("video at %d ms: DTS %d after %d", in, dts, lastV)
				}
				lastV = dts
			}
			sound := func(in int64) {
				ts := r.Audio(audio, in)
				if lastA != 0 && (ts <= lastA || ts-lastA > 48000/4) {
					t.Fatalf("audio at %d ms: %d after %d", in, ts, lastA)
				}
				lastA = ts
			}
			run := func(start int64) {
				k := int64(0)
				for ms := int64(0); ms < 2000; ms += 40 {
					frame(start + ms)
					if ms == 0 && tt.straggler && lastA != 0 {
						sound(tt.before + 2000)
					}
					for ; k*SamplesPerFrame/48 < ms+40; k++ {
						sound(start + k*SamplesPerFrame/48)
					}
				}
			}
			run(tt.before)
			run(tt.after)
			if d := Time(lastA, 48000) - Time(lastV, VideoTimescale); d < 10*time.Millisecond || d > 45*time.Millisecond { // as in the input, 24 ms after
				t.Errorf("audio ends %v after video", d)
			}
			prev := lastV
			if frame(tt.after + 2000); lastV-prev != 3600 {
				t.Errorf("grid lost after the jump: a step of %d ticks, want 3600", lastV-prev)
			}
		})
	}
}

func TestRetimerTracksWithUnrelatedClocksStart(t *testing.T) {
	var r Retimer
	v, _ := r.Video(&Track{Timescale: VideoTimescale}, 1_700_000_000, 0)
	if a := r.Audio(&Track{Timescale: 48000}, 0); Time(a, 48000) != Time(v, VideoTimescale) {
		t.Errorf("audio starts at %v, video at %v", Time(a, 48000), Time(v, VideoTimescale))
	}
}

func TestRetimerTrackThatStartsEarlierStaysAboveZero(t *testing.T) {
	var r Retimer
	v, _ := r.Video(&Track{Timescale: VideoTimescale}, 500, 0)
	a := r.Audio(&Track{Timescale: 48000}, 480)
	if got := Time(v, VideoTimescale) - Time(a, 48000); a <= 0 || got.Milliseconds() != 20 {
		t.Errorf("audio at %d samples, %v before video; want 20ms", a, got)
	}
}

// A new rate of the audio track keeps the time.
func TestRetimerAudioRateChange(t *testing.T) {
	var r Retimer
	r.Audio(&Track{Timescale: 48000}, 0)
	if got := r.Audio(&Track{Timescale: 44100}, 21); Time(got, 44100).Milliseconds() != sessionStart+23 {
		t.Errorf("second frame at %v, want one frame of 44.1 kHz after the first", Time(got, 44100))
	}
}

// FuzzRetimer: whatever the input, time goes forward and stays near the input's pace.
func FuzzRetimer(f *testing.F) {
	f.Add([]byte{0, 33, 66, 100, 133}, 30.0)
	f.Add([]byte{200, 1, 255, 0, 0, 0, 128, 127}, 0.0)
	f.Fuzz(func(t *testing.T, steps []byte, rate float64) {
		var r Retimer
		video := &Track{Timescale: VideoTimescale, FrameRate: rate}
		audio := &Track{Timescale: 44100}
		in, lastV, lastA := int64(0), int64(0), int64(0)
		for _, s := range steps {
			in += int64(int8(s)) * int64(int8(s)) * int64(int8(s)) / 16
			if s&1 == 0 {
				dts, pts := r.Video(video, in, int64(int8(s)))
				if dts <= lastV || pts < dts {
					t.Fatalf("video at %d: DTS %d PTS %d after %d", in, dts, pts, lastV)
				}
				lastV = dts
			} else {
				ts := r.Audio(audio, in)
				if ts <= lastA && lastA != 0 {
					t.Fatalf("audio at %d: %d after %d", in, ts, lastA)
				}
				lastA = ts
			}
		}
	})
}

func BenchmarkRetimer(b *testing.B) {
	var r Retimer
	e := encoder{30, 1, 0, true}
	track := &Track{Timescale: VideoTimescale, FrameRate: 30}
	b.ReportAllocs()
	for k := int64(0); b.Loop(); k++ {
		r.Video(track, e.ms(k), 33)
	}
}
