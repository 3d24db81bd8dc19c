package e2e

import (
	"testing"

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
