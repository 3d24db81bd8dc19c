package hls

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	ms = time.Millisecond

	lowLatency = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=12.0
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:5
#EXT-X-MAP:URI="init.mp4?a=1,URI=2"
#EXT-X-GAP
#EXTINF:2.0,
gap.mp4
#EXT-X-PART:DURATION=0.2,URI="a0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="a1.mp4"
#EXTINF:0.4,
a.mp4
#EXT-X-PART:DURATION=0.2,URI="b0.mp4",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b1.mp4"
`
	// both is the layout with which one playlist serves Apple's and IVS's players.
	both = "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\r\n" +
		"#EXT-X-MEDIA-SEQUENCE:10\r\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\r\n#EXTINF:2.0,live\r\na.ts\r\n" +
		"#EXT-X-PART:DURATION=0.2,URI=\"b.0.ts\",INDEPENDENT=YES\r\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b.1.ts\"\r\n" +
		"#EXT-X-PREFETCH:b.ts\r\n#EXT-X-PREFETCH:c.ts\r\n"
)

func TestScanItems(t *testing.T) {
	for name, tt := range map[string]struct {
		playlist string
		kind     Kind
		after    Pos
		want     []Item
	}{
		"all parts": {lowLatency, Parts, Before(Parts), []Item{
			{Pos{6, 0}, 200 * ms, "a0.mp4", true, false}, {Pos{6, 1}, 200 * ms, "a1.mp4", false, false}, {Pos{7, 0}, 200 * ms, "b0.mp4", true, false},
		}},
		"only newer parts":             {lowLatency, Parts, Pos{6, 1}, []Item{{Pos{7, 0}, 200 * ms, "b0.mp4", true, false}}},
		"segments, without the gap":    {lowLatency, Segments, Before(Segments), []Item{{Pos{6, -1}, 400 * ms, "a.mp4", false, false}}},
		"parts beside prefetch":        {both, Parts, Before(Parts), []Item{{Pos{14, 0}, 200 * ms, "b.0.ts", true, false}}},
		"numbers go on after a skip":   {both, Segments, Before(Segments), []Item{{Pos{13, -1}, 2 * time.Second, "a.ts", false, false}}},
		"prefetch follows the segment": {both, Prefetch, Pos{13, -1}, []Item{{Pos{14, -1}, 2 * time.Second, "b.ts", false, true}, {Pos{15, -1}, 2 * time.Second, "c.ts", false, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := Scan([]byte(tt.playlist), tt.kind, tt.after, nil)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Scan (-want +got):\n%s", d)
			}
		})
	}
}

func TestScanInfo(t *testing.T) {
	for name, tt := range map[string]struct {
		playlist string
		want     Info
	}{
		"low latency": {lowLatency, Info{
			TargetDuration: 2 * time.Second, PartTarget: 200 * ms, PartHoldBack: 600 * ms, CanBlock: true, CanSkip: true,
			Map: "init.mp4?a=1,URI=2", Hint: "b1.mp4", NextPart: Pos{7, 1}, LastSegment: 6,
		}},
		"the next part does not count prefetch": {both, Info{
			TargetDuration: 2 * time.Second, PartHoldBack: 600 * ms, CanBlock: true, Hint: "b.1.ts",
			Skipped: 3, NextPart: Pos{14, 1}, LastSegment: 13,
		}},
		"hold-back is not part-hold-back": {"#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1,HOLD-BACK=6\n", Info{
			PartHoldBack: time.Second, HoldBack: 6 * time.Second, LastSegment: -1,
		}},
		"ended":       {"#EXT-X-ENDLIST", Info{Ended: true, LastSegment: -1}},
		"byte ranges": {"#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"1@2\"\n", Info{ByteRanges: true, LastSegment: -1, NextPart: Pos{0, 1}}},
		"absurd numbers are zero": {"#EXT-X-TARGETDURATION:1e99\n#EXT-X-MEDIA-SEQUENCE:99999999999\n#EXT-X-SKIP:SKIPPED-SEGMENTS=-4\n", Info{
			LastSegment: -1,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := Scan([]byte(tt.playlist), Parts, Before(Parts), nil)
			if got != tt.want {
				t.Errorf("Scan:\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestMultivariant(t *testing.T) {
	const apart = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1280x720,AUDIO=\"a\",CODECS=\"avc1.4D401F,mp4a.40.2\"\nv.m3u8\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"au.m3u8\"\n"
	const ivs = "#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"720p30\",NAME=\"720p30\",AUTOSELECT=YES,DEFAULT=YES\n" +
		"#EXT-X-STREAM-INF:BANDWIDTH=2530000,RESOLUTION=1280x720,CODECS=\"avc1.4D401F,mp4a.40.2\",VIDEO=\"720p30\",FRAME-RATE=30.000\nrel/a.m3u8\n"
	for name, tt := range map[string]struct {
		in   string
		want []Variant
	}{
		"audio apart":       {apart, []Variant{{"v.m3u8", 5, "au.m3u8"}}},
		"the layout of ivs": {ivs, []Variant{{"rel/a.m3u8", 2530000, ""}}},
		"a media playlist":  {lowLatency, []Variant{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Multivariant([]byte(tt.in)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Multivariant = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Items come in order, each after the given position, whatever the playlist holds.
func FuzzScan(f *testing.F) {
	f.Add([]byte(lowLatency), 0, 6, 0)
	f.Add([]byte(both), 2, -1, -1)
	f.Fuzz(func(t *testing.T, b []byte, kind, msn, part int) {
		last := Pos{msn, part}
		_, items := Scan(b, Kind(kind), last, nil)
		for _, it := range items {
			if it.Pos.MSN < last.MSN || it.Pos.Part >= 0 && !it.Pos.After(last) {
				t.Fatalf("item %+v after %+v", it.Pos, last)
			}
			last = it.Pos
		}
		Multivariant(b)
	})
}

func BenchmarkScan(b *testing.B) {
	var items []Item
	b.SetBytes(int64(len(lowLatency)))
	b.ReportAllocs()
	for b.Loop() {
		_, items = Scan([]byte(lowLatency), Parts, Before(Parts), items[:0])
	}
}
