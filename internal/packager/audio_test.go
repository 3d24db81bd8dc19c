package packager

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

func TestSoundAloneIsCutWhereThePicturesAre(t *testing.T) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		t.Run(container, func(t *testing.T) {
			top := newRendition(t, Config{LowLatency: true, Container: container})
			alone, err := New(Config{LowLatency: true, Container: container, AudioOnly: true}, "audio_only")
			if err != nil {
				t.Fatal(err)
			}
			alone.Follow(top)
			src := source{Num: 30, GOP: 60, Audio: true}
			var held []media.Unit
			for range 900 {
				u := src.next()
				if err := top.Write(u); err != nil {
					t.Fatal(err)
				}
				held = append(held, u) // as much later as an encoder would be
				if len(held) > 20 {
					if err := alone.Write(held[0]); err != nil {
						t.Fatal(err)
					}
					held = held[1:]
				}
			}
			m, o := now(t, alone), now(t, top)
			if m.Sequence != 0 || len(m.Segments) < len(o.Segments)-1 {
				t.Fatalf("%d segments from %d, the pictures have %d", len(m.Segments), m.Sequence, len(o.Segments))
			}
			for i, s := range m.Segments {
				late := s.ProgramDateTime.Sub(o.Segments[i].ProgramDateTime).Abs() // a frame is 21 ms
				if s.Duration != o.Segments[i].Duration || late > 11*time.Millisecond {
					t.Errorf("segment %d: %+v, with pictures %+v", i, s, o.Segments[i])
				}
			}
			info, ok := alone.Info()
			if !ok || info.Codecs != "mp4a.40.2" || info.Width != 0 || info.FrameRate != 0 {
				t.Errorf("Info = %+v, %t", info, ok)
			}
			first, err := alone.Segment(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if container == live.ContainerMP4 {
				return
			}
			units := demux(t, join(first))
			if len(units) < 90 || len(units) > 96 {
				t.Errorf("%d frames in two seconds, want about 94", len(units))
			}
			for _, u := range units {
				if u.Track.Kind != media.Audio {
					t.Errorf("a %s unit", u.Track.Kind)
				}
			}
			if at := media.Time(units[0].DTS, units[0].Track.Timescale); at%time.Second > 30*time.Millisecond && at%time.Second < 970*time.Millisecond {
				t.Errorf("the segment begins at %v, want a whole second", at)
			}
		})
	}
}
