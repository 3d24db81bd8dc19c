package transcode

import (
	"fmt"
	"io"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// offset is added to every timestamp in ticks of 90 kHz, so that none is negative, and
// taken off what comes back.
const offset = 10 * media.VideoTimescale

// tablesEvery is how many pictures may pass between two copies of the tables.
const tablesEvery = 30

// A feeder writes units as MPEG-TS: the one container that carries 90 kHz timestamps
// and parameter sets that change, and that ffmpeg reads without seeking.
type feeder struct {
	mux      *mpegts.Muxer
	adts     mpegts.ADTS
	audio    *media.Track
	buf      []byte
	pictures int
}

func newFeeder(audio *media.Track) (*feeder, error) {
	f := &feeder{mux: mpegts.New(audio != nil), audio: audio}
	if audio != nil {
		var err error
		if f.adts, err = mpegts.ParseConfig(audio.Config); err != nil {
			return nil, fmt.Errorf("transcode: %w", err)
		}
	}
	return f, nil
}

// write muxes units and writes them in one piece.
func (f *feeder) write(w io.Writer, units []media.Unit) error {
	b := f.buf[:0]
	for i := range units {
		u := &units[i]
		if u.Track.Kind == media.Video {
			if u.Key || f.pictures%tablesEvery == 0 {
				b = f.mux.AppendTables(b)
			}
			f.pictures++
			b = f.mux.AppendVideo(b, mpegts.Picture{
				PTS: u.PTS + offset, DTS: u.DTS + offset,
				Key: u.Key, Data: u.Data, SPS: u.Track.SPS, PPS: u.Track.PPS,
			})
			continue
		}
		if f.audio == nil || u.Track.Timescale != f.audio.Timescale {
			continue // it came after ffmpeg was told what to expect
		}
		pts := clock(u.PTS, u.Track.Timescale) + offset
		b = f.mux.AppendAudio(b, pts, f.adts, [][]byte{u.Data})
	}
	f.buf = b
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("transcode: feed ffmpeg: %w", err)
	}
	return nil
}

// clock converts ticks of scale to 90 kHz, to the nearest.
func clock(ticks, scale int64) int64 {
	sec, rest := ticks/scale, ticks%scale
	return sec*media.VideoTimescale + (rest*media.VideoTimescale+scale/2)/scale
}
