package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// secure makes a channel one that takes nothing in the clear.
func secure(in *ivs.CreateChannelInput) { in.InsecureIngest = false }

// linger makes ffmpeg send what it has before it says goodbye, for as many seconds. Without
// it libsrt throws away what waits in its own queue, and the last frames never leave.
const linger = "&linger=5"

// What an encoder sends over SRT arrives as what one sends over RTMP does: with and
// without a passphrase, in both containers, with B-frames, and to the last frame.
func TestEveryFrameArrivesOverSRT(t *testing.T) {
	const seconds = 12
	for name, tt := range map[string]struct {
		with   []func(*ivs.CreateChannelInput)
		query  string // of the encoder's URL
		source testmedia.Source
	}{
		"in the clear to TS":             {nil, "", testmedia.Source{FPS: 30}},
		"AES-128 to MP4":                 {[]func(*ivs.CreateChannelInput){secure, servertest.MP4}, "", testmedia.Source{FPS: 30, BFrames: 2}},
		"AES-256, its keys renewed":      {[]func(*ivs.CreateChannelInput){secure}, "&pbkeylen=32&kmrefreshrate=150&kmpreannounce=50", testmedia.Source{FPS: 25, GOP: 50, BFrames: 2}},
		"a latency of the encoder's own": {[]func(*ivs.CreateChannelInput){servertest.MP4}, "&latency=800000", testmedia.Source{FPS: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			ch := s.NewChannel(t, tt.with...)
			src := tt.source
			src.Width, src.Height, src.BitRate, src.Audio = 320, 180, 300_000, true
			frames := seconds * src.FPS
			file := testmedia.ClipFile(t, src, frames)
			everyFrame(t, s, ch, src, frames, file, replay(t, file, s.SRTURL(ch)+linger+tt.query))
		})
	}
}

// Who may not publish is told so in SRT's own words, which libsrt prints, and the channel
// does not notice.
func TestSRTRefusals(t *testing.T) {
	t.Parallel()
	srv := serve(t, dataDir(t))
	open, closed := srv.NewChannel(t), srv.NewChannel(t, secure)
	publish := func(url string) *testmedia.Publisher {
		return testmedia.Publish(t, testmedia.Source{URL: url, Format: []string{"-f", "mpegts"}, Width: 320, Height: 180, FPS: 10, Duration: 10 * time.Second})
	}
	live := publish(srv.SRTURL(open))
	srv.WaitLive(t, open)
	for name, tt := range map[string]struct{ url, said string }{
		"a wrong key":                    {"srt://" + srv.SRT + "?streamid=sk_us-west-2_x_y", "Password required or unexpected"},
		"a wrong key and a passphrase":   {"srt://" + srv.SRT + "?streamid=sk_us-west-2_x_y&passphrase=0123456789", "Incorrect passphrase"},
		"no passphrase":                  {"srt://" + srv.SRT + "?streamid=" + closed.Key, "Password required or unexpected"},
		"a wrong passphrase":             {"srt://" + srv.SRT + "?streamid=" + closed.Key + "&passphrase=0123456789", "Incorrect passphrase"},
		"a channel that is live":         {srv.SRTURL(open), "Application-defined rejection reason"},   // 1409
		"no stream id":                   {"srt://" + srv.SRT, "Application-defined rejection reason"}, // 1400
		"more latency than there may be": {srv.SRTURL(open) + "&latency=30000000", "Application-defined rejection reason"},
	} {
		t.Run(name, func(t *testing.T) {
			p := publish(tt.url)
			if err := p.Wait(); err == nil || !strings.Contains(p.Stderr(), tt.said) {
				t.Errorf("ended with %v, want it to hear %q", err, tt.said)
			}
		})
	}
	if err := live.Wait(); err != nil {
		t.Errorf("the encoder that was live: %v", err)
	}
	if status, _, _ := servertest.Get(t, *closed.PlaybackUrl); status != http.StatusNotFound {
		t.Errorf("the other channel's playback URL answers %d", status)
	}
}

// A caller that is gone without a word ends the session when it has been silent for
// long enough; one that says goodbye, and one that StopStream cuts off, at once.
func TestSRTEnds(t *testing.T) {
	t.Parallel()
	srv := serve(t, dataDir(t))
	for name, end := range map[string]func(*testing.T, servertest.Channel, *testmedia.Publisher){
		"killed": func(_ *testing.T, _ servertest.Channel, p *testmedia.Publisher) { p.Kill() },
		"stopped": func(t *testing.T, ch servertest.Channel, p *testmedia.Publisher) {
			if _, err := srv.IVS().StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
				t.Error(err)
			}
			<-p.Done()
		},
		"goodbye": func(t *testing.T, _ servertest.Channel, p *testmedia.Publisher) {
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch := srv.NewChannel(t, secure)
			p := testmedia.Publish(t, testmedia.Source{URL: srv.SRTURL(ch), Format: []string{"-f", "mpegts"}, Width: 320, Height: 180, FPS: 10, Audio: true})
			srv.WaitLive(t, ch)
			v := watch(t, *ch.PlaybackUrl)
			v.more(t, 2)
			end(t, ch, p)
			v.untilEnd(t)
		})
	}
}
