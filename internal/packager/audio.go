package packager

import "github.com/sluice-live/sluice/internal/media"

// In a rendition of sound alone, the sound plays the part of the pictures: each AAC frame
// is one that can be started at. So all that the writer does with pictures, with parts and
// with segments it does here too, on the clock of video; only the containers, which look
// at the codec, know better.

// lead makes of an audio unit what the writer takes for a picture.
func (w *writer) lead(u media.Unit) media.Unit {
	if w.sound != u.Track {
		t := *u.Track
		t.Kind, t.Timescale = media.Video, media.VideoTimescale
		w.sound, w.leader = u.Track, &t
	}
	u.DTS = clock(u.DTS, u.Track.Timescale)
	u.PTS, u.Track, u.Key = u.DTS, w.leader, true
	return u
}

// audioOnly reports whether t describes the sound alone.
func (t *tracks) audioOnly() bool { return t.video.Codec == media.AAC }

// frameTicks is how long an AAC frame lasts, in ticks of its track.
func frameTicks(t *media.Track) int64 {
	return media.SamplesPerFrame * t.Timescale / int64(max(t.SampleRate, 1))
}
