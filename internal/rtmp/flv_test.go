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
		want []Tag
	}{
		"empty":                      {"", nil},
		"AVC sequence header":        {"\x17\x00\x00\x00\x00CONF", []Tag{{AVC, PacketConfig, true, 0, []byte("CONF"), 0}}},
		"AVC key frame":              {"\x17\x01\x00\x00\x42NALS", []Tag{{AVC, PacketFrames, true, 0x42, []byte("NALS"), 0}}},
		"AVC inter frame":            {"\x27\x01\x00\x00\x00NALS", []Tag{{AVC, PacketFrames, false, 0, []byte("NALS"), 0}}},
		"AVC disposable frame":       {"\x37\x01\x00\x00\x00NALS", []Tag{{AVC, PacketFrames, false, 0, []byte("NALS"), 0}}},
		"negative composition time":  {"\x27\x01\xff\xff\xfeNALS", []Tag{{AVC, PacketFrames, false, -2, []byte("NALS"), 0}}},
		"AVC end of sequence":        {"\x17\x02\x00\x00\x00", []Tag{{AVC, PacketEnd, true, 0, []byte{}, 0}}},
		"seek command":               {"\x57\x00", nil},
		"H.263":                      {"\x22abc", []Tag{{legacyVideo | 2, PacketFrames, false, 0, nil, 0}}},
		"HEVC of id 12":              {"\x1c\x01\x00\x00\x00abc", []Tag{{legacyVideo | 12, PacketFrames, true, 0, nil, 0}}},
		"E-RTMP avc1 sequence start": {"\x90avc1CONF", []Tag{{AVC, PacketConfig, true, 0, []byte("CONF"), 0}}},
		"E-RTMP avc1 coded frames":   {"\x91avc1\xff\xff\xffNALS", []Tag{{AVC, PacketFrames, true, -1, []byte("NALS"), 0}}},
		"E-RTMP avc1 coded frames X": {"\xa3avc1NALS", []Tag{{AVC, PacketFrames, false, 0, []byte("NALS"), 0}}},
		"E-RTMP avc1 end":            {"\x92avc1", []Tag{{AVC, PacketEnd, true, 0, []byte{}, 0}}},
		"E-RTMP metadata":            {"\x94hvc1\x02", []Tag{{HEVC, PacketOther, true, 0, []byte{2}, 0}}},
		"E-RTMP hvc1":                {"\x90hvc1CONF", []Tag{{HEVC, PacketConfig, true, 0, []byte("CONF"), 0}}},
		"E-RTMP hvc1 coded frames":   {"\x91hvc1\x00\x00\x21NALS", []Tag{{HEVC, PacketFrames, true, 0x21, []byte("NALS"), 0}}},
		"E-RTMP hvc1 coded frames X": {"\xa3hvc1NALS", []Tag{{HEVC, PacketFrames, false, 0, []byte("NALS"), 0}}},
		"E-RTMP av01 coded frames":   {"\x91av01OBUS", []Tag{{0x61763031, PacketFrames, true, 0, []byte("OBUS"), 0}}},
		"one track's sequence start": {"\x96\x00avc1\x02CONF", []Tag{{AVC, PacketConfig, true, 0, []byte("CONF"), 2}}},
		"one track's coded frames":   {"\xa6\x01hvc1\x01\x00\x00\x10NALS", []Tag{{HEVC, PacketFrames, false, 16, []byte("NALS"), 1}}},
		"one track's coded frames X": {"\xa6\x03avc1\x09NALS", []Tag{{AVC, PacketFrames, false, 0, []byte("NALS"), 9}}},
		"one track's metadata":       {"\x96\x04hvc1\x01\x02", []Tag{{HEVC, PacketOther, true, 0, []byte{2}, 1}}},
		"one track behind a ModEx":   {"\x97\x02\x00\x00\x01\x06\x03avc1\x01NALS", []Tag{{AVC, PacketFrames, true, 0, []byte("NALS"), 1}}},
		"many tracks": {"\x96\x13avc1\x00\x00\x00\x04NALS\x01\x00\x00\x02na", []Tag{
			{AVC, PacketFrames, true, 0, []byte("NALS"), 0}, {AVC, PacketFrames, true, 0, []byte("na"), 1},
		}},
		"many tracks and codecs": {"\x96\x21avc1\x00\x00\x00\x07\x00\x00\x05NALShvc1\x01\x00\x00\x03\x00\x00\x00", []Tag{
			{AVC, PacketFrames, true, 5, []byte("NALS"), 0}, {HEVC, PacketFrames, true, 0, []byte{}, 1},
		}},
		"E-RTMP command":              {"\xd0\x00", nil},
		"E-RTMP with ModEx before it": {"\x97\x02\x00\x00\x01\x03avc1NALS", []Tag{{AVC, PacketFrames, true, 0, []byte("NALS"), 0}}},
		"E-RTMP with a long ModEx":    {"\x97\xff\x00\x02abc\x03avc1NALS", []Tag{{AVC, PacketFrames, true, 0, []byte("NALS"), 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVideo(nil, []byte(tt.in))
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
		want []Tag
	}{
		"empty":                 {"", nil},
		"AAC sequence header":   {"\xaf\x00\x12\x10", []Tag{{AAC, PacketConfig, false, 0, []byte("\x12\x10"), 0}}},
		"AAC frame":             {"\xaf\x01RAW", []Tag{{AAC, PacketFrames, false, 0, []byte("RAW"), 0}}},
		"AAC with other flags":  {"\xa2\x01RAW", []Tag{{AAC, PacketFrames, false, 0, []byte("RAW"), 0}}},
		"MP3":                   {"\x2fabc", []Tag{{legacyAudio | 2, PacketFrames, false, 0, nil, 0}}},
		"E-RTMP mp4a start":     {"\x90mp4a\x12\x10", []Tag{{AAC, PacketConfig, false, 0, []byte("\x12\x10"), 0}}},
		"E-RTMP mp4a frame":     {"\x91mp4aRAW", []Tag{{AAC, PacketFrames, false, 0, []byte("RAW"), 0}}},
		"E-RTMP mp4a end":       {"\x92mp4a", []Tag{{AAC, PacketEnd, false, 0, []byte{}, 0}}},
		"E-RTMP channel config": {"\x94mp4a\x00\x02", []Tag{{AAC, PacketOther, false, 0, []byte{0, 2}, 0}}},
		"one track's start":     {"\x95\x00mp4a\x01\x12\x10", []Tag{{AAC, PacketConfig, false, 0, []byte("\x12\x10"), 1}}},
		"one track's frame":     {"\x95\x01mp4a\x01RAW", []Tag{{AAC, PacketFrames, false, 0, []byte("RAW"), 1}}},
		"many tracks": {"\x95\x11mp4a\x00\x00\x00\x03RAW\x01\x00\x00\x01r", []Tag{
			{AAC, PacketFrames, false, 0, []byte("RAW"), 0}, {AAC, PacketFrames, false, 0, []byte("r"), 1},
		}},
		"E-RTMP Opus": {"\x91OpusRAW", []Tag{{0x4f707573, PacketFrames, false, 0, []byte("RAW"), 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAudio(nil, []byte(tt.in))
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
		parse func([]Tag, []byte) ([]Tag, error)
		in    string
	}{
		"AVC cut short":                {ParseVideo, "\x17\x01\x00\x00"},
		"AVC packet type 3":            {ParseVideo, "\x17\x03\x00\x00\x00"},
		"FourCC cut short":             {ParseVideo, "\x90avc"},
		"composition time cut short":   {ParseVideo, "\x91avc1\x00\x00"},
		"ModEx cut short":              {ParseVideo, "\x97"},
		"ModEx size cut short":         {ParseVideo, "\x97\xff\x00"},
		"ModEx past the end":           {ParseVideo, "\x97\x09\x00"},
		"no codec of a track":          {ParseVideo, "\x96\x00"},
		"no number of a track":         {ParseVideo, "\x96\x00avc1"},
		"no form of multitrack":        {ParseVideo, "\x96"},
		"an unknown form":              {ParseVideo, "\x96\x30avc1\x01"},
		"multitrack in multitrack":     {ParseVideo, "\x96\x06avc1\x01"},
		"a track past the end":         {ParseVideo, "\x96\x13avc1\x00\x00\x00\x05NALS"},
		"a track's size cut short":     {ParseVideo, "\x96\x13avc1\x00\x00\x00"},
		"a second codec cut short":     {ParseVideo, "\x96\x23avc1\x00\x00\x00\x00avc"},
		"more tracks than numbers":     {ParseVideo, "\x96\x13avc1" + strings.Repeat("\x01\x00\x00\x00", 257)},
		"AAC cut short":                {ParseAudio, "\xaf"},
		"AAC packet type 2":            {ParseAudio, "\xaf\x02"},
		"audio FourCC cut short":       {ParseAudio, "\x90mp"},
		"ModEx in audio past the end":  {ParseAudio, "\x97\x02\x00\x00"},
		"ModEx that names no packet":   {ParseAudio, "\x97\x00\x00"},
		"ModEx without a packet after": {ParseAudio, "\x97\x00\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			tag, err := tt.parse(nil, []byte(tt.in))
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
		"\x96\x13avc1\x00\x00\x00\x04NALS\x01\x00\x00\x02na", "\x96\x21hvc1\x00\x00\x00\x07\x00\x00\x05NALSavc1\x01\x00\x00\x03\x00\x00\x00",
		"\xa6\x01hvc1\x01\x00\x00\x10NALS", "\x95\x11mp4a\x00\x00\x00\x03RAW\x01\x00\x00\x01r", "\x94hvc1\x02\x00\x09colorInfo",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keep := slices.Clone(b)
		video, verr := ParseVideo(nil, b)
		audio, aerr := ParseAudio(nil, b)
		if !bytes.Equal(b, keep) {
			t.Fatal("input written to")
		}
		if len(video) > maxTags || len(audio) > maxTags {
			t.Fatalf("%d and %d tags", len(video), len(audio))
		}
		size := 0
		for _, tag := range slices.Concat(video, audio) {
			_ = tag.Codec.String()
			size += len(tag.Data)
			if !bytes.Contains(b, tag.Data) {
				t.Errorf("data %x is no part of %x", tag.Data, b)
			}
		}
		if size > 2*len(b) {
			t.Errorf("%d bytes of data in %d", size, len(b))
		}
		again := func(kind string, tag Tag, parse func([]Tag, []byte) ([]Tag, error), body []byte) {
			if got, err := parse(nil, body); err != nil || !cmp.Equal(got, []Tag{tag}) {
				t.Errorf("%s: %+v became %+v, %v", kind, tag, got, err)
			}
		}
		for _, tag := range video {
			if verr != nil || tag.Packet != PacketFrames || tag.Codec != AVC && tag.Codec != HEVC {
				continue
			}
			again("enhanced video", tag, ParseVideo, AppendExVideo(nil, tag))
			if tag.Codec == AVC && tag.Track == 0 {
				again("video", tag, ParseVideo, AppendVideo(nil, tag))
			}
		}
		for _, tag := range audio {
			if aerr != nil || tag.Codec != AAC || tag.Packet != PacketFrames && tag.Packet != PacketConfig {
				continue
			}
			again("enhanced audio", tag, ParseAudio, AppendExAudio(nil, tag))
			if tag.Track == 0 {
				again("audio", tag, ParseAudio, AppendAudio(nil, tag))
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
