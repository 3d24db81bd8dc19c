package transcode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// wrap is where the 33 bits of an MPEG-TS timestamp start again.
const wrap = 1 << 33

// unwrap finds the time that t stands for: the one nearest to near.
func unwrap(t, near int64) int64 {
	d := (t - near) % wrap
	switch {
	case d > wrap/2:
		d -= wrap
	case d < -wrap/2:
		d += wrap
	}
	return near + d
}

// A reader takes one output of ffmpeg apart.
type reader struct {
	near func() int64 // newest time of the input, in ticks of 90 kHz, with offset
	emit func(media.Unit) error

	video, audio uint16 // PIDs; 0 for none
	h264         media.H264Reader
	adts         mpegts.ADTS // of sound
	sound        *media.Track
}

// pipeSize is what a pipe holds: more cannot be read at once.
const pipeSize = 64 << 10

// read returns when r ends, or when emit fails.
func (rd *reader) read(r io.Reader) error {
	demux := mpegts.NewDemuxer(rd)
	buf := make([]byte, pipeSize)
	for {
		n, err := r.Read(buf)
		if err := demux.Write(buf[:n]); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return demux.Flush()
		case err != nil:
			return fmt.Errorf("transcode: output of ffmpeg: %w", err)
		}
	}
}

// Types of streams, ISO 13818-1 table 2-34.
const (
	typeADTS = 0x0f
	typeH264 = 0x1b
)

// Program implements mpegts.Handler.
func (rd *reader) Program(streams []mpegts.Stream) (wanted []uint16, err error) {
	rd.video, rd.audio = 0, 0
	for _, s := range streams {
		switch s.Type {
		case typeH264:
			rd.video = s.PID
		case typeADTS:
			rd.audio = s.PID
		default:
			continue
		}
		wanted = append(wanted, s.PID)
	}
	return wanted, nil
}

// PES implements mpegts.Handler.
func (rd *reader) PES(p mpegts.PES) error {
	switch {
	case !p.Timed:
		return nil // all that ffmpeg writes has a time
	case p.PID == rd.video:
		return rd.picture(p)
	default:
		return rd.frames(p)
	}
}

func (rd *reader) picture(p mpegts.PES) error {
	picture, track, err := rd.h264.Read(p.Data)
	switch {
	case errors.Is(err, media.ErrNoParameterSets), errors.Is(err, media.ErrNoPicture):
		return nil // nothing to show
	case err != nil:
		return fmt.Errorf("transcode: output of ffmpeg: %w", err)
	}
	dts := unwrap(p.DTS, rd.near()) - offset
	return rd.emit(media.Unit{
		Track: track, DTS: dts, PTS: dts + p.PTS - p.DTS, Key: picture.IDR, Data: picture.Data, Received: time.Now(),
	})
}

// frames takes the frames of sound that one packet holds: ffmpeg lets none reach into the
// next.
func (rd *reader) frames(p mpegts.PES) error {
	at := media.Time(unwrap(p.PTS, rd.near())-offset, media.VideoTimescale)
	for n, b := int64(0), p.Data; len(b) > 0; n++ {
		h, head, size, err := mpegts.ParseADTS(b)
		if err == nil && size > len(b) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("transcode: sound of ffmpeg: %w", err)
		}
		if rd.sound == nil || h != rd.adts {
			t, err := media.NewAACTrack(h.Config())
			if err != nil {
				return fmt.Errorf("transcode: sound of ffmpeg: %w", err)
			}
			rd.sound, rd.adts = t, h
		}
		t := media.Ticks(at, rd.sound.Timescale) + n*media.SamplesPerFrame
		err = rd.emit(media.Unit{Track: rd.sound, DTS: t, PTS: t, Key: true, Data: bytes.Clone(b[head:size]), Received: time.Now()})
		if err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
