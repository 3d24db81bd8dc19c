package media

import "testing"

func TestAACTrack(t *testing.T) {
	for name, tt := range map[string]struct {
		config   string
		rate     int
		channels int
		codec    string
		ok       bool
	}{
		"LC 44.1 kHz stereo":            {"1210", 44100, 2, "mp4a.40.2", true},
		"LC 48 kHz stereo":              {"1190", 48000, 2, "mp4a.40.2", true},
		"LC 48 kHz mono":                {"1188", 48000, 1, "mp4a.40.2", true},
		"LC 48 kHz 7.1":                 {"11b8", 48000, 8, "mp4a.40.2", true},
		"LC with the tail of ffmpeg":    {"119056e500", 48000, 2, "mp4a.40.2", true},
		"SBR named: rate of the core":   {"2b118800", 24000, 2, "mp4a.40.5", true},
		"PS named":                      {"eb098800", 24000, 1, "mp4a.40.29", true},
		"rate in full":                  {"17805dc010", 48000, 2, "mp4a.40.2", true},
		"rate of 0":                     {"1780000010", 0, 0, "", false},
		"rate over 96 kHz":              {"17ffffff90", 0, 0, "", false},
		"reserved rate":                 {"1690", 0, 0, "", false},
		"layout in a program config":    {"1180", 0, 0, "", false},
		"frames of 960 samples":         {"1194", 0, 0, "", false},
		"AAC Main":                      {"0990", 0, 0, "", false},
		"one byte":                      {"12", 0, 0, "", false},
		"nothing":                       {"", 0, 0, "", false},
		"reserved channel layout of 15": {"11f8", 0, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewAACTrack(unhex(t, tt.config))
			if (err == nil) != tt.ok {
				t.Fatalf("NewAACTrack(%s) = %+v, %v; want ok=%t", tt.config, got, err, tt.ok)
			}
			if !tt.ok {
				return
			}
			if got.SampleRate != tt.rate || got.Timescale != int64(tt.rate) || got.Channels != tt.channels || got.CodecString() != tt.codec {
				t.Errorf("%d Hz, timescale %d, %d channels, %s; want %+v", got.SampleRate, got.Timescale, got.Channels, got.CodecString(), tt)
			}
		})
	}
}

// Whatever is accepted is within the bounds that later stages rely on.
func FuzzAudioConfig(f *testing.F) {
	for _, s := range []string{"1210", "1190", "119056e500", "2b118800", "eb098800", "17805dc010", "11b8"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := NewAACTrack(b)
		if err != nil {
			return
		}
		if tr.SampleRate < minSampleRate || tr.SampleRate > maxSampleRate || tr.Channels < 1 || tr.Channels > 8 {
			t.Errorf("%d Hz, %d channels", tr.SampleRate, tr.Channels)
		}
		if c := tr.CodecString(); c != "mp4a.40.2" && c != "mp4a.40.5" && c != "mp4a.40.29" {
			t.Errorf("codec %q", c)
		}
	})
}
