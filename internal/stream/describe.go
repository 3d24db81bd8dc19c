package stream

import (
	"math"
	"strconv"

	"github.com/sluice-live/sluice/internal/ingest"
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

// describe is what GetStreamSession shows of the encoder: what it announced, with
// what its parameter sets prove (low-latency.md 3.5).
func describe(p ingest.Protocol, a ingest.Announcement, tracks [2]*media.Track) live.Ingest {
	in := live.Ingest{Protocol: string(p)}
	if v := tracks[0]; v != nil {
		in.Video = []live.IngestVideo{{
			Codec: v.CodecString(), Profile: v.Profile(), Level: v.Level(), Encoder: a.Encoder,
			BitRate: a.VideoBitRate, FrameRate: int64(math.Round(a.FrameRate)),
			Width: int64(v.Width), Height: int64(v.Height),
		}}
	}
	if s := tracks[1]; s != nil {
		in.Audio = []live.IngestAudio{{
			Codec: s.CodecString(), BitRate: a.AudioBitRate,
			SampleRate: int64(s.SampleRate), Channels: int64(s.Channels),
		}}
	}
	return in
}
