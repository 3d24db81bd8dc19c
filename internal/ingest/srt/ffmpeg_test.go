package srt

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// ffmpeg publishes 3 s of picture and tone with the real program, which make test
// installs, to its end.
func ffmpeg(t *testing.T, url string, args ...string) (stderr string, err error) {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg on this machine")
	}
	all := []string{"-hide_banner", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x180:d=3:r=30000/1001", "-f", "lavfi", "-i", "sine=d=3:r=48000"}
	all = append(append(all, args...), "-f", "mpegts", url)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, all...)
	cmd.Stderr = &out
	err = cmd.Run()
	return out.String(), err
}

func (s *Server) url() string {
	return "srt://" + s.Addr().String() + "?streamid=" + testKey + "&linger=5"
}

// x264 makes H.264 that others can read.
func x264(more ...string) []string {
	return append([]string{"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "300k"}, more...)
}

func TestFFmpegPublishes(t *testing.T) {
	for name, tt := range map[string]struct {
		args           []string
		rate, channels int
	}{
		"B-frames and AAC":     {x264("-bf", "2", "-c:a", "aac", "-ac", "2"), 48000, 2},
		"44.1 kHz mono":        {x264("-c:a", "aac", "-ar", "44100", "-ac", "1"), 44100, 1},
		"LATM":                 {x264("-c:a", "aac", "-ac", "2", "-mpegts_flags", "latm"), 48000, 2},
		"tables said again":    {x264("-c:a", "aac", "-ac", "2", "-mpegts_flags", "+resend_headers+pat_pmt_at_frames"), 48000, 2},
		"other PIDs, no audio": {x264("-an", "-mpegts_start_pid", "0x400", "-mpegts_pmt_start_pid", "0x300"), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newRecorder()
			s := start(t, Config{}, h)
			if out, err := ffmpeg(t, s.url(), tt.args...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			video, audio, clean := h.next(t).end(t)
			if !clean || len(video) != 90 {
				t.Fatalf("%d frames, want 90; clean=%t", len(video), clean)
			}
			shown := map[int64]bool{}
			for i, u := range video {
				if d := u.DTS - video[0].DTS; d != int64(i)*3003 || u.Track != video[0].Track {
					t.Fatalf("frame %d: DTS %d after the first, want %d", i, d, i*3003)
				}
				if off := u.PTS - u.DTS; off < 0 || off%3003 != 0 || shown[u.PTS] {
					t.Fatalf("frame %d: PTS %d after DTS", i, off)
				}
				shown[u.PTS] = true
			}
			if tt.rate == 0 {
				if len(audio) > 0 {
					t.Errorf("%d frames of audio", len(audio))
				}
				return
			}
			if n := 3 * tt.rate / 1024; len(audio) < n-1 || len(audio) > n+3 {
				t.Fatalf("%d frames of audio, want %d", len(audio), n)
			}
			for i, u := range audio {
				if u.DTS-audio[0].DTS != int64(i)*1024 || u.Track.SampleRate != tt.rate || u.Track.Channels != tt.channels {
					t.Fatalf("audio frame %d at %d: %+v", i, u.DTS-audio[0].DTS, u.Track)
				}
			}
		})
	}
}

// Other codecs end the connection before anything of them is taken; TestProgram has the
// words.
func TestFFmpegOtherCodecs(t *testing.T) {
	for name, args := range map[string][]string{
		"H.265":                       {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "aac"},
		"MPEG audio, the muxer's own": x264(),
		"AC-3":                        x264("-c:a", "ac3"),
		"Opus":                        x264("-c:a", "libopus"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, reg := newRecorder(), prometheus.NewRegistry()
			s := start(t, Config{Metrics: reg}, h)
			out, err := ffmpeg(t, s.url(), args...)
			if err != nil && strings.Contains(out, "Unknown encoder") {
				t.Skip("this ffmpeg has no such encoder")
			}
			if video, audio, clean := h.next(t).end(t); len(video)+len(audio) > 0 || clean {
				t.Errorf("%d and %d units, clean=%t", len(video), len(audio), clean)
			}
			if got := value(t, reg, "sluice_srt_publications_ended_total", endRefused); got != 1 {
				t.Errorf("%v refused publications", got)
			}
		})
	}
}
