package multitrack

import (
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// An engine is what encodes: OBS's names for its encoders, and their own settings.
type engine struct {
	h264, h265 string // encoder ids; "" for none
	own        settings
	limit      class
	tracks     int
}

// settings is what an encoder is told of one track. Zero members are not said.
type settings struct {
	RateControl string `json:"rate_control"`
	BitRate     int    `json:"bitrate"`    // kbit/s
	KeyInterval int    `json:"keyint_sec"` // seconds
	Profile     string `json:"profile"`
	BFrames     int    `json:"bf"`
	Preset      string `json:"preset,omitempty"`  // x264
	Preset2     string `json:"preset2,omitempty"` // NVENC
	Tune        string `json:"tune,omitempty"`
	Lookahead   *bool  `json:"lookahead,omitempty"` // NVENC
	PsychoAQ    *bool  `json:"psycho_aq,omitempty"` // NVENC
}

// keyInterval is the distance of keyframes, in seconds: what IVS recommends.
const keyInterval = 2

// PCI vendors of GPUs.
const (
	vendorNVIDIA = 0x10de
	vendorAMD    = 0x1002
	vendorIntel  = 0x8086
	vendorApple  = 0x106b
)

// leastMemory is what a GPU of its own must have to encode beside what it draws, in
// bytes. GPUs that share the system's memory have none.
const leastMemory = 1 << 30

// engineOf picks what encodes. warning is for the broadcaster, "" for none.
func engineOf(c capabilities, gpu int64) (e engine, warning string, err error) {
	e = engine{limit: classOf(""), tracks: mostTracks}
	var g graphics
	switch {
	case gpu >= 0 && gpu < int64(len(c.GPU)):
		g = c.GPU[gpu]
	case len(c.GPU) > 0:
		g = c.GPU[0]
	}
	switch {
	case g.VendorID == vendorNVIDIA && g.Memory >= leastMemory:
		e.h264, e.h265 = "jim_nvenc", "jim_hevc_nvenc"
		e.own = settings{Preset2: "p5", Tune: "hq", Lookahead: new(false), PsychoAQ: new(true)}
		return e, "", nil
	case g.VendorID == vendorAMD && g.Memory >= leastMemory:
		e.h264, e.h265 = "h264_texture_amf", "h265_texture_amf"
		return e, "", nil
	case g.VendorID == vendorIntel:
		e.h264, e.h265 = "obs_qsv11_v2", "obs_qsv11_hevc"
		return e, "", nil
	case g.VendorID == vendorApple:
		e.h264, e.h265 = "com.apple.videotoolbox.videoencoder.ave.avc", "com.apple.videotoolbox.videoencoder.ave.hevc"
		return e, "", nil
	}
	cores := c.CPU.Physical
	if cores <= 0 {
		cores = c.CPU.Logical / 2
	}
	switch {
	case cores >= 16:
		e.tracks = 3
	case cores >= 8:
		e.limit, e.tracks = classOf("HD"), 3
	case cores >= 4:
		e.limit, e.tracks = classOf("SD"), 2
	default:
		return e, "", live.Errorf(live.Unsupported, "No supported GPU was found, and a CPU needs at least 4 cores to encode several tracks. Update the GPU's driver, or turn multitrack video off.")
	}
	e.h264 = "obs_x264"
	e.own = settings{Preset: "veryfast"}
	return e, fmt.Sprintf("No supported GPU was found: the CPU encodes, with no more than %d tracks of %dp.", e.tracks, e.limit.short), nil
}

// configuration is what the encoder of t is told.
func (e engine) configuration(t Track) encoderConfiguration {
	c := encoderConfiguration{
		Type: e.h264, Width: t.Width, Height: t.Height, FrameRate: fraction{t.FrameRate, 1},
		Scale: "OBS_SCALE_BICUBIC", Points: []int{t.BitRate}, Settings: e.own,
	}
	c.Settings.RateControl, c.Settings.BitRate, c.Settings.KeyInterval = "CBR", t.BitRate, keyInterval
	c.Settings.Profile = "high"
	if t.Codec == media.H265 {
		c.Type, c.Settings.Profile = e.h265, "main"
	}
	return c
}
