package transcode

import (
	"math"
	"strconv"

	"github.com/sluice-live/sluice/internal/live"
)

// An Input is the picture that the encoder sends.
type Input struct {
	Width, Height int     // pixels
	FrameRate     float64 // frames per second; 0 counts as 30
}

// short is the edge that "720p" speaks of: portrait input swaps the edges.
func (in Input) short() int { return min(in.Width, in.Height) }

// fast reports whether the input is of the 60 class: above 30 frames per second, with
// room for a clock that is a little off.
func (in Input) fast() bool { return in.FrameRate > 30.5 }

// A Rung is one rendition of a ladder.
type Rung struct {
	Name          string  // as in playlists: "480p30", "audio_only"
	Width, Height int     // pixels, both even; 0 without video
	FrameRate     float64 // frames per second
	Video         int64   // bits per second; 0 when the source's video passes as it is
	Audio         int64   // bits per second; 0 when the source's audio passes as it is
	Halve         bool    // every other picture of the source
	Source        bool    // the source as it is: nothing to encode
	AudioOnly     bool    // no video
}

// Encodes reports whether ffmpeg has work to do for r.
func (r *Rung) Encodes() bool { return r.Video > 0 || r.Audio > 0 }

// Bit rates of rungs, bits per second.
const (
	kbit = 1000

	audioHigh = 128 * kbit
	audioMid  = 64 * kbit
	audioLow  = 48 * kbit
)

// A step is one line of a table of low-latency.md 2.2.
type step struct {
	short int   // pixels of the shorter edge
	fast  bool  // keeps a frame rate above 30
	video int64 // bits per second
	audio int64 // bits per second; 0 for the source's
}

// The rungs below the top one, of channel types and presets.
var (
	standard = []step{
		{short: 480, video: 1400 * kbit},
		{short: 360, video: 630 * kbit, audio: audioMid},
		{short: 160, video: 230 * kbit, audio: audioLow},
	}
	higher = []step{
		{short: 480, video: 1300 * kbit, audio: audioHigh},
		{short: 360, video: 700 * kbit, audio: audioMid},
		{short: 160, video: 270 * kbit, audio: audioLow},
	}
	constrained = []step{
		{short: 480, video: 800 * kbit, audio: audioHigh},
		{short: 360, video: 400 * kbit, audio: audioMid},
		{short: 160, video: 220 * kbit, audio: audioLow},
	}
)

// Ladder is the renditions of a stream on channel ch, the best one first, exactly as
// low-latency.md 2.2 has them. What the tables leave open: below 480p a STANDARD channel
// passes the source and adds what is smaller; an ADVANCED channel encodes the input in its
// own size with the rates of the next smaller rung. Nothing is ever made larger.
func Ladder(ch *live.Channel, in Input) []Rung {
	if in.Width <= 0 || in.Height <= 0 {
		return nil
	}
	switch ch.Type {
	case live.TypeAdvancedHD:
		return advanced(ch.Preset, in, 720)
	case live.TypeAdvancedSD:
		return advanced(ch.Preset, in, 480)
	case live.TypeBasic:
		return []Rung{source(in)}
	default:
		return standardLadder(in)
	}
}

func standardLadder(in Input) []Rung {
	var rungs []Rung
	short := in.short()
	if short > 720 || short < 480 {
		rungs = append(rungs, source(in))
	}
	if short >= 720 {
		video := int64(2400 * kbit)
		if in.fast() {
			video = 3400 * kbit
		}
		rungs = append(rungs, rung(in, step{short: 720, fast: true, video: video}))
	}
	return below(rungs, in, standard)
}

// advanced ladders encode everything, and end with the sound alone.
func advanced(preset string, in Input, most int) []Rung {
	steps, top := higher, step{fast: true, video: 2300 * kbit, audio: audioHigh}
	switch {
	case preset == live.PresetConstrained && in.fast():
		steps, top.video = constrained, 2200*kbit
	case preset == live.PresetConstrained:
		steps, top.video = constrained, 1900*kbit
	case in.fast():
		top.video = 3000 * kbit
	}
	var rungs []Rung
	switch short := in.short(); {
	case most == 720 && short >= 720:
		top.short = 720
		rungs = append(rungs, rung(in, top))
	case most == 720 && short > 480: // the input's own size, at the rates of 720p30
		top.short, top.fast, top.video = short, false, 2300*kbit
		if preset == live.PresetConstrained {
			top.video = 1900 * kbit
		}
		rungs = append(rungs, rung(in, top))
	case short < 480:
		if s, own := own(short, steps); own {
			rungs = append(rungs, rung(in, s))
		}
	}
	rungs = below(rungs, in, steps)
	return append(rungs, Rung{Name: "audio_only", Audio: audioMid, AudioOnly: true})
}

// own is the step of an input under 480p in its own size, with the rates of the next
// smaller step, or of the smallest; false when a step has that size anyway.
func own(short int, steps []step) (step, bool) {
	s := steps[len(steps)-1]
	for _, o := range steps {
		if o.short == short {
			return step{}, false
		}
		if o.short < short {
			s = o
			break
		}
	}
	s.short = short
	return s, true
}

// below appends the steps that do not exceed the input.
func below(rungs []Rung, in Input, steps []step) []Rung {
	for _, s := range steps {
		if s.short > in.short() || len(rungs) > 0 && rungs[len(rungs)-1].short() <= s.short {
			continue
		}
		rungs = append(rungs, rung(in, s))
	}
	return rungs
}

func (r *Rung) short() int { return min(r.Width, r.Height) }

func source(in Input) Rung {
	r := Rung{Width: in.Width, Height: in.Height, FrameRate: in.FrameRate, Source: true}
	r.Name = Name(r.Width, r.Height, r.FrameRate)
	return r
}

func rung(in Input, s step) Rung {
	r := Rung{FrameRate: in.FrameRate, Video: s.video, Audio: s.audio}
	if r.FrameRate <= 0 {
		r.FrameRate = 30
	}
	if in.fast() && !s.fast {
		r.FrameRate, r.Halve = r.FrameRate/2, true
	}
	r.Width, r.Height = scale(in, s.short)
	r.Name = Name(r.Width, r.Height, r.FrameRate)
	return r
}

// scale keeps the aspect ratio: the shorter edge becomes short, the longer one is cut to
// an even number, which gives IVS's 852x480 and 284x160. Those sizes are not quite 16:9;
// what is as near to it counts as 16:9, so that 852x480 becomes 640x360.
func scale(in Input, short int) (width, height int) {
	long, of := max(in.Width, in.Height), in.short()
	if d := long*9 - of*16; short != of && 100*max(d, -d) < of*16 {
		long, of = 16, 9
	}
	short &^= 1
	long = max(short, long*short/of&^1)
	if in.Width >= in.Height {
		return long, short
	}
	return short, long
}

// Name is the name IVS gives a rendition: its shorter edge and its frame rate, "720p30"
// (low-latency.md 4.2). An unknown rate counts as 30.
func Name(width, height int, rate float64) string {
	fps := int(math.Round(rate))
	if fps <= 0 {
		fps = 30
	}
	return strconv.Itoa(min(width, height)) + "p" + strconv.Itoa(fps)
}

// WithAudioOnly is rungs with the sound alone at the end, for viewers who ask for it
// where IVS does not offer it by itself (low-latency.md 4.1).
func WithAudioOnly(rungs []Rung) []Rung {
	if n := len(rungs); n == 0 || rungs[n-1].AudioOnly {
		return rungs
	}
	return append(rungs[:len(rungs):len(rungs)], Rung{Name: "audio_only", AudioOnly: true})
}
