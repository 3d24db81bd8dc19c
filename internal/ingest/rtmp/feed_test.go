package rtmp

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// What x265 wrote for 640x360, and the least that counts as its pictures.
const (
	hvcC     = "\x01\x01\x60\x00\x00\x00\x90\x00\x00\x00\x00\x00\x3f\xf0\x00\xfc\xfd\xf8\xf8\x00\x00\x0f\x03\xa0\x00\x01\x00\x18\x40\x01\x0c\x01\xff\xff\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3f\x95\x98\x09\xa1\x00\x01\x00\x2a\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3f\xa0\x05\x02\x01\x69\x65\x95\x9a\x49\x32\xbc\x05\xa0\x20\x00\x00\x03\x00\x20\x00\x00\x03\x03\xc1\xa2\x00\x01\x00\x07\x44\x01\xc1\x72\xb4\x62\x40"
	idr265   = "\x00\x00\x00\x03\x26\x01x"
	slice265 = "\x00\x00\x00\x03\x02\x01x"
)

func testFeed() (*feed, *session) {
	s := &session{done: make(chan struct{}), closed: make(chan struct{})}
	return newFeed(s, newMetrics(nil, ingest.RTMP)), s
}

func video(ts int64, body []byte) wire.Message {
	return wire.Message{Type: wire.TypeVideo, Stream: 1, Timestamp: ts, Payload: body}
}

func audio(ts int64, body []byte) wire.Message {
	return wire.Message{Type: wire.TypeAudio, Stream: 1, Timestamp: ts, Payload: body}
}

