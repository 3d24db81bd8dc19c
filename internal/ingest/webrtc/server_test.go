package webrtc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/ingest/webrtc/webrtctest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// small is what publishers of these tests send: pictures of 30 per second.
var small = testmedia.Source{Width: 320, Height: 180, GOP: 30, BitRate: 300_000}

func publish(t *testing.T, s *server, src webrtctest.Source) *webrtctest.Publisher {
	t.Helper()
	p, err := webrtctest.Publish(t, s.whip(), goodKey, src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain: %s", what)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// value is a metric, of the given label's value where it has one.
func value(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

func TestAPublication(t *testing.T) {
	for name, tcp := range map[string]bool{"over UDP": false, "over TCP": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, reg := newRecorder(), prometheus.NewRegistry()
			cfg := Config{Metrics: reg}
			if tcp {
				cfg.TCP = "127.0.0.1:0"
			}
			s := start(t, cfg, h)
			const frames = 75
			clip := webrtctest.Pictures(t, small, frames)
			p := publish(t, s, webrtctest.Source{Pictures: clip, Sound: webrtctest.Sound(t, tone, 3*time.Second), TCP: tcp})
			await(t, "all is sent", p.Sent())
			eventually(t, "all arrives", func() bool { return len(h.of(media.Video)) == frames })
			if status := p.Stop(t); status != http.StatusOK {
				t.Errorf("DELETE = %d", status)
			}
			if !h.ended(t) {
				t.Error("the session did not end cleanly")
			}
			await(t, "the peer hears of the end", p.Over())

			if q := h.request; q.Protocol != ingest.WebRTC || !q.Encrypted || !strings.HasPrefix(q.Remote, "127.0.0.1:") || q.Agent != "webrtctest/1" {
				t.Errorf("request %+v", q)
			}
			var last media.Unit
			for i, u := range h.of(media.Video) {
				if i > 0 && (u.DTS <= last.DTS || u.Track != last.Track) {
					t.Fatalf("picture %d at %d after %d, of the same track: %t", i, u.DTS, last.DTS, u.Track == last.Track)
				}
				if u.Key != (i%30 == 0) || u.Track.Width != 320 || u.Track.Height != 180 || u.DTS != u.PTS {
					t.Errorf("picture %d: %t, %dx%d", i, u.Key, u.Track.Width, u.Track.Height)
				}
				if p, err := media.ParseH264(u.Data, 4); err != nil || !p.Slices {
					t.Errorf("picture %d: %v", i, err)
				}
				last = u
			}
			sound := h.of(media.Audio)
			if len(sound) < 100 || sound[0].Track.SampleRate != 48000 || sound[0].Track.Channels != 2 {
				t.Fatalf("%d frames of sound", len(sound))
			}
			for i := 1; i < len(sound); i++ {
				if sound[i].DTS != sound[i-1].DTS+1024 {
					t.Fatalf("frame %d of sound is at %d after %d", i, sound[i].DTS, sound[i-1].DTS)
				}
			}
			eventually(t, "it is counted", func() bool { return value(t, reg, "sluice_webrtc_peers", "") == 0 })
			if n := value(t, reg, "sluice_webrtc_publications_ended_total", endUnpublished); n != 1 {
				t.Errorf("%v publications ended with a goodbye", n)
			}
		})
	}
}

// A peer that loses packets is asked for them, and all pictures are there in the end.
func TestLostPacketsAreAskedFor(t *testing.T) {
	t.Parallel()
	h := newRecorder()
	s := start(t, Config{}, h)
	const frames = 60
	p := publish(t, s, webrtctest.Source{Pictures: webrtctest.Pictures(t, small, frames), Lose: 10})
	await(t, "all is sent", p.Sent())
	eventually(t, "all arrives", func() bool { return len(h.of(media.Video)) >= frames-1 }) // nothing reveals that the last is lost
	if p.Again.Load() == 0 {
		t.Error("no packet was asked for")
	}
}

// Packets that do not come cost the pictures up to the next keyframe, which is asked
// for at once.
func TestPacketsThatDoNotCome(t *testing.T) {
	t.Parallel()
	h, reg := newRecorder(), prometheus.NewRegistry()
	s := start(t, Config{Metrics: reg}, h)
	p := publish(t, s, webrtctest.Source{Pictures: webrtctest.Pictures(t, small, 120), Lose: 40, Forever: true})
	await(t, "all is sent", p.Sent())
	p.Stop(t)
	h.ended(t)
	pictures := h.of(media.Video)
	if len(pictures) < 20 || len(pictures) > 118 || !pictures[0].Key {
		t.Errorf("%d pictures", len(pictures))
	}
	eventually(t, "it is counted", func() bool { return value(t, reg, "sluice_webrtc_peers", "") == 0 })
	if lost, dropped := value(t, reg, "sluice_webrtc_lost_packets_total", "video"), value(t, reg, "sluice_webrtc_dropped_pictures_total", ""); lost == 0 || dropped == 0 || p.Asked.Load() < 2 {
		t.Errorf("%v packets lost, %v pictures dropped, %d keyframes asked for", lost, dropped, p.Asked.Load())
	}
}

// A browser changes the size of its pictures when it likes.
func TestAnotherSizeIsAnotherTrack(t *testing.T) {
	t.Parallel()
	h := newRecorder()
	s := start(t, Config{}, h)
	other := small
	other.Width, other.Height = 160, 90
	clip := append(webrtctest.Pictures(t, small, 30), webrtctest.Pictures(t, other, 30)...)
	p := publish(t, s, webrtctest.Source{Pictures: clip})
	await(t, "all is sent", p.Sent())
	eventually(t, "all arrives", func() bool { return len(h.of(media.Video)) == len(clip) })
	for i, u := range h.of(media.Video) {
		if want := map[bool]int{true: 320, false: 160}[i < 30]; u.Track.Width != want {
			t.Errorf("picture %d is %d wide, want %d", i, u.Track.Width, want)
		}
	}
}

func TestEnds(t *testing.T) {
	clip := webrtctest.Pictures(t, small, 30)
	for name, tt := range map[string]struct {
		cfg    Config
		end    func(*testing.T, *server, *recorder, *webrtctest.Publisher)
		reason string
		clean  bool
	}{
		"by StopStream":          {Config{}, func(_ *testing.T, _ *server, h *recorder, _ *webrtctest.Publisher) { close(h.done) }, endStopped, false},
		"with the server":        {Config{}, func(_ *testing.T, s *server, _ *recorder, _ *webrtctest.Publisher) { s.stop() }, endShutdown, false},
		"with the connection":    {Config{}, func(_ *testing.T, _ *server, _ *recorder, p *webrtctest.Publisher) { _ = p.PC.Close() }, endUnpublished, true},
		"by the want of media":   {Config{Idle: 300 * time.Millisecond}, func(*testing.T, *server, *recorder, *webrtctest.Publisher) {}, endIdle, false},
		"by a session's refusal": {Config{}, func(_ *testing.T, _ *server, h *recorder, _ *webrtctest.Publisher) {}, endRefused, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, reg := newRecorder(), prometheus.NewRegistry()
			if tt.reason == endRefused {
				h.fail = errors.New("enough")
			}
			tt.cfg.Metrics = reg
			s := start(t, tt.cfg, h)
			p := publish(t, s, webrtctest.Source{Pictures: clip})
			eventually(t, "media arrives", func() bool { return len(h.of(media.Video)) > 0 })
			tt.end(t, s, h, p)
			if clean := h.ended(t); clean != tt.clean {
				t.Errorf("clean %t, want %t", clean, tt.clean)
			}
			if tt.reason != endUnpublished {
				await(t, "the peer hears of it", p.Over())
			}
			eventually(t, "it is counted", func() bool { return value(t, reg, "sluice_webrtc_peers", "") == 0 })
			if n := value(t, reg, "sluice_webrtc_publications_ended_total", tt.reason); n != 1 {
				t.Errorf("%v publications ended by %q", n, tt.reason)
			}
		})
	}
}

