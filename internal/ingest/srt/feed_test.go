package srt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
	wire "github.com/sluice-live/sluice/internal/srt"
)

func testFeed() (*feed, *session) {
	s := &session{done: make(chan struct{}), closed: make(chan struct{})}
	return newFeed(s, newMetrics(nil), time.Minute), s
}

const (
	videoPID = 0x100
	audioPID = 0x101
)

func TestProgram(t *testing.T) {
	h264, adts, latm := mpegts.Stream{PID: videoPID, Type: 0x1b}, mpegts.Stream{PID: audioPID, Type: 0x0f}, mpegts.Stream{PID: 0x102, Type: 0x11}
	other := func(typ uint8, format string) mpegts.Stream {
		return mpegts.Stream{PID: 0x1f0, Type: typ, Format: format}
	}
	for name, tt := range map[string]struct {
		streams []mpegts.Stream
		want    []uint16
		refused string // a word of the refusal
	}{
		"H.264 and AAC":                        {[]mpegts.Stream{h264, adts}, []uint16{videoPID, audioPID}, ""},
		"H.264 and LATM":                       {[]mpegts.Stream{latm, h264}, []uint16{videoPID, 0x102}, ""},
		"H.264 alone":                          {[]mpegts.Stream{h264}, []uint16{videoPID}, ""},
		"the first of several":                 {[]mpegts.Stream{h264, {PID: 0x110, Type: 0x1b}, adts, {PID: 0x111, Type: 0x0f}}, []uint16{videoPID, audioPID}, ""},
		"timed ID3, private data and SCTE 35":  {[]mpegts.Stream{h264, adts, other(0x15, "ID3 "), other(6, "KLVA"), other(0x86, "CUEI")}, []uint16{videoPID, audioPID}, ""},
		"foreign audio beside AAC":             {[]mpegts.Stream{h264, other(0x81, ""), adts}, []uint16{videoPID, audioPID}, ""},
		"AAC alone may wait for its video":     {[]mpegts.Stream{adts}, []uint16{audioPID}, ""},
		"H.265":                                {[]mpegts.Stream{other(0x24, ""), adts}, nil, "H.265"},
		"H.265 by its registration":            {[]mpegts.Stream{other(6, "HEVC"), adts}, nil, "H.265"},
		"AV1":                                  {[]mpegts.Stream{other(6, "AV01"), adts}, nil, "AV1"},
		"MPEG-2 video":                         {[]mpegts.Stream{other(2, ""), adts}, nil, "MPEG-2"},
		"MPEG audio, which ffmpeg has default": {[]mpegts.Stream{h264, other(3, "")}, nil, "MPEG audio"},
		"AC-3":                                 {[]mpegts.Stream{h264, other(0x81, "")}, nil, "AC-3"},
		"Opus":                                 {[]mpegts.Stream{h264, other(6, "Opus")}, nil, "Opus"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := testFeed()
			got, err := f.Program(tt.streams)
			if !slices.Equal(got, tt.want) {
				t.Errorf("wants %v, not %v", got, tt.want)
			}
			e, ok := errors.AsType[*live.Error](err)
			if ok != (tt.refused != "") || ok && (e.Kind != live.Unsupported || !strings.Contains(e.Detail, tt.refused)) {
				t.Errorf("%v, want it to tell of %q", err, tt.refused)
			}
		})
	}
}

// adts is an ADTS frame of 48 kHz stereo, or of another rate index.
func adts(data string, rate ...byte) string {
	r := byte(3)
	if len(rate) > 0 {
		r = rate[0]
	}
	n := len(data) + 7
	return string([]byte{0xff, 0xf1, 1<<6 | r<<2, 2<<6 | byte(n>>11), byte(n >> 3), byte(n<<5) | 0x1f, 0xfc}) + data
}

// Frames are found wherever packets are cut, at the times that the packets say.
func TestSound(t *testing.T) {
	const tick = 1920 // of a frame at 48 kHz
	pes := func(at int64, data string) mpegts.PES {
		return mpegts.PES{PID: audioPID, PTS: at, DTS: at, Timed: at >= 0, Data: []byte(data)}
	}
	two := adts("first") + adts("second")
	for name, tt := range map[string]struct {
		in   []mpegts.PES
		want []string // data@time
		bad  int
	}{
		"one frame a packet":        {[]mpegts.PES{pes(9000, adts("a")), pes(20000, adts("b"))}, []string{"a@9000", "b@20000"}, 0},
		"several in a packet":       {[]mpegts.PES{pes(9000, adts("a")+adts("b")+adts("c"))}, []string{"a@9000", fmt.Sprint("b@", 9000+tick), fmt.Sprint("c@", 9000+2*tick)}, 0},
		"one reaches into the next": {[]mpegts.PES{pes(9000, two[:20]), pes(99000, two[20:]+adts("c"))}, []string{"first@9000", fmt.Sprint("second@", 9000+tick), "c@99000"}, 0},
		"a header reaches as well":  {[]mpegts.PES{pes(9000, two[:15]), pes(99000, two[15:]+adts("c"))}, []string{"first@9000", fmt.Sprint("second@", 9000+tick), "c@99000"}, 0},
		"over three packets":        {[]mpegts.PES{pes(9000, two[:3]), pes(9100, two[3:5]), pes(9200, two[5:])}, []string{"first@9000", "second@9200"}, 0},
		"a rest whose end was lost": {[]mpegts.PES{pes(9000, two[:20]), pes(99000, adts("c"))}, []string{"first@9000", "c@99000"}, 1},
		"garbage between frames":    {[]mpegts.PES{pes(9000, adts("a")+"garbage"+adts("b"))}, []string{"a@9000", fmt.Sprint("b@", 9000+tick)}, 1},
		"nothing but garbage":       {[]mpegts.PES{pes(9000, "garbage")}, nil, 1},
		"no time yet":               {[]mpegts.PES{pes(-1, adts("a")), pes(9000, adts("b")), pes(-1, adts("c"))}, []string{"b@9000", fmt.Sprint("c@", 9000+tick)}, 1},
		"nothing":                   {[]mpegts.PES{pes(9000, "")}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var s sound
			var got []string
			bad := 0
			for _, p := range tt.in {
				err := s.cut(p, func(f frame) error {
					got = append(got, fmt.Sprintf("%s@%d", f.data, f.at))
					return nil
				}, func() { bad++ })
				if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, tt.want) || bad != tt.bad {
				t.Errorf("%v and %d bad, want %v and %d", got, bad, tt.want, tt.bad)
			}
		})
	}
}

