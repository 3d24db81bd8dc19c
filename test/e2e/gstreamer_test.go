package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// requireGStreamer is the environment variable that turns a missing GStreamer from a
// skipped test into a failed one.
const requireGStreamer = "SLUICE_TEST_REQUIRE_GSTREAMER"

// gst starts a pipeline that must have those elements. The returned channel is closed at
// its end, which is that of its input.
func gst(t *testing.T, pipeline string, elements ...string) <-chan struct{} {
	t.Helper()
	bin, err := exec.LookPath("gst-launch-1.0")
	for _, e := range elements {
		if err == nil {
			err = exec.CommandContext(t.Context(), "gst-inspect-1.0", "--exists", e).Run()
		}
	}
	if err != nil {
		if os.Getenv(requireGStreamer) != "" {
			t.Fatalf("GStreamer with %v: %v (%s is set)", elements, err, requireGStreamer)
		}
		t.Skipf("GStreamer with %v: %v", elements, err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"-q"}, strings.Fields(pipeline)...)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // killed with the test, or ended by itself; the frames tell which
	}()
	t.Cleanup(func() {
		if <-done; t.Failed() {
			t.Logf("gst-launch-1.0: %s", out.String())
		}
	})
	return done
}

// GStreamer's publishers are taken as ffmpeg's are.
func TestEveryFrameArrivesFromGStreamer(t *testing.T) {
	const seconds = 12
	for name, tt := range map[string]struct {
		with     []func(*ivs.CreateChannelInput)
		sink     func(*servertest.Server, servertest.Channel) string
		mux      string
		elements []string
	}{
		"RTMP": {
			mux: "flvmux streamable=true",
			sink: func(s *servertest.Server, ch servertest.Channel) string {
				return "rtmp2sink sync=true location=" + s.RTMPURL(ch)
			},
			elements: []string{"flvmux", "rtmp2sink"},
		},
		"SRT": {
			mux: "mpegtsmux alignment=7",
			sink: func(s *servertest.Server, ch servertest.Channel) string {
				return "srtsink sync=true uri=srt://" + s.SRT + " streamid=" + ch.Key
			},
			elements: []string{"mpegtsmux", "srtsink"},
		},
		"SRT, encrypted": {
			with: []func(*ivs.CreateChannelInput){secure, servertest.MP4},
			mux:  "mpegtsmux alignment=7",
			sink: func(s *servertest.Server, ch servertest.Channel) string {
				return "srtsink sync=true pbkeylen=32 uri=srt://" + s.SRT + " streamid=" + ch.Key + " passphrase=" + aws.ToString(ch.Srt.Passphrase)
			},
			elements: []string{"mpegtsmux", "srtsink"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			ch := s.NewChannel(t, tt.with...)
			src := testmedia.Source{Width: 320, Height: 180, FPS: 30, BitRate: 300_000, Audio: true}
			frames := seconds * src.FPS
			file := testmedia.ClipFile(t, src, frames)
			done := gst(t, "filesrc location="+file+" ! flvdemux name=d "+
				tt.mux+" name=m ! "+tt.sink(s, ch)+" "+
				"d.video ! queue ! h264parse config-interval=-1 ! m. d.audio ! queue ! aacparse ! m.", tt.elements...)
			everyFrame(t, s, ch, src, frames, file, done)
		})
	}
}
