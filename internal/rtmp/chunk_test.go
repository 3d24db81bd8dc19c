package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

var testLimits = Limits{Media: 1 << 20, Other: 1 << 10, Buffered: 2 << 20}

// chunk0 to chunk3 make one chunk of each type.
func chunk0(id byte, ts uint32, n int, typ MessageType, stream byte, data ...byte) []byte {
	b := []byte{id, byte(ts >> 16), byte(ts >> 8), byte(ts), byte(n >> 16), byte(n >> 8), byte(n), byte(typ), stream, 0, 0, 0}
	return append(b, data...)
}

func chunk1(id byte, delta uint32, n int, typ MessageType, data ...byte) []byte {
	b := []byte{1<<6 | id, byte(delta >> 16), byte(delta >> 8), byte(delta), byte(n >> 16), byte(n >> 8), byte(n), byte(typ)}
	return append(b, data...)
}

func chunk2(id byte, delta uint32, data ...byte) []byte {
	return append([]byte{2<<6 | id, byte(delta >> 16), byte(delta >> 8), byte(delta)}, data...)
}

func chunk3(id byte, data ...byte) []byte { return append([]byte{3<<6 | id}, data...) }

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// text is a message in a form that tests compare.
func (m Message) text() string {
	return fmt.Sprintf("%d/%d@%d %x", m.Type, m.Stream, m.Timestamp, m.Payload)
}

func readAll(b []byte, l Limits) (got []string, err error) {
	r := NewReader(bufio.NewReader(bytes.NewReader(b)), l)
	for {
		m, err := r.ReadMessage()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, m.text())
	}
}

