package live

import "time"

// Values of a channel's enums, as on the wire (low-latency.md 1.3).
const (
	LatencyLow    = "LOW"
	LatencyNormal = "NORMAL"

	TypeBasic      = "BASIC"
	TypeStandard   = "STANDARD"
	TypeAdvancedSD = "ADVANCED_SD"
	TypeAdvancedHD = "ADVANCED_HD"

	ContainerTS  = "TS"
	ContainerMP4 = "FRAGMENTED_MP4"

	MultitrackAllow   = "ALLOW"
	MultitrackRequire = "REQUIRE"

	PresetHigher      = "HIGHER_BANDWIDTH_DELIVERY"
	PresetConstrained = "CONSTRAINED_BANDWIDTH_DELIVERY"
)

// A Channel is the durable configuration of one live channel. URLs that depend on
// how a client reached us (playback, ingest, SRT) are not part of it.
type Channel struct {
	ARN             ARN               `json:"-"` // the row's key
	Name            string            `json:"name,omitempty"`
	LatencyMode     string            `json:"latencyMode"`
	Type            string            `json:"type"`
	Preset          string            `json:"preset,omitempty"`
	ContainerFormat string            `json:"containerFormat"`
	Authorized      bool              `json:"authorized,omitempty"`
	InsecureIngest  bool              `json:"insecureIngest,omitempty"`
	Multitrack      *Multitrack       `json:"multitrack,omitempty"` // nil until the owner sets one
	SRTPassphrase   string            `json:"srtPassphrase"`        // secret; never logged
	Tags            map[string]string `json:"-"`                    // the row's tags
	Created         time.Time         `json:"created"`

	// ARNs of what is attached, "" for none.
	RecordingConfiguration    string `json:"recordingConfiguration,omitempty"`
	PlaybackRestrictionPolicy string `json:"playbackRestrictionPolicy,omitempty"`
	AdConfiguration           string `json:"adConfiguration,omitempty"`
}

// Multitrack is a channel's multitrack input configuration (low-latency.md 1.6).
type Multitrack struct {
	Enabled           bool   `json:"enabled"`
	Policy            string `json:"policy,omitempty"`            // ALLOW or REQUIRE
	MaximumResolution string `json:"maximumResolution,omitempty"` // SD, HD or FULL_HD
}

// A StreamKey is what an encoder proves itself with.
type StreamKey struct {
	ARN     ARN               `json:"-"`
	Channel ARN               `json:"-"`     // the row's parent
	Value   string            `json:"value"` // secret; never logged
	Tags    map[string]string `json:"-"`
}