func TestFeedMakesUnits(t *testing.T) {
	short := "\x01\x42\xc0\x15\xfd" + avcC[5:] // the same record with 2-byte lengths
	exVideo := func(b string) []byte { return []byte(b) }
	for name, tt := range map[string]struct {
		in      []wire.Message
		want    []string // the data of the units
		dropped int64
	}{
		"frames before their sequence header are dropped": {
			[]wire.Message{video(0, videoFrame(true, 0, idr)), audio(0, audioFrame("raw")), video(0, videoConfig(avcC)), video(33, videoFrame(true, 0, idr))},
			[]string{idr},
			2,
		},
		"2-byte lengths are widened": {
			[]wire.Message{video(0, videoConfig(short)), video(0, videoFrame(true, 0, "\x00\x02\x65\x88"))},
			[]string{"\x00\x00\x00\x02\x65\x88"},
			0,
		},
		"lengths that do not add up": {
			[]wire.Message{video(0, videoConfig(avcC)), video(0, videoFrame(true, 0, "\x00\x00\x00\x09\x65")), video(33, videoFrame(true, 0, idr))},
			[]string{idr},
			1,
		},
		"SEI alone is no unit": {
			[]wire.Message{video(0, videoConfig(avcC)), video(0, videoFrame(true, 0, "\x00\x00\x00\x02\x06\x05"))},
			nil, 1,
		},
		"empty frames": {
			[]wire.Message{video(0, videoConfig(avcC)), audio(0, audioConfig(asc)), video(0, videoFrame(true, 0, "")), audio(0, audioFrame(""))},
			nil, 2,
		},
		"empty messages and commands are nothing": {
			[]wire.Message{video(0, nil), audio(0, nil), video(0, []byte{0x57, 0})}, nil, 0,
		},
		"metadata that is garbage": {
			[]wire.Message{{Type: wire.TypeData, Payload: []byte{0x99}}, audio(0, audioConfig(asc)), audio(0, audioFrame("raw"))}, []string{"raw"}, 1,
		},
		"Enhanced RTMP of one track": {
			[]wire.Message{video(0, exVideo("\x90avc1"+avcC)), video(0, exVideo("\x91avc1\x00\x00\x00"+idr)), video(33, exVideo("\xa3avc1"+slice)), audio(0, exVideo("\x90mp4a"+asc)), audio(0, exVideo("\x91mp4araw"))},
			[]string{idr, slice, "raw"},
			0,
		},
		"tracks of a multitrack stream": {
			[]wire.Message{
				video(0, videoConfig(avcC)), video(0, exVideo("\x96\x00avc1\x01"+avcMain)),
				video(0, videoFrame(true, 0, idr)), video(0, exVideo("\x96\x03avc1\x01"+idr)),
				video(33, videoFrame(false, 0, slice)), video(33, exVideo("\xa6\x01avc1\x01\x00\x00\x00"+slice)),
				video(66, exVideo("\xa6\x03avc1\x02"+slice)), video(66, exVideo("\x96\x02avc1\x01")),
			},
			[]string{idr, idr, slice, slice},
			1, // of a track without a sequence header
		},
		"many tracks in a message": {
			[]wire.Message{
				video(0, videoConfig(avcC)), video(0, exVideo("\x96\x00avc1\x01"+avcMain)),
				video(0, exVideo("\x96\x13avc1\x00\x00\x00"+string(rune(len(idr)))+idr+"\x01\x00\x00"+string(rune(len(idr)))+idr)),
			},
			[]string{idr, idr},
			0,
		},
		"H.265": {
			[]wire.Message{video(0, exVideo("\x90hvc1"+hvcC)), video(0, exVideo("\x91hvc1\x00\x00\x00"+idr265)), video(33, exVideo("\xa3hvc1"+slice265)), video(66, exVideo("\xa3avc1"+slice))},
			[]string{idr265, slice265},
			1, // of another codec than its sequence header
		},
		"audio beside the first track is dropped": {
			[]wire.Message{audio(0, exVideo("\x95\x00mp4a\x00"+asc)), audio(0, exVideo("\x95\x00mp4a\x01"+asc)), audio(0, exVideo("\x95\x01mp4a\x01two")), audio(0, exVideo("\x95\x01mp4a\x00one"))},
			[]string{"one"},
			2,
		},
		"HDR metadata of another codec is ignored": {[]wire.Message{video(0, exVideo("\x94hvc1\x02"))}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := testFeed()
			for _, m := range tt.in {
				if err := f.take(m, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, u := range s.units {
				got = append(got, string(u.Data))
			}
			if !slices.Equal(got, tt.want) || f.dropped != tt.dropped {
				t.Errorf("got %q and %d dropped, want %q and %d", got, f.dropped, tt.want, tt.dropped)
			}
		})
	}
}

func TestFeedTracks(t *testing.T) {
	f, s := testFeed()
	for _, m := range []wire.Message{
		video(0, videoConfig(avcC)), audio(0, audioConfig(asc)),
		video(0, videoFrame(true, 0, idr)), audio(0, audioFrame("a")),
		video(33, videoConfig(avcC)), audio(21, audioConfig(asc)), // repeated: nothing changes
		video(33, videoFrame(false, 0, slice)), audio(21, audioFrame("b")),
		video(66, videoConfig(avcMain)), audio(42, audioConfig("\x12\x10")), // changed
		video(66, videoFrame(true, 0, idr)), audio(42, audioFrame("c")),
	} {
		if err := f.take(m, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var v, a []*media.Track
	for _, u := range s.units {
		if u.Track.Kind == media.Video {
			v = append(v, u.Track)
		} else {
			a = append(a, u.Track)
		}
	}
	if v[0] != v[1] || a[0] != a[1] {
		t.Error("a repeated sequence header made a new track")
	}
	if v[2] == v[1] || v[2].Width != 1280 || a[2] == a[1] || a[2].SampleRate != 44100 {
		t.Errorf("after the change: %+v, %+v", v[2], a[2])
	}
}

func TestFeedTakesText(t *testing.T) {
	full := strings.Repeat("\u00e9", ingest.MaxMetadata/2)
	text := func(v ...any) wire.Message {
		return wire.Message{Type: wire.TypeData, Payload: wire.AppendAMF0(nil, v...)}
	}
	for name, tt := range map[string]struct {
		in      wire.Message
		want    []string
		dropped int64
	}{
		"a string":                    {text("onTextData", "a"), []string{"a"}, 0},
		"a property of an array":      {text("onTextData", wire.ECMAArray{{Name: "type", Value: "Text"}, {Name: "text", Value: "b"}}), []string{"b"}, 0},
		"a property of an object":     {text("onTextData", wire.Object{{Name: "text", Value: "c"}}), []string{"c"}, 0},
		"behind @setDataFrame":        {text("@setDataFrame", "onTextData", "d"), []string{"d"}, 0},
		"in AMF3's clothes":           {wire.Message{Type: wire.TypeDataAMF3, Payload: append([]byte{0}, wire.AppendAMF0(nil, "onTextData", "e")...)}, []string{"e"}, 0},
		"as much as there may be":     {text("onTextData", full), []string{full}, 0},
		"a byte too much is dropped":  {text("onTextData", full+"x"), nil, 1},
		"nothing is dropped":          {text("onTextData", ""), nil, 1},
		"no UTF-8 is dropped":         {text("onTextData", "\xff"), nil, 1},
		"a number is dropped":         {text("onTextData", 1.0), nil, 1},
		"no value is dropped":         {text("onTextData"), nil, 1},
		"other data means nothing":    {text("onCuePoint", "f"), nil, 0},
		"data that has no name":       {text(1.0, "g"), nil, 0},
		"onMetaData without a value":  {text("onMetaData"), nil, 0},
		"an empty message is nothing": {wire.Message{Type: wire.TypeData}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := testFeed()
			if err := f.take(tt.in, time.Now()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.texts, tt.want) || f.dropped != tt.dropped || len(s.said) > 0 {
				t.Errorf("got %q, %d dropped and %d announcements, want %q and %d", s.texts, f.dropped, len(s.said), tt.want, tt.dropped)
			}
		})
	}
}

func TestFeedNumbersTracks(t *testing.T) {
	f, s := testFeed()
	for _, m := range []wire.Message{
		video(0, videoConfig(avcC)), video(0, []byte("\x96\x00hvc1\x03"+hvcC)),
		video(0, videoFrame(true, 0, idr)), video(0, []byte("\x96\x03hvc1\x03"+idr265)),
	} {
		if err := f.take(m, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := s.units[0].Track, s.units[1].Track; a.ID != 0 || a.Codec != media.H264 || b.ID != 3 || b.Codec != media.H265 || b.Width != 640 {
		t.Errorf("tracks %+v and %+v", a, b)
	}
	if !s.units[1].Key {
		t.Error("an IDR of H.265 is no key frame")
	}
}

func TestFeedRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		in   wire.Message
		says string
	}{
		"AV1":                     {video(0, []byte("\x90av01CONF")), "(av01)"},
		"VP9":                     {video(0, []byte("\x91vp09DATA")), "(vp09)"},
		"AV1 on another track":    {video(0, []byte("\x96\x00av01\x01CONF")), "(av01)"},
		"track 16":                {video(0, []byte("\x96\x00avc1\x10"+avcC)), "16 video tracks"},
		"an hvcC that is none":    {video(0, []byte("\x90hvc1CONF")), "(hvc1)"},
		"an avcC that is none":    {video(0, videoConfig("CONF")), "(avc1)"},
		"a huge sequence header":  {video(0, videoConfig(string(make([]byte, maxVideoHeader+1)))), "65536 bytes"},
		"Opus":                    {audio(0, []byte("\x90OpusCONF")), "(Opus)"},
		"AAC that is not":         {audio(0, audioConfig("")), "AAC"},
		"H.265 in plain FLV's id": {video(0, []byte("\x1c\x00\x00\x00\x00CONF")), "FLV video codec 12"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := testFeed()
			err := f.take(tt.in, time.Now())
			if e, ok := errors.AsType[*live.Error](err); !ok || e.Kind != live.Unsupported || !strings.Contains(e.Detail, tt.says) {
				t.Errorf("refused with %v, want it to say %q", err, tt.says)
			}
		})
	}
}

// A frame rate that the VUI leaves out is the one that was announced.
func TestFeedTakesTheAnnouncedFrameRate(t *testing.T) {
	const noVUI = "\x01\x42\xc0\x1e\xff\xe1\x00\x09\x67\x42\xc0\x1e\xda\x02\x80\xbe\x40\x01\x00\x04\x68\xce\x3c\x80"
	f, s := testFeed()
	meta := wire.Message{Type: wire.TypeData, Payload: wire.AppendAMF0(nil, "onMetaData", wire.Object{{Name: "framerate", Value: 25.0}})}
	for _, m := range []wire.Message{meta, video(0, videoConfig(noVUI)), video(0, videoFrame(true, 0, idr))} {
		if err := f.take(m, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.units[0].Track.FrameRate; got != 25 {
		t.Errorf("frame rate %v, want 25", got)
	}
}

func TestAnnouncement(t *testing.T) {
	num := func(name string, v float64) wire.Property { return wire.Property{Name: name, Value: v} }
	long := make([]byte, 1000)
	for name, tt := range map[string]struct {
		in   wire.Object
		want ingest.Announcement
	}{
		"OBS": {
			wire.Object{num("width", 1920), num("height", 1080), num("videodatarate", 3500), num("framerate", 30), num("audiodatarate", 160), num("audiosamplerate", 48000), num("audiochannels", 2), {Name: "stereo", Value: true}, {Name: "encoder", Value: "obs-output module (libobs version 32.2.1)"}},
			ingest.Announcement{Encoder: "obs-output module (libobs version 32.2.1)", Width: 1920, Height: 1080, FrameRate: 30, VideoBitRate: 3_500_000, AudioBitRate: 160_000, AudioSampleRate: 48000, AudioChannels: 2},
		},
		"ffmpeg divides by 1024": {
			wire.Object{num("videodatarate", 9_000_000./1024), num("audiodatarate", 48_000./1024), {Name: "stereo", Value: false}},
			ingest.Announcement{VideoBitRate: 8_789_062, AudioBitRate: 46_875, AudioChannels: 1},
		},
		"stereo":            {wire.Object{{Name: "stereo", Value: true}}, ingest.Announcement{AudioChannels: 2}},
		"nothing":           {nil, ingest.Announcement{}},
		"negative and huge": {wire.Object{num("width", -1), num("height", 1e300), num("framerate", 1e6)}, ingest.Announcement{}},
		"of a wrong type":   {wire.Object{{Name: "width", Value: "1920"}, {Name: "encoder", Value: 1.0}}, ingest.Announcement{}},
		"a long name":       {wire.Object{{Name: "encoder", Value: string(long)}}, ingest.Announcement{Encoder: string(long[:maxEncoder])}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, announcement(tt.in)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever data an encoder sends, a session gets only text that the API would take.
func FuzzData(f *testing.F) {
	f.Add(wire.AppendAMF0(nil, "onTextData", wire.ECMAArray{{Name: "type", Value: "Text"}, {Name: "text", Value: "b"}}), false)
	f.Add(wire.AppendAMF0(nil, "@setDataFrame", "onTextData", "\xff"), false)
	f.Add(append([]byte{0}, wire.AppendAMF0(nil, "onTextData", "x")...), true)
	f.Add(wire.AppendAMF0(nil, "onMetaData", wire.ECMAArray{{Name: "framerate", Value: 30.0}}), false)
	f.Fuzz(func(t *testing.T, b []byte, amf3 bool) {
		fd, s := testFeed()
		m := wire.Message{Type: wire.TypeData, Payload: b}
		if amf3 {
			m.Type = wire.TypeDataAMF3
		}
		if err := fd.take(m, time.Now()); err != nil {
			t.Fatalf("data ended the stream: %v", err)
		}
		for _, text := range s.texts {
			if text == "" || len(text) > ingest.MaxMetadata || !utf8.ValidString(text) {
				t.Errorf("the session got %q", text)
			}
		}
	})
}

// Whatever media an encoder sends, units are well-formed and time goes forward.
func FuzzFeed(f *testing.F) {
	add := func(bodies ...[]byte) {
		var b []byte
		for i, body := range bodies {
			b = append(b, byte(i), byte(len(body)))
			b = append(b, body...)
		}
		f.Add(b)
	}
	add(videoConfig(avcC), audioConfig(asc), videoFrame(true, 33, idr), audioFrame("raw"), videoFrame(false, 0, slice))
	add(videoConfig(avcC), []byte("\x96\x00hvc1\x01"+hvcC), videoFrame(true, 33, idr), []byte("\x96\x03hvc1\x01"+idr265), []byte("\x95\x00mp4a\x01"+asc))
	add([]byte("\x90avc1"+avcMain), []byte("\x90mp4a"+asc), []byte("\x93avc1"+idr))
	f.Fuzz(func(t *testing.T, b []byte) {
		fd, s := testFeed()
		for ts := int64(0); len(b) >= 2; {
			ts += int64(int8(b[0])) * 10
			n := min(int(b[1]), len(b)-2)
			m := video(ts, b[2:2+n])
			if b[0]&1 == 1 {
				m.Type = wire.TypeAudio
			}
			if fd.take(m, time.Now()) != nil {
				break
			}
			b = b[2+n:]
		}
		type key struct {
			kind media.Kind
			id   int
		}
		last := map[key]int64{}
		for _, u := range s.units {
			if u.Track == nil || len(u.Data) == 0 || u.PTS < u.DTS || u.DTS < 0 {
				t.Fatalf("unit %+v", u)
			}
			at := u.DTS
			if u.Track.Kind == media.Audio {
				at = int64(media.Time(u.DTS, u.Track.Timescale))
			}
			k := key{u.Track.Kind, u.Track.ID}
			if prev, ok := last[k]; ok && at <= prev {
				t.Fatalf("%v at %d after %d", k, at, prev)
			}
			last[k] = at
		}
	})
}

// What a message costs after the reader: nothing that allocates.
func BenchmarkFeed(b *testing.B) {
	f := newFeed(discard{}, newMetrics(nil, ingest.RTMP))
	nals := make([]byte, 9000)
	copy(nals, "\x00\x00\x23\x24\x41")
	frame, sound := videoFrame(false, 0, string(nals)), audioFrame("raw")
	for _, m := range []wire.Message{video(0, videoConfig(avcC)), audio(0, audioConfig(asc))} {
		if err := f.take(m, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	now := time.Now()
	for i := int64(0); b.Loop(); i++ {
		m := video(i*33, frame)
		if i&1 == 1 {
			m = audio(i*21, sound)
		}
		if err := f.take(m, now); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Announce(ingest.Announcement) {}
func (discard) Metadata(string)              {}
func (discard) Write(media.Unit) error       { return nil }
func (discard) Done() <-chan struct{}        { return nil }
func (discard) Close(bool)                   {}
