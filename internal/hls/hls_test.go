package hls

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var start = time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC)

// low is a low-latency playlist of n whole segments of 1 s with 5 parts, and an open one.
func low(n int, section string) *Media {
	m := &Media{
		Version: 9, TargetDuration: 2 * time.Second, PartTarget: 200 * time.Millisecond,
		Control: ServerControl{
			CanBlockReload: true, CanSkipUntil: 12 * time.Second,
			HoldBack: 6 * time.Second, PartHoldBack: 600 * time.Millisecond,
		},
		Sequence: 100, Hint: fmt.Sprintf("%d.2.ts", 100+n),
		Reports:  []Report{{URI: "../480p30/index.m3u8", LastMSN: int64(100 + n), LastPart: 1}},
		Prefetch: []string{fmt.Sprintf("%d.ts", 100+n), fmt.Sprintf("%d.ts", 101+n)},
	}
	seg := func(i, parts int) Segment {
		s := Segment{
			Title: "live", Map: section, Duration: time.Second,
			ProgramDateTime: start.Add(time.Duration(i) * time.Second),
		}
		for p := range parts {
			s.Parts = append(s.Parts, Part{
				URI: fmt.Sprintf("%d.%d.ts", 100+i, p), Duration: 200 * time.Millisecond, Independent: p == 0,
			})
		}
		return s
	}
	for i := range n {
		s := seg(i, 0)
		if i >= n-2 {
			s = seg(i, 5)
		}
		s.URI = fmt.Sprintf("%d.ts", 100+i)
		m.Segments = append(m.Segments, s)
	}
	m.DateRanges = []DateRange{
		{
			ID: "stitched-ad-1795190402-20000000000", Class: "live-video-net-stitched-ad", Start: start.Add(2300 * time.Millisecond),
			Duration: 20 * time.Second, AdBreak: "Ab3De6Gh9Jk2",
		},
		{ID: "open", Start: start},
	}
	m.Open = seg(n, 2)
	m.Open.Duration, m.Open.Title = 0, ""
	return m
}

func TestMediaAppend(t *testing.T) {
	fmp4 := low(3, "init0.mp4")
	fmp4.Segments[2].Discontinuity, fmp4.Segments[2].Map = true, "init1.mp4"
	fmp4.Open.Map = "init1.mp4"
	ended := &Media{
		Version: 3, TargetDuration: 2 * time.Second, DiscontinuitySequence: 2, EndList: true,
		Control:  ServerControl{HoldBack: 6 * time.Second},
		Segments: []Segment{{URI: "0.ts", Duration: 1999500 * time.Microsecond}, {URI: "1.ts", Duration: 33367 * time.Microsecond}},
	}
	for name, m := range map[string]*Media{"low": low(4, ""), "map": fmp4, "ended": ended} {
		t.Run(name, func(t *testing.T) {
			text := m.Append(nil)
			golden(t, "testdata/"+name+".m3u8", text)
			back, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, back); diff != "" {
				t.Errorf("parsed back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeltaExpandsToTheFullPlaylist(t *testing.T) {
	old, full := low(20, "init0.mp4"), low(22, "init0.mp4")
	text := full.AppendDelta(nil)
	golden(t, "testdata/delta.m3u8", text)
	delta, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if delta.Skipped != 10 {
		t.Errorf("skips %d, want the 10 segments that end 12 s or more before the end", delta.Skipped)
	}
	got, err := old.Apply(delta)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("expanded (-want +got):\n%s", diff)
	}
	delta.Sequence += 15 // now it skips what old never had
	if got, err := old.Apply(delta); err == nil {
		t.Errorf("Apply = %v, want an error", got)
	}
}

func TestSkippable(t *testing.T) {
	for name, tt := range map[string]struct {
		m    *Media
		want int
	}{
		"nothing before the boundary":          {low(12, ""), 0},
		"a segment that ends at the boundary":  {low(13, ""), 1},
		"no boundary, no delta":                {&Media{Segments: low(30, "").Segments}, 0},
		"the newest segment is never left out": {&Media{Control: ServerControl{CanSkipUntil: 1}, Segments: low(2, "").Segments}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.m.Skippable(); got != tt.want {
				t.Errorf("Skippable = %d, want %d", got, tt.want)
			}
		})
	}
}

func multi() *Multivariant {
	return &Multivariant{
		Session: []SessionData{{"NODE", "edge-01.example"}},
		Variants: []Variant{
			{
				URI: "https://example.org/v1/live/st-1/720p60/index.m3u8", Group: "720p60", Name: "720p60", Bandwidth: 3422999,
				AverageBandwidth: 3300000, Width: 1280, Height: 720, Codecs: "avc1.4D401F,mp4a.40.2", FrameRate: 60,
			},
			{
				URI: "https://example.org/v1/live/st-1/480p30/index.m3u8", Group: "480p30", Name: "480p", Bandwidth: 1427999,
				Width: 852, Height: 480, Codecs: "avc1.4D401F,mp4a.40.2", FrameRate: 29.97,
			},
		},
	}
}

func TestMultivariantAppend(t *testing.T) {
	text := multi().Append(nil)
	golden(t, "testdata/multivariant.m3u8", text)
	back, err := ParseMultivariant(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(multi(), back); diff != "" {
		t.Errorf("parsed back (-want +got):\n%s", diff)
	}
}

func TestSecondsAreRoundedToMicroseconds(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0.000": 499, "0.000001": 500, "2.000": 2 * time.Second, "0.200": 200 * time.Millisecond,
		"0.033367": 33366667, "0.0334": 33400 * time.Microsecond, "1.050": 1050 * time.Millisecond,
		"12.999999": 12999999 * time.Microsecond,
	} {
		if got := string(appendSeconds(nil, "", d)); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   "",
		"no header":                 "#EXT-X-VERSION:3\n",
		"a URI without EXTINF":      "#EXTM3U\na.ts\n",
		"an EXTINF without URI":     "#EXTM3U\n#EXTINF:1,\n",
		"a negative duration":       "#EXTM3U\n#EXTINF:-1,\na.ts\n",
		"a duration of ten digits":  "#EXTM3U\n#EXTINF:1000000000,\na.ts\n",
		"a sequence that overflows": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:9999999999999999999\n",
		"a part without URI":        "#EXTM3U\n#EXT-X-PART:DURATION=1\n",
		"an open quote":             "#EXTM3U\n#EXT-X-PART:URI=\"a\n",
		"text after a quote":        "#EXTM3U\n#EXT-X-PART:URI=\"a\"b\n",
		"a date range without id":   "#EXTM3U\n#EXT-X-DATERANGE:START-DATE=\"2026-11-20T16:00:00Z\"\n",
		"a date range without date": "#EXTM3U\n#EXT-X-DATERANGE:ID=\"a\"\n",
		"a bad date":                "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := Parse([]byte(text)); err == nil {
				t.Errorf("Parse(%q) = %+v, want an error", text, m)
			}
		})
	}
}

