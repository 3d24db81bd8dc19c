package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// containers are the forms of delivery; what holds for one must hold for the other.
var containers = map[string]func(testing.TB, *servertest.Server) servertest.Channel{
	"TS":             func(t testing.TB, s *servertest.Server) servertest.Channel { return s.NewChannel(t) },
	"fragmented MP4": func(t testing.TB, s *servertest.Server) servertest.Channel { return s.NewChannel(t, servertest.MP4) },
}

// replay publishes an FLV file in real time with ffmpeg, byte for byte as it is. The
// returned channel is closed when ffmpeg has said goodbye.
func replay(t testing.TB, file, url string) <-chan struct{} {
	t.Helper()
	format := "flv"
	if strings.HasPrefix(url, "srt:") {
		format = "mpegts"
	}
	cmd := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), "-hide_banner", "-nostdin", "-loglevel", "error",
		"-re", "-i", file, "-c", "copy", "-f", format, url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // killed with the test, or ended by itself; the frames tell which
	}()
	t.Cleanup(func() { <-done })
	return done
}

// A packet is one line of ffmpeg's framemd5: the payload's digest and its time in seconds.
type packet struct {
	pts  float64
	hash string
}

// packets reads every packet of a stream's video (0) and audio (1) without decoding.
// AAC comes without ADTS headers, so that both containers and FLV compare.
func packets(t *testing.T, input string, args ...string) (all [2][]packet) {
	t.Helper()
	args = append(append([]string{"-hide_banner", "-nostdin", "-loglevel", "error"}, args...), "-i", input,
		"-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-bsf:a", "aac_adtstoasc", "-copyts", "-f", "framemd5", "pipe:1")
	cmd := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, stderr.String())
	}
	var base [2]float64 // seconds a tick, by stream
	for line := range strings.Lines(string(out)) {
		var stream, num, den int
		if n, _ := fmt.Sscanf(line, "#tb %d: %d/%d", &stream, &num, &den); n == 3 && stream < 2 {
			base[stream] = float64(num) / float64(den)
		}
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(f) < 6 {
			continue
		}
		stream, err1 := strconv.Atoi(strings.TrimSpace(f[0]))
		pts, err2 := strconv.ParseInt(strings.TrimSpace(f[2]), 10, 64)
		if err1 != nil || err2 != nil || stream > 1 {
			t.Fatalf("ffmpeg wrote %q", line)
		}
		all[stream] = append(all[stream], packet{float64(pts) * base[stream], strings.TrimSpace(f[5])})
	}
	return all
}

