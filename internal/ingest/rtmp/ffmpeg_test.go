package rtmp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/media"
)

// ffmpeg runs the real program, which make test installs, to its end.
func ffmpeg(t *testing.T, args ...string) (stderr string, err error) {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg on this machine")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, append([]string{"-hide_banner", "-nostdin"}, args...)...)
	cmd.Stderr = &out
	err = cmd.Run()
	return out.String(), err
}

// publishArgs makes 3 s of picture at the given rate and of tone, for url.
func publishArgs(url, rate string, more ...string) []string {
	args := []string{
		"-f", "lavfi", "-i", "testsrc2=s=320x180:d=3:r=" + rate, "-f", "lavfi", "-i", "sine=d=3:r=48000",
		"-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "300k",
		"-c:a", "aac", "-b:a", "96k", "-ac", "2",
	}
	return append(append(args, more...), "-f", "flv", url)
}

func TestFFmpegPublishes(t *testing.T) {
	serverTLS, _ := selfSigned(t)
	for name, tt := range map[string]struct {
		secure bool
		path   string
		rate   string
		more   []string
		frames int
		step   int64 // ticks between frames
	}{
		"RTMP":                {false, "app/" + secretKey, "30", nil, 90, 3000},
		"RTMPS":               {true, "app/" + secretKey, "30", nil, 90, 3000},
		"double slash, query": {false, "app//" + secretKey + "?priority=2", "60", nil, 180, 1500},
		"29.97, no B-frames":  {false, "app/" + secretKey, "30000/1001", []string{"-bf", "0"}, 90, 3003},
		"25":                  {false, "app/" + secretKey, "25", nil, 75, 3600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, cfg := newRecorder(), testConfig(t)
			if tt.secure {
				cfg.TLS = serverTLS
			}
			s := start(t, cfg, h)
			if out, err := ffmpeg(t, publishArgs(s.url(tt.path), tt.rate, tt.more...)...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			sess := h.next(t)
			video, audio, clean := sess.end(t)
			if !clean || len(video) != tt.frames || sess.request.Key != secretKey {
				t.Fatalf("%d frames, want %d; clean=%t, key right=%t", len(video), tt.frames, clean, sess.request.Key == secretKey)
			}
			track := video[0].Track
			if track.Width != 320 || track.Height != 180 || track.Profile() != "Main" || !strings.HasPrefix(track.CodecString(), "avc1.4D40") {
				t.Errorf("track %dx%d %s %s", track.Width, track.Height, track.Profile(), track.CodecString())
			}
			shown := map[int64]bool{}
			for i, u := range video {
				if d := u.DTS - video[0].DTS; d != int64(i)*tt.step || u.Track != track {
					t.Fatalf("frame %d: DTS %d after the first, want %d", i, d, int64(i)*tt.step)
				}
				if off := u.PTS - u.DTS; off < 0 || off%tt.step != 0 || shown[u.PTS] {
					t.Errorf("frame %d: PTS %d after its DTS, twice=%t", i, off, shown[u.PTS])
				}
				shown[u.PTS] = true
				if u.Key != (i%30 == 0) {
					t.Errorf("frame %d: key=%t", i, u.Key)
				}
			}
			if n := len(audio); n < 141 || n > 143 || audio[0].Track.CodecString() != "mp4a.40.2" || audio[0].Track.SampleRate != 48000 || audio[0].Track.Channels != 2 {
				t.Errorf("%d frames of audio, track %+v", n, audio[0].Track)
			}
			for i, u := range audio {
				if d := u.DTS - audio[0].DTS; d != int64(i)*1024 {
					t.Fatalf("audio %d: %d samples after the first, want %d", i, d, i*1024)
				}
			}
			va, aa := media.Time(video[0].PTS, 90000), media.Time(audio[0].PTS, 48000)
			if (va - aa).Abs().Milliseconds() > 70 { // B-frames delay the first picture, and AAC primes
				t.Errorf("video starts at %v, audio at %v", va, aa)
			}
			a := sess.said[0]
			if a.Width != 320 || a.Height != 180 || !strings.HasPrefix(a.Encoder, "Lavf") || a.VideoBitRate < 290_000 || a.VideoBitRate > 300_000 ||
				a.AudioBitRate != 93_750 || a.AudioSampleRate != 48000 || a.AudioChannels != 2 || (a == ingest.Announcement{}) {
				t.Errorf("announced %+v", a)
			}
		})
	}
}

// ffmpeg sends subtitles as onTextData.
func TestFFmpegSendsText(t *testing.T) {
	h := newRecorder()
	s := start(t, testConfig(t), h)
	subtitles := filepath.Join(t.TempDir(), "in.srt")
	const text = "1\n00:00:00,500 --> 00:00:01,000\nhello\n\n2\n00:00:01,500 --> 00:00:02,000\n{\"q\":\"日本語\"}\n"
	if err := os.WriteFile(subtitles, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-i", subtitles}, publishArgs(s.url("app/"+secretKey), "30", "-map", "1:v", "-map", "2:a", "-map", "0:s", "-c:s", "text")...)
	if out, err := ffmpeg(t, args...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sess := h.next(t)
	sess.end(t)
	if want := []string{"hello", `{"q":"日本語"}`}; !slices.Equal(sess.texts, want) {
		t.Errorf("texts %q, want %q", sess.texts, want)
	}
}

func TestFFmpegIsToldWhy(t *testing.T) {
	s := start(t, testConfig(t), newRecorder())
	out, err := ffmpeg(t, publishArgs(s.url("app/denied"), "30")...)
	if err == nil || !strings.Contains(out, "The stream key is not valid.") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = ffmpeg(t, publishArgs(s.url("other/key"), "30")...)
	if err == nil || !strings.Contains(out, "no such application") {
		t.Errorf("%v: %s", err, out)
	}
}

// A player's handshake is the digest form, and ffmpeg checks our digests in it.
func TestFFmpegCannotPlay(t *testing.T) {
	h := newRecorder()
	s := start(t, testConfig(t), h)
	out, err := ffmpeg(t, "-i", s.url("app/key"), "-f", "null", "-")
	if err == nil || !strings.Contains(out, "play them over HLS") {
		t.Errorf("%v: %s", err, out)
	}
	if len(h.sessions) != 0 {
		t.Error("a player became a publisher")
	}
}

func TestFFmpegStopsWhenTheStreamIsStopped(t *testing.T) {
	h := newRecorder()
	s := start(t, testConfig(t), h)
	go func() { close((<-h.sessions).done) }()
	args := publishArgs(s.url("app/key"), "30")
	if out, err := ffmpeg(t, append([]string{"-re"}, args...)...); err == nil {
		t.Errorf("ffmpeg went on to the end: %s", out)
	}
}
