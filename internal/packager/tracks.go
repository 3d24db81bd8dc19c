package packager

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// tracks is what one initialization section describes.
type tracks struct {
	video *media.Track
	audio *media.Track // nil without audio
}

// same reports whether a decoder can go on from t to n.
func (t tracks) same(n tracks) bool {
	return sameTrack(t.video, n.video) && sameTrack(t.audio, n.audio)
}

func (t tracks) codecs() string {
	s := t.video.CodecString()
	if t.audio != nil {
		s += "," + t.audio.CodecString()
	}
	return s
}

// sameTrack compares what a decoder is set up with.
func sameTrack(a, b *media.Track) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Kind == b.Kind && a.Codec == b.Codec && a.Timescale == b.Timescale &&
		bytes.Equal(a.Config, b.Config) && slices.EqualFunc(a.VPS, b.VPS, bytes.Equal) &&
		slices.EqualFunc(a.SPS, b.SPS, bytes.Equal) && slices.EqualFunc(a.PPS, b.PPS, bytes.Equal)
}

// Bounds of a unit's times, in seconds.
const (
	origin    = 10      // added to every timestamp, so that none is negative
	maxTime   = 1 << 30 // 34 years
	maxOffset = 60      // of PTS from DTS
)

// check refuses what the containers, or the one of extension ext, cannot say. Ingest
// has checked the rest.
func check(u *media.Unit, ext string) error {
	t := u.Track
	switch {
	case t == nil || t.Timescale <= 0 || t.Timescale > 1<<20:
		return errors.New("packager: unit without a usable track")
	case t.Kind == media.Video && t.Codec == media.H265 && ext != extMP4:
		return errors.New("packager: H.265 is for fragmented MP4 only")
	case t.Kind == media.Video && (t.Codec != media.H264 && t.Codec != media.H265 || t.Timescale != media.VideoTimescale):
		return fmt.Errorf("packager: video in %s with %d ticks per second", t.Codec, t.Timescale)
	case t.Kind == media.Audio && t.Codec != media.AAC:
		return fmt.Errorf("packager: audio in %s", t.Codec)
	case t.Kind == media.Audio && len(u.Data) > mpegts.MaxFrame:
		return fmt.Errorf("packager: AAC frame of %d bytes", len(u.Data))
	case t.Kind != media.Video && t.Kind != media.Audio:
		return fmt.Errorf("packager: %s track", t.Kind)
	case len(u.Data) == 0:
		return fmt.Errorf("packager: empty %s unit", t.Kind)
	case u.DTS < -origin*t.Timescale || u.DTS > maxTime*t.Timescale:
		return fmt.Errorf("packager: %s at %d ticks", t.Kind, u.DTS)
	case u.PTS-u.DTS < -maxOffset*t.Timescale || u.PTS-u.DTS > maxOffset*t.Timescale || u.PTS < -origin*t.Timescale:
		return fmt.Errorf("packager: %s decoded at %d, shown at %d ticks", t.Kind, u.DTS, u.PTS)
	}
	return nil
}
