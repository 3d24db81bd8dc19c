package media

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// SamplesPerFrame is what one AAC frame decodes to, at the Track's SampleRate.
const SamplesPerFrame = 1024

// Bounds of what an AudioSpecificConfig may say.
const (
	maxAudioConfig = 64 // bytes
	minSampleRate  = 7350
	maxSampleRate  = 96000
)

// NewAACTrack returns the track that an AudioSpecificConfig (ISO 14496-3 1.6.2.1)
// describes, and keeps config. SampleRate is that of the AAC core: half of what is
// heard when the config names SBR.
func NewAACTrack(config []byte) (*Track, error) {
	if len(config) > maxAudioConfig {
		return nil, fmt.Errorf("media: AudioSpecificConfig of %d bytes, limit %d", len(config), maxAudioConfig)
	}
	c, err := parseAudioConfig(config)
	if err != nil {
		return nil, err
	}
	switch {
	case c.SampleRate < minSampleRate || c.SampleRate > maxSampleRate:
		return nil, fmt.Errorf("media: AAC at %d Hz", c.SampleRate)
	case c.FrameLengthFlag:
		return nil, errors.New("media: AAC with frames of 960 samples")
	}
	channels := int(c.ChannelConfig)
	switch channels {
	case 0:
		return nil, errors.New("media: AAC with a channel layout of its own")
	case 7:
		channels = 8
	}
	return &Track{
		Kind: Audio, Codec: AAC, Timescale: int64(c.SampleRate),
		Config: config, SampleRate: c.SampleRate, Channels: channels,
	}, nil
}

// parseAudioConfig guards the parser: a hostile config must not end the process.
func parseAudioConfig(b []byte) (c *mpeg4audio.AudioSpecificConfig, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("media: AudioSpecificConfig: %v", p)
		}
	}()
	c = new(mpeg4audio.AudioSpecificConfig)
	if err := c.Unmarshal(b); err != nil {
		return nil, fmt.Errorf("media: AudioSpecificConfig: %w", err)
	}
	return c, nil
}