func TestReader(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 300) // three chunks of the default size
	cat := func(p ...[]byte) []byte { return slices.Concat(p...) }
	wide := cat(
		chunk0(2, 0, 4, TypeSetChunkSize, 0, 0, 0, 1, 0),
		chunk0(4, 5, 300, TypeVideo, 1, long[:256]...), chunk3(4, long[256:]...))
	for name, tt := range map[string]struct {
		in   []byte
		want []string
	}{
		"type 0": {chunk0(4, 1000, 2, TypeAudio, 1, 1, 2), []string{"8/1@1000 0102"}},
		"type 1 adds its delta and keeps the stream": {
			cat(chunk0(4, 1000, 1, TypeAudio, 1, 1), chunk1(4, 20, 2, TypeVideo, 2, 3)),
			[]string{"8/1@1000 01", "9/1@1020 0203"},
		},
		"type 2 keeps length and type": {
			cat(chunk0(4, 1000, 1, TypeAudio, 1, 1), chunk2(4, 20, 2)),
			[]string{"8/1@1000 01", "8/1@1020 02"},
		},
		"type 3 repeats the delta": {
			cat(chunk0(4, 1000, 1, TypeAudio, 1, 1), chunk2(4, 20, 2), chunk3(4, 3), chunk3(4, 4)),
			[]string{"8/1@1000 01", "8/1@1020 02", "8/1@1040 03", "8/1@1060 04"},
		},
		"type 3 after type 0 repeats its timestamp": {
			cat(chunk0(4, 23, 1, TypeAudio, 1, 1), chunk3(4, 2)),
			[]string{"8/1@23 01", "8/1@46 02"},
		},
		"type 3 after a late type 0 means the same time": {
			cat(chunk0(4, 500_000, 1, TypeAudio, 1, 1), chunk3(4, 2)),
			[]string{"8/1@500000 01", "8/1@500000 02"},
		},
		"type 1 opens a chunk stream, as librtmp does": {chunk1(2, 7, 1, TypeData, 1), []string{"18/0@7 01"}},
		"a message in three chunks": {
			cat(chunk0(4, 5, 300, TypeVideo, 1, long[:128]...), chunk3(4, long[128:256]...), chunk3(4, long[256:]...)),
			[]string{Message{TypeVideo, 1, 5, long}.text()},
		},
		"Set Chunk Size":   {wide, []string{Message{TypeVideo, 1, 5, long}.text()}},
		"chunk id 64":      {cat([]byte{0, 0}, chunk0(4, 9, 1, TypeAudio, 1, 1)[1:]), []string{"8/1@9 01"}},
		"chunk id 319":     {cat([]byte{0, 255}, chunk0(4, 9, 1, TypeAudio, 1, 1)[1:]), []string{"8/1@9 01"}},
		"chunk id 65599":   {cat([]byte{1, 255, 255}, chunk0(4, 9, 1, TypeAudio, 1, 1)[1:], []byte{0xc1, 255, 255, 2}), []string{"8/1@9 01", "8/1@18 02"}},
		"id 64 in 3 bytes": {cat([]byte{0, 0}, chunk0(4, 9, 1, TypeAudio, 1, 1)[1:], []byte{0xc1, 0, 0, 2}), []string{"8/1@9 01", "8/1@18 02"}},
		"chunk streams interleave": {
			cat(chunk0(4, 5, 200, TypeVideo, 1, long[:128]...), chunk0(6, 6, 1, TypeAudio, 1, 9), chunk3(4, long[:72]...)),
			[]string{"8/1@6 09", Message{TypeVideo, 1, 5, long[:200]}.text()},
		},
		"extended timestamp, repeated in type 3": {
			cat(chunk0(4, extendedMark, 200, TypeVideo, 1), be32(0x01020304), long[:128], chunk3(4), be32(0x01020304), long[:72]),
			[]string{Message{TypeVideo, 1, 0x01020304, long[:200]}.text()},
		},
		"extended timestamp, not repeated": {
			cat(chunk0(4, extendedMark, 200, TypeVideo, 1), be32(0x01020304), long[:128], chunk3(4), long[:72]),
			[]string{Message{TypeVideo, 1, 0x01020304, long[:200]}.text()},
		},
		"extended delta": {
			cat(chunk0(4, 10, 1, TypeAudio, 1, 1), chunk2(4, extendedMark), be32(0x02000000), []byte{2}),
			[]string{"8/1@10 01", "8/1@33554442 02"},
		},
		"extended delta, repeated as a time": {
			cat(chunk0(4, 10, 1, TypeAudio, 1, 1), chunk1(4, extendedMark, 129, TypeAudio), be32(0x02000000), long[:128], chunk3(4), be32(0x0200000a), long[:1]),
			[]string{"8/1@10 01", Message{TypeAudio, 1, 0x0200000a, long[:129]}.text()},
		},
		"time wraps at 2^32": {
			cat(chunk0(4, extendedMark, 1, TypeAudio, 1), be32(0xfffffff0), []byte{1}, chunk2(4, 0x20, 2)),
			[]string{"8/1@4294967280 01", "8/1@16 02"},
		},
		"Abort drops a partial message": {
			cat(chunk0(4, 5, 200, TypeVideo, 1, long[:128]...), chunk0(2, 0, 4, TypeAbort, 0, be32(4)...), chunk0(4, 6, 1, TypeVideo, 1, 8)),
			[]string{"9/1@6 08"},
		},
		"Abort of an unknown chunk stream": {chunk0(2, 0, 4, TypeAbort, 0, be32(900)...), nil},
		"a new header inside a message drops it": {
			cat(chunk0(4, 5, 200, TypeVideo, 1, long[:128]...), chunk0(4, 6, 1, TypeVideo, 1, 8)),
			[]string{"9/1@6 08"},
		},
		"an empty message": {cat(chunk0(4, 5, 0, TypeVideo, 1), chunk2(4, 1)), []string{"9/1@5 ", "9/1@6 "}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(tt.in, testLimits)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	var many, partial []byte
	for id := range byte(65) { // 2 to 63 in one byte, the rest in two
		h := chunk0(id+2, 0, 0, TypeData, 0)
		if id+2 > 63 {
			h = append([]byte{0, id + 2 - 64}, h[1:]...)
		}
		many = append(many, h...)
	}
	for id := range byte(3) {
		partial = append(partial, chunk0(id+4, 0, 1<<20, TypeVideo, 1, make([]byte, 128)...)...)
	}
	size := func(n uint32) []byte { return chunk0(2, 0, 4, TypeSetChunkSize, 0, be32(n)...) }
	for name, tt := range map[string]struct {
		in     []byte
		limits Limits
		want   Reason // "" for io.ErrUnexpectedEOF
	}{
		"chunk size 0":                        {size(0), testLimits, ReasonChunkSize},
		"chunk size 127":                      {size(127), testLimits, ReasonChunkSize},
		"chunk size over 1 MiB":               {size(1<<20 + 1), testLimits, ReasonChunkSize},
		"chunk size 2^32-1":                   {size(1<<32 - 1), testLimits, ReasonChunkSize},
		"chunk size cut short":                {chunk0(2, 0, 2, TypeSetChunkSize, 0, 1, 0), testLimits, ReasonChunkSize},
		"abort cut short":                     {chunk0(2, 0, 0, TypeAbort, 0), testLimits, ReasonChunk},
		"starts with type 3":                  {chunk3(4), testLimits, ReasonChunk},
		"starts with type 2":                  {chunk2(4, 0), testLimits, ReasonChunk},
		"media over its limit":                {chunk0(4, 0, 1<<20+1, TypeVideo, 1), testLimits, ReasonTooLarge},
		"command over its limit":              {chunk0(4, 0, 1<<10+1, TypeCommand, 1), testLimits, ReasonTooLarge},
		"unknown type over its limit":         {chunk0(4, 0, 1<<10+1, 99, 1), testLimits, ReasonTooLarge},
		"partial messages over their limit":   {partial, testLimits, ReasonTooLarge},
		"media when none is due":              {chunk0(4, 0, 1, TypeAudio, 1), Limits{Other: 9, Buffered: 9}, ReasonOrder},
		"a 65th chunk stream":                 {many, testLimits, ReasonStreams},
		"cut in the basic header":             {[]byte{1, 2}, testLimits, ""},
		"cut in the message header":           {chunk0(4, 0, 1, TypeAudio, 1)[:8], testLimits, ""},
		"cut in the extended timestamp":       {append(chunk0(4, extendedMark, 1, TypeAudio, 1), 1, 2), testLimits, ""},
		"cut in the payload":                  {chunk0(4, 0, 9, TypeAudio, 1, 1, 2), testLimits, ""},
		"media declared larger than 16777214": {chunk0(4, 0, 0xffffff, TypeVideo, 1), testLimits, ReasonTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(tt.in, tt.limits)
			pe, ok := errors.AsType[*ProtocolError](err)
			if ok && pe.Reason == tt.want || !ok && tt.want == "" && errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			t.Errorf("got %v, want reason %q", err, tt.want)
		})
	}
}

