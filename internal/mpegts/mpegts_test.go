package mpegts

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/google/go-cmp/cmp"
)

var (
	sps = []byte{0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0, 0x3c, 0x0f, 0x16, 0x2e, 0x48}
	pps = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
	aac = []byte{0x11, 0x90} // AAC-LC, 48 kHz, stereo
)

func nal(typ byte, n int) []byte {
	return append([]byte{typ}, bytes.Repeat([]byte{0xab}, n-1)...)
}

func unit(nals ...[]byte) (b []byte) {
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

type picture struct {
	PTS, DTS int64
	NALs     [][]byte
}

type sound struct {
	PTS    int64
	Frames [][]byte
}

// read takes a transport stream apart with an independent reader.
func read(t *testing.T, ts []byte) (pics []picture, sounds []sound) {
	t.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(ts)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	r.OnDecodeError(func(err error) { t.Errorf("decode: %v", err) })
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, func(pts, dts int64, au [][]byte) error {
				pics = append(pics, picture{pts, dts, au})
				return nil
			})
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error {
				sounds = append(sounds, sound{pts, aus})
				return nil
			})
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return pics, sounds
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// check walks the packets: sync bytes, and a continuity counter that grows by one.
func check(t *testing.T, ts []byte, counters map[uint16]byte) {
	t.Helper()
	if len(ts)%PacketSize != 0 {
		t.Fatalf("%d bytes are not whole packets", len(ts))
	}
	for p := range slices.Chunk(ts, PacketSize) {
		pid := binary.BigEndian.Uint16(p[1:]) & 0x1fff
		if p[0] != 0x47 || p[3]&0x10 == 0 {
			t.Fatalf("packet header %x", p[:4])
		}
		if last, ok := counters[pid]; ok && p[3]&0x0f != (last+1)&0x0f {
			t.Errorf("pid %x: counter %d after %d", pid, p[3]&0x0f, last)
		}
		counters[pid] = p[3] & 0x0f
	}
}

func TestStreamIsReadBack(t *testing.T) {
	h, err := ParseConfig(aac)
	if err != nil {
		t.Fatal(err)
	}
	const tick = 3000
	m, counters := New(true), map[uint16]byte{}
	var all []byte
	var pics []picture
	var sounds []sound
	for i := range int64(40) {
		start := len(all)
		key := i%20 == 0
		if key {
			all = m.AppendTables(all)
		}
		slice := nal(0x41, 1+int(i)*97) // the last packet is filled in many ways
		if key {
			slice[0] = 0x65
		}
		p := Picture{PTS: 900000 + (i+2)*tick, DTS: 900000 + i*tick, Data: unit(slice), SPS: [][]byte{sps}, PPS: [][]byte{pps}}
		want := [][]byte{slice}
		if key {
			p.Key, want = true, [][]byte{sps, pps, slice}
		}
		if i%3 == 1 {
			p.PTS = p.DTS
		}
		all = m.AppendVideo(all, p)
		frames := [][]byte{nal(0x21, 300+int(i)), nal(0x21, 10)}
		all = m.AppendAudio(all, p.DTS, h, frames)
		pics = append(pics, picture{p.PTS, p.DTS, want})
		sounds = append(sounds, sound{p.DTS, frames})
		check(t, all[start:], counters)
	}
	gotPics, gotSounds := read(t, all)
	// The reader takes the delimiter away.
	if !reflect.DeepEqual(pics, gotPics) { // cmp is slow on long slices
		t.Errorf("pictures (-want +got):\n%s", cmp.Diff(pics, gotPics))
	}
	if !reflect.DeepEqual(sounds, gotSounds) {
		t.Errorf("audio (-want +got):\n%s", cmp.Diff(sounds, gotSounds))
	}
}

func TestPictureStartsWithOneDelimiter(t *testing.T) {
	m := New(false)
	p := Picture{Key: true, Data: unit([]byte{9, 0x10}, sps, pps, nal(0x65, 50)), SPS: [][]byte{sps}, PPS: [][]byte{pps}}
	ts := m.AppendVideo(nil, p)
	es := ts[len(ts)-(6+4+len(sps)+4+len(pps)+4+50):]
	want := []byte{0, 0, 0, 1, 9, 0xf0}
	want = appendNAL(appendNAL(appendNAL(want, sps), pps), nal(0x65, 50))
	if !bytes.Equal(es, want) {
		t.Errorf("elementary stream\n%x, want\n%x", es, want)
	}
}

