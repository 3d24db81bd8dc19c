package marker

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

var epoch = time.Unix(1700000000, 12345)

func box(typ string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, typ...), body...)
}

// chunk is a moof and an mdat that holds marks first..first+n-1.
func chunk(first, n int) []byte {
	var frames []byte
	for i := range n {
		frames = AppendAVC(frames, make([]byte, 300), Mark{uint32(first + i), epoch})
	}
	return append(box("moof", make([]byte, 100)), box("mdat", frames)...)
}

// pes is a video PES packet with one mark; with announced, its length is in the header.
func pes(seq int, announced bool) []byte {
	es := AppendSEI(bytes.Repeat([]byte{0xaa}, 150), Mark{uint32(seq), epoch})
	es = append(es, bytes.Repeat([]byte{0xbb}, 300)...)
	h := []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0}
	if announced {
		binary.BigEndian.PutUint16(h[4:], uint16(len(es)+3))
	}
	return append(h, es...)
}

// packets cuts a PES packet into MPEG-TS packets on pid.
func packets(pid uint16, u []byte) []byte {
	var ts []byte
	for start := byte(0x40); len(u) > 0; start = 0 {
		p := []byte{0x47, start | byte(pid>>8), byte(pid), 0x10}
		n := min(184, len(u))
		if pad := 184 - n; pad > 0 {
			p[3] = 0x30
			p = append(p, byte(pad-1))
			p = append(p, make([]byte, pad-1)...)
		}
		ts = append(append(ts, p...), u[:n]...)
		u = u[n:]
	}
	return ts
}

type found struct {
	seq uint32
	at  int // index of the byte with which it became usable; len(stream) for the end
}

// scan feeds stream byte by byte, so that usable says which byte it took.
func scan(t *testing.T, stream []byte) []found {
	t.Helper()
	var got []found
	s := Scanner{Emit: func(m Mark, usable time.Time) {
		if !m.Sent.Equal(epoch) {
			t.Errorf("mark %d sent at %v, want %v", m.Seq, m.Sent, epoch)
		}
		got = append(got, found{m.Seq, int(usable.Sub(epoch))})
	}}
	for i := range stream {
		s.Feed(stream[i:i+1], epoch.Add(time.Duration(i)))
	}
	s.Finish(epoch.Add(time.Duration(len(stream))))
	return got
}

func TestUsable(t *testing.T) {
	c := chunk(0, 1)
	bounded, open := packets(256, pes(0, true)), packets(256, pes(0, false))
	audio := packets(257, append([]byte{0, 0, 1, 0xc0, 0, 0, 0x80, 0, 0}, AppendSEI(nil, Mark{9, epoch})...))
	for name, tt := range map[string]struct {
		stream []byte
		want   []found
	}{
		"fMP4: at the end of the mdat":             {chunk(0, 2), []found{{0, len(chunk(0, 2)) - 1}, {1, len(chunk(0, 2)) - 1}}},
		"fMP4: chunk by chunk":                     {append(chunk(0, 1), chunk(1, 1)...), []found{{0, len(c) - 1}, {1, 2*len(c) - 1}}},
		"fMP4: an unfinished mdat is not usable":   {c[:len(c)-1], nil},
		"TS: at the announced end":                 {append(bounded, audio...), []found{{0, len(bounded) - 1}}},
		"TS: of unknown length, at the next start": {append(open, packets(256, pes(1, true))...), []found{{0, len(open) + 187}, {1, 2*len(open) - 1}}},
		"TS: of unknown length, at the end":        {open, []found{{0, len(open)}}},
		"TS: another PID does not end it":          {append(open, audio...), []found{{0, len(open) + len(audio)}}},
		"TS: audio is not looked at":               {audio, nil},
		"neither":                                  {bytes.Repeat([]byte("not media"), 100), nil},
		"a 64-bit box size":                        {append([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0, 0, 0, 60}, AppendSEI(nil, Mark{3, epoch})...), []found{{3, 59}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := scan(t, tt.stream); !slices.Equal(got, tt.want) {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAppendAVC(t *testing.T) {
	slice := []byte{0, 0, 0, 2, 0x41, 7}
	aud := []byte{0, 0, 0, 2, 9, 0x10}
	sei := AppendAVC(nil, nil, Mark{1, epoch})
	for name, tt := range map[string]struct{ in, want []byte }{
		"in front of a slice":         {slice, slices.Concat(sei, slice)},
		"after a delimiter":           {slices.Concat(aud, slice), slices.Concat(aud, sei, slice)},
		"a delimiter with a bad size": {[]byte{9, 0, 0, 0, 9, 1}, slices.Concat(sei, []byte{9, 0, 0, 0, 9, 1})},
	} {
		t.Run(name, func(t *testing.T) {
			if got := AppendAVC(nil, tt.in, Mark{1, epoch}); !bytes.Equal(got, tt.want) {
				t.Errorf("AppendAVC(%x) = %x, want %x", tt.in, got, tt.want)
			}
		})
	}
}

// However a resource is cut on its way, the same marks are found in the same order.
func FuzzScanner(f *testing.F) {
	f.Add(slices.Concat(chunk(0, 2), chunk(2, 1)), uint16(7))
	f.Add(slices.Concat(packets(256, pes(0, true)), packets(256, pes(1, false))), uint16(190))
	f.Add([]byte{0x47, 0x40, 0, 0x30, 0xff, 0, 0, 0}, uint16(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		marks := func(step int) []uint32 {
			var seqs []uint32
			s := Scanner{Emit: func(m Mark, _ time.Time) { seqs = append(seqs, m.Seq) }}
			for b := range slices.Chunk(stream, step) {
				s.Feed(b, epoch)
			}
			if s.kind != mpegts { // several unfinished PIDs end in no particular order
				s.Finish(epoch)
			}
			return seqs
		}
		whole, cut := marks(len(stream)+1), marks(int(size)+1)
		if !slices.Equal(whole, cut) {
			t.Fatalf("in one piece %v, in pieces of %d %v", whole, int(size)+1, cut)
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	part := chunk(0, 6)
	s := Scanner{Emit: func(Mark, time.Time) {}}
	b.SetBytes(int64(len(part)))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(part, epoch)
		s.Finish(epoch)
	}
}
