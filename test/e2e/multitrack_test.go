package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// multi makes a channel take multitrack input.
func multi(policy types.MultitrackPolicy) func(*ivs.CreateChannelInput) {
	return func(in *ivs.CreateChannelInput) {
		servertest.MP4(in)
		in.MultitrackInputConfiguration = &types.MultitrackInputConfiguration{
			Enabled: true, Policy: policy, MaximumResolution: types.MultitrackMaximumResolutionFullHd,
		}
	}
}

// An encoder asks, sends the three tracks that it is told, and viewers get all of them,
// cut at the same pictures.
func TestMultitrack(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	ch := srv.NewChannel(t, multi(types.MultitrackPolicyRequire))
	c := configure(t, srv, ch.Key)
	if c.Status != nil || len(c.Encoders) != 3 {
		t.Fatalf("configuration %+v, want three tracks", c)
	}
	const seconds = 6
	wait := publishing(t, c.publishURL(t), multitrackTags(t, c.Encoders, seconds, -1, -1))
	srv.WaitLive(t, ch)
	status, _, body := servertest.Get(t, *ch.PlaybackUrl)
	m, err := hls.ParseMultivariant(body)
	if err != nil || status != http.StatusOK {
		t.Fatalf("multivariant playlist: %d, %v\n%s", status, err, body)
	}
	if s := wait(); s != nil {
		t.Fatalf("the server ended the broadcast: %v", s)
	}
	var names []string
	var cuts [][]string
	for i, v := range m.Variants {
		names = append(names, v.Group)
		if v.Width != c.Encoders[i].Width || v.Height != c.Encoders[i].Height || !strings.HasPrefix(v.Codecs, "avc1.") || !strings.HasSuffix(v.Codecs, ",mp4a.40.2") {
			t.Errorf("variant %d is %+v, want %+v", i, v, c.Encoders[i])
		}
		file, cut := download(t, resolve(*ch.PlaybackUrl, v.URI))
		cuts = append(cuts, cut)
		d := testmedia.Decode(t, file)
		if err := testmedia.Continuous(d.Codes); err != nil || len(d.Codes) != seconds*24 || d.Codes[0].Frame != 0 || d.Unread > 0 || d.Stderr != "" {
			t.Errorf("%s: %d frames and %d unreadable ones, %v; decoder: %q", v.Group, len(d.Codes), d.Unread, err, d.Stderr)
		}
	}
	if d := cmp.Diff([]string{"480p24", "360p24", "160p24"}, names); d != "" {
		t.Errorf("variants (-want +got):\n%s", d)
	}
	for i := range cuts {
		if d := cmp.Diff(cuts[0], cuts[i]); d != "" {
			t.Errorf("%s is cut elsewhere than %s:\n%s", names[i], names[0], d)
		}
	}

	out, err := srv.IVS().GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range out.StreamSession.IngestConfigurations.VideoConfigurations {
		got = append(got, fmt.Sprintf("%s %dx%d, %d fps, %d bit/s, %s", *v.Track, v.VideoWidth, v.VideoHeight, v.TargetFramerate, v.TargetBitrate, (*v.Codec)[:4]))
	}
	if d := cmp.Diff([]string{ // the encoder announced nothing: the ladder tells
		"Track0 852x480, 24 fps, 1000000 bit/s, avc1", "Track1 640x360, 24 fps, 500000 bit/s, avc1", "Track2 284x160, 24 fps, 200000 bit/s, avc1",
	}, got); d != "" {
		t.Errorf("video configurations (-want +got):\n%s", d)
	}
	if d := out.StreamSession.IngestConfiguration.Video; d == nil || *d.Track != "Track0" || d.VideoHeight != 480 || aws.ToString(d.AvcProfile) == "" {
		t.Errorf("the deprecated configuration is %+v", d)
	}
}