// probe returns what ffprobe says of the first video stream.
func probe(t *testing.T, input string) (v struct {
	Codec     string `json:"codec_name"`
	Width     int
	Height    int
	FrameRate string `json:"r_frame_rate"`
	Profile   string
},
) {
	t.Helper()
	bin := filepath.Join(filepath.Dir(testmedia.FFmpeg(t)), "ffprobe")
	out, err := exec.CommandContext(t.Context(), bin, "-v", "error", "-select_streams", "v:0", "-show_streams", "-of", "json", input).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	var streams struct{ Streams []json.RawMessage }
	if err := json.Unmarshal(out, &streams); err != nil || len(streams.Streams) == 0 {
		t.Fatalf("ffprobe wrote %.200q: %v", out, err)
	}
	if err := json.Unmarshal(streams.Streams[0], &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// From the first segment on, not from the live edge.
var fromTheStart = []string{"-live_start_index", "0"}

// What an encoder sent is what a player decodes: every frame, in order, without a
// word of complaint, audio in step with video; over RTMP and RTMPS, in both containers,
// with and without B-frames.
func TestEveryFrameArrives(t *testing.T) {
	const seconds = 20
	for name, tt := range map[string]struct {
		channel string
		secure  bool
		source  testmedia.Source
	}{
		"RTMP to TS":                {"TS", false, testmedia.Source{FPS: 30}},
		"RTMPS to TS":               {"TS", true, testmedia.Source{FPS: 30, GOP: 60}},
		"RTMP to fragmented MP4":    {"fragmented MP4", false, testmedia.Source{FPS: 30, GOP: 60}},
		"RTMPS to fragmented MP4":   {"fragmented MP4", true, testmedia.Source{FPS: 30}},
		"B-frames to TS":            {"TS", false, testmedia.Source{FPS: 30, BFrames: 2}},
		"B-frames to MP4":           {"fragmented MP4", false, testmedia.Source{FPS: 30, BFrames: 2}},
		"25 fps, GOP of 2 s, to TS": {"TS", false, testmedia.Source{FPS: 25, GOP: 50}},
		"50 fps to MP4":             {"fragmented MP4", false, testmedia.Source{FPS: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			ch := containers[tt.channel](t, s)
			src := tt.source
			src.Width, src.Height, src.BitRate, src.Audio = 320, 180, 300_000, true
			frames := seconds * src.FPS
			file := testmedia.ClipFile(t, src, frames)
			url := s.RTMPURL(ch)
			if tt.secure {
				url = s.RTMPSURL(ch)
			}
			everyFrame(t, s, ch, src, frames, file, replay(t, file, url))
		})
	}
}

// everyFrame checks that viewers of a channel see what an encoder that has just begun
// sends: the frames of src, which are in file. done is closed at its end.
func everyFrame(t *testing.T, s *servertest.Server, ch servertest.Channel, src testmedia.Source, frames int, file string, done <-chan struct{}) {
	t.Helper()
	s.WaitLive(t, ch)

	want, got := probe(t, file), probe(t, *ch.PlaybackUrl)
	if want != got {
		t.Errorf("ffprobe sees %+v, the encoder sent %+v", got, want)
	}
	variant := firstVariant(t, s, *ch.PlaybackUrl)
	seen := make(chan testmedia.Decoded, 1)
	go func() { seen <- testmedia.Decode(t, variant, fromTheStart...) }()
	sent := packets(t, file)
	arrived := packets(t, variant, fromTheStart...)
	d := <-seen
	<-done

	// ffmpeg 5 reads the initialization section again with each reload of a live
	// playlist of fragmented MP4, anybody's, and says so. It is no other complaint.
	said := slices.DeleteFunc(slices.Collect(strings.Lines(d.Stderr)), func(l string) bool {
		return strings.Contains(l, "Found duplicated MOOV Atom") || strings.Contains(l, "Last message repeated")
	})
	if len(said) > 0 {
		t.Errorf("the decoder complains: %q", said)
	}
	if len(d.Codes) != frames || d.Unread != 0 {
		t.Errorf("decoded %d frames, %d unreadable; want %d", len(d.Codes), d.Unread, frames)
	}
	for i, c := range d.Codes {
		if c != testmedia.ClipCode(src, i) {
			t.Fatalf("frame %d shows %v, want %v", i, c, testmedia.ClipCode(src, i))
		}
	}
	inStep(t, sent, arrived)
}

// inStep checks that no packet is lost, doubled or turned around, and that audio is
// within one AAC frame of where the encoder put it beside the video.
func inStep(t *testing.T, sent, arrived [2][]packet) {
	t.Helper()
	if len(arrived[0]) != len(sent[0]) {
		t.Fatalf("%d video packets arrived of %d", len(arrived[0]), len(sent[0]))
	}
	offset := arrived[0][0].pts - sent[0][0].pts
	for i := range sent[0] {
		if d := arrived[0][i].pts - sent[0][i].pts - offset; d > 0.002 || d < -0.002 {
			t.Fatalf("video packet %d is %.4f s off", i, d)
		}
	}
	const frame = 1024. / 48000
	first := -1 // of the encoder's audio packets, the first that arrived
	for i, p := range sent[1] {
		if p.hash == arrived[1][0].hash {
			first = i
			break
		}
	}
	if first < 0 || first > 3 {
		t.Fatalf("audio starts with packet %d of the encoder's", first)
	}
	if missing := len(sent[1]) - first - len(arrived[1]); missing != 0 {
		t.Fatalf("%d audio packets are missing", missing)
	}
	for i, p := range arrived[1] {
		q := sent[1][first+i]
		if p.hash != q.hash {
			t.Fatalf("audio packet %d is not what the encoder sent", i)
		}
		if d := p.pts - q.pts - offset; d > frame || d < -frame {
			t.Fatalf("audio packet %d is %.4f s off the video", i, d)
		}
	}
}

// firstVariant is the absolute URL of the first variant at a playback URL.
func firstVariant(t *testing.T, s *servertest.Server, playback string) string {
	t.Helper()
	_, _, body := servertest.Get(t, playback)
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return s.Base + line
		}
	}
	t.Fatalf("no variant in %q", body)
	return ""
}
