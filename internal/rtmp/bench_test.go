package rtmp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"
)

// A loop reads the same bytes for ever, in pieces as a socket gives them.
type loop struct {
	b  []byte
	at int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.b[l.at:])
	if l.at += n; l.at == len(l.b) {
		l.at = 0
	}
	return n, nil
}

// second is one second of a stream of the given rate, as OBS chunks it: 30 frames, the
// first of them six times as large, and 47 frames of audio.
func second(bitsPerSecond int) (b []byte, messages, payload int) {
	var out bytes.Buffer
	w := NewWriter(&out)
	w.SetChunkSize(4096)
	add := func(id uint8, typ MessageType, ts, n int) {
		w.Append(id, Message{Type: typ, Stream: 1, Timestamp: int64(ts), Payload: make([]byte, n)})
		messages++
		payload += n
	}
	frame := bitsPerSecond / 8 / 35
	for i := range 47 {
		add(chunkAudio, TypeAudio, i*21, 350)
		if i < 30 {
			n := frame
			if i == 0 {
				n *= 6
			}
			add(chunkVideo, TypeVideo, i*33, n)
		}
	}
	_ = w.Flush()
	return out.Bytes(), messages, payload
}

func BenchmarkReader(b *testing.B) {
	for _, rate := range []int{2_500_000, 8_500_000} {
		b.Run(fmt.Sprintf("rate=%.1fMbps", float64(rate)/1e6), func(b *testing.B) {
			data, messages, payload := second(rate)
			r := NewReader(bufio.NewReaderSize(&loop{b: data}, readBuffer), Limits{Media: maxMedia, Other: maxCommand, Buffered: maxBuffered})
			b.SetBytes(int64(payload / messages))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ReadMessage(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(io.Discard)
	w.SetChunkSize(4096)
	payload := make([]byte, 9000)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.Append(chunkVideo, Message{Type: TypeVideo, Stream: 1, Timestamp: int64(i) * 33, Payload: payload})
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// The promise of the package: one allocation a media message, which is its payload.
func TestReaderAllocatesOnlyPayloads(t *testing.T) {
	data, messages, _ := second(2_500_000)
	r := NewReader(bufio.NewReaderSize(&loop{b: data}, readBuffer), Limits{Media: maxMedia, Other: maxCommand, Buffered: maxBuffered})
	read := func() {
		for range messages {
			if _, err := r.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
	}
	read() // the chunk streams' own state
	if n := testing.AllocsPerRun(20, read); n > float64(messages) {
		t.Errorf("%v allocations for %d messages", n, messages)
	}
}
