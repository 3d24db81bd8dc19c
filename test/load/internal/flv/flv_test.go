package flv

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sample is 30 frames at 30/s from 1000 ms on, with configuration, metadata and audio.
func sample() []byte {
	b := AppendHeader(nil)
	b = AppendTag(b, Tag{Type: Script, Data: []byte("meta")})
	b = AppendTag(b, Tag{Type: Video, Data: []byte{0x17, 0, 0, 0, 0, 1}})
	b = AppendTag(b, Tag{Type: Audio, Data: []byte{0xaf, 0, 0x11, 0x90}})
	for i := range 30 {
		ms := uint32(1000 + (i*1000+15)/30) // rounded, as encoders do
		b = AppendTag(b, Tag{Type: Video, MS: ms, Data: []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41}})
		b = AppendTag(b, Tag{Type: Audio, MS: ms, Data: []byte{0xaf, 1, 0}})
	}
	return AppendTag(b, Tag{Type: Video, MS: 2000, Data: []byte{0x17, 2, 0, 0, 0}})
}

func TestParse(t *testing.T) {
	f, err := Parse(sample())
	if err != nil {
		t.Fatal(err)
	}
	if string(f.Meta) != "meta" || len(f.Config) != 2 || len(f.Media) != 60 {
		t.Fatalf("meta %q, %d configurations, %d frames, want meta, 2, 60", f.Meta, len(f.Config), len(f.Media))
	}
	if f.Media[0].MS != 0 || f.Loop < 999*time.Millisecond || f.Loop > 1001*time.Millisecond {
		t.Errorf("first frame at %d ms, loop %v, want 0 and a second", f.Media[0].MS, f.Loop)
	}
	if !f.Media[0].AVC() || f.Media[1].AVC() {
		t.Error("AVC does not tell video from audio")
	}
}

func TestTheLoopIsWholeFrames(t *testing.T) {
	b := sample()
	for _, ms := range []uint32{1993, 2000, 2015} { // from 1000: inside, at and past a second
		b = AppendTag(b, Tag{Type: Audio, MS: ms, Data: []byte{0xaf, 1, 0}})
	}
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if last := f.Media[len(f.Media)-1]; f.Loop != time.Second || last.MS != 993 {
		t.Errorf("loop %v, last tag at %d ms; want 1s and 993", f.Loop, last.MS)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"another format":      []byte("RIFF0123456789"),
		"no media":            AppendHeader(nil),
		"header past the end": []byte("FLV\x01\x05\xff\xff\xff\xff\x00\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(b); err == nil {
				t.Errorf("Parse(%q): no error", b)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.flv")
	if _, err := Load(path); err == nil {
		t.Error("Load of no file: no error")
	}
	if err := os.WriteFile(path, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Load(path); err != nil || len(f.Media) != 60 {
		t.Errorf("Load = %v, %v", f, err)
	}
}

// Whatever Parse accepts can be replayed: no frame is at or past the loop.
func FuzzParse(f *testing.F) {
	s := sample()
	f.Add(s)
	f.Add(s[:len(s)/2])
	f.Add(bytes.ReplaceAll(s, []byte{0x27, 1}, []byte{0xa7, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		for _, tag := range file.Media {
			if at := time.Duration(tag.MS) * time.Millisecond; at >= file.Loop {
				t.Fatalf("frame at %v, loop %v", at, file.Loop)
			}
		}
	})
}
