package packager

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

var plain = PlaylistRequest{MSN: -1, Part: -1}

func TestPlaylists(t *testing.T) {
	low := Config{LowLatency: true}
	mp4 := Config{LowLatency: true, Container: live.ContainerMP4}
	for name, tt := range map[string]struct {
		cfg  Config
		src  source
		run  func(t *testing.T, r *Rendition, src *source)
		skip bool
	}{
		"ts-low": {low, source{Num: 30, GOP: 30, Audio: true}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 8500*time.Millisecond)
		}, false},
		"mp4-low": {mp4, source{Num: 60000, Den: 1001, GOP: 120, Audio: true}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 5*time.Second)
		}, false},
		"delta": {low, source{Num: 25, GOP: 25}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 30300*time.Millisecond)
		}, true},
		"ts-normal": {Config{}, source{Num: 30, GOP: 60, Audio: true}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 9*time.Second)
		}, false},
		"mp4-normal": {Config{Container: live.ContainerMP4}, source{Num: 30, GOP: 60}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 5*time.Second)
		}, false},
		"ended": {low, source{Num: 30, GOP: 30}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 2500*time.Millisecond)
			r.Close()
		}, false},
		"discontinuity": {mp4, source{Num: 30, GOP: 30, Audio: true}, func(t *testing.T, r *Rendition, src *source) {
			feed(t, r, src, 2300*time.Millisecond)
			src.video = videoTrack(30)
			src.video.SPS[0][3]++          // another level
			feed(t, r, src, 2*time.Second) // dropped up to the next keyframe
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRendition(t, tt.cfg)
			tt.run(t, r, &tt.src)
			req := plain
			req.Skip = tt.skip
			golden(t, name, text(t, r, req))
		})
	}
}

func TestMultivariantAndReports(t *testing.T) {
	p := NewPresentation()
	source60, err := New(Config{LowLatency: true, Container: live.ContainerTS}, "720p60")
	if err != nil {
		t.Fatal(err)
	}
	rung30, err := New(Config{LowLatency: true, Container: live.ContainerTS}, "360p30")
	if err != nil {
		t.Fatal(err)
	}
	p.Add(source60)
	p.Add(rung30)
	if text, ok := p.Multivariant(""); ok {
		t.Errorf("a playlist before any segment:\n%s", text)
	}
	feed(t, source60, &source{Num: 60, GOP: 60, Audio: true, Size: 5000}, 3300*time.Millisecond)
	feed(t, rung30, &source{Num: 30, GOP: 30}, 3*time.Second)
	got, ok := p.Multivariant("https://example.org/v1/live/st-1/", hls.SessionData{ID: "NODE", Value: "edge-01.example"})
	if !ok {
		t.Fatal("no playlist")
	}
	golden(t, "multivariant", got)
	golden(t, "reports", text(t, source60, plain))
	golden(t, "reports-360p30", text(t, rung30, plain))
	if r, ok := p.Rendition("360p30"); r != rung30 || !ok {
		t.Errorf("Rendition = %v, %t", r, ok)
	}
	if r, ok := p.Rendition("none"); ok {
		t.Errorf("Rendition of no name = %v", r)
	}
}

func TestInfoIsKnownWithTheFirstSegment(t *testing.T) {
	r := newRendition(t, Config{})
	src := &source{Num: 30, GOP: 30, Audio: true, Size: 10000}
	feed(t, r, src, time.Second)
	if i, ok := r.Info(); ok {
		t.Errorf("Info = %+v before the keyframe that ends the first segment", i)
	}
	select {
	case <-r.Ready():
		t.Error("ready before the first segment is complete")
	default:
	}
	feed(t, r, src, 3*time.Second)
	<-r.Ready()
	i, ok := r.Info()
	if !ok || i.Name != "360p30" || i.Width != 640 || i.Height != 360 || i.FrameRate != 30 || i.Codecs != "avc1.42C01E,mp4a.40.2" {
		t.Errorf("Info = %+v, %t", i, ok)
	}
	// 30 pictures of 10 kB and 47 AAC frames of 340 bytes a second, and the packets.
	if i.AverageBandwidth < 2_500_000 || i.AverageBandwidth > 2_750_000 || i.Bandwidth < i.AverageBandwidth {
		t.Errorf("bandwidth %d, average %d", i.Bandwidth, i.AverageBandwidth)
	}
}

