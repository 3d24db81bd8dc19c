package packager

import (
	"math"
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

// A cadence is how pictures follow each other. It predicts how long a picture lasts,
// so that a part is published when its last picture is in, not when the next one is.
type cadence struct {
	frame int64   // ticks between pictures at a steady rate; 0 when there is none
	rate  float64 // pictures per second; 0 when not known
	last  int64   // ticks between the newest two pictures
}

// unknownFrame is what a picture lasts until there is a second one; ticks.
const unknownFrame = media.VideoTimescale / 30

// next predicts the duration of the newest picture, in ticks.
func (c *cadence) next() int64 {
	switch {
	case c.frame > 0:
		return c.frame
	case c.last > 0:
		return c.last
	}
	return unknownFrame
}

// slack is how far a part of a steady rate may seem to run over its target, in ticks:
// timestamps are rounded, and a declared rate is not always the real one.
func (c *cadence) slack() int64 { return c.frame / 4 }

// measure finds the rate of pictures at the given decode times, which are at least
// two unless the stream is a slide show. declared is what the track says, 0 for
// nothing; it is believed where the times agree with it.
func measure(dts []int64, declared float64) cadence {
	if len(dts) < 2 {
		return cadence{rate: declared}
	}
	n := float64(len(dts) - 1)
	mean := float64(dts[len(dts)-1]-dts[0]) / n
	least, most := dts[1]-dts[0], dts[1]-dts[0]
	for i := 2; i < len(dts); i++ {
		least, most = min(least, dts[i]-dts[i-1]), max(most, dts[i]-dts[i-1])
	}
	c := cadence{rate: media.VideoTimescale / mean}
	if float64(least) < 0.6*mean || float64(most) > 1.4*mean {
		if declared > 0 {
			c.rate = declared
		}
		return c // pictures are missing, or come as they like
	}
	if most-least > 1 { // rounded on the way: the mean is not exact either
		c.rate = nearby(c.rate)
		if math.Abs(declared-c.rate) < c.rate/100 {
			c.rate = declared
		}
	} else if math.Abs(declared-c.rate) < c.rate/5000 {
		c.rate = declared
	}
	c.frame = int64(math.Round(media.VideoTimescale / c.rate))
	return c
}

// nearby returns the whole rate, or the one 1000/1001 of it, that f is about.
func nearby(f float64) float64 {
	whole, ntsc := math.Round(f), math.Round(f*1.001)/1.001
	if math.Abs(f-ntsc) < math.Abs(f-whole) {
		whole = ntsc
	}
	if math.Abs(f-whole) < whole*0.0006 {
		return whole
	}
	return f
}

// partTarget is the PART-TARGET for parts of at most limit: whole pictures, at least
// one, rounded up to a millisecond so that none is longer (rfc8216bis 4.4.3.7). The
// limit gives way by a fraction so that rates of 1000/1001 divide a keyframe distance
// like their whole neighbours.
func (c *cadence) partTarget(limit time.Duration) time.Duration {
	if c.frame == 0 {
		return limit
	}
	frame := float64(time.Second) / c.rate
	n := max(math.Floor(float64(limit)*1.0015/frame), 1)
	const ms = float64(time.Millisecond)
	return min(time.Duration(math.Ceil(n*frame/ms-1e-6))*time.Millisecond, maxPart)
}
