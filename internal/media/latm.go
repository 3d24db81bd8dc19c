package media

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// A LATMReader reads AAC in the form of LATM (ISO 14496-3 1.7.3), where the configuration
// is within the stream. The zero value is ready.
type LATMReader struct {
	mux    *mpeg4audio.StreamMuxConfig
	config []byte
}

var errLATM = errors.New("media: LATM before its configuration, or of several layers")

// Read takes one AudioMuxElement, which comes behind the length of LOAS. It returns the
// AudioSpecificConfig in force and the frames, which are fresh memory.
func (r *LATMReader) Read(element []byte) (config []byte, frames [][]byte, err error) {
	defer func() { // a hostile element must not end the process
		if p := recover(); p != nil {
			config, frames, err = nil, nil, fmt.Errorf("media: LATM: %v", p)
		}
	}()
	e := mpeg4audio.AudioMuxElement{MuxConfigPresent: true, StreamMuxConfig: r.mux}
	if err := e.Unmarshal(element); err != nil {
		return nil, nil, fmt.Errorf("media: LATM: %w", err)
	}
	if e.StreamMuxConfig != r.mux {
		if c := e.StreamMuxConfig; len(c.Programs) != 1 || len(c.Programs[0].Layers) != 1 || c.Programs[0].Layers[0].AudioSpecificConfig == nil {
			return nil, nil, errLATM
		}
		if r.config, err = e.StreamMuxConfig.Programs[0].Layers[0].AudioSpecificConfig.Marshal(); err != nil {
			return nil, nil, fmt.Errorf("media: LATM: %w", err)
		}
		r.mux = e.StreamMuxConfig
	}
	for _, sub := range e.Payloads {
		if len(sub) != 1 || len(sub[0]) != 1 {
			return nil, nil, errLATM
		}
		if len(sub[0][0]) > 0 {
			frames = append(frames, sub[0][0])
		}
	}
	return r.config, frames, nil
}
