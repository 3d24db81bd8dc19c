package packager

import (
	"bytes"
	"fmt"

	"github.com/sluice-live/sluice/internal/cmaf"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// A format writes one container. It belongs to the writer.
type format interface {
	// begin starts a new set of tracks and returns its initialization section, nil
	// when the container has none.
	begin(t tracks) (section []byte, err error)
	// part muxes units, which are in order of arrival, and tags into fresh memory. last is
	// how long the last picture lasts, in ticks; start says that a player may begin here.
	part(units []media.Unit, tags []mark, last int64, start bool) []byte
}

// tsFormat writes MPEG-TS. A part is whole packets and whole PES packets, so it can be
// demuxed by itself once the tables are known.
type tsFormat struct {
	mux  *mpegts.Muxer
	adts mpegts.ADTS
	buf  []byte // scratch

	frames [][]byte // AAC frames of the PES packet being gathered
	size   int      // their bytes
	first  int64    // DTS of the first; ticks of its track
}

// audioPES is when gathered audio becomes a PES packet, in bytes: enough that headers
// and stuffing cost little.
const audioPES = 2000

func (f *tsFormat) begin(t tracks) ([]byte, error) {
	audio := t.audio
	if t.audioOnly() {
		audio = t.video
	}
	if audio != nil {
		var err error
		if f.adts, err = mpegts.ParseConfig(audio.Config); err != nil {
			return nil, fmt.Errorf("packager: %w", err)
		}
	}
	switch {
	case f.mux != nil:
		f.mux.SetAudio(audio != nil)
	case t.audioOnly():
		f.mux = mpegts.NewAudio()
	default:
		f.mux = mpegts.New(audio != nil)
	}
	return nil, nil
}

func (f *tsFormat) part(units []media.Unit, tags []mark, _ int64, start bool) []byte {
	b := f.buf[:0]
	if start {
		b = f.mux.AppendTables(b)
	}
	for i := range tags {
		b = f.mux.AppendMetadata(b, tags[i].pts+origin*media.VideoTimescale, tags[i].tag)
	}
	var audio *media.Track
	for i := range units {
		u := &units[i]
		if u.Track.Codec != media.AAC {
			b = f.mux.AppendVideo(b, mpegts.Picture{
				PTS: u.PTS + origin*media.VideoTimescale, DTS: u.DTS + origin*media.VideoTimescale,
				Key: u.Key, Data: u.Data, SPS: u.Track.SPS, PPS: u.Track.PPS,
			})
			continue
		}
		audio = u.Track
		// Frames that do not follow each other need timestamps of their own.
		long := frameTicks(audio)
		if due := f.first + int64(len(f.frames))*long; f.size >= audioPES || u.DTS > due+long/2 || u.DTS < due-long/2 {
			b = f.flush(b, audio)
		}
		if len(f.frames) == 0 {
			f.first = u.DTS
		}
		f.frames = append(f.frames, u.Data)
		f.size += len(u.Data)
	}
	f.buf = f.flush(b, audio)
	return bytes.Clone(f.buf)
}

func (f *tsFormat) flush(b []byte, t *media.Track) []byte {
	if len(f.frames) > 0 {
		b = f.mux.AppendAudio(b, clock(f.first, t.Timescale)+origin*media.VideoTimescale, f.adts, f.frames)
		clear(f.frames)
		f.frames, f.size = f.frames[:0], 0
	}
	return b
}

// clock converts ticks of scale to 90 kHz, to the nearest.
func clock(ticks, scale int64) int64 {
	sec, rest := ticks/scale, ticks%scale
	return sec*media.VideoTimescale + (rest*media.VideoTimescale+scale/2)/scale
}

// mp4Format writes fragmented MP4: one moof and mdat per part.
type mp4Format struct {
	sequence     uint32
	video, audio []cmaf.Sample // scratch
	runs         [2]cmaf.Run   // scratch
}

const (
	videoID = 1
	audioID = 2
)

func (f *mp4Format) begin(t tracks) ([]byte, error) {
	var i cmaf.Init
	audio := t.audio
	if t.audioOnly() {
		audio = t.video
	} else {
		i.Video = &cmaf.Video{
			ID: videoID, Timescale: media.VideoTimescale, Width: t.video.Width, Height: t.video.Height,
			SPS: t.video.SPS, PPS: t.video.PPS, VPS: t.video.VPS,
		}
	}
	if audio != nil {
		i.Audio = &cmaf.Audio{
			ID: audioID, Timescale: uint32(audio.Timescale),
			SampleRate: audio.SampleRate, Channels: audio.Channels, Config: audio.Config,
		}
	}
	return i.Append(nil), nil
}

func (f *mp4Format) part(units []media.Unit, tags []mark, last int64, _ bool) []byte {
	var video, audio mp4Run
	var long int64 // of an audio frame
	video.samples, audio.samples = f.video[:0], f.audio[:0]
	for i := range units {
		if u := &units[i]; u.Track.Codec != media.AAC {
			video.add(u)
		} else {
			audio.add(u)
			long = frameTicks(u.Track)
		}
	}
	f.runs = [2]cmaf.Run{video.end(videoID, last), audio.end(audioID, long)}
	f.sequence++
	frag := cmaf.Fragment{Sequence: f.sequence, Runs: f.runs[:]}
	events, size := f.events(units, tags)
	b := make([]byte, 0, size+frag.Size())
	for i := range events {
		b = events[i].Append(b)
	}
	b = frag.Append(b)
	f.video, f.audio = video.samples, audio.samples
	clear(f.video) // the units' memory is not ours to hold
	clear(f.audio)
	return b
}

// events are the tags as event messages, and their size in bytes.
func (f *mp4Format) events(units []media.Unit, tags []mark) (events []cmaf.Event, size int) {
	start := earliest(units)
	for _, m := range tags {
		e := cmaf.Event{
			ID: m.id, Timescale: media.VideoTimescale, Tag: m.tag,
			Time:  uint64(max(m.pts+origin*media.VideoTimescale, 0)),
			Delta: uint32(max(m.pts-start, 0)),
		}
		events, size = append(events, e), size+e.Size()
	}
	return events, size
}

// earliest is the least presentation time of the pictures in a part, 0 without any.
func earliest(units []media.Unit) (pts int64) {
	first := true
	for i := range units {
		if u := &units[i]; u.Track.Kind == media.Video && (first || u.PTS < pts) {
			pts, first = u.PTS, false
		}
	}
	return pts
}

// An mp4Run gathers the samples of one track. The duration of a sample is the time to
// the next one; only the last one's is a prediction, which the next part's base time
// puts right.
type mp4Run struct {
	samples    []cmaf.Sample
	base, last int64 // DTS of the first and the newest sample, from origin
}

func (r *mp4Run) add(u *media.Unit) {
	dts := u.DTS + origin*u.Track.Timescale
	if n := len(r.samples); n == 0 {
		r.base = dts
	} else {
		r.samples[n-1].Duration = uint32(max(dts-r.last, 0))
	}
	r.last = dts
	r.samples = append(r.samples, cmaf.Sample{
		Data: u.Data, Offset: int32(u.PTS - u.DTS), Sync: u.Key || u.Track.Kind == media.Audio,
	})
}

func (r *mp4Run) end(id uint32, last int64) cmaf.Run {
	if n := len(r.samples); n > 0 {
		r.samples[n-1].Duration = uint32(last)
	}
	return cmaf.Run{Track: id, BaseTime: uint64(max(r.base, 0)), Samples: r.samples}
}
