package packager

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/id3"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// A shown tag is one that a player finds, where and when.
type shown struct {
	msn  int64
	part int
	pts  int64 // ticks of video, as the encoder counts
	id3  string
}

// tags reads the ID3 tags of all parts that r has, those that begin segments apart.
func tags(t *testing.T, r *Rendition) (marks, segments []shown) {
	t.Helper()
	s := r.snap.Load()
	all := slices.Clone(s.segs)
	if len(s.open.data) > 0 {
		all = append(all, &s.open)
	}
	for _, seg := range all {
		for i, b := range seg.data {
			read := tagsTS
			if r.ext == "mp4" {
				read = tagsMP4
			}
			for _, f := range read(t, b) {
				f.msn, f.part = seg.msn, i
				if strings.Contains(f.id3, "segmentmetadata") {
					segments = append(segments, f)
				} else {
					marks = append(marks, f)
				}
			}
		}
	}
	return marks, segments
}

func tagsTS(t *testing.T, part []byte) (found []shown) {
	t.Helper()
	var pes []byte
	for p := range slices.Chunk(part, 188) {
		if binary.BigEndian.Uint16(p[1:])&0x1fff != 0x102 {
			continue
		}
		body := p[4:]
		if p[3]&0x20 != 0 {
			body = body[1+int(body[0]):]
		}
		if pes = append(pes, body...); len(pes) < 6+int(binary.BigEndian.Uint16(pes[4:])) {
			continue
		}
		at := int64(pes[9])>>1&7<<30 | int64(binary.BigEndian.Uint16(pes[10:]))>>1<<15 | int64(binary.BigEndian.Uint16(pes[12:]))>>1
		found = append(found, shown{pts: at - origin*90000, id3: string(pes[14:])})
		pes = nil
	}
	return found
}

// tagsMP4 reads the boxes of version 1, of which those of version 0 must be doubles.
func tagsMP4(t *testing.T, part []byte) (found []shown) {
	t.Helper()
	const v0, v1 = "urn:twitch:id3\x00\x00", "https://aomedia.org/emsg/ID3\x00\x00"
	var base int64 // presentation time of the first picture; these have no B-frames
	if i := bytes.Index(part, []byte("tfdt")); i >= 0 {
		base = int64(binary.BigEndian.Uint64(part[i+8:]))
	}
	var double []byte
	for string(part[4:8]) == "emsg" {
		box := part[:binary.BigEndian.Uint32(part)]
		part = part[len(box):]
		if box[8] == 0 {
			if !bytes.HasPrefix(box[12:], []byte(v0)) {
				t.Fatalf("emsg %q", box)
			}
			double = box[12+len(v0):]
			continue
		}
		at := int64(binary.BigEndian.Uint64(box[16:]))
		rest := box[24:]
		if tag, ok := bytes.CutPrefix(rest[8:], []byte(v1)); !ok || !bytes.Equal(tag, double[16:]) || !bytes.Equal(rest[4:8], double[12:16]) {
			t.Fatalf("emsg of version 1 %q, of version 0 %q", box, double)
		} else if delta := int64(binary.BigEndian.Uint32(double[4:])); delta != max(at-base, 0) {
			t.Errorf("an event at %d is %d after the fragment, which begins at %d", at, delta, base)
		} else {
			found = append(found, shown{pts: at - origin*90000, id3: string(tag)})
		}
	}
	return found
}

// ladder is a presentation of a source of 60 pictures a second and a rung of 30.
func ladder(t *testing.T, container string) (p *Presentation, top, rung *Rendition) {
	t.Helper()
	p = NewPresentation()
	for name, r := range map[string]**Rendition{"720p60": &top, "360p30": &rung} {
		var err error
		if *r, err = New(Config{LowLatency: true, Container: container}, name); err != nil {
			t.Fatal(err)
		}
	}
	p.Add(top)
	p.Add(rung)
	return p, top, rung
}

