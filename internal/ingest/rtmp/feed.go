package rtmp

import (
	"bytes"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// A feed turns one encoder's messages into units for its session. It belongs to the
// connection's goroutine.
type feed struct {
	session ingest.Session
	metrics *metrics
	retime  media.Retimer
	said    ingest.Announcement

	video [media.MaxVideoTracks]*videoTrack // by number; nil before the sequence header
	audio *media.Track                      // nil before the sequence header
	asc   []byte                            // AudioSpecificConfig that audio was made of
	tags  []wire.Tag                        // scratch

	messages, bytes, dropped int64 // since the start
	counted                  struct{ messages, bytes int64 }
	countAt                  time.Time
}

func newFeed(s ingest.Session, m *metrics) *feed { return &feed{session: s, metrics: m} }

// take handles one message that arrived at now.
func (f *feed) take(m wire.Message, now time.Time) error {
	f.messages++
	f.bytes += int64(len(m.Payload))
	if now.Sub(f.countAt) > time.Second {
		f.countAt = now
		f.count()
	}
	switch m.Type {
	case wire.TypeVideo:
		return f.takeVideo(m, now)
	case wire.TypeAudio:
		return f.takeAudio(m, now)
	}
	return f.takeData(m)
}

// takeData handles a data message. One that is no good is not worth a stream.
func (f *feed) takeData(m wire.Message) error {
	name, values, err := wire.ParseData(m)
	switch {
	case err != nil:
		return f.drop(dropMalformed)
	case name == wire.DataMetadata && len(values) > 0:
		f.said = announcement(wire.Properties(values[0]))
		f.session.Announce(f.said)
	case name == wire.DataText:
		text, ok := wire.Text(values)
		if !ok || text == "" || len(text) > ingest.MaxMetadata || !utf8.ValidString(text) {
			return f.drop(dropText)
		}
		f.session.Metadata(text)
	case name == wire.DataCaptions:
		return f.takeCaptions(values)
	}
	return nil
}

// takeCaptions makes captions that come beside the video part of it (low-latency.md
// 2.3): of the next picture, on each track, for viewers may watch any.
func (f *feed) takeCaptions(values []any) error {
	userData, ok := wire.Captions(values)
	if !ok {
		return f.drop(dropCaptions)
	}
	taken := false
	for _, v := range f.video {
		if v == nil || len(v.captions) >= maxCaptions {
			continue
		}
		sei, err := media.CaptionSEI(v.track.Codec, userData)
		if err != nil {
			return f.drop(dropCaptions)
		}
		v.captions, taken = append(v.captions, sei), true
	}
	if !taken {
		return f.drop(dropCaptions)
	}
	return nil
}

// count moves what was received since the last time into the metrics, which all
// connections share: once a second, not once a message.
func (f *feed) count() {
	f.metrics.messages.Add(float64(f.messages - f.counted.messages))
	f.metrics.bytes.Add(float64(f.bytes - f.counted.bytes))
	f.counted.messages, f.counted.bytes = f.messages, f.bytes
}

func (f *feed) drop(reason string) error {
	f.dropped++
	f.metrics.dropped.WithLabelValues(reason).Inc()
	return nil
}

func (f *feed) audioConfig(asc []byte) error {
	if f.audio != nil && bytes.Equal(asc, f.asc) {
		return nil
	}
	t, err := media.NewAACTrack(asc)
	if err != nil {
		return &live.Error{Kind: live.Unsupported, Detail: "The AAC sequence header is not usable.", Err: err}
	}
	f.audio, f.asc = t, asc
	return nil
}

// Bounds of what an encoder may say of itself.
const (
	maxEncoder   = 256       // bytes
	maxSaid      = 1_000_000 // kbit/s, pixels, Hz
	maxFrameRate = 300       // frames per second
)

// announcement maps onMetaData (low-latency.md 3.5). Bit rates are in kbit/s of 1000
// there, whoever wrote them.
func announcement(o wire.Object) ingest.Announcement {
	number := func(name string, limit float64) float64 {
		if v := o.Number(name); v > 0 && v <= limit {
			return v
		}
		return 0
	}
	encoder := o.String("encoder")
	a := ingest.Announcement{
		Encoder:         strings.ToValidUTF8(encoder[:min(len(encoder), maxEncoder)], ""),
		Width:           int(number("width", maxSaid)),
		Height:          int(number("height", maxSaid)),
		FrameRate:       number("framerate", maxFrameRate),
		VideoBitRate:    int64(math.Trunc(number("videodatarate", maxSaid) * 1000)),
		AudioBitRate:    int64(math.Trunc(number("audiodatarate", maxSaid) * 1000)),
		AudioSampleRate: int(number("audiosamplerate", maxSaid)),
		AudioChannels:   int(number("audiochannels", 64)),
	}
	if stereo, ok := o.Get("stereo").(bool); ok && a.AudioChannels == 0 {
		if a.AudioChannels = 1; stereo {
			a.AudioChannels = 2
		}
	}
	return a
}
