package rtmp

import (
	"bytes"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// maxVideoHeader bounds a sequence header, which is kept, in bytes.
const maxVideoHeader = 64 << 10

// primary is the number of the first track of each kind.
const primary = 0

// A videoTrack is one video track of an encoder since its sequence header.
type videoTrack struct {
	track      *media.Track
	codec      wire.FourCC
	header     []byte   // avcC or hvcC that track was made of
	lengthSize int      // bytes before each NAL unit
	captions   [][]byte // SEI for the next picture; at most maxCaptions
}

// maxCaptions bounds the captions that wait for a picture: a few are sent at once.
const maxCaptions = 64

func (f *feed) takeVideo(m wire.Message, now time.Time) error {
	tags, err := wire.ParseVideo(f.tags[:0], m.Payload)
	if err != nil {
		return err
	}
	f.retain(tags)
	for i := range tags {
		if err := f.videoTag(&tags[i], m.Timestamp, now); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) takeAudio(m wire.Message, now time.Time) error {
	tags, err := wire.ParseAudio(f.tags[:0], m.Payload)
	if err != nil {
		return err
	}
	f.retain(tags)
	for i := range tags {
		if err := f.audioTag(&tags[i], m.Timestamp, now); err != nil {
			return err
		}
	}
	return nil
}

// retain keeps the memory of tags for the next message, unless that was a huge one.
func (f *feed) retain(tags []wire.Tag) {
	if cap(tags) <= media.MaxVideoTracks {
		f.tags = tags
	}
}

// videoTag takes one track's share of a message; ts is its DTS in ms.
func (f *feed) videoTag(tag *wire.Tag, ts int64, now time.Time) error {
	if err := supported(tag, "video", wire.AVC, wire.HEVC); err != nil {
		return err
	}
	if tag.Track >= media.MaxVideoTracks {
		return live.Errorf(live.Unsupported, "No more than %d video tracks are supported.", media.MaxVideoTracks)
	}
	v := f.video[tag.Track]
	switch {
	case tag.Packet == wire.PacketConfig:
		return f.videoConfig(v, tag)
	case tag.Packet != wire.PacketFrames:
		return nil
	case v == nil || v.codec != tag.Codec:
		return f.drop(dropNoConfig)
	case len(tag.Data) == 0:
		return f.drop(dropEmpty)
	}
	parse := media.ParseH264
	if v.codec == wire.HEVC {
		parse = media.ParseH265
	}
	p, err := parse(tag.Data, v.lengthSize)
	if err != nil {
		return f.drop(dropMalformed)
	}
	if !p.Slices {
		return f.drop(dropNoPicture)
	}
	if len(v.captions) > 0 {
		p.Data = media.InsertSEI(v.track.Codec, p.Data, v.captions...)
		v.captions = v.captions[:0]
	}
	u := media.Unit{Track: v.track, Key: p.IDR, Data: p.Data, Received: now}
	u.DTS, u.PTS = f.retime.Video(v.track, ts, int64(tag.Offset))
	return f.session.Write(u)
}

// audioTag takes one track's share of a message. IVS plays one audio track; what
// encoders send beside it is meant for recordings elsewhere.
func (f *feed) audioTag(tag *wire.Tag, ts int64, now time.Time) error {
	if tag.Track != primary {
		return f.drop(dropExtraAudio)
	}
	if err := supported(tag, "audio", wire.AAC); err != nil {
		return err
	}
	switch {
	case tag.Packet == wire.PacketConfig:
		return f.audioConfig(tag.Data)
	case tag.Packet != wire.PacketFrames:
		return nil
	case f.audio == nil:
		return f.drop(dropNoConfig)
	case len(tag.Data) == 0:
		return f.drop(dropEmpty)
	}
	u := media.Unit{Track: f.audio, Key: true, Data: tag.Data, Received: now}
	u.DTS = f.retime.Audio(f.audio, ts)
	u.PTS = u.DTS
	return f.session.Write(u)
}

// supported refuses media of a codec that is not in want.
func supported(tag *wire.Tag, kind string, want ...wire.FourCC) error {
	if tag.Packet != wire.PacketConfig && tag.Packet != wire.PacketFrames {
		return nil
	}
	for _, c := range want {
		if tag.Codec == c {
			return nil
		}
	}
	return live.Errorf(live.Unsupported, "The %s codec (%s) is not supported; send H.264 or H.265, and AAC.", kind, tag.Codec)
}

// videoConfig takes a sequence header for v, which is nil for the first of its number.
// Encoders repeat it; only other bytes are another track.
func (f *feed) videoConfig(v *videoTrack, tag *wire.Tag) error {
	switch {
	case v != nil && v.codec == tag.Codec && bytes.Equal(v.header, tag.Data):
		return nil
	case len(tag.Data) > maxVideoHeader:
		return live.Errorf(live.Unsupported, "The video sequence header has more than %d bytes.", maxVideoHeader)
	}
	t, lengthSize, err := newVideoTrack(tag)
	if err != nil {
		return &live.Error{Kind: live.Unsupported, Detail: "The video sequence header (" + tag.Codec.String() + ") is not usable.", Err: err}
	}
	t.ID = int(tag.Track)
	if t.FrameRate == 0 && tag.Track == primary {
		t.FrameRate = f.said.FrameRate
	}
	f.video[tag.Track] = &videoTrack{track: t, codec: tag.Codec, header: tag.Data, lengthSize: lengthSize}
	return nil
}

// newVideoTrack reads a sequence header.
func newVideoTrack(tag *wire.Tag) (t *media.Track, lengthSize int, err error) {
	if tag.Codec == wire.HEVC {
		c, err := media.ParseHVCConfig(tag.Data)
		if err != nil {
			return nil, 0, err
		}
		t, err = media.NewH265Track(c.VPS, c.SPS, c.PPS)
		return t, c.LengthSize, err
	}
	c, err := media.ParseAVCConfig(tag.Data)
	if err != nil {
		return nil, 0, err
	}
	t, err = media.NewH264Track(c.SPS, c.PPS)
	return t, c.LengthSize, err
}