// Each tag is once in every rendition, in the same segment, at the time of the source's
// picture that came next, however far the other renditions are behind.
func TestTagsHaveOneTimeOnEveryRendition(t *testing.T) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		t.Run(container, func(t *testing.T) {
			p, top, rung := ladder(t, container)
			fast, slow := &source{Num: 60, GOP: 120}, &source{Num: 30, GOP: 60}
			feed(t, top, fast, 5*time.Second)
			feed(t, rung, slow, 3*time.Second) // 2 s behind
			var want []shown
			for i := range 250 {
				u := fast.next()
				if i%7 == 0 || fast.picture%120 == 0 { // the last picture of a segment, which the rung does not have
					tag := id3.Private(id3.OwnerAPI, fmt.Sprintf("%d:%s", i, strings.Repeat("é", i*2)))
					if err := p.Insert(Tag{ID3: tag}); err != nil {
						t.Fatal(err)
					}
					want = append(want, shown{msn: (u.PTS - 90000) / 180000, pts: u.PTS, id3: string(tag)})
				}
				if i%2 == 0 {
					if err := rung.Write(slow.next()); err != nil {
						t.Fatal(err)
					}
				}
				if err := top.Write(u); err != nil {
					t.Fatal(err)
				}
			}
			feed(t, top, fast, time.Second) // out of its last part
			feed(t, rung, slow, 3*time.Second)
			for _, r := range []*Rendition{top, rung} {
				got, _ := tags(t, r)
				for i := range got {
					got[i].part = 0 // parts of rungs need not be alike
				}
				if len(got) != len(want) {
					t.Fatalf("%s carries %d tags, want %d", r.Name(), len(got), len(want))
				}
				if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(shown{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", r.Name(), diff)
				}
			}
		})
	}
}

// The part that carries a tag is the next one to come out, and Out is called with it.
func TestTagComesWithTheNextPart(t *testing.T) {
	for name, tt := range map[string]struct {
		low   bool
		after time.Duration // of the tag, until it is out
	}{
		"with parts":    {true, 100 * time.Millisecond},
		"with segments": {false, 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := NewPresentation(), newRendition(t, Config{LowLatency: tt.low})
			p.Add(r)
			src := &source{Num: 30, GOP: 30}
			feed(t, r, src, 3100*time.Millisecond)
			var at []time.Time
			err := p.Insert(Tag{ID3: []byte("tag"), Out: func(d time.Time) { at = append(at, d) }})
			if err != nil {
				t.Fatal(err)
			}
			feed(t, r, src, tt.after-time.Second/30)
			if len(at) > 0 {
				t.Fatal("the tag is out before its part")
			}
			feed(t, r, src, 2*time.Second/30)
			if want := wall.Add(3100 * time.Millisecond); len(at) != 1 || at[0].Sub(want).Abs() > time.Millisecond {
				t.Errorf("out at %v, want %v, once", at, want)
			}
			if got, _ := tags(t, r); len(got) != 1 || tt.low && (got[0].msn != 3 || got[0].part != 0) {
				t.Errorf("the tag is in %+v", got)
			}
			r.Close()
			if len(at) != 1 {
				t.Error("out twice")
			}
		})
	}
}

