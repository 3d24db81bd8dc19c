package webrtc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
)

func sdpFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".sdp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOffersOfTheField(t *testing.T) {
	for name, tt := range map[string]struct {
		video, audio format
	}{
		"chromium": {format{102, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"}, format{111, "minptime=10;useinbandfec=1"}},
		"obs":      {format{96, "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"}, format{111, "minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parseOffer(sdpFile(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if o.video != tt.video || o.audio == nil || *o.audio != tt.audio {
				t.Errorf("picked %+v and %+v, want %+v and %+v", o.video, o.audio, tt.video, tt.audio)
			}
			if strings.Contains(o.sdp, "candidate") {
				t.Errorf("candidates are left: %s", o.sdp)
			}
		})
	}
}

func TestOffersAreRefused(t *testing.T) {
	obs := sdpFile(t, "obs")
	video := obs[strings.Index(obs, "m=video"):]
	audio := obs[strings.Index(obs, "m=audio"):strings.Index(obs, "m=video")]
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(obs) }
	for name, tt := range map[string]struct {
		sdp  string
		kind live.Kind // "" for an offer that is taken
		say  string
	}{
		"only pictures":          {strings.Replace(obs, audio, "", 1), "", ""},
		"sound that is inactive": {strings.Replace(obs, "a=sendonly", "a=inactive", 1), "", ""},
		"High profile":           {replace("42e01f", "640c1f"), "", ""},
		"nothing":                {"", live.Invalid, "media sections"},
		"no SDP":                 {"hello\r\n", live.Invalid, "cannot be read"},
		"only sound":             {strings.Replace(obs, video, "", 1), live.Unsupported, "no video"},
		"pictures to receive":    {strings.Replace(obs, video, strings.Replace(video, "sendonly", "recvonly", 1), 1), live.Unsupported, "no video"},
		"two tracks of pictures": {obs + video, live.Unsupported, "More than one video"},
		"two tracks of sound":    {strings.Replace(obs, audio, audio+audio, 1), live.Unsupported, "More than one audio"},
		"VP8":                    {replace("H264/90000", "VP8/90000"), live.Unsupported, "no H.264"},
		"packetization mode 0":   {replace("packetization-mode=1", "packetization-mode=0"), live.Unsupported, "packetization mode 1"},
		"no packetization mode":  {replace("packetization-mode=1;", ""), live.Unsupported, "packetization mode 1"},
		"High 4:2:2":             {replace("42e01f", "7a001f"), live.Unsupported, "no H.264"},
		"no Opus":                {replace("opus/48000/2", "PCMU/8000"), live.Unsupported, "no Opus"},
		"simulcast":              {obs + "a=simulcast:send 0;1\r\n", live.Unsupported, "Simulcast"},
		"who cannot start DTLS":  {replace("setup:actpass", "setup:passive"), live.Unsupported, "setup"},
		"many sections":          {obs + strings.Repeat("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n", maxSections), live.Invalid, "media sections"},
		"many formats":           {replace("SAVPF 96", "SAVPF"+strings.Repeat(" 96", maxFormats+1)), live.Invalid, "formats"},
		"a long one":             {obs + strings.Repeat("a=x\r\n", maxSDP/5), live.Invalid, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOffer(tt.sdp)
			if tt.kind == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			e, ok := errors.AsType[*live.Error](err)
			if !ok || e.Kind != tt.kind || !strings.Contains(e.Detail, tt.say) {
				t.Errorf("parseOffer = %v, want %s about %q", err, tt.kind, tt.say)
			}
		})
	}
}

// Whatever an offer says, it is refused in words for its sender, or H.264 is picked,
// nobody is to be contacted, and what is passed on is again such an offer.
func FuzzOffer(f *testing.F) {
	f.Add(sdpFile(f, "chromium"))
	f.Add(sdpFile(f, "obs"))
	f.Add("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffer(text)
		if err != nil {
			if _, ok := errors.AsType[*live.Error](err); !ok {
				t.Fatalf("%v is not for its sender", err)
			}
			return
		}
		again, err := parseOffer(o.sdp)
		if len(o.sdp) > maxSDP { // spaces may have become none, and the other way round
			return
		}
		if err != nil || again.video != o.video || (again.audio == nil) != (o.audio == nil) {
			t.Fatalf("%+v became %+v, %v", o, again, err)
		}
		if !isH264("H264/90000", o.video.fmtp) || strings.Contains(o.sdp, "a=candidate:") {
			t.Fatalf("picked %+v of %q", o.video, o.sdp)
		}
	})
}

func sdkBody(t testing.TB, key, sdp, more string) string {
	t.Helper()
	b, err := json.Marshal(description{"offer", sdp})
	if err != nil {
		t.Fatal(err)
	}
	return `{"offer":"` + base64.StdEncoding.EncodeToString(b) + `","streamKey":"` + key + `"` + more + `}`
}

func TestOfferRequests(t *testing.T) {
	var q offerRequest
	got, err := q.parse([]byte(sdkBody(t, "sk_x", "v=0", `,"maxResolution":{"width":1280,"height":720},"maxFramerate":30,"maxBitrate":8500,"other":1`)))
	want := ingest.Announcement{Width: 1280, Height: 720, FrameRate: 30, VideoBitRate: 8_500_000}
	if err != nil || got.key != "sk_x" || got.sdp != "v=0" || got.kind != want {
		t.Errorf("parse = %+v, %v, want %+v", got, err, want)
	}
	for name, body := range map[string]string{
		"not JSON":             "x",
		"nothing":              "{}",
		"no base64":            `{"offer":"*","streamKey":"sk_x"}`,
		"no description":       `{"offer":"AAAA","streamKey":"sk_x"}`,
		"an answer":            `{"offer":"` + base64.StdEncoding.EncodeToString([]byte(`{"type":"answer","sdp":"v=0"}`)) + `"}`,
		"numbers of no number": `{"offer":"","maxBitrate":"much"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var q offerRequest
			if _, err := q.parse([]byte(body)); !errors.Is(err, live.Invalid) {
				t.Errorf("parse = %v, want it invalid", err)
			}
		})
	}
}

// Whatever a body says, what is announced by it is within bounds.
func FuzzOfferRequest(f *testing.F) {
	f.Add([]byte(sdkBody(f, "sk_x", "v=0", `,"maxResolution":{"width":1e99,"height":-1},"maxFramerate":1e300,"maxBitrate":1e18`)))
	f.Add([]byte(`{"offer":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var q offerRequest
		in, err := q.parse(body)
		if a := in.kind; a.Width < 0 || a.Width > 1e5 || a.Height < 0 || a.Height > 1e5 || a.FrameRate < 0 || a.FrameRate > 300 || a.VideoBitRate < 0 || a.VideoBitRate > 1e9 {
			t.Fatalf("announced %+v", a)
		}
		if err == nil && in.sdp == "" {
			t.Fatal("an offer of nothing")
		}
	})
}