func TestGzipAndETag(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true})
	src := &source{Num: 30, GOP: 30}
	feed(t, r, src, 20*time.Second)
	a, err := r.Playlist(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(a.Gzip()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, a.Body()) {
		t.Errorf("Gzip holds %q, %v", got, err)
	}
	b, _ := r.Playlist(t.Context(), plain)
	if a != b {
		t.Error("one snapshot was rendered twice")
	}
	d, _ := r.Playlist(t.Context(), PlaylistRequest{MSN: -1, Part: -1, Skip: true})
	if d.ETag == a.ETag || bytes.Equal(d.Body(), a.Body()) {
		t.Errorf("delta %s and full %s are the same", d.ETag, a.ETag)
	}
	feed(t, r, src, 200*time.Millisecond)
	if c, _ := r.Playlist(t.Context(), plain); c.ETag == a.ETag {
		t.Errorf("ETag %s stays after another part", c.ETag)
	}
}

func TestMediaThatLeftThePlaylistStaysForAWhile(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true, Window: 8 * time.Second, Keep: 4 * time.Second})
	feed(t, r, &source{Num: 30, GOP: 30}, 30300*time.Millisecond)
	m := now(t, r)
	if m.Sequence != 22 || len(m.Segments) != 8 { // 8 complete ones; the 30th second is open
		t.Fatalf("playlist from %d with %d segments, want 8 from 22", m.Sequence, len(m.Segments))
	}
	for msn, want := range map[int64]error{17: ErrNotFound, 18: nil, 29: nil} {
		_, err := r.Segment(t.Context(), msn)
		if _, perr := r.Part(t.Context(), msn, 4); !errors.Is(err, want) || !errors.Is(perr, want) {
			t.Errorf("segment %d: %v, its part: %v; want %v", msn, err, perr, want)
		}
	}
}

func TestPartsAddUpToTheirSegment(t *testing.T) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		t.Run(container, func(t *testing.T) {
			r := newRendition(t, Config{LowLatency: true, Container: container})
			feed(t, r, &source{Num: 30, GOP: 30, Audio: true}, 3*time.Second)
			seg, err := r.Segment(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			var sum []byte
			for i := range 5 {
				p, err := r.Part(t.Context(), 1, i)
				if err != nil {
					t.Fatal(err)
				}
				if &p.Chunks[0][0] != &seg.Chunks[i][0] {
					t.Errorf("part %d is kept twice", i)
				}
				sum = append(sum, join(p)...)
			}
			var out bytes.Buffer
			if n, err := seg.WriteTo(&out); err != nil || n != int64(seg.Size) || !bytes.Equal(out.Bytes(), sum) {
				t.Errorf("segment of %d bytes, wrote %d, %v; its parts have %d", seg.Size, n, err, len(sum))
			}
		})
	}
}