func TestTimesWrapAt33Bits(t *testing.T) {
	const wrap = 1 << 33
	a, b := New(false), New(false)
	p := Picture{PTS: 12345, DTS: 12000, Data: unit(nal(0x41, 20))}
	want := a.AppendVideo(nil, p)
	p.PTS, p.DTS = p.PTS+3*wrap, p.DTS+3*wrap
	if got := b.AppendVideo(nil, p); !bytes.Equal(got, want) {
		t.Errorf("three wraps later\n%x, want\n%x", got, want)
	}
	if flags := want[5]; flags&0x10 == 0 {
		t.Errorf("no PCR in the first packet of a picture: flags %x", flags)
	}
}

func TestTablesChangeVersionWithTheTracks(t *testing.T) {
	m := New(false)
	version := func() byte { return m.AppendTables(nil)[PacketSize+5+5] >> 1 & 0x1f }
	if v := version(); v != 0 {
		t.Errorf("version %d, want 0", v)
	}
	m.SetAudio(false)
	if v := version(); v != 0 {
		t.Errorf("version %d without a change, want 0", v)
	}
	m.SetAudio(true)
	if v := version(); v != 1 {
		t.Errorf("version %d after a change, want 1", v)
	}
}

// The tables announce the metadata from the start, with the descriptors that Apple asks
// for; what they say is the same bytes in every stream.
func TestTablesAnnounceMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		audio bool
		want  string // the section, without its CRC
	}{
		"with audio": {true, "02b03c" + "0001c10000" + "e100" + "f011" + "250fffff49443320ff49443320001f0001" +
			"1be100f000" + "0fe101f000" + "15e102f00f" + "260dffff49443320ff49443320000f"},
		"without audio": {false, "02b037" + "0001c10000" + "e100" + "f011" + "250fffff49443320ff49443320001f0001" +
			"1be100f000" + "15e102f00f" + "260dffff49443320ff49443320000f"},
	} {
		t.Run(name, func(t *testing.T) {
			pmt := New(tt.audio).AppendTables(nil)[PacketSize+5:]
			if got := hex.EncodeToString(pmt[:len(tt.want)/2]); got != tt.want {
				t.Errorf("PMT\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

// metadata takes the PES packets of the metadata stream apart, headers and all.
func metadata(t *testing.T, ts []byte) (pts []int64, tags [][]byte) {
	t.Helper()
	var pes []byte
	flush := func() {
		if pes == nil {
			return
		}
		if want := []byte{0, 0, 1, 0xbd}; !bytes.HasPrefix(pes, want) || pes[6] != 0x84 || pes[7] != 0x80 || pes[8] != 5 {
			t.Fatalf("PES header %x, want stream id bd, aligned, with PTS alone", pes[:9])
		}
		if n := int(binary.BigEndian.Uint16(pes[4:])); n != len(pes)-6 {
			t.Errorf("PES says %d bytes, has %d", n, len(pes)-6)
		}
		p := pes[9:]
		at := int64(p[0])>>1&7<<30 | int64(binary.BigEndian.Uint16(p[1:]))>>1<<15 | int64(binary.BigEndian.Uint16(p[3:]))>>1
		pts, tags = append(pts, at), append(tags, pes[14:])
		pes = nil
	}
	for p := range slices.Chunk(ts, PacketSize) {
		if binary.BigEndian.Uint16(p[1:])&0x1fff != pidID3 {
			continue
		}
		if p[1]&0x40 != 0 {
			flush()
		}
		body := p[4:]
		if p[3]&0x20 != 0 {
			body = body[1+int(body[0]):]
		}
		pes = append(pes, body...)
	}
	flush()
	return pts, tags
}

func TestMetadataIsOnePacketATag(t *testing.T) {
	m, counters := New(false), map[uint16]byte{}
	all := m.AppendTables(nil)
	var want [][]byte
	var times []int64
	for i, n := range []int{1, 169, 170, 171, 1100, MaxMetadata} { // 170 fills a packet
		tag := bytes.Repeat([]byte{byte(i + 1)}, n)
		start := len(all)
		all = m.AppendMetadata(all, int64(i)*3000+1<<32, tag)
		check(t, all[start:], counters)
		want, times = append(want, tag), append(times, int64(i)*3000+1<<32)
	}
	pts, tags := metadata(t, all)
	if !slices.Equal(pts, times) {
		t.Errorf("times %d, want %d", pts, times)
	}
	if !reflect.DeepEqual(tags, want) {
		t.Errorf("%d tags, want %d; or their bytes differ", len(tags), len(want))
	}
	long := m.AppendMetadata(nil, 0, make([]byte, MaxMetadata+1))
	if _, tags := metadata(t, long); len(tags) != 1 || len(tags[0]) != MaxMetadata {
		t.Error("a tag that does not fit breaks its packet")
	}
}

func TestParseConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		config []byte
		want   ADTS
		ok     bool
	}{
		"AAC-LC 48 kHz stereo":             {[]byte{0x11, 0x90}, ADTS{1, 3, 2}, true},
		"AAC-LC 44.1 kHz mono":             {[]byte{0x12, 0x08}, ADTS{1, 4, 1}, true},
		"HE-AAC is its core":               {[]byte{0x2b, 0x11, 0x88, 0x00}, ADTS{1, 6, 2}, true},
		"a rate given in full":             {[]byte{0x17, 0x80, 0x5d, 0xc0, 0x10}, ADTS{1, 3, 2}, true},
		"a rate that no index has":         {[]byte{0x17, 0x80, 0x5d, 0xc8, 0x10}, ADTS{}, false},
		"channels in the stream":           {[]byte{0x11, 0x80}, ADTS{}, false},
		"an object type beyond two bits":   {[]byte{0x39, 0x90}, ADTS{}, false},
		"cut short":                        {[]byte{0x11}, ADTS{}, false},
		"nothing":                          {nil, ADTS{}, false},
		"an escape, then nothing":          {[]byte{0xf8}, ADTS{}, false},
		"a reserved sampling rate":         {[]byte{0x16, 0x90}, ADTS{}, false},
		"a configuration with more behind": {[]byte{0x11, 0x90, 0x56, 0xe5, 0x00}, ADTS{1, 3, 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseConfig(tt.config); got != tt.want || (err == nil) != tt.ok {
				t.Errorf("ParseConfig(%x) = %v, %v; want %v, ok=%t", tt.config, got, err, tt.want, tt.ok)
			}
		})
	}
}

// Whatever the encoder sent, the output is whole packets with counters that run on.
func FuzzAppend(f *testing.F) {
	f.Add(unit(sps, pps, nal(0x65, 500)), aac, int64(0), true)
	f.Add([]byte{0, 0, 0, 200, 1}, []byte{0x2b, 0x11, 0x88, 0}, int64(-1), false)
	f.Add([]byte{255, 255, 255, 255, 0}, []byte{0xff}, int64(1)<<62, true)
	f.Fuzz(func(t *testing.T, data, config []byte, at int64, key bool) {
		m, counters := New(true), map[uint16]byte{}
		b := m.AppendTables(nil)
		b = m.AppendVideo(b, Picture{PTS: at, DTS: at, Key: key, Data: data, SPS: [][]byte{sps}})
		if h, err := ParseConfig(config); err == nil && len(data) <= MaxFrame {
			b = m.AppendAudio(b, at, h, [][]byte{data})
		}
		b = m.AppendMetadata(b, at, config)
		check(t, b, counters)
	})
}

func TestAppendDoesNotAllocate(t *testing.T) {
	m, buf := New(true), make([]byte, 0, 64<<10)
	h, _ := ParseConfig(aac)
	p := Picture{Key: true, Data: unit(nal(0x65, 10000)), SPS: [][]byte{sps}, PPS: [][]byte{pps}}
	frames := [][]byte{nal(0x21, 340)}
	if n := testing.AllocsPerRun(100, func() {
		buf = m.AppendTables(buf[:0])
		buf = m.AppendVideo(buf, p)
		buf = m.AppendAudio(buf, 0, h, frames)
		buf = m.AppendMetadata(buf, 0, frames[0])
	}); n > 0 {
		t.Errorf("%v allocs, want 0", n)
	}
}

func BenchmarkAppendVideo(b *testing.B) {
	m, buf := New(true), make([]byte, 0, 64<<10)
	p := Picture{Data: unit(nal(0x41, 10000))} // 2.5 Mbit/s at 30 frames per second
	b.SetBytes(int64(len(p.Data)))
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendVideo(buf[:0], p)
	}
}
