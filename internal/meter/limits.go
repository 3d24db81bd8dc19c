package meter

import (
	"math"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// Limits is what an encoder may send to a channel. A field that is 0 limits nothing.
type Limits struct {
	BitRate int64 // bits per second: all tracks together, over Span
	// SmallBitRate is the limit in place of BitRate while the shorter edge of the
	// picture is SmallEdge or less; 0 for none.
	SmallBitRate int64
	Pixels       int     // of one picture
	Edge         int     // pixels: the longer edge of the picture
	FrameRate    float64 // pictures per second of one track, over Span
}

// SmallEdge is what "480p" means: the shorter edge of a picture, in pixels.
const SmallEdge = 480

// What IVS allows (low-latency.md 2.1).
const (
	basicBitRate      = 3_500_000
	basicSmallBitRate = 1_500_000
	singleBitRate     = 8_500_000
	multitrackBitRate = 15_000_000

	// soundBitRate is by how much the bit rate may be over its limit. The limits are
	// also the rates that IVS recommends for the video alone, and the sound that it
	// recommends with it is this much at most (low-latency.md 2.3).
	soundBitRate = 320_000

	frameRate = 60
	// frameTolerance is by how much the frame rate may be: 60 pictures that the network
	// brings unevenly are still 60.
	frameTolerance = 3
)

// A resolution has the two thresholds that IVS checks, whatever the orientation.
type resolution struct{ pixels, edge int }

// The thresholds are published as 2.1, 0.9 and 0.4 megapixels. The two lower ones are
// rounded there: 1280x720 is 0.92 and 852x480 is 0.41. We take the pictures they name.
func resolutionOf(class string) resolution {
	switch class {
	case "SD":
		return resolution{864 * 480, 864}
	case "HD":
		return resolution{1280 * 720, 1280}
	}
	return resolution{2_100_000, 1920}
}

// LimitsOf is what IVS lets an encoder send to ch: in one video track, or in several.
func LimitsOf(ch live.Channel, multitrack bool) Limits {
	class := ""
	if multitrack && ch.Multitrack != nil {
		class = ch.Multitrack.MaximumResolution
	}
	r := resolutionOf(class)
	l := Limits{BitRate: singleBitRate, Pixels: r.pixels, Edge: r.edge, FrameRate: frameRate}
	switch {
	case multitrack:
		l.BitRate = multitrackBitRate
	case ch.Type == live.TypeBasic:
		l.BitRate, l.SmallBitRate = basicBitRate, basicSmallBitRate
	}
	return l
}

// A Breach is a limit that was exceeded, in the words of an "IVS Limit Breach" event
// (low-latency.md 9.3).
type Breach struct {
	Name     string // limit_name
	Limit    int64  // limit_value
	Exceeded int64  // exceeded_by: what was seen, less Limit; above 0
	Unit     string // limit_unit
}

// Limits by name. IVS has no event for the frame rate; its name and unit are ours.
const (
	IngestBitRate    = "Ingest Bitrate"
	IngestResolution = "Ingest Resolution"
	IngestFrameRate  = "Ingest Framerate"
)

// picture checks the size of a track's pictures: all of their area, then the longer edge.
func (l Limits) picture(t *media.Track) (Breach, bool) {
	edge := max(t.Width, t.Height)
	switch pixels := t.Width * t.Height; {
	case l.Pixels > 0 && pixels > l.Pixels:
		return Breach{IngestResolution, int64(l.Pixels), int64(pixels - l.Pixels), "total pixels"}, true
	case l.Edge > 0 && edge > l.Edge:
		return Breach{IngestResolution, int64(l.Edge), int64(edge - l.Edge), "pixels per edge"}, true
	}
	return Breach{}, false
}

// bitRate is the limit while the largest picture has that shorter edge, 0 for none yet.
func (l Limits) bitRate(edge int) int64 {
	if l.SmallBitRate > 0 && edge > 0 && edge <= SmallEdge {
		return l.SmallBitRate
	}
	return l.BitRate
}

// bits checks what w holds of all tracks.
func (l Limits) bits(w *window, edge int) (Breach, bool) {
	limit := l.bitRate(edge)
	if limit == 0 || !w.over(float64(limit+soundBitRate)) {
		return Breach{}, false
	}
	return Breach{IngestBitRate, limit, excess(w.rate(), limit), "bits per second"}, true
}

// pictures checks what w holds of one video track.
func (l Limits) pictures(w *window) (Breach, bool) {
	if l.FrameRate == 0 || !w.over(l.FrameRate+frameTolerance) {
		return Breach{}, false
	}
	limit := int64(math.Round(l.FrameRate))
	return Breach{IngestFrameRate, limit, excess(w.rate(), limit), "frames per second"}, true
}

// excess is by how much a rate is over limit: a whole number above 0.
func excess(rate float64, limit int64) int64 {
	return max(int64(math.Round(rate))-limit, 1)
}
