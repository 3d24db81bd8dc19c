package transcode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/sluice-live/sluice/internal/media"
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
	near  func() int64 // newest time of the input, in ticks of 90 kHz, with offset
	track *media.Track
	emit  func(media.Unit) error
}

// read returns when r ends, or when emit fails.
func (rd *reader) read(r io.Reader) error {
	ts := mpegts.Reader{R: r}
	if err := ts.Initialize(); err != nil {
		return fmt.Errorf("transcode: output of ffmpeg: %w", err)
	}
	for _, t := range ts.Tracks() {
		switch c := t.Codec.(type) {
		case *codecs.H264:
			ts.OnDataH264(t, rd.picture)
		case *codecs.MPEG4Audio:
			config, err := c.Config.Marshal()
			if err != nil {
				return fmt.Errorf("transcode: output of ffmpeg: %w", err)
			}
			if rd.track, err = media.NewAACTrack(config); err != nil {
				return fmt.Errorf("transcode: output of ffmpeg: %w", err)
			}
			ts.OnDataMPEG4Audio(t, rd.sound)
		}
	}
	for {
		if err := ts.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("transcode: output of ffmpeg: %w", err)
		}
	}
}

// picture takes the parameter sets out of an access unit: they belong to the track.
func (rd *reader) picture(pts, dts int64, nals [][]byte) error {
	var sps, pps [][]byte
	key, size := false, 0
	for _, n := range nals {
		switch h264.NALUType(n[0] & 0x1f) {
		case h264.NALUTypeSPS:
			sps = append(sps, n)
		case h264.NALUTypePPS:
			pps = append(pps, n)
		case h264.NALUTypeIDR:
			key = true
		}
		size += 4 + len(n)
	}
	if len(sps) > 0 && len(pps) > 0 && (rd.track == nil || !slices.EqualFunc(sps, rd.track.SPS, bytes.Equal) || !slices.EqualFunc(pps, rd.track.PPS, bytes.Equal)) {
		t, err := media.NewH264Track(clone(sps), clone(pps))
		if err != nil {
			return fmt.Errorf("transcode: output of ffmpeg: %w", err)
		}
		rd.track = t
	}
	if rd.track == nil {
		return nil // nothing decodable before the first parameter sets
	}
	data := make([]byte, 0, size)
	for _, n := range nals {
		if t := h264.NALUType(n[0] & 0x1f); t != h264.NALUTypeSPS && t != h264.NALUTypePPS && t != h264.NALUTypeAccessUnitDelimiter {
			data = binary.BigEndian.AppendUint32(data, uint32(len(n)))
			data = append(data, n...)
		}
	}
	if len(data) == 0 {
		return nil
	}
	dts = unwrap(dts, rd.near())
	pts = unwrap(pts, dts)
	return rd.emit(media.Unit{
		Track: rd.track, DTS: dts - offset, PTS: pts - offset, Key: key, Data: data, Received: time.Now(),
	})
}

func clone(sets [][]byte) [][]byte {
	out := make([][]byte, len(sets))
	for i, s := range sets {
		out[i] = bytes.Clone(s)
	}
	return out
}

func (rd *reader) sound(pts int64, frames [][]byte) error {
	at := unwrap(pts, rd.near()) - offset
	scale := rd.track.Timescale
	ticks := media.Ticks(media.Time(at, media.VideoTimescale), scale)
	for i, f := range frames {
		t := ticks + int64(i)*media.SamplesPerFrame
		err := rd.emit(media.Unit{Track: rd.track, DTS: t, PTS: t, Key: true, Data: bytes.Clone(f), Received: time.Now()})
		if err != nil {
			return err
		}
	}
	return nil
}