func TestAPeerThatDoesNotComeIsGivenUp(t *testing.T) {
	t.Parallel()
	h, reg := newRecorder(), prometheus.NewRegistry()
	s := start(t, Config{Connect: 50 * time.Millisecond, Metrics: reg}, h)
	w := s.do(t, http.MethodPost, whipPath, sdpFile(t, "obs"), "Content-Type", sdpType, "Authorization", "Bearer "+goodKey)
	if w.Code != http.StatusCreated {
		t.Fatalf("POST = %d %s", w.Code, w.Body)
	}
	if h.ended(t) {
		t.Error("the session ended cleanly")
	}
	eventually(t, "it is counted", func() bool { return value(t, reg, "sluice_webrtc_publications_ended_total", endUnconnected) == 1 })
	eventually(t, "its URL is gone", func() bool {
		return s.do(t, http.MethodDelete, w.Header().Get("Location"), "", "Authorization", "Bearer "+goodKey).Code == http.StatusNotFound
	})
}

func TestAnAnswerSaysWhereToSendMedia(t *testing.T) {
	t.Parallel()
	s := start(t, Config{TCP: "127.0.0.1:0", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}, newRecorder())
	w := s.do(t, http.MethodPost, whipPath+"?priority=3", sdpFile(t, "chromium"), "Content-Type", sdpType+"; charset=utf-8", "Authorization", "bearer "+goodKey)
	if w.Code != http.StatusCreated {
		t.Fatalf("POST = %d %s", w.Code, w.Body)
	}
	answer := w.Body.String()
	_, udp, _ := strings.Cut(s.Addr().String(), ":")
	_, tcp, _ := strings.Cut(s.TCPAddr().String(), ":")
	for _, want := range []string{
		"a=ice-lite", "a=setup:passive", "a=rtpmap:102 H264/90000", "packetization-mode=1;profile-level-id=42001f", "a=rtcp-fb:102 nack pli",
		"a=rtpmap:111 opus/48000/2", "a=rtcp-fb:102 transport-cc", "a=recvonly", "m=application",
		" 127.0.0.1 " + udp + " typ host", " 192.0.2.7 " + udp + " typ host", " 192.0.2.7 " + tcp + " typ host tcptype passive", "a=end-of-candidates",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer has no %q:\n%s", want, answer)
		}
	}
	for _, not := range []string{"VP8", "rtx", "AV1"} {
		if strings.Contains(answer, not) {
			t.Errorf("the answer has %q:\n%s", not, answer)
		}
	}
	if l := w.Header().Get("Location"); !strings.HasPrefix(l, "/whip/") || w.Header().Get("Content-Type") != sdpType {
		t.Errorf("Location %q, Content-Type %q", l, w.Header().Get("Content-Type"))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	obs := sdpFile(t, "obs")
	for name, tt := range map[string]struct {
		cfg    Config
		refuse error
		key    string
		sdp    string
		status int
		code   int // of the SDK
		say    string
	}{
		"a wrong key":             {key: "sk_bad", sdp: obs, status: 403, code: 1007, say: "the stream key is not valid"},
		"a channel in use":        {key: goodKey, refuse: live.Errorf(live.Conflict, "the channel is already live"), sdp: obs, status: 409, code: 409, say: "already live"},
		"a server that is full":   {key: goodKey, refuse: live.Errorf(live.Unavailable, "no more"), sdp: obs, status: 503, code: 503, say: "no more"},
		"too many streams":        {key: goodKey, refuse: live.Errorf(live.Quota, "Concurrent Broadcasts"), sdp: obs, status: 403, code: 403, say: "Concurrent"},
		"our own failure":         {key: goodKey, refuse: errors.New("secret cause"), sdp: obs, status: 500, code: 500, say: "cannot take the stream now"},
		"no H.264":                {key: goodKey, sdp: strings.ReplaceAll(obs, "H264", "VP8"), status: 422, code: 422, say: "H.264"},
		"no SDP":                  {key: goodKey, sdp: "x", status: 400, code: 400, say: "media sections"},
		"what pion does not take": {key: goodKey, sdp: strings.ReplaceAll(obs, "a=ice-pwd:1TqJ0h9S5nBrm8sYBNSGp1\r\n", ""), status: 400, code: 400, say: "cannot be answered"},
		"too large":               {key: goodKey, sdp: strings.Repeat("x", maxBody+1), status: 400, code: 400, say: "too large"},
		"sound without ffmpeg":    {cfg: Config{FFmpeg: "/nowhere/ffmpeg"}, key: goodKey, sdp: obs, status: 503, code: 503, say: "ffmpeg"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRecorder()
			h.refuse = tt.refuse
			s := start(t, tt.cfg, h)
			w := s.do(t, http.MethodPost, whipPath, tt.sdp, "Content-Type", sdpType, "Authorization", "Bearer "+tt.key)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.say) || w.Header().Get("Access-Control-Allow-Origin") != "*" || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("WHIP: %d %s %v, want %d and %q", w.Code, w.Body, w.Header(), tt.status, tt.say)
			}
			if (w.Header().Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
			w = s.do(t, http.MethodPost, offerPath, sdkBody(t, tt.key, tt.sdp, ""), "Content-Type", "application/json")
			var said struct {
				Code    int
				Message string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != tt.status || said.Code != tt.code || !strings.Contains(said.Message, tt.say) {
				t.Errorf("SDK: %d %s, want %d with code %d and %q", w.Code, w.Body, tt.status, tt.code, tt.say)
			}
		})
	}
}

