package rtmp

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// hiCaption is ATSC user data with captions of CEA-608, and hiSEI the SEI that it makes.
const (
	hiCaption = "\xb5\x00\x31GA94\x03\x42\xff\xfc\x94\x20\xfc\xc8\x49"
	hiSEI     = "\x04\x11" + hiCaption + "\xff\x80"
)

func captions(values ...any) wire.Message {
	return wire.Message{Type: wire.TypeData, Payload: wire.AppendAMF0(nil, append([]any{"onCaptionInfo"}, values...)...)}
}

func captions708(data string) wire.Message {
	return captions(wire.ECMAArray{{Name: "type", Value: "708"}, {Name: "data", Value: base64.StdEncoding.EncodeToString([]byte(data))}})
}

func TestFeedPutsCaptionsIntoTheNextPicture(t *testing.T) {
	const (
		sei    = "\x00\x00\x00\x15\x06" + hiSEI
		sei265 = "\x00\x00\x00\x16\x4e\x01" + hiSEI
		own    = "\x00\x00\x00\x03\x06\x05\x80" // SEI that the encoder sends
	)
	start := []wire.Message{video(0, videoConfig(avcC)), video(0, videoFrame(true, 0, idr))}
	good := captions708(hiCaption)
	for name, tt := range map[string]struct {
		in      []wire.Message // after a first picture
		want    []string       // pictures after it
		dropped int64
	}{
		"once":                       {[]wire.Message{good, video(33, videoFrame(false, 0, slice)), video(66, videoFrame(false, 0, slice))}, []string{sei + slice, slice}, 0},
		"two at once":                {[]wire.Message{good, good, video(33, videoFrame(false, 0, slice))}, []string{sei + sei + slice}, 0},
		"behind what is there":       {[]wire.Message{good, video(33, videoFrame(false, 0, own+slice))}, []string{own + sei + slice}, 0},
		"SEI of the encoder is left": {[]wire.Message{video(33, videoFrame(false, 0, sei+slice))}, []string{sei + slice}, 0},
		"on each track": {
			[]wire.Message{
				video(33, []byte("\x96\x00hvc1\x01"+hvcC)), good,
				video(33, videoFrame(false, 0, slice)), video(33, []byte("\x96\x03hvc1\x01"+idr265)), video(66, []byte("\xa6\x03hvc1\x01"+slice265)),
			},
			[]string{sei + slice, sei265 + idr265, slice265},
			0,
		},
		"as an object, behind @setDataFrame": {
			[]wire.Message{
				{Type: wire.TypeData, Payload: wire.AppendAMF0(nil, "@setDataFrame", "onCaptionInfo", wire.Object{
					{Name: "type", Value: "708"}, {Name: "data", Value: base64.StdEncoding.EncodeToString([]byte(hiCaption[3:]))},
				})},
				video(33, videoFrame(false, 0, slice)),
			},
			[]string{sei + slice},
			0,
		},
		"other types are dropped":   {[]wire.Message{captions(wire.ECMAArray{{Name: "type", Value: "WebVTT"}}), video(33, videoFrame(false, 0, slice))}, []string{slice}, 1},
		"what is no base64":         {[]wire.Message{captions(wire.ECMAArray{{Name: "type", Value: "708"}, {Name: "data", Value: "!"}}), video(33, videoFrame(false, 0, slice))}, []string{slice}, 1},
		"what are no captions":      {[]wire.Message{captions708("\x00\x00\x00"), video(33, videoFrame(false, 0, slice))}, []string{slice}, 1},
		"no value, and no captions": {[]wire.Message{captions(), captions(1.0), captions708("")}, nil, 3},
		"more than may wait":        {append(slices.Repeat([]wire.Message{good}, maxCaptions+3), video(33, videoFrame(false, 0, slice))), []string{strings.Repeat(sei, maxCaptions) + slice}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := testFeed()
			for _, m := range slices.Concat(start, tt.in) {
				if err := f.take(m, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, u := range s.units[1:] {
				got = append(got, string(u.Data))
			}
			if !slices.Equal(got, tt.want) || f.dropped != tt.dropped {
				t.Errorf("got %q and %d dropped, want %q and %d", got, f.dropped, tt.want, tt.dropped)
			}
		})
	}
	t.Run("before the video they are dropped", func(t *testing.T) {
		f, _ := testFeed()
		if err := f.take(good, time.Now()); err != nil || f.dropped != 1 {
			t.Errorf("%v, %d dropped", err, f.dropped)
		}
	})
}
