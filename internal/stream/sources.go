package stream

import (
	"fmt"
	"strconv"

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

// take sends one unit of e, the stream's encoder or one on trial, to where it belongs.
// mu is held.
func (st *Stream) take(e *encoder, u media.Unit) error {
	if err := e.tracks.note(u.Track); err != nil {
		return err
	}
	if u.Track.Codec == media.H265 && st.channel.ContainerFormat != live.ContainerMP4 {
		return errContainer
	}
	if st.encoder == e {
		if b, ok := st.meter.Unit(&u); !ok {
			return st.breached(b)
		}
	}
	return e.rules(st.channel).Take(u, func(u media.Unit) error {
		if st.encoder != e {
			if err := st.probe(u); err != nil || st.encoder != e || len(st.sources) > 0 {
				return err
			}
		}
		return st.put(e, u)
	})
}

var errContainer = live.Errorf(live.Unsupported, "H.265 needs a channel with container format %s", live.ContainerMP4)

// put hands u to the renditions that it belongs to. A viewer could decode nothing before
// the first keyframe of a track, which makes its rendition; the tracks of a multitrack
// stream begin together. mu is held.
func (st *Stream) put(e *encoder, u media.Unit) error {
	if !e.place(&u) {
		return nil
	}
	st.edge.note(&u)
	if len(st.sources) == 0 {
		if err := st.begin(e, u); err != nil {
			return err
		}
	}
	if u.Track.Kind == media.Audio {
		if u.Track.ID != 0 {
			return nil
		}
		for _, s := range st.sources {
			if err := s.rendition.Write(u); err != nil {
				return err
			}
		}
		st.transcode(u)
		return nil
	}
	for _, s := range st.sources {
		if s.track != u.Track.ID {
			continue
		}
		if err := s.rendition.Write(u); err != nil {
			return err
		}
		break
	}
	st.transcode(u)
	return nil
}

// transcode hands u to what is made of the first source, if there is anything.
func (st *Stream) transcode(u media.Unit) {
	if o := st.alone.Load(); o != nil && u.Track.ID == 0 {
		if u.Track.Kind == media.Audio {
			_ = o.sound(u) // viewers of the source miss nothing
		} else {
			_ = o.reach(u)
		}
	}
	if l := st.ladder.Load(); l != nil {
		l.write(u)
	}
}

// begin makes the renditions of what e sends, if u is where they can begin: players see
// them in that order, so the best comes first. mu is held.
func (st *Stream) begin(e *encoder, u media.Unit) error {
	all := e.gate.Tracks()
	if all == nil {
		if u.Track.Kind != media.Video || !u.Key {
			return nil
		}
		return st.beginOne(e, u.Track)
	}
	var built []*packager.Rendition
	for _, t := range all {
		r, err := st.newRendition(t)
		if err != nil {
			return err
		}
		st.sources = append(st.sources, source{t.ID, r})
		built = append(built, r)
	}
	st.built <- built
	return nil
}

// beginOne makes the rendition of the only video track, and those that are encoded from
// it. mu is held.
func (st *Stream) beginOne(e *encoder, t *media.Track) error {
	rungs, fallback := st.planLadder(t, e.announced.FrameRate)
	name := renditionName(t)
	if fallback > 0 {
		name = hidden // the name may be that of a rung
	}
	r, err := st.addRendition(name, packager.Config{Fallback: fallback})
	if err != nil {
		return err
	}
	st.sources = append(st.sources, source{t.ID, r})
	if len(rungs) > 0 {
		var audio *media.Track
		if len(e.tracks.audio) > 0 {
			audio = e.tracks.audio[0]
		}
		l, err := st.newLadder(rungs, r, audio)
		if err != nil {
			return err
		}
		st.ladder.Store(l)
	}
	st.built <- []*packager.Rendition{r}
	return nil
}

// hidden is the name of a source that only stands in for what is not made.
const hidden = "chunked"

// newRendition builds the passthrough rendition for a first picture of track t.
func (st *Stream) newRendition(t *media.Track) (*packager.Rendition, error) {
	name := renditionName(t)
	if _, taken := st.media.Rendition(name); taken {
		name += "-" + strconv.Itoa(t.ID)
	}
	return st.addRendition(name, packager.Config{})
}

// addRendition makes a rendition of the kind that c says.
func (st *Stream) addRendition(name string, kind packager.Config) (*packager.Rendition, error) {
	c := st.owner.cfg.Packager
	c.Fallback, c.AudioOnly = kind.Fallback, kind.AudioOnly
	c.Container = st.channel.ContainerFormat
	c.LowLatency = st.channel.LatencyMode != live.LatencyNormal
	r, err := packager.New(c, name)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	st.media.Add(r)
	return r, nil
}
