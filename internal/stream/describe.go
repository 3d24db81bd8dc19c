package stream

import (
	"cmp"
	"math"
	"strconv"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// renditionName is the name IVS gives a rendition: its shorter edge and its frame
// rate, "720p30" (low-latency.md 4.2). An unknown rate counts as 30.
func renditionName(t *media.Track) string {
	fps := int(math.Round(t.FrameRate))
	if fps <= 0 {
		fps = 30
	}
	return strconv.Itoa(min(t.Width, t.Height)) + "p" + strconv.Itoa(fps)
}

// describe is what GetStreamSession shows of an encoder: what it announced, with what
// its parameter sets prove (low-latency.md 3.5). The announcement is of the first
// track of each kind; where it says nothing the ladder tells. The stream's mu is held.
func describe(e *encoder) live.Ingest {
	in, a := live.Ingest{Protocol: string(e.request.Protocol)}, e.announced
	for i, t := range e.tracks.video {
		if t == nil {
			continue
		}
		v := live.IngestVideo{
			Codec: t.CodecString(), Profile: t.Profile(), Level: t.Level(), Encoder: a.Encoder,
			Width: int64(t.Width), Height: int64(t.Height),
		}
		if i == 0 {
			v.BitRate, v.FrameRate = a.VideoBitRate, int64(math.Round(a.FrameRate))
		}
		if i < len(e.ladder) { // what it was told to send
			v.BitRate = cmp.Or(v.BitRate, 1000*int64(e.ladder[i].BitRate))
			v.FrameRate = cmp.Or(v.FrameRate, int64(e.ladder[i].FrameRate))
		}
		in.Video = append(in.Video, v)
	}
	for i, t := range e.tracks.audio {
		if t == nil {
			continue
		}
		s := live.IngestAudio{Codec: t.CodecString(), SampleRate: int64(t.SampleRate), Channels: int64(t.Channels)}
		if i == 0 {
			s.BitRate = a.AudioBitRate
		}
		in.Audio = append(in.Audio, s)
	}
	return in
}