func TestTheSDKGetsItsAnswer(t *testing.T) {
	t.Parallel()
	h := newRecorder()
	s := start(t, Config{}, h)
	w := s.do(t, http.MethodPost, offerPath, sdkBody(t, goodKey, sdpFile(t, "chromium"), `,"maxFramerate":30`), "Content-Type", "application/json")
	var said struct{ Answer, IngestSessionID string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != http.StatusOK || len(said.IngestSessionID) != 32 {
		t.Fatalf("POST = %d %s", w.Code, w.Body)
	}
	b, err := base64.StdEncoding.DecodeString(said.Answer)
	var d description
	if err != nil || json.Unmarshal(b, &d) != nil || d.Type != "answer" || !strings.HasPrefix(d.SDP, "v=0\r\n") {
		t.Errorf("answer %s", b)
	}
	// A session of the SDK is none of WHIP.
	if w := s.do(t, http.MethodDelete, whipPath+"/"+said.IngestSessionID, "", "Authorization", "Bearer "+goodKey); w.Code != http.StatusNotFound {
		t.Errorf("DELETE = %d", w.Code)
	}
	s.stop()
	if h.ended(t); h.said.FrameRate != 30 {
		t.Errorf("announced %+v", h.said)
	}
	if w := s.do(t, http.MethodPost, whipPath, sdpFile(t, "obs"), "Content-Type", sdpType, "Authorization", "Bearer "+goodKey); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a server that is going down answers %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := start(t, Config{}, newRecorder())
	post := s.do(t, http.MethodPost, whipPath, sdpFile(t, "obs"), "Content-Type", sdpType, "Authorization", "Bearer "+goodKey)
	session := post.Header().Get("Location")
	if post.Code != http.StatusCreated {
		t.Fatalf("POST = %d %s", post.Code, post.Body)
	}
	for name, tt := range map[string]struct {
		method, path string
		header       []string
		status       int
		want         string // "Name: value" of the answer's header
	}{
		"preflight of the SDK":        {http.MethodOptions, offerPath, nil, 204, "Access-Control-Allow-Headers: authorization, content-type, if-match"},
		"preflight of WHIP":           {http.MethodOptions, whipPath, nil, 204, "Accept-Post: application/sdp"},
		"preflight of a session":      {http.MethodOptions, session, nil, 204, "Access-Control-Allow-Methods: DELETE, OPTIONS"},
		"no key":                      {http.MethodPost, whipPath, []string{"Content-Type", sdpType}, 401, "Www-Authenticate: Bearer"},
		"another scheme":              {http.MethodPost, whipPath, []string{"Content-Type", sdpType, "Authorization", "Basic x"}, 401, "Www-Authenticate: Bearer"},
		"another type":                {http.MethodPost, whipPath, []string{"Content-Type", "application/json", "Authorization", "Bearer x"}, 415, "Accept-Post: application/sdp"},
		"trickle ICE":                 {http.MethodPatch, session, []string{"Content-Type", "application/trickle-ice-sdpfrag"}, 405, "Allow: DELETE, OPTIONS"},
		"nothing to get":              {http.MethodGet, whipPath, nil, 405, "Allow: OPTIONS, POST"},
		"nothing to get of the SDK's": {http.MethodGet, offerPath, nil, 405, "Allow: OPTIONS, POST"},
		"an end without a key":        {http.MethodDelete, session, nil, 401, "Www-Authenticate: Bearer"},
		"an end with another key":     {http.MethodDelete, session, []string{"Authorization", "Bearer sk_other"}, 403, "Access-Control-Allow-Origin: *"},
		"the end of another session":  {http.MethodDelete, session + "x", []string{"Authorization", "Bearer " + goodKey}, 404, "Access-Control-Allow-Origin: *"},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.do(t, tt.method, tt.path, "", tt.header...)
			key, value, _ := strings.Cut(tt.want, ": ")
			if w.Code != tt.status || w.Header().Get(key) != value || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s = %d %v, want %d and %s", tt.method, tt.path, w.Code, w.Header(), tt.status, tt.want)
			}
		})
	}
}

func TestAnAddressIsLimited(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := start(t, Config{MaxOffers: 3, MaxPending: 1, Metrics: reg}, newRecorder())
	offer := func(key string) int {
		return s.do(t, http.MethodPost, whipPath, sdpFile(t, "obs"), "Content-Type", sdpType, "Authorization", "Bearer "+key).Code
	}
	got := []int{offer(goodKey), offer(goodKey), offer("sk_bad"), offer("sk_bad"), offer("sk_bad")}
	want := []int{201, 503, 503, 429, 429} // one that has not connected is all it may have
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("offers of one address are answered %d, want %d", got, want)
			break
		}
	}
	guard := ingest.NewGuard()
	s = start(t, Config{MaxOffers: 1000, Guard: guard}, newRecorder())
	wrong := 0
	for offer("sk_bad") == http.StatusForbidden {
		if wrong++; wrong > 100 {
			break
		}
	}
	if addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1234")); wrong < 10 || wrong > 100 || guard.Allow(addr) {
		t.Errorf("%d wrong keys of one address are looked up", wrong)
	}
	if n := value(t, reg, "sluice_webrtc_offers_total", string(live.Throttled)); n != 2 {
		t.Errorf("%v offers throttled", n)
	}
}
