// Package media is the unit that flows from ingest to the viewer: tracks and access
// units, and what their parameter sets say (size, rate, RFC 6381 codec string).
// It does no I/O and knows no protocol or container.
package media

import "time"

// Kind tells video from audio.
type Kind uint8

// The kinds of track.
const (
	Video Kind = iota + 1
	Audio
)

func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return "unknown"
}

// Codec is a coding format, by its short field name.
type Codec string

// Codecs that can flow through Sluice.
const (
	H264 Codec = "h264"
	H265 Codec = "h265" // in fragmented MP4 only
	AAC  Codec = "aac"
)

// VideoTimescale is the timescale of every video track: 90 kHz, the clock of MPEG-TS.
const VideoTimescale = 90000

// A Track describes one elementary stream. It is immutable: an encoder that changes
// its parameter sets starts a new Track.
type Track struct {
	Kind      Kind
	ID        int // number among the encoder's tracks of this kind; 0 is the primary one
	Codec     Codec
	Timescale int64 // ticks per second: VideoTimescale, or the audio sampling rate

	// Video.
	SPS, PPS      [][]byte // parameter sets, without start codes
	VPS           [][]byte // those that only H.265 has
	Width, Height int      // pixels, after cropping
	FrameRate     float64  // frames per second; 0 when neither VUI nor the encoder told

	// Audio.
	Config     []byte // AudioSpecificConfig, ISO 14496-3 1.6.2.1
	SampleRate int    // Hz
	Channels   int
}

// A Unit is one access unit: a coded picture or a coded audio frame. Its Data is
// fresh, shared by every later stage, and never written again.
type Unit struct {
	Track    *Track
	DTS, PTS int64 // in ticks of Track.Timescale, from the start of the session; may start above 0
	Key      bool  // video: an IDR picture; audio: always true
	// Data is H.264 or H.265 in length-prefixed form (4-byte big-endian sizes, as in ISO
	// 14496-15 and RTMP), or one raw AAC frame without ADTS header.
	Data     []byte
	Received time.Time // when the last byte arrived from the encoder
}

// Time converts ticks of scale to a duration.
func Time(ticks, scale int64) time.Duration {
	return time.Duration(ticks/scale)*time.Second + time.Duration(ticks%scale)*time.Second/time.Duration(scale)
}

// Ticks converts a duration to ticks of scale, rounding to nearest.
func Ticks(d time.Duration, scale int64) int64 {
	sec, rest := int64(d/time.Second), int64(d%time.Second)
	half := int64(time.Second) / 2
	if rest < 0 {
		half = -half
	}
	return sec*scale + (rest*scale+half)/int64(time.Second)
}
