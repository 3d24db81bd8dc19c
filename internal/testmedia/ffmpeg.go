package testmedia

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// RequireFFmpeg is the environment variable that turns a missing ffmpeg from a
// skipped test into a failed one.
const RequireFFmpeg = "SLUICE_TEST_REQUIRE_FFMPEG"

// FFmpeg returns the path of ffmpeg. Without one it skips the test.
func FFmpeg(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv(RequireFFmpeg) != "" {
			t.Fatalf("testmedia: %v (%s is set)", err, RequireFFmpeg)
		}
		t.Skipf("testmedia: %v", err)
	}
	return path
}

// A Source is what an encoder sends. Zero means the default named on each field.
type Source struct {
	URL string // rtmp://, rtmps://, or a file
	// Format is the container and its options, as arguments of ffmpeg; nil means
	// FLV, which is what RTMP carries.
	Format []string

	Width, Height int           // pixels, even; 0 means 640x360
	FPS           int           // frames per second; 0 means 30
	GOP           int           // frames from keyframe to keyframe; 0 means one second
	BFrames       int           // B-frames in a row
	BitRate       int           // bits per second of video; 0 means 1,000,000
	HEVC          bool          // H.265 in place of H.264; without B-frames
	Audio         bool          // a 440 Hz tone in AAC, 48 kHz stereo
	Duration      time.Duration // Publish ends by itself after it; 0 means it does not
}

func (s Source) withDefaults() Source {
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	or(&s.Width, 640)
	or(&s.Height, 360)
	or(&s.FPS, 30)
	or(&s.GOP, s.FPS)
	or(&s.BitRate, 1_000_000)
	if s.Format == nil {
		s.Format = []string{"-f", "flv", "-flvflags", "no_duration_filesize"}
	}
	return s
}

// args encodes raw pictures from standard input, to target. The encoder adds no
// delay: it looks at no later frame, except for as many as BFrames says.
func (s Source) args(target string) []string {
	n := strconv.Itoa
	args := []string{
		"-hide_banner", "-loglevel", "warning", "-y",
		"-probesize", "32", "-analyzeduration", "0",
		"-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", fmt.Sprintf("%dx%d", s.Width, s.Height),
		"-framerate", n(s.FPS), "-i", "pipe:0",
	}
	if s.Audio {
		args = append(args, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-map", "0:v", "-map", "1:a",
			"-c:a", "aac", "-b:a", "96k", "-ac", "2", "-shortest")
	}
	if s.HEVC {
		args = append(args, "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
			"-x265-params", "log-level=error:info=0:pools=1:frame-threads=1:scenecut=0:open-gop=0:bframes=0:keyint="+n(s.GOP)+":min-keyint="+n(s.GOP))
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1",
			"-g", n(s.GOP), "-keyint_min", n(s.GOP), "-sc_threshold", "0", "-bf", n(s.BFrames))
	}
	args = append(args,
		"-b:v", n(s.BitRate), "-maxrate", n(s.BitRate), "-bufsize", n(s.BitRate),
		"-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-flush_packets", "1")
	return append(append(args, s.Format...), target)
}

// tail keeps the last bytes of what ffmpeg says, less the URL: it holds a stream key.
type tail struct {
	secret string

	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

const maxTail = 64 << 10

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if over := w.buf.Len() + len(b) - maxTail; over > 0 {
		w.buf.Next(over)
	}
	if len(b) > maxTail {
		w.buf.Write(b[len(b)-maxTail:])
		return len(b), nil
	}
	return w.buf.Write(b)
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.TrimSpace(w.buf.String())
	if w.secret == "" {
		return s
	}
	return strings.ReplaceAll(s, w.secret, "<url>")
}
