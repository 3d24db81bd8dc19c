package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A collector is a Handler that wants everything and keeps it.
type collector struct {
	programs [][]Stream
	got      []PES
	refuse   error
}

func (c *collector) Program(streams []Stream) (wanted []uint16, err error) {
	c.programs = append(c.programs, streams)
	for _, s := range streams {
		wanted = append(wanted, s.PID)
	}
	return wanted, c.refuse
}

func (c *collector) PES(p PES) error {
	p.Data = bytes.Clone(p.Data)
	c.got = append(c.got, p)
	return nil
}

// sample is a stream of n pictures and as many packets of audio, by our own muxer, whose
// times begin at start.
func sample(n int, start int64) (ts []byte, pictures [][]byte) {
	m := New(true)
	adts, _ := ParseConfig([]byte{0x11, 0x90})
	for i := range n {
		if i%10 == 0 {
			ts = m.AppendTables(ts)
		}
		nal := bytes.Repeat([]byte{0x41, byte(i), 0x55}, 100+i*17%400)
		data := append([]byte{0, 0, byte(len(nal) >> 8), byte(len(nal))}, nal...)
		pictures = append(pictures, nal)
		at := start + int64(i)*3000
		ts = m.AppendVideo(ts, Picture{DTS: at, PTS: at + 6000, Data: data})
		ts = m.AppendAudio(ts, at, adts, [][]byte{{1, 2, byte(i)}, {3, 4}})
	}
	return ts, pictures
}

func (c *collector) of(pid uint16) (all []PES) {
	for _, p := range c.got {
		if p.PID == pid {
			all = append(all, p)
		}
	}
	return all
}

