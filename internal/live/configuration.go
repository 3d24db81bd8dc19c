package live

import "time"

// TypePlaybackKey is the resource type of a playback key pair.
const TypePlaybackKey = "playback-key"

// States of a recording configuration (low-latency.md 8.1).
const (
	RecordingCreating = "CREATING"
	RecordingFailed   = "CREATE_FAILED"
	RecordingActive   = "ACTIVE"
)

// Values of a recording configuration's enums, as on the wire (low-latency.md 1.3).
const (
	ThumbnailsInterval = "INTERVAL"
	ThumbnailsDisabled = "DISABLED"

	StorageSequential = "SEQUENTIAL"
	StorageLatest     = "LATEST"

	RenditionsAll    = "ALL"
	RenditionsNone   = "NONE"
	RenditionsCustom = "CUSTOM"
)

// A RecordingConfiguration says where and how the streams of the channels it is
// attached to are recorded. Only its State and Tags ever change.
type RecordingConfiguration struct {
	ARN             ARN               `json:"-"` // the row's key
	Name            string            `json:"name,omitempty"`
	Bucket          string            `json:"bucket"`
	State           string            `json:"state"`
	ReconnectWindow time.Duration     `json:"reconnectWindow,omitempty"` // streams this close go into one recording
	Thumbnails      Thumbnails        `json:"thumbnails"`
	Renditions      Renditions        `json:"renditions"`
	Tags            map[string]string `json:"-"` // the row's tags
	Created         time.Time         `json:"created"`
}

// Thumbnails says which pictures are kept of a recording (low-latency.md 8.5).
type Thumbnails struct {
	Mode       string        `json:"mode"`                 // INTERVAL or DISABLED
	Interval   time.Duration `json:"interval,omitempty"`   // target between two; 0 when none was given to DISABLED
	Resolution string        `json:"resolution,omitempty"` // a class, or "" for the source's
	Storage    []string      `json:"storage,omitempty"`    // SEQUENTIAL, LATEST
}

// Renditions says which renditions are recorded.
type Renditions struct {
	Selection string   `json:"selection"`         // ALL, NONE or CUSTOM
	Classes   []string `json:"classes,omitempty"` // resolution classes; they count with CUSTOM only
}

// A PlaybackKey is the public key that viewers' tokens are checked with.
type PlaybackKey struct {
	ARN         ARN               `json:"-"`
	Name        string            `json:"name,omitempty"`
	SPKI        []byte            `json:"spki"`        // DER SubjectPublicKeyInfo, of P-384
	Fingerprint string            `json:"fingerprint"` // MD5 of SPKI, hex with colons
	Tags        map[string]string `json:"-"`
	Created     time.Time         `json:"created"`
}

// A RestrictionPolicy says from where a public channel may be watched (low-latency.md 6).
type RestrictionPolicy struct {
	ARN       ARN               `json:"-"`
	Name      string            `json:"name,omitempty"`
	Countries []string          `json:"countries,omitempty"` // ISO 3166-1 alpha-2; none means every
	Origins   []string          `json:"origins,omitempty"`   // scheme://host[:port], host with "*." in front or not; none means every
	Strict    bool              `json:"strict,omitempty"`    // origins are asked of every request, not of the first only
	Tags      map[string]string `json:"-"`
	Created   time.Time         `json:"created"`
}

// An AdConfiguration names where the ads of a channel come from (low-latency.md 13).
type AdConfiguration struct {
	ARN         ARN               `json:"-"`
	Name        string            `json:"name,omitempty"`
	MediaTailor []string          `json:"mediaTailor"` // ARNs of playback configurations, 1 to 3; the first is the default
	PostRoll    PostRoll          `json:"postRoll"`
	Tags        map[string]string `json:"-"`
	Created     time.Time         `json:"created"`
}

// PostRoll is the ad break at the end of every stream.
type PostRoll struct {
	Enabled  bool          `json:"enabled"`
	Duration time.Duration `json:"duration"`
}

// A Revocation ends a viewer's sessions on a channel, and refuses new ones, whose
// version is not above Version (low-latency.md 5.3).
type Revocation struct {
	Channel ARN       `json:"channel"`
	Viewer  string    `json:"viewer"`
	Version int64     `json:"version"`
	Time    time.Time `json:"time"` // of the newest call
}
