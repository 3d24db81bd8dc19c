package rtmp

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseVideo(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want Tag
	}{
		"empty":                       {"", Tag{}},
		"AVC sequence header":         {"\x17\x00\x00\x00\x00CONF", Tag{AVC, PacketConfig, true, 0, []byte("CONF")}},
		"AVC key frame":               {"\x17\x01\x00\x00\x42NALS", Tag{AVC, PacketFrames, true, 0x42, []byte("NALS")}},
		"AVC inter frame":             {"\x27\x01\x00\x00\x00NALS", Tag{AVC, PacketFrames, false, 0, []byte("NALS")}},
		"AVC disposable frame":        {"\x37\x01\x00\x00\x00NALS", Tag{AVC, PacketFrames, false, 0, []byte("NALS")}},
		"negative composition time":   {"\x27\x01\xff\xff\xfeNALS", Tag{AVC, PacketFrames, false, -2, []byte("NALS")}},
		"AVC end of sequence":         {"\x17\x02\x00\x00\x00", Tag{AVC, PacketEnd, true, 0, []byte{}}},
		"seek command":                {"\x57\x00", Tag{Codec: AVC}},
		"H.263":                       {"\x22abc", Tag{legacyVideo | 2, PacketFrames, false, 0, nil}},
		"HEVC of id 12":               {"\x1c\x01\x00\x00\x00abc", Tag{legacyVideo | 12, PacketFrames, true, 0, nil}},
		"E-RTMP avc1 sequence start":  {"\x90avc1CONF", Tag{AVC, PacketConfig, true, 0, []byte("CONF")}},
		"E-RTMP avc1 coded frames":    {"\x91avc1\xff\xff\xffNALS", Tag{AVC, PacketFrames, true, -1, []byte("NALS")}},
		"E-RTMP avc1 coded frames X":  {"\xa3avc1NALS", Tag{AVC, PacketFrames, false, 0, []byte("NALS")}},
		"E-RTMP avc1 end":             {"\x92avc1", Tag{AVC, PacketEnd, true, 0, []byte{}}},
		"E-RTMP metadata":             {"\x94hvc1\x02", Tag{0x68766331, PacketOther, true, 0, []byte{2}}},
		"E-RTMP hvc1":                 {"\x90hvc1CONF", Tag{0x68766331, PacketConfig, true, 0, []byte("CONF")}},
		"E-RTMP multitrack":           {"\x96\x00avc1\x01", Tag{AVC, PacketMultiple, true, 0, nil}},
		"E-RTMP command":              {"\xd0\x00", Tag{Codec: AVC}},
		"E-RTMP with ModEx before it": {"\x97\x02\x00\x00\x01\x03avc1NALS", Tag{AVC, PacketFrames, true, 0, []byte("NALS")}},
		"E-RTMP with a long ModEx":    {"\x97\xff\x00\x02abc\x03avc1NALS", Tag{AVC, PacketFrames, true, 0, []byte("NALS")}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVideo([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseAudio(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want Tag
	}{
		"empty":                 {"", Tag{}},
		"AAC sequence header":   {"\xaf\x00\x12\x10", Tag{AAC, PacketConfig, false, 0, []byte("\x12\x10")}},
		"AAC frame":             {"\xaf\x01RAW", Tag{AAC, PacketFrames, false, 0, []byte("RAW")}},
		"AAC with other flags":  {"\xa2\x01RAW", Tag{AAC, PacketFrames, false, 0, []byte("RAW")}},
		"MP3":                   {"\x2fabc", Tag{legacyAudio | 2, PacketFrames, false, 0, nil}},
		"E-RTMP mp4a start":     {"\x90mp4a\x12\x10", Tag{AAC, PacketConfig, false, 0, []byte("\x12\x10")}},
		"E-RTMP mp4a frame":     {"\x91mp4aRAW", Tag{AAC, PacketFrames, false, 0, []byte("RAW")}},
		"E-RTMP mp4a end":       {"\x92mp4a", Tag{AAC, PacketEnd, false, 0, []byte{}}},
		"E-RTMP channel config": {"\x94mp4a\x00\x02", Tag{AAC, PacketOther, false, 0, []byte{0, 2}}},
		"E-RTMP Opus":           {"\x91OpusRAW", Tag{0x4f707573, PacketFrames, false, 0, []byte("RAW")}},
		"E-RTMP multitrack":     {"\x95\x01mp4a\x01RAW", Tag{AAC, PacketMultiple, false, 0, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAudio([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseTagRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		parse func([]byte) (Tag, error)
		in    string
	}{
		"AVC cut short":                {ParseVideo, "\x17\x01\x00\x00"},
		"AVC packet type 3":            {ParseVideo, "\x17\x03\x00\x00\x00"},
		"FourCC cut short":             {ParseVideo, "\x90avc"},
		"composition time cut short":   {ParseVideo, "\x91avc1\x00\x00"},
		"ModEx cut short":              {ParseVideo, "\x97"},
		"ModEx size cut short":         {ParseVideo, "\x97\xff\x00"},
		"ModEx past the end":           {ParseVideo, "\x97\x09\x00"},
		"AAC cut short":                {ParseAudio, "\xaf"},
		"AAC packet type 2":            {ParseAudio, "\xaf\x02"},
		"audio FourCC cut short":       {ParseAudio, "\x90mp"},
		"ModEx in audio past the end":  {ParseAudio, "\x97\x02\x00\x00"},
		"ModEx that names no packet":   {ParseAudio, "\x97\x00\x00"},
		"ModEx without a packet after": {ParseAudio, "\x97\x00\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			tag, err := tt.parse([]byte(tt.in))
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Reason != ReasonMedia {
				t.Errorf("got %+v, %v", tag, err)
			}
		})
	}
}

func TestFourCCIsSafeToShow(t *testing.T) {
	for c, want := range map[FourCC]string{
		AVC: "avc1", AAC: "mp4a", 0x68766331: "hvc1",
		legacyVideo | 2: "FLV video codec 2", legacyAudio | 2: "FLV sound format 2",
		0x61760a31: "0x61760a31", 0: "0x00000000",
	} {
		if got := c.String(); got != want {
			t.Errorf("%08x = %q, want %q", uint32(c), got, want)
		}
	}
}

// What is parsed is a part of the input, and what Append writes is parsed the same.
func FuzzFLV(f *testing.F) {
	for _, s := range []string{
		"\x17\x00\x00\x00\x00CONF", "\x27\x01\xff\xff\xfeNALS", "\xaf\x01RAW", "\xaf\x00\x12\x10",
		"\x91avc1\xff\xff\xffNALS", "\x97\xff\x00\x02abc\x03avc1NALS", "\x90mp4a\x12\x10", "\x96\x00avc1\x01",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keep := slices.Clone(b)
		v, verr := ParseVideo(b)
		a, aerr := ParseAudio(b)
		if !bytes.Equal(b, keep) {
			t.Fatal("input written to")
		}
		_, _ = v.Codec.String(), a.Codec.String()
		for _, tag := range []Tag{v, a} {
			if len(tag.Data) > 0 && !bytes.HasSuffix(b, tag.Data) {
				t.Errorf("data %x is not the end of %x", tag.Data, b)
			}
		}
		if verr == nil && v.Codec == AVC && v.Packet == PacketFrames {
			if again, err := ParseVideo(AppendVideo(nil, v)); err != nil || !cmp.Equal(again, v) {
				t.Errorf("%+v became %+v, %v", v, again, err)
			}
		}
		if aerr == nil && a.Codec == AAC && (a.Packet == PacketFrames || a.Packet == PacketConfig) {
			if again, err := ParseAudio(AppendAudio(nil, a)); err != nil || !cmp.Equal(again, a) {
				t.Errorf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}

func TestFileReader(t *testing.T) {
	const head = "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
	const tag = "\x09\x00\x00\x02\x00\x00\x28\x01\x00\x00\x00ab\x00\x00\x00\x0d"
	f, err := NewFileReader(strings.NewReader(head + tag))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Next()
	if d := cmp.Diff(FileTag{TypeVideo, 1<<24 | 40, []byte("ab")}, got); err != nil || d != "" {
		t.Error(err, d)
	}
	if _, err := f.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	for name, in := range map[string]string{
		"not FLV": "RIFF" + head, "cut header": head[:5], "absurd header": "FLV\x01\x05\xff\x00\x00\x09\x00\x00\x00\x00",
	} {
		if _, err := NewFileReader(strings.NewReader(in)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, in := range map[string]string{
		"cut tag": head + tag[:12], "cut back pointer": head + tag[:14], "huge tag": head + "\x09\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00",
	} {
		f, err := NewFileReader(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