// A partial message that ends gives its bytes back.
func TestReaderBufferedReturnsToZero(t *testing.T) {
	in := slices.Concat(
		chunk0(4, 0, 200, TypeVideo, 1, make([]byte, 128)...),
		chunk0(6, 0, 300, TypeAudio, 1, make([]byte, 128)...),
		chunk0(2, 0, 4, TypeAbort, 0, be32(4)...),
		chunk0(6, 0, 1, TypeAudio, 1, 1))
	r := NewReader(bufio.NewReader(bytes.NewReader(in)), testLimits)
	if _, err := r.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	if r.buffered != 0 {
		t.Errorf("%d bytes counted as buffered after all messages ended", r.buffered)
	}
	if r.received != uint64(len(in)) {
		t.Errorf("received %d, want %d", r.received, len(in))
	}
}

// What Writer writes Reader reads.
func TestWriterReader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var (
		out  bytes.Buffer
		w    = NewWriter(&out)
		want []string
	)
	w.SetChunkSize(200)
	now := uint32(0xffffff - 1000) // across the extended mark, then across the wrap
	for i := range 500 {
		if i == 250 {
			now = 1<<32 - 2000
		}
		p := make([]byte, rnd.IntN(900))
		for j := range p {
			p[j] = byte(rnd.Uint32())
		}
		m := Message{Type: []MessageType{TypeAudio, TypeVideo}[i%2], Stream: 1, Timestamp: int64(now), Payload: p}
		w.Append([]uint8{4, 6}[i%2], m)
		want = append(want, m.text())
		now += uint32(rnd.IntN(40))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(out.Bytes(), testLimits)
	if err != nil || !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("message %d: got %.60s, want %.60s", i, got[i], want[i])
				break
			}
		}
		t.Fatalf("%d of %d messages, %v", len(got), len(want), err)
	}
}

// Payloads of media are never touched again, whatever is read after them.
func TestMediaPayloadIsFresh(t *testing.T) {
	in := slices.Concat(chunk0(4, 0, 2, TypeVideo, 1, 1, 2), chunk0(4, 0, 2, TypeVideo, 1, 3, 4))
	r := NewReader(bufio.NewReader(bytes.NewReader(in)), testLimits)
	first, err := r.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Payload, []byte{1, 2}) || cap(first.Payload) != 2 {
		t.Errorf("payload %v of capacity %d", first.Payload, cap(first.Payload))
	}
}