// What the muxer writes comes back whole, however it is cut, also over the wrap of
// times and to the last picture.
func TestDemuxerReadsTheMuxer(t *testing.T) {
	const n = 60
	for _, start := range []int64{0, 1<<33 - 30*3000} {
		ts, pictures := sample(n, start)
		for _, cut := range []int{1, 100, 188, 1316, 1400, len(ts)} {
			c := &collector{}
			d := NewDemuxer(c)
			for b := range slices.Chunk(ts, cut) {
				if err := d.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			video, audio := c.of(pidVideo), c.of(pidAudio)
			if len(video) != n || len(audio) != n {
				t.Fatalf("cut at %d: %d pictures and %d packets of audio, want %d", cut, len(video), len(audio), n)
			}
			for i, p := range video {
				at := start + int64(i)*3000
				if !bytes.HasSuffix(p.Data, pictures[i]) || p.DTS != at || p.PTS != at+6000 || !p.Timed || audio[i].PTS != at {
					t.Fatalf("cut at %d: picture %d: DTS %d, PTS %d, want %d; audio at %d; %d bytes", cut, i, p.DTS, p.PTS, at, audio[i].PTS, len(p.Data))
				}
			}
			if s := d.Stats(); s.Gaps+s.Damaged+s.Skipped+s.TooLarge != 0 || s.Packets != int64(len(ts)/PacketSize) {
				t.Errorf("cut at %d: %+v", cut, s)
			}
			if len(c.programs) != 1 || c.programs[0][0] != (Stream{PID: pidVideo, Type: typeH264}) {
				t.Errorf("programs %+v", c.programs)
			}
		}
	}
}

// A packet that is missing costs the packets of media it was part of and no other;
// garbage between packets costs nothing.
func TestDemuxerDamage(t *testing.T) {
	const n = 60
	ts, pictures := sample(n, 0)
	packets := slices.Collect(slices.Chunk(ts, PacketSize))
	whole := func(p PES) bool {
		return slices.ContainsFunc(pictures, func(nal []byte) bool { return bytes.HasSuffix(p.Data, nal) })
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		lost := 2 + r.IntN(len(packets)-22) // neither the first tables nor the last picture, whose end nothing tells
		c := &collector{}
		d := NewDemuxer(c)
		for i, p := range packets {
			if i == lost {
				continue
			}
			if err := d.Write(p); err != nil {
				t.Fatal(err)
			}
			if r.IntN(20) == 0 {
				if err := d.Write([]byte("between packets")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, p := range c.of(pidVideo) {
			if !whole(p) {
				t.Fatalf("packet %d lost: a picture of %d bytes is not whole", lost, len(p.Data))
			}
		}
		if got := len(c.got); got < 2*n-2 {
			t.Fatalf("packet %d lost: %d packets of media of %d", lost, got, 2*n)
		}
	}
}

func TestDemuxerRepeatedPackets(t *testing.T) {
	ts, _ := sample(20, 0)
	c := &collector{}
	d := NewDemuxer(c)
	for p := range slices.Chunk(ts, PacketSize) {
		if err := errors.Join(d.Write(p), d.Write(p)); err != nil { // ISO 13818-1 2.4.3.3 allows one repetition
			t.Fatal(err)
		}
	}
	if err := d.Flush(); err != nil || len(c.got) != 40 || d.Stats().Gaps != 0 {
		t.Errorf("%v, %d packets of media, %+v", err, len(c.got), d.Stats())
	}
}

// tables is a program of those streams, each with its descriptors.
func tables(version uint8, streams ...Stream) []byte {
	m := New(false)
	var b []byte
	pat := []byte{0, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0, 0, 0xe0, 0x10, 0, 7, 0xe0 | pidPMT>>8, pidPMT & 0xff} // the network's comes first
	b = appendSection(b, pidPAT, &m.pat, pat)
	pmt := []byte{2, 0xb0, 0, 0, 7, 0xc1 | version<<1, 0, 0, 0xff, 0xff, 0xf0, 4, 9, 2, 1, 2}
	for _, s := range streams {
		pmt = append(pmt, s.Type, 0xe0|byte(s.PID>>8), byte(s.PID))
		if s.Format == "" {
			pmt = append(pmt, 0xf0, 0)
			continue
		}
		pmt = append(append(pmt, 0xf0, 9, 10, 1, 'x', 5, 4), s.Format...)
	}
	return appendSection(b, pidPMT, &m.pmt, pmt)
}

func TestDemuxerPrograms(t *testing.T) {
	first := []Stream{{0x100, 0x24, ""}, {0x101, 6, "Opus"}}
	second := []Stream{{0x100, 0x1b, ""}}
	c := &collector{}
	d := NewDemuxer(c)
	for _, b := range [][]byte{tables(0, first...), tables(0, first...), tables(1, second...)} {
		if err := d.Write(b); err != nil {
			t.Fatal(err)
		}
		d.pat.counter, d.pmt.counter = continuity{}, continuity{} // each begins anew
	}
	if len(c.programs) != 2 || !slices.Equal(c.programs[0], first) || !slices.Equal(c.programs[1], second) {
		t.Errorf("programs %+v", c.programs)
	}
	c.refuse = errors.New("refused")
	if err := d.Write(tables(2, first...)); !errors.Is(err, c.refuse) {
		t.Errorf("Write = %v, want the handler's error", err)
	}

	broken := tables(3, first...)
	broken[PacketSize+20] ^= 1
	c = &collector{}
	d = NewDemuxer(c)
	if err := d.Write(broken); err != nil || len(c.programs) != 0 || d.Stats().Damaged != 1 {
		t.Errorf("a table with a wrong checksum: %v, %d programs, %+v", err, len(c.programs), d.Stats())
	}
}

// A PES packet without an end is dropped, and not kept in memory.
func TestDemuxerBoundsPES(t *testing.T) {
	c := &collector{}
	d := NewDemuxer(c)
	if err := d.Write(tables(0, Stream{PID: 0x100, Type: 0x1b})); err != nil {
		t.Fatal(err)
	}
	var counter uint8
	pes := appendPESHeader(nil, 0xe0, 0, 0)
	ts := appendPES(nil, 0x100, &counter, append(pes, make([]byte, 1<<20)...), noPCR, false)
	if err := d.Write(ts); err != nil {
		t.Fatal(err)
	}
	for range 20 { // which go on with it
		ts = ts[:0]
		for range 6000 {
			ts = append(appendHeader(ts, 0x100, false, 0x10, &counter), make([]byte, PacketSize-4)...)
		}
		if err := d.Write(ts); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(d.streams[0x100].buf); n > 2*maxPES {
		t.Errorf("%d bytes are kept", n)
	}
	if err := d.Flush(); err != nil || len(c.got) != 0 || d.Stats().TooLarge != 1 {
		t.Errorf("%v, %d packets, %+v", err, len(c.got), d.Stats())
	}
}

func TestParseADTS(t *testing.T) {
	for _, config := range [][]byte{{0x11, 0x90}, {0x12, 0x10}, {0x12, 0x08}, {0x11, 0x88}, {0x14, 0x08}} {
		h, err := ParseConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		b := append(h.append(nil, 5), "frame"...)
		got, head, size, err := ParseADTS(b)
		if err != nil || got != h || head != 7 || size != 12 || !bytes.Equal(got.Config(), config) {
			t.Errorf("config %x: %+v, %d, %d, %v; config again %x", config, got, head, size, err, got.Config())
		}
	}
	for name, b := range map[string][]byte{
		"short":          {0xff, 0xf1, 0x4c, 0x80, 0x01},
		"no sync word":   {0xfe, 0xf1, 0x4c, 0x80, 0x01, 0x9f, 0xfc},
		"a layer":        {0xff, 0xf3, 0x4c, 0x80, 0x01, 0x9f, 0xfc},
		"no rate":        {0xff, 0xf1, 0x7c, 0x80, 0x01, 0x9f, 0xfc},
		"an empty frame": {0xff, 0xf1, 0x4c, 0x80, 0x00, 0xff, 0xfc},
		"several frames": {0xff, 0xf1, 0x4c, 0x80, 0x01, 0x9f, 0xfd},
	} {
		if _, _, _, err := ParseADTS(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever comes, a Demuxer takes it in any portions with the same result, and holds a
// bounded amount of it.
func FuzzDemuxer(f *testing.F) {
	ts, _ := sample(2, 1<<33-3000)
	f.Add(ts, 100)
	f.Add(tables(0, Stream{0x100, 0x1b, ""}, Stream{0x101, 6, "Opus"}), 188)
	f.Add([]byte("G@\x00\x10\x00\x00\xb0\x0d"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		cut = max(cut, 1)
		read := func(cut int) (string, DemuxStats) {
			c := &collector{}
			d := NewDemuxer(c)
			for part := range slices.Chunk(b, cut) {
				if err := d.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.got {
				if len(p.Data) == 0 || len(p.Data) > maxPES || !p.Timed && p.PTS != 0 {
					t.Fatalf("%+v", p)
				}
			}
			return fmt.Sprint(c.programs, c.got), d.Stats()
		}
		one, stats := read(len(b) + 1)
		if two, again := read(cut); one != two || stats != again {
			t.Fatalf("in portions of %d: %s %+v, at once: %s %+v", cut, two, again, one, stats)
		}
	})
}

func BenchmarkDemuxer(b *testing.B) {
	ts, _ := sample(60, 0)
	d := NewDemuxer(discard{})
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		for part := range slices.Chunk(ts, 1316) {
			if err := d.Write(part); err != nil {
				b.Fatal(err)
			}
		}
	}
}

type discard struct{}

func (discard) Program(streams []Stream) ([]uint16, error) {
	return []uint16{streams[0].PID, streams[1].PID}, nil
}
func (discard) PES(PES) error { return nil }
