package rtmp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	big := make([]byte, 300<<10)
	rand.Read(big)
	msgs := []Message{
		{TypeCommand, 0, 0, Command{"connect", 1, Args("a")}.Append(nil)},
		{TypeVideo, 1, 0, big},
		{TypeAudio, 1, extendedTime - 1, []byte{1}},
		{TypeVideo, 1, extendedTime, big[:5000]},
		{TypeVideo, 1, 0xfffffff0, big[:5000]},
	}
	for name, chunk := range map[string]int{"least": 1, "default": 128, "OBS": 4096, "over any message": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			w := NewWriter(&wire)
			if err := w.SetChunkSize(chunk); err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				if err := w.Write(5, m); err != nil {
					t.Fatal(err)
				}
			}
			r := NewReader(&wire)
			for _, want := range msgs {
				got, err := r.Read()
				if err != nil {
					t.Fatal(err)
				}
				if !equal(got, want) {
					t.Fatalf("message of type %d, %d ms, %d bytes; want type %d, %d ms, %d bytes",
						got.Type, got.MS, len(got.Body), want.Type, want.MS, len(want.Body))
				}
			}
			if _, err := r.Read(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last message: %v, want EOF", err)
			}
		})
	}
}

func equal(a, b Message) bool {
	return a.Type == b.Type && a.StreamID == b.StreamID && a.MS == b.MS && bytes.Equal(a.Body, b.Body)
}

func TestReaderRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"chunks of no bytes":     {2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"a huge message":         {3, 0, 0, 0, 0xff, 0xff, 0xff, 9, 0, 0, 0, 0},
		"too many chunk streams": manyStreams(),
		"a message that shrinks": append(append([]byte{3, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0}, make([]byte, 128)...), 0x43, 0, 0, 0, 0, 0, 1, 9),
		"a short Set Chunk Size": {2, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0},
		"a cut basic header":     {0},
		"a cut extended time":    {3, 0xff, 0xff, 0xff, 0, 0, 1, 9, 0, 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := NewReader(bytes.NewReader(b)).Read(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && len(b) > 1 {
				t.Errorf("Read(%x) = %+v, %v, want an error of its own", b[:min(len(b), 20)], m, err)
			}
		})
	}
}

func manyStreams() []byte {
	var b []byte
	for id := range byte(maxStreams + 1) {
		b = append(b, 0, id, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0) // 256 bytes announced
		b = append(b, make([]byte, 128)...)
	}
	return b
}

func TestCommand(t *testing.T) {
	want := Command{"_result", 4, appendNumber(Args(), 7)}
	got, ok := ParseCommand(want.Append(nil))
	if n, isNumber := got.LastNumber(); !ok || cmp.Diff(want, got) != "" || !isNumber || n != 7 {
		t.Errorf("ParseCommand = %+v, %t, want %+v ending in 7", got, ok, want)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "not a string": {0, 0, 0}, "string past the end": {2, 0xff, 0xff, 'a'}, "no transaction": {2, 0, 1, 'a'},
	} {
		t.Run(name, func(t *testing.T) {
			if c, ok := ParseCommand(b); ok {
				t.Errorf("ParseCommand(%x) = %+v", b, c)
			}
		})
	}
}

func TestStatusCodeShowsNoKey(t *testing.T) {
	args := appendProps(Args(), "level", "error", "code", "NetStream.Publish.BadName", "description", "sk_secret")
	if got := statusCode(args); got != "NetStream.Publish.BadName" {
		t.Errorf("statusCode = %q", got)
	}
}

func TestDialRefusesOtherMachines(t *testing.T) {
	for name, u := range map[string]string{
		"public address": "rtmp://192.0.2.1:1935/app/key", "name": "rtmp://localhost:1935/app/key", "scheme": "http://127.0.0.1:1/app/key",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Dial(t.Context(), u, 4096, time.Second); err == nil {
				t.Errorf("Dial(%q): no error", u)
			}
		})
	}
	if _, err := Dial(t.Context(), "rtmp://192.0.2.1:1935/app/key", 4096, time.Second); !errors.Is(err, loopback.ErrRefused) {
		t.Errorf("Dial = %v, want ErrRefused", err)
	}
}

// Whatever the reader accepts, the writer writes so that the reader reads the same.
func FuzzReader(f *testing.F) {
	var wire bytes.Buffer
	w := NewWriter(&wire)
	if err := errors.Join(
		w.Write(5, Message{TypeVideo, 1, 40, make([]byte, 500)}),
		w.SetChunkSize(7),
		w.Write(5, Message{TypeVideo, 1, 1 << 25, make([]byte, 50)}),
	); err != nil {
		f.Fatal(err)
	}
	f.Add(wire.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		var msgs []Message
		for range 100 {
			m, err := r.Read()
			if err != nil {
				break
			}
			msgs = append(msgs, m)
		}
		var wire bytes.Buffer
		w := NewWriter(&wire)
		for _, m := range slices.DeleteFunc(msgs, func(m Message) bool { return m.Type == TypeSetChunkSize }) {
			if err := w.Write(9, m); err != nil {
				t.Fatal(err)
			}
			got, err := NewReader(&wire).Read()
			if err != nil || !equal(m, got) {
				t.Fatalf("read back %+v, %v, want %+v", got, err, m)
			}
			wire.Reset()
		}
	})
}