// Whatever Parse accepts, Append writes so that Parse reads the same back.
func FuzzParse(f *testing.F) {
	f.Add(low(3, "init0.mp4").Append(nil))
	f.Add(low(20, "").AppendDelta(nil))
	f.Add([]byte("#EXTM3U\r\n#EXT-X-DISCONTINUITY\n#EXTINF:1.5,a,b\n x\n#EXT-X-ENDLIST"))
	f.Add([]byte("#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=0.0000001,X=\"a,b\"\n#EXT-X-PROGRAM-DATE-TIME:0001-01-01T00:00:00.0001Z\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		once := m.Append(nil)
		if m, err = Parse(once); err != nil || !bytes.Equal(m.Append(nil), once) {
			t.Errorf("not stable: %q, %v", once, err)
		}
		if _, err := Parse(m.AppendDelta(nil)); err != nil {
			t.Errorf("delta of %q: %v", once, err)
		}
	})
}

// Whatever ParseMultivariant accepts, Append writes so that it reads the same back.
func FuzzParseMultivariant(f *testing.F) {
	f.Add(multi().Append(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMultivariant(text)
		if err != nil {
			return
		}
		once := m.Append(nil)
		if m, err = ParseMultivariant(once); err != nil || !bytes.Equal(m.Append(nil), once) {
			t.Errorf("not stable: %q, %v", once, err)
		}
	})
}

func TestAppendDoesNotAllocate(t *testing.T) {
	m, v, buf := low(16, "init0.mp4"), multi(), make([]byte, 0, 8<<10)
	if n := testing.AllocsPerRun(100, func() { buf = m.Append(buf[:0]) }); n > 0 {
		t.Errorf("%v allocs per media playlist, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = v.Append(buf[:0]) }); n > 0 {
		t.Errorf("%v allocs per multivariant playlist, want 0", n)
	}
}

func BenchmarkMediaAppend(b *testing.B) {
	for _, n := range []int{16, 60} { // segments of 1 s
		b.Run(fmt.Sprintf("segments=%d", n), func(b *testing.B) {
			m, buf := low(n, ""), make([]byte, 0, 16<<10)
			b.ReportAllocs()
			for b.Loop() {
				buf = m.Append(buf[:0])
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
