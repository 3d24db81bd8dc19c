package packager

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name + ".m3u8"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// wall is when the first unit of every source arrives.
var wall = time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC)

// A source makes the units of an encoder: pictures and AAC frames in order of time.
type source struct {
	Num, Den int64 // pictures per second
	GOP      int   // pictures
	Audio    bool
	Reorder  int64 // PTS - DTS of P pictures, in pictures
	Size     int   // bytes of a picture; 0 means 1000

	start   int64 // ticks of video
	picture int64
	frame   int64
	video   *media.Track
	sound   *media.Track
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func videoTrack(fps float64) *media.Track {
	return &media.Track{
		Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale,
		SPS: [][]byte{unhex("6742c01ed900a02ff970110000030001000003003c0f162e48")}, PPS: [][]byte{unhex("68cb83cb20")},
		Width: 640, Height: 360, FrameRate: fps,
	}
}

func audioTrack() *media.Track {
	return &media.Track{
		Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2,
	}
}

func nal(typ byte, n int) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, n+4), uint32(n))
	return append(append(b, typ), bytes.Repeat([]byte{0xab}, n-1)...)
}

func (s *source) dts(n int64) int64 { return s.start + n*media.VideoTimescale*s.Den/s.Num }

// next makes the next unit.
func (s *source) next() media.Unit {
	if s.video == nil {
		s.Den = max(s.Den, 1)
		s.video, s.sound = videoTrack(float64(s.Num)/float64(s.Den)), audioTrack()
		s.start = cmp.Or(s.start, media.VideoTimescale)
	}
	dts := s.dts(s.picture)
	if at := s.frame*media.SamplesPerFrame + s.start*48000/media.VideoTimescale; s.Audio && media.Time(at, 48000) < media.Time(dts, media.VideoTimescale) {
		s.frame++
		return media.Unit{
			Track: s.sound, DTS: at, PTS: at, Key: true, Data: bytes.Repeat([]byte{0x21}, 340),
			Received: wall.Add(media.Time(at, 48000) - media.Time(s.start, media.VideoTimescale)),
		}
	}
	u := media.Unit{
		Track: s.video, DTS: dts, PTS: s.dts(s.picture + s.Reorder), Key: s.picture%int64(s.GOP) == 0,
		Data: nal(0x41, cmp.Or(s.Size, 1000)), Received: wall.Add(media.Time(dts-s.start, media.VideoTimescale)),
	}
	if u.Key {
		u.Data[4] = 0x65
	} else if s.Reorder > 0 && s.picture%2 == 0 {
		u.PTS = dts
	}
	s.picture++
	return u
}

func newRendition(t testing.TB, cfg Config) *Rendition {
	t.Helper()
	if cfg.Container == "" {
		cfg.Container = live.ContainerTS
	}
	r, err := New(cfg, "360p30")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// feed writes the units of src up to d of media time after the last.
func feed(t testing.TB, r *Rendition, src *source, d time.Duration) {
	t.Helper()
	end := src.dts(src.picture) + media.Ticks(d, media.VideoTimescale)
	if src.picture == 0 {
		end = media.VideoTimescale + media.Ticks(d, media.VideoTimescale)
		src.Den = max(src.Den, 1)
	}
	for src.picture == 0 || src.dts(src.picture) < end {
		if err := r.Write(src.next()); err != nil {
			t.Fatal(err)
		}
	}
}

// now returns the playlist as it is.
func now(t testing.TB, r *Rendition) *hls.Media {
	t.Helper()
	return parse(t, text(t, r, PlaylistRequest{MSN: -1, Part: -1}))
}

func text(t testing.TB, r *Rendition, req PlaylistRequest) []byte {
	t.Helper()
	p, err := r.Playlist(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return p.Body()
}

func parse(t testing.TB, text []byte) *hls.Media {
	t.Helper()
	m, err := hls.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

func join(b Blob) []byte { return slices.Concat(b.Chunks...) }