func TestTracks(t *testing.T) {
	t.Run("audio that is late joins behind a discontinuity", func(t *testing.T) {
		r := newRendition(t, Config{Container: live.ContainerMP4})
		src := &source{Num: 30, GOP: 30}
		feed(t, r, src, 2500*time.Millisecond)
		src.Audio, src.frame = true, 2500*48/1024
		feed(t, r, src, 2*time.Second)
		m := now(t, r)
		if i, _ := r.Info(); i.Codecs != "avc1.42C01E,mp4a.40.2" {
			t.Errorf("codecs %s", i.Codecs)
		}
		for i, s := range m.Segments {
			if late := i >= 3; s.Discontinuity != (i == 3) || (s.Map == "init1.mp4") != late {
				t.Errorf("segment %d: discontinuity %t, map %s", i, s.Discontinuity, s.Map)
			}
		}
		for v, want := range map[int]error{0: nil, 1: nil, 2: ErrNotFound, -1: ErrNotFound} {
			if _, err := r.Init(v); !errors.Is(err, want) {
				t.Errorf("Init(%d): %v, want %v", v, err, want)
			}
		}
	})
	t.Run("audio that falls silent leaves", func(t *testing.T) {
		r := newRendition(t, Config{})
		src := &source{Num: 30, GOP: 30, Audio: true}
		feed(t, r, src, 2*time.Second)
		src.Audio = false
		feed(t, r, src, 6*time.Second)
		if i, _ := r.Info(); i.Codecs != "avc1.42C01E" {
			t.Errorf("codecs %s", i.Codecs)
		}
		n := 0
		for _, s := range now(t, r).Segments {
			if s.Discontinuity {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d discontinuities, want 1", n)
		}
	})
	t.Run("audio before the first keyframe promises nothing", func(t *testing.T) {
		r := newRendition(t, Config{})
		if err := r.Write(media.Unit{Track: audioTrack(), Data: []byte{1}}); err != nil {
			t.Fatal(err)
		}
		feed(t, r, &source{Num: 30, GOP: 30}, 2*time.Second)
		if i, _ := r.Info(); i.Codecs != "avc1.42C01E" {
			t.Errorf("codecs %s", i.Codecs)
		}
	})
	t.Run("audio alone is no stream", func(t *testing.T) {
		r, a := newRendition(t, Config{}), audioTrack()
		for i := range int64(1000) {
			if err := r.Write(media.Unit{Track: a, DTS: i * 1024, PTS: i * 1024, Data: []byte{1}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := r.Info(); ok {
			t.Error("it became ready")
		}
	})
	t.Run("a jump of the clock is a discontinuity", func(t *testing.T) {
		for name, jump := range map[string]time.Duration{"ahead": 10 * time.Second, "back": -2 * time.Second} {
			r := newRendition(t, Config{LowLatency: true})
			src := &source{Num: 30, GOP: 30, Audio: true}
			feed(t, r, src, 5100*time.Millisecond)
			src.start += media.Ticks(jump, media.VideoTimescale)
			feed(t, r, src, 4*time.Second)
			m := now(t, r)
			var at []int
			for i, s := range m.Segments {
				if s.Discontinuity {
					at = append(at, i)
				}
				if s.Duration > m.TargetDuration+halfSecond {
					t.Errorf("%s: segment %d lasts %v", name, i, s.Duration)
				}
			}
			if len(at) != 1 || at[0] != 6 {
				t.Errorf("%s: discontinuities at %v, want one at 6", name, at)
			}
			if i, _ := r.Info(); !strings.HasSuffix(i.Codecs, "mp4a.40.2") {
				t.Errorf("%s: audio got lost: %s", name, i.Codecs)
			}
		}
	})
	t.Run("the same parameter sets in a new track change nothing", func(t *testing.T) {
		r := newRendition(t, Config{})
		src := &source{Num: 30, GOP: 30, Audio: true}
		feed(t, r, src, 2500*time.Millisecond)
		src.video, src.sound = videoTrack(30), audioTrack()
		feed(t, r, src, 2500*time.Millisecond)
		if text := text(t, r, plain); bytes.Contains(text, []byte("DISCONTINUITY")) {
			t.Errorf("a discontinuity in\n%s", text)
		}
	})
}

func TestSplice(t *testing.T) {
	other := func(f func(*media.Track)) *media.Track {
		v := videoTrack(30)
		f(v)
		return v
	}
	sps := unhex("6742c01ed900a02ff97011000003000100000300320f162e48") // of another encoder; the size is the same
	for name, tt := range map[string]struct {
		video, sound *media.Track
		away         time.Duration // how long nobody sent
		unspliced    bool
		breaks       int
		maps         int // how many sections the playlist names, in fragmented MP4
	}{
		"the same parameter sets":          {video: videoTrack(30), sound: audioTrack(), maps: 1},
		"others begin a section":           {video: other(func(v *media.Track) { v.SPS = [][]byte{sps} }), sound: audioTrack(), maps: 2},
		"a gap is not one of the media":    {video: videoTrack(30), sound: audioTrack(), away: 20 * time.Second, maps: 1},
		"another size breaks":              {video: other(func(v *media.Track) { v.SPS, v.Width = [][]byte{sps}, 1280 }), sound: audioTrack(), breaks: 1, maps: 2},
		"another sound breaks":             {video: other(func(v *media.Track) { v.SPS = [][]byte{sps} }), sound: &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000, Config: []byte{0x11, 0x88}, SampleRate: 48000, Channels: 1}, breaks: 1, maps: 2},
		"the same encoder's change breaks": {video: other(func(v *media.Track) { v.SPS = [][]byte{sps} }), sound: audioTrack(), unspliced: true, breaks: 1, maps: 2},
	} {
		for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
			t.Run(name+", "+container, func(t *testing.T) {
				r := newRendition(t, Config{LowLatency: true, Container: container})
				c := rules{t: t, durs: map[string]time.Duration{}, full: map[string]*hls.Segment{}}
				src := &source{Num: 30, GOP: 30, Audio: true}
				feed(t, r, src, 3300*time.Millisecond) // within a segment
				c.check(r)
				if !tt.unspliced {
					r.Splice()
				}
				src.video, src.sound = tt.video, tt.sound
				skip := 30 - src.picture%30 // to the next keyframe
				src.picture += skip
				skipped := time.Duration(skip) * time.Second / 30
				for range 300 {
					u := src.next()
					if u.Track.Kind == media.Video { // at once after the last picture
						u.DTS, u.PTS = u.DTS-skip*3000, u.PTS-skip*3000
					} else {
						u.DTS, u.PTS = u.DTS-skip*1600, u.PTS-skip*1600
					}
					u.Received = u.Received.Add(tt.away)
					if err := r.Write(u); err != nil {
						t.Fatal(err)
					}
					c.prev = nil
					c.check(r)
				}
				breaks, maps, jump := 0, map[string]bool{}, time.Duration(0)
				m := now(t, r)
				for i, s := range m.Segments {
					maps[s.Map] = true
					if s.Discontinuity {
						breaks++
					}
					if i > 0 {
						p := m.Segments[i-1]
						jump += s.ProgramDateTime.Sub(p.ProgramDateTime) - p.Duration
					}
				}
				if d := jump - tt.away - skipped; !tt.unspliced && d.Abs() > time.Second/30 {
					t.Errorf("the dates jump by %v, nobody sent for %v\n%s", jump, tt.away+skipped, m.Append(nil))
				}
				sections := tt.maps
				if container == live.ContainerTS {
					sections = 1
				}
				if breaks != tt.breaks || len(maps) != sections {
					t.Errorf("%d discontinuities and sections %v, want %d and %d", breaks, maps, tt.breaks, sections)
				}
			})
		}
	}
}

func TestDiscontinuitySequenceCountsWhatLeft(t *testing.T) {
	r := newRendition(t, Config{Window: 6 * time.Second})
	src := &source{Num: 30, GOP: 30}
	for range 4 { // 3 changes, 4 s apart
		feed(t, r, src, 4*time.Second)
		src.video = videoTrack(30)
		src.video.SPS[0] = append(src.video.SPS[0], byte(src.picture), 1)
	}
	feed(t, r, src, 6*time.Second)
	m := now(t, r)
	n := int64(0)
	for _, s := range m.Segments {
		if s.Discontinuity {
			n++
		}
	}
	if m.DiscontinuitySequence+n != 4 || m.DiscontinuitySequence == 0 {
		t.Errorf("sequence %d with %d in the playlist, want 4 together", m.DiscontinuitySequence, n)
	}
}

func TestClose(t *testing.T) {
	t.Run("before the first segment there is nothing", func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true})
		feed(t, r, &source{Num: 30, GOP: 30}, 500*time.Millisecond)
		r.Close()
		if _, err := r.Playlist(t.Context(), plain); !errors.Is(err, ErrNotFound) {
			t.Errorf("Playlist: %v", err)
		}
		if _, err := r.Segment(t.Context(), 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("Segment: %v", err)
		}
		if _, err := r.Part(t.Context(), 0, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("Part: %v", err)
		}
	})
	t.Run("sound after the last picture is kept", func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true, Container: live.ContainerMP4})
		src := &source{Num: 30, GOP: 30, Audio: true}
		feed(t, r, src, 2*time.Second) // ends with the picture that completes a part
		tail := media.Unit{Track: src.sound, DTS: 3 * 48000, PTS: 3 * 48000, Key: true, Data: bytes.Repeat([]byte{0x5c}, 333)}
		if err := r.Write(tail); err != nil {
			t.Fatal(err)
		}
		r.Close()
		b, err := r.Segment(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(join(b), tail.Data) {
			t.Error("the last segment lacks the sound after its last picture")
		}
	})
	t.Run("afterwards nothing is written or found", func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true})
		src := &source{Num: 30, GOP: 30}
		feed(t, r, src, 2500*time.Millisecond)
		r.Close()
		r.Close()
		if err := r.Write(src.next()); !errors.Is(err, ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		p, err := r.Playlist(t.Context(), PlaylistRequest{MSN: 900, Part: 3})
		if err != nil || !p.Final {
			t.Errorf("Playlist = %+v, %v", p, err)
		}
		if _, err := r.Segment(t.Context(), 2); err != nil {
			t.Errorf("the last segment: %v", err)
		}
		if _, err := r.Segment(t.Context(), 3); !errors.Is(err, ErrNotFound) {
			t.Errorf("a segment after the last: %v", err)
		}
		if _, err := r.Part(t.Context(), 3, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("a part after the last: %v", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		name string
	}{
		"a part longer than a segment": {Config{Part: 3 * time.Second, Container: live.ContainerTS}, "a"},
		"a negative window":            {Config{Window: -1, Container: live.ContainerTS}, "a"},
		"no container":                 {Config{}, "a"},
		"no name":                      {Config{Container: live.ContainerTS}, ""},
		"a name that needs escaping":   {Config{Container: live.ContainerTS}, `a"b`},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := New(tt.cfg, tt.name); err == nil {
				t.Errorf("New = %v, want an error", r)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	v, a := videoTrack(30), audioTrack()
	odd := *a
	odd.Codec = "opus"
	for name, u := range map[string]media.Unit{
		"no track":               {Data: []byte{1}},
		"no data":                {Track: v},
		"a codec we do not mux":  {Track: &odd, Data: []byte{1}},
		"a time before the 10 s": {Track: v, DTS: -11 * 90000, PTS: 0, Data: []byte{1}},
		"a time out of range":    {Track: v, DTS: 1 << 62, PTS: 1 << 62, Data: []byte{1}},
		"PTS far from DTS":       {Track: v, PTS: 90000 * 90, Data: []byte{1}},
		"an endless AAC frame":   {Track: a, Data: make([]byte, 8192)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := newRendition(t, Config{}).Write(u); err == nil {
				t.Error("Write = nil, want an error")
			}
		})
	}
	t.Run("media whose clock stands still", func(t *testing.T) {
		r := newRendition(t, Config{})
		var err error
		for i := 0; i < 1<<16 && err == nil; i++ {
			err = r.Write(media.Unit{Track: v, DTS: 5, PTS: 5, Key: i == 0, Data: make([]byte, 10<<10)})
		}
		if err == nil {
			t.Error("640 MB were taken for less than a second")
		}
	})
}