func TestTagsThatCannotBeInserted(t *testing.T) {
	p := NewPresentation()
	if err := p.Insert(Tag{ID3: []byte("tag")}); !errors.Is(err, ErrNoRendition) {
		t.Errorf("without media: %v", err)
	}
	r := newRendition(t, Config{LowLatency: true})
	p.Add(r)
	if err := p.Insert(Tag{ID3: make([]byte, MaxTag+1)}); err == nil {
		t.Error("a tag that no packet can carry was taken")
	}
	for range maxPending {
		if err := p.Insert(Tag{ID3: []byte("tag")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Insert(Tag{ID3: []byte("tag")}); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	feed(t, r, &source{Num: 30, GOP: 30}, 2*time.Second)
	if err := p.Insert(Tag{ID3: []byte("tag")}); err != nil {
		t.Errorf("after a picture: %v", err)
	}
	if got, _ := tags(t, r); len(got) != maxPending {
		t.Errorf("%d tags, want %d", len(got), maxPending)
	}
}

// A rendition that breaks off before it reaches a tag's time carries it with its next
// picture. One that stands still keeps no more than it has room for, and the newest.
func TestTagsOfARenditionThatIsBehind(t *testing.T) {
	t.Run("a break of its timeline loses nothing", func(t *testing.T) {
		p, top, rung := ladder(t, live.ContainerTS)
		fast, slow := &source{Num: 60, GOP: 60}, &source{Num: 30, GOP: 30}
		feed(t, top, fast, 5*time.Second)
		feed(t, rung, slow, 3*time.Second)
		if err := p.Insert(Tag{ID3: []byte("tag")}); err != nil {
			t.Fatal(err)
		}
		feed(t, top, fast, time.Second)
		slow.start -= 2 * media.VideoTimescale // it begins anew, and will not come to the tag's time soon
		feed(t, rung, slow, 2*time.Second)
		got, _ := tags(t, rung)
		if first := rung.snap.Load().open.tags.Parts; len(got) != 1 || got[0].pts > 3*media.VideoTimescale || len(first) == 0 {
			t.Errorf("tags %+v", got)
		}
	})
	t.Run("standing still costs no memory", func(t *testing.T) {
		p, top, rung := ladder(t, live.ContainerTS)
		fast, slow := &source{Num: 60, GOP: 60}, &source{Num: 30, GOP: 30}
		feed(t, top, fast, 2*time.Second)
		feed(t, rung, slow, 2*time.Second)
		for i := range 3 * maxMarks {
			if err := p.Insert(Tag{ID3: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
			if err := top.Write(fast.next()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(rung.marks.marks); n != maxMarks {
			t.Errorf("%d marks wait, want %d", n, maxMarks)
		}
		feed(t, rung, slow, 14*time.Second)
		if got, _ := tags(t, rung); len(got) == 0 || got[len(got)-1].id3 != fmt.Sprint(3*maxMarks-1) {
			t.Errorf("%d tags, without the newest", len(got))
		}
	})
}

// Every segment begins with what the IVS player reckons its latency from: numbers.
func TestSegmentsTellWhenTheyArrived(t *testing.T) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		t.Run(container, func(t *testing.T) {
			r := newRendition(t, Config{LowLatency: true, Container: container})
			feed(t, r, &source{Num: 30, GOP: 60, Audio: true}, 6500*time.Millisecond)
			_, got := tags(t, r)
			if len(got) != 4 {
				t.Fatalf("%d tags, want one in each of 4 segments", len(got))
			}
			for i, f := range got {
				offset := time.Duration(i) * 2 * time.Second
				if f.msn != int64(i) || f.part != 0 || f.pts != 90000+media.Ticks(offset, 90000) {
					t.Errorf("tag %d is in part %d.%d at %d", i, f.msn, f.part, f.pts)
				}
				_, text, _ := strings.Cut(f.id3, "\x03segmentmetadata\x00")
				var v struct {
					Cmd          string
					IngestR      int64   `json:"ingest_r"`
					IngestS      int64   `json:"ingest_s"`
					StreamOffset float64 `json:"stream_offset"`
					TranscR      int64   `json:"transc_r"`
					TranscS      int64   `json:"transc_s"`
				}
				if err := json.Unmarshal([]byte(strings.TrimSuffix(text, "\x00")), &v); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				at := wall.Add(offset).UnixMilli()
				if v.Cmd != "ld_lat_data" || v.IngestR != at || v.IngestS != at || v.TranscR != at ||
					v.TranscS < at || v.TranscS > at+200 || v.StreamOffset != offset.Seconds() {
					t.Errorf("segment %d says %+v, want %d", i, v, at)
				}
			}
		})
	}
}

func TestBreaksAreOnEveryPlaylist(t *testing.T) {
	p, top, rung := ladder(t, live.ContainerTS)
	fast, slow := &source{Num: 60, GOP: 60}, &source{Num: 30, GOP: 30}
	feed(t, top, fast, 4500*time.Millisecond)
	feed(t, rung, slow, 3*time.Second)
	var out []time.Time
	err := p.InsertBreak(Break{ID: "Ab3De6Gh9Jk2", Duration: 5 * time.Second, Out: func(at time.Time) { out = append(out, at) }})
	if err != nil {
		t.Fatal(err)
	}
	feed(t, top, fast, time.Second)
	if got := now(t, rung).DateRanges; len(got) > 0 {
		t.Errorf("a rendition that is not there yet tells of %+v", got)
	}
	feed(t, rung, slow, 3*time.Second)
	at := wall.Add(4500 * time.Millisecond)
	want := []hls.DateRange{{
		ID: fmt.Sprintf("stitched-ad-%d-5000000000", at.Unix()), Class: "live-video-net-stitched-ad",
		Start: at, Duration: 5 * time.Second, AdBreak: "Ab3De6Gh9Jk2",
	}}
	for _, r := range []*Rendition{top, rung} {
		if diff := gocmp.Diff(want, now(t, r).DateRanges); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.Name(), diff)
		}
	}
	if len(out) != 1 || !out[0].Equal(at) {
		t.Errorf("out at %v, want %v, once", out, at)
	}
	feed(t, top, fast, 18*time.Second) // the window is 16 s
	if n := len(now(t, top).DateRanges); n != 1 {
		t.Errorf("%d ranges while the playlist begins within one", n)
	}
	feed(t, top, fast, 5*time.Second)
	if got := now(t, top).DateRanges; len(got) > 0 {
		t.Errorf("the playlist goes on to tell of %+v", got)
	}
}

func TestPostRoll(t *testing.T) {
	for name, tt := range map[string]struct {
		before time.Duration // a break that begins so long before the end; 0 for none
		want   int           // ranges in the last playlist
	}{
		"a break at the end":           {0, 1},
		"a break that was over":        {4 * time.Second, 2},
		"no other break while one was": {time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := NewPresentation(), newRendition(t, Config{LowLatency: true})
			out := 0
			p.PostRoll(Break{ID: "Zz3De6Gh9Jk2", Duration: 15 * time.Second, Out: func(time.Time) { out++ }})
			p.Add(r)
			src := &source{Num: 30, GOP: 30}
			feed(t, r, src, 6*time.Second-tt.before)
			if tt.before > 0 {
				if err := p.InsertBreak(Break{ID: "Ab3De6Gh9Jk2", Duration: 2 * time.Second}); err != nil {
					t.Fatal(err)
				}
				feed(t, r, src, tt.before)
			}
			if out > 0 {
				t.Error("out before the end")
			}
			r.Close()
			got := now(t, r).DateRanges
			last := got[len(got)-1]
			rolled := last.AdBreak == "Zz3De6Gh9Jk2"
			if len(got) != tt.want || rolled != (out == 1) || rolled != (tt.before != time.Second) {
				t.Errorf("ranges %+v, out %d times", got, out)
			}
			if end := wall.Add(6 * time.Second); rolled && last.Start.Sub(end).Abs() > 40*time.Millisecond {
				t.Errorf("the post-roll begins at %v, want the end, %v", last.Start, end)
			}
		})
	}
	t.Run("a stream that nobody saw has none", func(t *testing.T) {
		p, r := NewPresentation(), newRendition(t, Config{LowLatency: true})
		p.PostRoll(Break{ID: "a", Duration: time.Second, Out: func(time.Time) { t.Error("out") }})
		p.Add(r)
		feed(t, r, &source{Num: 30, GOP: 30}, 500*time.Millisecond)
		r.Close()
	})
}
