package stream

import (
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
)

// A source is one video track of the encoder and the rendition that passes it on
// unchanged, with the sound of the first audio track.
type source struct {
	track     int // its number
	rendition *packager.Rendition
}

// take puts one unit of e into the renditions.
func (st *Stream) take(e *encoder, u media.Unit) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended || st.encoder != e {
		return errEnded
	}
	if err := e.tracks.note(u.Track); err != nil {
		return err
	}
	return st.put(u)
}

// put hands u to the renditions that it belongs to. A viewer could decode nothing before
// the first keyframe of a track, which makes its rendition. mu is held.
func (st *Stream) put(u media.Unit) error {
	if u.Track.Kind == media.Audio {
		if u.Track.ID != 0 {
			return nil
		}
		for _, s := range st.sources {
			if err := s.rendition.Write(u); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range st.sources {
		if s.track == u.Track.ID {
			return s.rendition.Write(u)
		}
	}
	if !u.Key {
		return nil
	}
	r, err := st.newRendition(u.Track)
	if err != nil {
		return err
	}
	st.sources = append(st.sources, source{u.Track.ID, r})
	if len(st.sources) == 1 {
		st.built <- r
	}
	return r.Write(u)
}

// newRendition builds the passthrough rendition for a first picture of track t.
func (st *Stream) newRendition(t *media.Track) (*packager.Rendition, error) {
	c := st.owner.cfg.Packager
	c.Container = st.channel.ContainerFormat
	c.LowLatency = st.channel.LatencyMode != live.LatencyNormal
	r, err := packager.New(c, renditionName(t))
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	st.media.Add(r)
	return r, nil
}