// download puts a playlist that has ended into a file and returns the lengths of its
// segments.
func download(t testing.TB, playlist string) (file string, lengths []string) {
	t.Helper()
	_, _, text := servertest.Get(t, playlist)
	pl, err := hls.Parse(text)
	if err != nil || !pl.EndList || pl.Sequence != 0 {
		t.Fatalf("%s: %v, ended %t, from segment %d", playlist, err, pl.EndList, pl.Sequence)
	}
	var media []byte
	for i, s := range pl.Segments {
		for _, uri := range []string{s.Map, s.URI} {
			if uri == "" || uri == s.Map && i > 0 {
				continue
			}
			status, _, b := servertest.Get(t, resolve(playlist, uri))
			if status != http.StatusOK {
				t.Fatalf("%s: %d", uri, status)
			}
			media = append(media, b...)
		}
		lengths = append(lengths, s.Duration.String())
	}
	file = filepath.Join(t.TempDir(), "seen")
	if err := os.WriteFile(file, media, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, lengths
}

// H.265 over Enhanced RTMP plays from fragmented MP4. Chromium as packaged may have no
// decoder for it, so ffmpeg is the judge.
func TestHEVC(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	const fps, seconds = 15, 4
	v, a := testmedia.Units(t, testmedia.Source{Width: 320, Height: 180, FPS: fps, BitRate: 200_000, Audio: true, HEVC: true}, fps*seconds)
	all := sorted(append(videoTags(v, 0, false, false), soundTags(a)...))

	ch := srv.NewChannel(t, servertest.MP4)
	wait := publishing(t, srv.RTMPURL(ch), all)
	srv.WaitLive(t, ch)
	_, _, body := servertest.Get(t, *ch.PlaybackUrl)
	m, err := hls.ParseMultivariant(body)
	if err != nil || len(m.Variants) != 1 || m.Variants[0].Codecs != "hvc1.1.6.L60.90,mp4a.40.2" {
		t.Fatalf("multivariant playlist: %v\n%s", err, body)
	}
	if s := wait(); s != nil {
		t.Fatalf("the server ended the broadcast: %v", s)
	}
	file, _ := download(t, resolve(*ch.PlaybackUrl, m.Variants[0].URI))
	d := testmedia.Decode(t, file)
	if err := testmedia.Continuous(d.Codes); err != nil || len(d.Codes) != fps*seconds || d.Unread > 0 || d.Stderr != "" {
		t.Errorf("%d frames and %d unreadable ones, %v; decoder: %q", len(d.Codes), d.Unread, err, d.Stderr)
	}

	ts := srv.NewChannel(t)
	if s := publish(t, srv.RTMPURL(ts), all); s == nil || s.Code != rtmp.CodeRejected || !strings.Contains(s.Description, "FRAGMENTED_MP4") {
		t.Errorf("a channel of MPEG-TS said %v", s)
	}
	av1 := []timedTag{{body: rtmp.AppendExVideo(nil, rtmp.Tag{Codec: 'a'<<24 | 'v'<<16 | '0'<<8 | '1', Packet: rtmp.PacketConfig, Data: []byte("CONF")})}, {at: 5000}}
	if s := publish(t, srv.RTMPURL(ch), av1); s == nil || s.Code != rtmp.CodeRejected || !strings.Contains(s.Description, "av01") {
		t.Errorf("AV1 was answered with %v", s)
	}
}

// Every code of multitrack video, by a real connection that deserves it.
func TestMultitrackCodes(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	secret, err := openStore(t, srv.Dir).Secret(t.Context(), multitrack.SecretName)
	if err != nil {
		t.Fatal(err)
	}
	const require, allow = types.MultitrackPolicyRequire, types.MultitrackPolicyAllow
	ladder := configure(t, srv, srv.NewChannel(t, multi(allow)).Key).Encoders
	three := func(t *testing.T) []timedTag { return multitrackTags(t, ladder, 3, -1, -1) }
	first := func(t *testing.T) []timedTag { return multitrackTags(t, ladder[:1], 3, -1, -1) }
	// plain is the URL of the stream key, sealed that of GetClientConfiguration.
	plain := func(t *testing.T, ch servertest.Channel) string { return srv.RTMPURL(ch) }
	sealed := func(t *testing.T, ch servertest.Channel) string { return configure(t, srv, ch.Key).publishURL(t) }
	for name, tt := range map[string]struct {
		channel func(*ivs.CreateChannelInput)
		url     func(*testing.T, servertest.Channel) string
		media   func(*testing.T) []timedTag
		want    event.Code
	}{
		"several tracks, not enabled":     {servertest.MP4, plain, three, event.MultitrackNotAllowed},
		"one track where several must be": {multi(require), plain, first, event.MultitrackRequired},
		"several tracks with a plain key": {multi(allow), plain, three, event.MultitrackKeyRequired},
		"a track too few":                 {multi(allow), sealed, first, event.MultitrackTrackCount},
		"a track of another size": {multi(allow), sealed, func(t *testing.T) []timedTag {
			other := append([]rendition{}, ladder...)
			other[2].Height -= 2
			return multitrackTags(t, other, 3, -1, -1)
		}, event.MultitrackProperties},
		"keyframes that are not aligned": {multi(allow), sealed, func(t *testing.T) []timedTag { return multitrackTags(t, ladder, 3, -1, 1) }, event.MultitrackProperties},
		"keyframes without metrics":      {multi(allow), sealed, func(t *testing.T) []timedTag { return multitrackTags(t, ladder, 3, 2, -1) }, event.MultitrackProperties},
		"a key that was changed": {multi(allow), func(t *testing.T, ch servertest.Channel) string {
			return strings.Replace(sealed(t, ch), "/v1_", "/v1_0", 1)
		}, three, event.MultitrackKeyInvalid},
		"a key that has expired": {multi(allow), func(t *testing.T, ch servertest.Channel) string {
			key, err := multitrack.NewKeys(secret).Seal(multitrack.Ladder{}, ch.Key, time.Now().Add(-time.Second))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Replace(srv.RTMPURL(ch), ch.Key, key, 1)
		}, three, event.MultitrackKeyInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch := srv.NewChannel(t, tt.channel)
			url := tt.url(t, ch)
			if s := publish(t, url, tt.media(t)); s == nil {
				t.Error("the server took it")
			}
			session := endedSession(t, srv, ch)
			last := session.TruncatedEvents[0]
			if aws.ToString(last.Name) != "Session Ended" || aws.ToString(last.Code) != string(tt.want) || len(session.TruncatedEvents) != 2 {
				t.Errorf("the newest of %d events is %s with code %q, want Session Ended with %q", len(session.TruncatedEvents), aws.ToString(last.Name), aws.ToString(last.Code), tt.want)
			}
		})
	}

	t.Run("a key whose stream key is deleted", func(t *testing.T) {
		t.Parallel()
		ch := srv.NewChannel(t, multi(allow))
		url := sealed(t, ch)
		keys, err := srv.IVS().ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
		if err != nil || len(keys.StreamKeys) != 1 {
			t.Fatal(err)
		}
		if _, err := srv.IVS().DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: keys.StreamKeys[0].Arn}); err != nil {
			t.Fatal(err)
		}
		if s := refused(t, url); s.Code != rtmp.CodeBadName {
			t.Errorf("refused with %v", s)
		}
		if c := configure(t, srv, ch.Key); c.Status == nil || c.Status.Result != "error" || len(c.Endpoints) != 0 {
			t.Errorf("a deleted key was given %+v", c)
		}
	})
}

// endedSession waits for the channel's session to be over.
func endedSession(t testing.TB, srv *servertest.Server, ch servertest.Channel) *types.StreamSession {
	t.Helper()
	var s *types.StreamSession
	servertest.Eventually(t, "the session has ended", func() bool {
		out, err := srv.IVS().GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		s = out.StreamSession
		return s.EndTime != nil && len(s.TruncatedEvents) > 1
	})
	return s
}

// FindIngest names this server.
func TestFindIngest(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	status, _, body := servertest.Get(t, srv.Base+multitrack.FindIngestPath)
	want := fmt.Sprintf(`"url_template":"rtmp://%s/app/{stream_key}","url_template_secure":"rtmps://%s/app/{stream_key}"`, srv.RTMP, srv.RTMPS)
	if status != http.StatusOK || !strings.Contains(string(body), want) {
		t.Errorf("%d %s, want %s in it", status, body, want)
	}
}
