package testmedia

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/sluice-live/sluice/internal/media"
)

// A Unit is one access unit of a clip: length-prefixed NAL units, or a raw AAC frame.
type Unit struct {
	Time int // ms from the start of the clip, of decoding as of showing
	Key  bool
	Data []byte
}

// A Track is one elementary stream of a clip, taken out of its container.
type Track struct {
	Header []byte // avcC, hvcC or AudioSpecificConfig
	HEVC   bool
	Units  []Unit
}

// Units makes a clip of exactly the given number of frames and takes it apart, for an
// encoder that writes its own container. audio is empty unless s.Audio; there must be no
// B-frames. Callers must not write to what they get.
func Units(t testing.TB, s Source, frames int) (video, audio Track) {
	t.Helper()
	s.Format = []string{"-f", "mp4", "-movflags", "empty_moov+frag_keyframe+default_base_moof+skip_trailer"}
	clip, fps := Clip(t, s, frames), s.withDefaults().FPS
	at := bytes.Index(clip, []byte("moof")) - 4
	if at < 0 {
		t.Fatal("testmedia: the clip has no fragments")
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(clip[:at])); err != nil {
		t.Fatalf("testmedia: %v", err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(clip[at:]); err != nil {
		t.Fatalf("testmedia: %v", err)
	}
	for _, tr := range init.Tracks {
		data := payloads(parts, tr.ID)
		switch c := tr.Codec.(type) {
		case *codecs.H264:
			video = Track{Header: record(t, clip[:at], "avcC"), Units: pictures(t, data, fps, media.ParseH264)}
		case *codecs.H265:
			video = Track{Header: record(t, clip[:at], "hvcC"), HEVC: true, Units: pictures(t, data, fps, media.ParseH265)}
		case *codecs.MPEG4Audio:
			header, err := c.Config.Marshal()
			if err != nil {
				t.Fatalf("testmedia: %v", err)
			}
			audio = Track{Header: header, Units: sounds(data, c.Config.SampleRate)}
		default:
			t.Fatalf("testmedia: a track of %T", c)
		}
	}
	return video, audio
}

// payloads are the units of a track, in order.
func payloads(parts fmp4.Parts, id int) (all [][]byte) {
	for _, p := range parts {
		for _, tr := range p.Tracks {
			if tr.ID != id {
				continue
			}
			for _, s := range tr.Samples {
				all = append(all, s.Payload)
			}
		}
	}
	return all
}

// pictures gives the units of a video track the times of their rate.
func pictures(t testing.TB, all [][]byte, fps int, parse func([]byte, int) (media.Picture, error)) (units []Unit) {
	for i, data := range all {
		p, err := parse(data, 4)
		if err != nil {
			t.Fatalf("testmedia: %v", err)
		}
		units = append(units, Unit{Time: (2000*i + fps) / (2 * fps), Key: p.IDR, Data: data})
	}
	return units
}

// sounds gives the units of an audio track the times of their rate.
func sounds(all [][]byte, rate int) (units []Unit) {
	for i, data := range all {
		units = append(units, Unit{Time: i * media.SamplesPerFrame * 1000 / rate, Key: true, Data: data})
	}
	return units
}

// record returns the content of the first box of that type.
func record(t testing.TB, b []byte, typ string) []byte {
	t.Helper()
	at := bytes.Index(b, []byte(typ)) // four bytes of its size before it
	if at < 4 {
		t.Fatalf("testmedia: no %s", typ)
	}
	size := int(b[at-4])<<24 | int(b[at-3])<<16 | int(b[at-2])<<8 | int(b[at-1])
	return slices.Clone(b[at+4 : at-4+size])
}
