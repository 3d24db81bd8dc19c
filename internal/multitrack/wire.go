package multitrack

import (
	"encoding/json"
	"slices"
	"strings"
)

// A request is the body of GetClientConfiguration, in the schemas of 2024-06-04 and
// 2025-01-25; what we have no use for is left out. Members that are absent or null are
// zero.
type request struct {
	Service        string        `json:"service"`
	SchemaVersion  string        `json:"schema_version"`
	Authentication string        `json:"authentication"` // the stream key
	Client         *client       `json:"client"`
	Capabilities   *capabilities `json:"capabilities"`
	Preferences    *preferences  `json:"preferences"`
}

type client struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Codecs  []string `json:"supported_codecs"`
}

type capabilities struct {
	CPU *processor `json:"cpu"`
	GPU []graphics `json:"gpu"`
}

type processor struct {
	Physical int64 `json:"physical_cores"`
	Logical  int64 `json:"logical_cores"`
}

type graphics struct {
	VendorID int64 `json:"vendor_id"`
	Memory   int64 `json:"dedicated_video_memory"` // bytes
}

type preferences struct {
	canvas
	Canvases      []canvas `json:"canvases"`                    // since 2025-01-25, in place of the one
	GPU           int64    `json:"composition_gpu_index"`       // in capabilities
	Bandwidth     int64    `json:"maximum_streaming_bandwidth"` // kbit/s
	Aggregate     int64    `json:"maximum_aggregate_bitrate"`   // the same since 2025-01-25
	MaxTracks     int64    `json:"maximum_video_tracks"`
	MaxResolution string   `json:"maximum_resolution"` // SD, HD or FULL_HD
	AudioChannels int64    `json:"audio_channels"`
}

// canvas is the picture that is composed, and the one that is sent.
type canvas struct {
	CanvasWidth  int64     `json:"canvas_width"`
	CanvasHeight int64     `json:"canvas_height"`
	Width        int64     `json:"width"`
	Height       int64     `json:"height"`
	FrameRate    *fraction `json:"framerate"`
}

type fraction struct {
	Numerator   int `json:"numerator"`
	Denominator int `json:"denominator"`
}

// picture returns the canvas that tracks are made of, which is the first, and whether
// it was sent as one of several.
func (p *preferences) picture() (c canvas, listed bool) {
	c = p.canvas
	if len(p.Canvases) > 0 {
		c, listed = p.Canvases[0], true
	}
	if c.Width == 0 || c.Height == 0 {
		c.Width, c.Height = c.CanvasWidth, c.CanvasHeight
	}
	return c, listed
}

// missing lists the required members that r does not have.
func (r *request) missing() []string {
	var names []string
	need := func(ok bool, name string) {
		if !ok {
			names = append(names, name)
		}
	}
	need(r.Service != "", "service")
	need(r.SchemaVersion != "", "schema_version")
	need(r.Authentication != "", "authentication")
	need(r.Client != nil, "client")
	if c := r.Client; c != nil {
		need(c.Name != "", "client.name")
		need(c.Version != "", "client.version")
		need(len(c.Codecs) > 0, "client.supported_codecs")
	}
	need(r.Capabilities != nil, "capabilities")
	if c := r.Capabilities; c != nil {
		need(c.CPU != nil, "capabilities.cpu")
	}
	need(r.Preferences != nil, "preferences")
	if p := r.Preferences; p != nil {
		c, _ := p.picture()
		need(c.Width != 0 && c.Height != 0, "preferences.canvas_width and canvas_height")
		need(c.FrameRate != nil, "preferences.framerate")
	}
	return names
}

// schemaVersion is the newest schema that we know; schemas are named by their dates.
const schemaVersion = "2025-01-25"

// validSchema reports whether s can be the name of a schema. Later ones add members, and
// those we ignore.
func validSchema(s string) bool {
	return len(s) == len(schemaVersion) && s[4] == '-' && s[7] == '-' && strings.Trim(s, "0123456789-") == ""
}

// A response is the answer to GetClientConfiguration. OBS needs every list, be it empty.
type response struct {
	Meta      meta                   `json:"meta"`
	Endpoints []ingestEndpoint       `json:"ingest_endpoints"`
	Encoders  []encoderConfiguration `json:"encoder_configurations"`
	Audio     audioConfigurations    `json:"audio_configurations"`
	Status    *status                `json:"status,omitempty"` // nil when all is well
}

type meta struct {
	Service       string `json:"service"`
	SchemaVersion string `json:"schema_version"`
	ConfigID      string `json:"config_id"`
}

type ingestEndpoint struct {
	Protocol       string `json:"protocol"`
	URLTemplate    string `json:"url_template"`
	Authentication string `json:"authentication"` // takes the place of the stream key; secret
}

type encoderConfiguration struct {
	Type      string   `json:"type"`
	Width     int      `json:"width"`
	Height    int      `json:"height"`
	FrameRate fraction `json:"framerate"`
	Scale     string   `json:"gpu_scale_type"`
	Points    []int    `json:"bitrate_interpolation_points"`
	Settings  settings `json:"settings"`
	Canvas    *int     `json:"canvas_index,omitempty"` // for those who sent a list of them
}

type audioConfigurations struct {
	Live []audioConfiguration `json:"live"`
}

type audioConfiguration struct {
	Codec    string        `json:"codec"`
	TrackID  int           `json:"track_id"`
	Channels int           `json:"channels"`
	Settings audioSettings `json:"settings"`
}

type audioSettings struct {
	BitRate int `json:"bitrate"` // kbit/s
}

// status is shown to the broadcaster.
type status struct {
	Result string `json:"result"` // error: do not go live; warning: do
	HTML   string `json:"html_en_us"`
}

// Results of a status.
const (
	resultError   = "error"
	resultWarning = "warning"
)

// ingests is the answer to FindIngest.
type ingests struct {
	Ingests []ingestServer `json:"ingests"`
}

type ingestServer struct {
	ID           int         `json:"_id"`
	Name         string      `json:"name"`
	Priority     int         `json:"priority"`
	Default      bool        `json:"default"`
	Availability json.Number `json:"availability"` // 0 or 1.0
	Template     string      `json:"url_template,omitempty"`
	Secure       string      `json:"url_template_secure,omitempty"`
}

// frameRates are those that a ladder can be made for, in frames per second.
func validFrameRate(f fraction) bool {
	return f.Denominator == 1 && slices.Contains([]int{24, 25, 30, 48, 50, 60}, f.Numerator)
}