func TestSoundChangesTrack(t *testing.T) {
	var s sound
	var rates []int
	for _, data := range []string{adts("a"), adts("b"), adts("c", 4)} {
		err := s.cut(mpegts.PES{Timed: true, Data: []byte(data)}, func(f frame) error {
			rates = append(rates, f.track.SampleRate)
			return nil
		}, t.FailNow)
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(rates, []int{48000, 48000, 44100}) {
		t.Errorf("%v", rates)
	}
	own := []byte(adts("d")) // channel configuration 0: a layout of its own
	own[3] &= 0x3f
	if err := s.cut(mpegts.PES{Timed: true, Data: own}, func(frame) error { return nil }, t.FailNow); !errors.Is(err, errTrack) {
		t.Errorf("a layout of its own: %v", err)
	}
}

// A stream that is audio alone is refused, once it has had time for a picture.
func TestAudioOnly(t *testing.T) {
	f, s := testFeed()
	f.noVideo = 10 * time.Second
	if _, err := f.Program([]mpegts.Stream{{PID: audioPID, Type: typeADTS}}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for at := time.Duration(0); at < 9*time.Second; at += time.Second {
		if err := f.take(nil, 0, start.Add(at)); err != nil {
			t.Fatalf("after %v: %v", at, err)
		}
	}
	err := f.take(nil, 0, start.Add(11*time.Second))
	if e, ok := errors.AsType[*live.Error](err); !ok || e.Kind != live.Unsupported || len(s.units) > 0 {
		t.Errorf("after 11 s: %v", err)
	}
}

// What is lost on the way costs whole units, and no more than it touched.
func TestFeedAfterLoss(t *testing.T) {
	f, s := testFeed()
	const n = 60
	i := 0
	for b := range slices.Chunk(clip(n, 0), 1316) {
		if i++; i%10 == 5 {
			continue
		}
		lost := 0
		if i%10 == 6 {
			lost = 1
		}
		if err := f.take(b, lost, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.flush(time.Now()); err != nil {
		t.Fatal(err)
	}
	pictures := map[string]bool{}
	for i := range n {
		pictures[picture(i)] = true
	}
	seen := 0
	for _, u := range s.units {
		if u.Track.Kind == media.Video {
			if seen++; !pictures[string(u.Data)] {
				t.Fatalf("a picture of %d bytes that nobody sent", len(u.Data))
			}
		}
	}
	f.count(wire.Stats{})
	if seen < n/2 || seen == n || f.dropped == 0 {
		t.Errorf("%d pictures of %d, %d dropped", seen, n, f.dropped)
	}
}

// Whatever media an encoder sends, units are well-formed and time goes forward.
func FuzzFeed(f *testing.F) {
	f.Add(clip(1, 0), false)
	f.Add(clip(1, 1<<33-3000), true)
	f.Add([]byte(adts("a")+"\x00\x00\x01"+sps+"\x00\x00\x01"+pps+"\x00\x00\x01"+idrNAL), false)
	f.Fuzz(func(t *testing.T, b []byte, latm bool) {
		fd, s := testFeed()
		fd.video, fd.audio = mpegts.Stream{PID: videoPID, Type: typeH264}, mpegts.Stream{PID: audioPID, Type: typeADTS}
		fd.sound.latm = latm
		for part := range slices.Chunk(b, 1316) {
			if fd.take(part, len(part)&1, time.Now()) != nil {
				return
			}
			// The same bytes, as if they had come through.
			at := int64(len(part)) << 20
			_ = fd.PES(mpegts.PES{PID: videoPID, PTS: at, DTS: at, Timed: true, Data: part})
			_ = fd.PES(mpegts.PES{PID: audioPID, PTS: at, DTS: at, Timed: true, Data: part})
		}
		if fd.flush(time.Now()) != nil {
			return
		}
		last := map[media.Kind]int64{}
		for _, u := range s.units {
			if u.Track == nil || len(u.Data) == 0 || u.PTS < u.DTS || u.DTS < 0 {
				t.Fatalf("unit %+v", u)
			}
			at := u.DTS
			if u.Track.Kind == media.Audio {
				at = int64(media.Time(u.DTS, u.Track.Timescale))
			}
			if prev, ok := last[u.Track.Kind]; ok && at <= prev {
				t.Fatalf("%v at %d after %d", u.Track.Kind, at, prev)
			}
			last[u.Track.Kind] = at
		}
	})
}
