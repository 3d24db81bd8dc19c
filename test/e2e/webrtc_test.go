package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// overTLS is an HTTPS address that leads to the server, as a proxy gives it: the
// broadcast SDK takes no other.
func overTLS(t *testing.T, s *servertest.Server) string {
	t.Helper()
	u, err := url.Parse(s.Base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(u))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

var (
	pictureHash = regexp.MustCompile(`(?m)^0, .*\s([0-9a-f]{32})$`)
	loudest     = regexp.MustCompile(`max_volume: (-?[0-9.]+) dB`)
)

// checkBroadcast decodes a few seconds from the playback URL: the picture must move and
// the microphone beep.
func checkBroadcast(t *testing.T, playbackURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ffmpeg := func(args ...string) (stdout, stderr string) {
		cmd := exec.CommandContext(ctx, testmedia.FFmpeg(t), append([]string{"-hide_banner", "-nostdin", "-t", "4", "-i", playbackURL}, args...)...)
		var out, log strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("ffmpeg: %v: %s", err, log.String())
		}
		return out.String(), log.String()
	}
	hashes, said := ffmpeg("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-")
	if strings.Contains(said, "error while decoding") || strings.Contains(said, "concealing") {
		t.Errorf("the pictures are damaged: %s", said)
	}
	var all []string
	for _, m := range pictureHash.FindAllStringSubmatch(hashes, -1) {
		all = append(all, m[1])
	}
	frames := len(all)
	slices.Sort(all)
	if different := len(slices.Compact(all)); frames < 40 || different < frames/2 {
		t.Errorf("%d pictures, %d different ones:\n%s", frames, different, hashes)
	}
	_, said = ffmpeg("-map", "0:a:0", "-af", "volumedetect", "-f", "null", "-")
	m := loudest.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no volume: %s", said)
	}
	if db, err := strconv.ParseFloat(m[1], 64); err != nil || db < -30 {
		t.Errorf("the loudest sound has %s dB, want a beep", m[1])
	}
}

// offAir waits until the API says that the channel is not live.
func offAir(t *testing.T, s *servertest.Server, ch servertest.Channel) {
	t.Helper()
	servertest.Eventually(t, "the channel is off air", func() bool {
		_, err := s.IVS().GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
		_, off := errors.AsType[*types.ChannelNotBroadcasting](err)
		return off
	})
}

// TestBrowsersBroadcast has Chromium publish with the stock IVS SDK and by WHIP. What
// viewers get moves and sounds, and the end of the broadcast is the end of the session.
func TestBrowsersBroadcast(t *testing.T) {
	t.Parallel()
	for _, publisher := range []string{browser.Broadcast, browser.WHIP} {
		t.Run(publisher, func(t *testing.T) {
			s := servertest.Start(t)
			endpoint := overTLS(t, s)
			// A browser's media is always encrypted, so that no channel must allow it.
			ch := s.NewChannel(t, func(in *ivs.CreateChannelInput) { in.InsecureIngest = false })
			p := browser.Publish(t, browser.PublishOptions{Publisher: publisher, Endpoint: endpoint, Key: ch.Key})
			p.Began()
			s.WaitLive(t, ch)
			checkBroadcast(t, *ch.PlaybackUrl)
			got := p.Stop(t)
			if !got.Began || len(got.Errors) > 0 || !slices.Contains(got.States, "connected") {
				t.Errorf("publication %+v", got)
			}
			offAir(t, s, ch)

			list, err := s.IVS().ListStreamSessions(t.Context(), &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn})
			if err != nil || len(list.StreamSessions) != 1 {
				t.Fatalf("sessions %+v, %v, want one", list, err)
			}
			out, err := s.IVS().GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn, StreamId: list.StreamSessions[0].StreamId})
			if err != nil {
				t.Fatal(err)
			}
			in := out.StreamSession.IngestConfiguration
			if in.Video.VideoHeight != 360 || !strings.HasPrefix(*in.Video.Codec, "avc1.42") || *in.Audio.Codec != "mp4a.40.2" || in.Audio.SampleRate != 48000 || in.Audio.Channels != 2 {
				t.Errorf("ingest configuration: video %+v, audio %+v", in.Video, in.Audio)
			}
		})
	}
}

// TestBrowsersAreRefused shows what a page hears of a wrong key: the SDK's documented
// error, and the status of WHIP.
func TestBrowsersAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	endpoint := overTLS(t, s)
	for publisher, want := range map[string]browser.PublishError{
		browser.Broadcast: {Name: "InvalidStreamKey", Code: 10003},
		browser.WHIP:      {Name: "WHIP", Code: http.StatusForbidden},
	} {
		t.Run(publisher, func(t *testing.T) {
			got := browser.Publish(t, browser.PublishOptions{Publisher: publisher, Endpoint: endpoint, Key: "sk_us-west-2_AbCdEf123456_wrong"}).Stop(t)
			if got.Began || !slices.ContainsFunc(got.Errors, func(e browser.PublishError) bool { return e.Name == want.Name && e.Code == want.Code }) {
				t.Errorf("publication %+v, want it refused with %+v", got, want)
			}
		})
	}
}

// TestStopStreamEndsABrowsersBroadcast shows that a page hears of StopStream: its
// connection is gone.
func TestStopStreamEndsABrowsersBroadcast(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	ch := s.NewChannel(t)
	p := browser.Publish(t, browser.PublishOptions{Publisher: browser.Broadcast, Endpoint: overTLS(t, s), Key: ch.Key})
	p.Began()
	s.WaitLive(t, ch)
	if _, err := s.IVS().StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Error("the page does not notice")
	}
	if got := p.Stop(t); !slices.Contains(got.States, "connected") || got.States[len(got.States)-1] == "connected" {
		t.Errorf("publication %+v", got)
	}
	offAir(t, s, ch)
}
