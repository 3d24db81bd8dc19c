package live

import (
	"strings"
	"time"
)

// Health is what GetStream reports of a live stream's input (low-latency.md 10).
type Health string

// The values of Health.
const (
	Healthy  Health = "HEALTHY"
	Starving Health = "STARVING"
	Unknown  Health = "UNKNOWN"
)

// State is one live stream as its owner announces it to every node. It is never
// stored: it is rebuilt from announcements.
type State struct {
	Channel ARN       `json:"channel"`
	Stream  string    `json:"stream"` // "st-..."
	Started time.Time `json:"started"`
	Health  Health    `json:"health"`
	Viewers int64     `json:"viewers"`          // concurrent views; -1 when not known
	Node    string    `json:"node"`             // owner
	Origin  string    `json:"origin,omitempty"` // base URL where other nodes fetch this stream's media
}

// A Session is the durable record of one go-live (low-latency.md 10).
type Session struct {
	ID         string // stream id, "st-..."
	Channel    ARN
	Node       string // owner when it started
	Generation int64  // fencing number of the lease it ran under
	Created    time.Time
	Started    time.Time // first segment available; zero before that
	Ended      time.Time // zero while running
	Snapshot   Channel   // the channel as it was at go-live
	Ingest     Ingest    // what the encoder announced
	Failed     bool      // one of its events tells of a failure

	// Recording is the recording configuration as it was at go-live; nil for none.
	Recording *RecordingConfiguration
}

// Ingest is what the encoder announced, one entry a track (low-latency.md 3.5).
type Ingest struct {
	Protocol string        `json:"protocol,omitempty"` // RTMP, RTMPS, ...
	Video    []IngestVideo `json:"video,omitempty"`
	Audio    []IngestAudio `json:"audio,omitempty"`
}

// IngestVideo describes one announced video track.
type IngestVideo struct {
	Codec     string `json:"codec"` // RFC 6381, "avc1.4D4028"
	Profile   string `json:"profile,omitempty"`
	Level     string `json:"level,omitempty"`
	Encoder   string `json:"encoder,omitempty"`
	BitRate   int64  `json:"bitRate,omitempty"`   // bits per second, as announced
	FrameRate int64  `json:"frameRate,omitempty"` // frames per second, as announced
	Width     int64  `json:"width,omitempty"`
	Height    int64  `json:"height,omitempty"`
}

// IngestAudio describes one announced audio track.
type IngestAudio struct {
	Codec      string `json:"codec"`                // RFC 6381, "mp4a.40.2"
	BitRate    int64  `json:"bitRate,omitempty"`    // bits per second, as announced
	SampleRate int64  `json:"sampleRate,omitempty"` // Hz
	Channels   int64  `json:"channels,omitempty"`
}

// An Event is one line of a session's history (low-latency.md 9.5).
type Event struct {
	ID   string // unique in its session; "" in records of before there were ids
	Name string // "Stream Start"
	Type string // EventBridge detail-type, "IVS Stream State Change"
	Code string // "" unless the event has one
	Time time.Time
}

// Failure reports whether e tells of a limit that was exceeded, or of something that
// failed; only such events have a code (low-latency.md 9.3, 9.5).
func (e Event) Failure() bool {
	return e.Type == "IVS Limit Breach" || e.Code != "" || strings.HasSuffix(e.Name, "Failure")
}
