package rtmp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// secretKey is a stream key that must never be seen in a log or an error.
const secretKey = "sk_us-west-2_Secret123456_abcdefghijklmnopqrstuvwxyz0123"

// A recorder is a Handler that takes any key but some, and keeps what it is given.
type recorder struct {
	refuse   map[string]error
	sessions chan *session // each new one
	writeErr error         // of every session's Write
}

func newRecorder() *recorder {
	return &recorder{sessions: make(chan *session, 100), refuse: map[string]error{
		"denied":      live.Errorf(live.Denied, "The stream key is not valid."),
		"conflict":    live.Errorf(live.Conflict, "The channel is already live."),
		"unavailable": &live.Error{Kind: live.Unavailable, Detail: "Try again.", Err: errors.New("store: down")},
		"broken":      errors.New("store: a detail that is nobody's business"),
	}}
}

func (h *recorder) Publish(_ context.Context, r ingest.Request) (ingest.Session, error) {
	if err := h.refuse[r.Key]; err != nil {
		return nil, err
	}
	s := &session{request: r, writeErr: h.writeErr, done: make(chan struct{}), closed: make(chan struct{})}
	h.sessions <- s
	return s, nil
}

// next returns the next session, which a test has caused.
func (h *recorder) next(t testing.TB) *session {
	t.Helper()
	select {
	case s := <-h.sessions:
		return s
	case <-t.Context().Done():
		t.Fatal("no session")
		return nil
	}
}

type session struct {
	request  ingest.Request
	writeErr error
	done     chan struct{}
	closed   chan struct{}

	mu     sync.Mutex // guards all below
	units  []media.Unit
	said   []ingest.Announcement
	texts  []string
	closes []bool
}

func (s *session) Announce(a ingest.Announcement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, a)
}

func (s *session) Metadata(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

func (s *session) Write(u media.Unit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.closes) > 0 {
		return errors.New("Write after Close")
	}
	s.units = append(s.units, u)
	if s.writeErr != nil { // final: the session is over with it
		close(s.done)
	}
	return s.writeErr
}

func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) Close(clean bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closes = append(s.closes, clean); len(s.closes) == 1 {
		close(s.closed)
	}
}

// end waits for the session's end and returns what it got.
func (s *session) end(t testing.TB) (video, audio []media.Unit, clean bool) {
	t.Helper()
	<-s.closed
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.closes) != 1 {
		t.Errorf("closed %d times", len(s.closes))
	}
	for _, u := range s.units {
		if u.Track.Kind == media.Video {
			video = append(video, u)
		} else {
			audio = append(audio, u)
		}
	}
	return video, audio, s.closes[0]
}

// A logger that fails the test when the key appears.
type keyGuard struct {
	t  testing.TB
	mu sync.Mutex // guards the test's log order
}

func (g *keyGuard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if bytes.Contains(p, []byte("Secret123456")) {
		g.t.Errorf("the stream key is in the log: %s", p)
	}
	return len(p), nil
}

func testConfig(t testing.TB) Config {
	return Config{
		Log:     slog.New(slog.NewTextHandler(&keyGuard{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: prometheus.NewRegistry(),
		Linger:  5 * time.Second, // a client that is slow to close must not race us
	}
}

// start runs a server until the test's end, and checks that it then returns.
func start(t testing.TB, cfg Config, h ingest.Handler) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error("Run:", err)
		}
	})
	return s
}

func (s *Server) url(path string) string {
	return fmt.Sprintf("%s://%s/%s", strings.ToLower(string(s.protocol)), s.Addr(), path)
}

// selfSigned makes a certificate for 127.0.0.1, and a client that trusts it.
func selfSigned(t testing.TB) (server func() *tls.Config, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return func() *tls.Config { return cfg }, &tls.Config{RootCAs: pool}
}

// Sequence headers and frames for tests, as FLV bodies.
const (
	avcC    = "\x01\x42\xc0\x15\xff\xe1\x00\x19\x67\x42\xc0\x15\xd9\x01\xb1\xfe\x4f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x62\xe4\x80\x01\x00\x05\x68\xcb\x83\xcb\x20" // 426x240 at 30
	avcMain = "\x01\x4d\x40\x1f\xff\xe1\x00\x17\x67\x4d\x40\x1f\xec\xa0\x28\x02\xdd\x80\x88\x00\x00\x1f\x48\x00\x07\x53\x00\x78\xc1\x8c\xb0\x01\x00\x05\x68\xeb\xe3\xcb\x20"         // 1280x720 at 30000/1001
	asc     = "\x11\x90"                                                                                                                                                             // AAC-LC, 48 kHz, stereo
	idr     = "\x00\x00\x00\x04\x65\x88\x84\x21"
	slice   = "\x00\x00\x00\x03\x41\x9a\x02"
)

func videoConfig(b string) []byte {
	return wire.AppendVideo(nil, wire.Tag{Codec: wire.AVC, Packet: wire.PacketConfig, Data: []byte(b)})
}

func videoFrame(key bool, offset int32, nals string) []byte {
	return wire.AppendVideo(nil, wire.Tag{Codec: wire.AVC, Packet: wire.PacketFrames, Key: key, Offset: offset, Data: []byte(nals)})
}

func audioConfig(b string) []byte {
	return wire.AppendAudio(nil, wire.Tag{Codec: wire.AAC, Packet: wire.PacketConfig, Data: []byte(b)})
}

func audioFrame(b string) []byte {
	return wire.AppendAudio(nil, wire.Tag{Codec: wire.AAC, Packet: wire.PacketFrames, Data: []byte(b)})
}

// must returns a check for the errors of a client's writes.
func must(t testing.TB) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dial(t testing.TB, url string, cfg wire.ClientConfig) *wire.Client {
	t.Helper()
	c, err := wire.Dial(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Abort() })
	return c
}

func TestPublish(t *testing.T) {
	serverTLS, clientTLS := selfSigned(t)
	for name, tt := range map[string]struct {
		tls    func() *tls.Config
		client wire.ClientConfig
	}{
		"RTMP":             {nil, wire.ClientConfig{}},
		"digest handshake": {nil, wire.ClientConfig{Digest: true}},
		"small chunks":     {nil, wire.ClientConfig{ChunkSize: 128}},
		"RTMPS":            {serverTLS, wire.ClientConfig{TLS: clientTLS}},
	} {
		t.Run(name, func(t *testing.T) {
			h, cfg := newRecorder(), testConfig(t)
			cfg.TLS = tt.tls
			s := start(t, cfg, h)
			c, check := dial(t, s.url("app/"+secretKey+"?priority=7"), tt.client), must(t)
			sess := h.next(t)
			if r := sess.request; r.Key != secretKey || r.Params.Get("priority") != "7" || r.Protocol != s.protocol || r.Remote == "" || r.Agent != "FMLE/3.0 (compatible; FMSc/1.0)" {
				t.Errorf("request %+v", r)
			}
			check(c.WriteMetadata(wire.Object{{Name: "width", Value: 1280.0}, {Name: "videodatarate", Value: 2500.0}, {Name: "encoder", Value: "test"}}))
			check(c.WriteAudio(0, audioConfig(asc)))
			check(c.WriteVideo(0, videoConfig(avcC)))
			check(c.WriteVideo(0, videoFrame(true, 33, idr)))
			check(c.WriteAudio(0, audioFrame("raw0")))
			check(c.WriteAudio(21, audioFrame("raw1")))
			check(c.WriteVideo(33, videoFrame(false, 0, slice)))
			check(c.WriteVideo(66, wire.AppendVideo(nil, wire.Tag{Codec: wire.AVC, Packet: wire.PacketEnd})))
			check(c.Close())

			video, audio, clean := sess.end(t)
			if !clean || len(video) != 2 || len(audio) != 2 {
				t.Fatalf("%d frames, %d of audio, clean=%t", len(video), len(audio), clean)
			}
			if v := video[0]; !v.Key || string(v.Data) != idr || v.PTS-v.DTS != 3000 || v.Received.IsZero() || v.Track.CodecString() != "avc1.42C015" {
				t.Errorf("first frame %+v", v)
			}
			if v := video[1]; v.Key || v.DTS-video[0].DTS != 3000 || v.PTS != v.DTS || v.Track != video[0].Track {
				t.Errorf("second frame %+v", v)
			}
			if a := audio[1]; !a.Key || string(a.Data) != "raw1" || a.DTS-audio[0].DTS != 1024 || a.Track.SampleRate != 48000 || a.PTS != a.DTS {
				t.Errorf("second of audio %+v", a)
			}
			if want := (ingest.Announcement{Encoder: "test", Width: 1280, VideoBitRate: 2_500_000}); len(sess.said) != 1 || sess.said[0] != want {
				t.Errorf("announced %+v, want %+v", sess.said, want)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	serverTLS, clientTLS := selfSigned(t)
	lax := serverTLS().Clone()
	lax.MinVersion = tls.VersionTLS10
	cfg := testConfig(t)
	cfg.TLS = func() *tls.Config { return lax }
	s := start(t, cfg, newRecorder())
	clientTLS.MinVersion, clientTLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if c, err := wire.Dial(t.Context(), s.url("app/key"), wire.ClientConfig{TLS: clientTLS}); err == nil {
		_ = c.Abort()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestRefusals(t *testing.T) {
	for key, want := range map[string]wire.StatusError{
		"denied":      {Level: "error", Code: wire.CodeBadName, Description: "The stream key is not valid."},
		"conflict":    {Level: "error", Code: wire.CodeBadName, Description: "The channel is already live."},
		"unavailable": {Level: "error", Code: wire.CodeFailed, Description: "Try again."},
		"broken":      {Level: "error", Code: wire.CodeFailed, Description: "The server cannot take the stream now."},
	} {
		t.Run(key, func(t *testing.T) {
			s := start(t, testConfig(t), newRecorder())
			_, err := wire.Dial(t.Context(), s.url("app/"+key), wire.ClientConfig{})
			if se, ok := errors.AsType[*wire.StatusError](err); !ok || *se != want {
				t.Errorf("got %v, want %v", err, &want)
			}
		})
	}
}

// TestRefusalIsTotal: every kind of error has words and a code.
func TestRefusalIsTotal(t *testing.T) {
	for _, k := range live.Kinds() {
		if code, text, outcome := refusal(live.Errorf(k, "why")); code == "" || text != "why" || outcome != string(k) {
			t.Errorf("%s: %q %q %q", k, code, text, outcome)
		}
	}
}

func TestAnotherApplicationIsRefused(t *testing.T) {
	s := start(t, testConfig(t), newRecorder())
	_, err := wire.Dial(t.Context(), s.url("live/"+secretKey), wire.ClientConfig{})
	if se, ok := errors.AsType[*wire.StatusError](err); !ok || se.Code != "NetConnection.Connect.InvalidApp" {
		t.Errorf("got %v", err)
	}
}

// What the session or the server ends, the encoder hears of.
func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, c *wire.Client, sess *session)
		want string // code that the client hears, "" for none
	}{
		"the session's Done": {
			func(_ *testing.T, _ *wire.Client, sess *session) { close(sess.done) },
			wire.CodeUnpublished,
		},
		"a codec we do not take": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteVideo(0, []byte("\x90hvc1CONF"))) },
			wire.CodeRejected,
		},
		"a legacy codec we do not take": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteAudio(0, []byte("\x2fmp3"))) },
			wire.CodeRejected,
		},
		"multitrack": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteVideo(0, []byte("\x96\x00avc1\x01"))) },
			wire.CodeRejected,
		},
		"a sequence header that is garbage": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteVideo(0, videoConfig("garbage"))) },
			wire.CodeRejected,
		},
		"an audio config that is garbage": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteAudio(0, audioConfig("\xff\xff"))) },
			wire.CodeRejected,
		},
		"a tag cut short": {
			func(t *testing.T, c *wire.Client, _ *session) { must(t)(c.WriteVideo(0, []byte{0x17, 1})) },
			wire.CodeFailed,
		},
		"the connection just ends": {
			func(_ *testing.T, c *wire.Client, _ *session) { _ = c.Abort() },
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRecorder()
			s := start(t, testConfig(t), h)
			c := dial(t, s.url("app/"+secretKey), wire.ClientConfig{})
			sess := h.next(t)
			tt.end(t, c, sess)
			if tt.want != "" {
				if se, ok := errors.AsType[*wire.StatusError](c.Wait()); !ok || se.Code != tt.want || se.Description == "" {
					t.Errorf("client heard %v, want %s", se, tt.want)
				}
			}
			if _, _, clean := sess.end(t); clean {
				t.Error("closed as clean")
			}
		})
	}
}

func TestWriteErrorEndsThePublication(t *testing.T) {
	h := newRecorder()
	h.writeErr = live.Errorf(live.Quota, "The bit rate is too high for this channel.")
	s := start(t, testConfig(t), h)
	c, check := dial(t, s.url("app/key"), wire.ClientConfig{}), must(t)
	check(c.WriteVideo(0, videoConfig(avcC)))
	check(c.WriteVideo(0, videoFrame(true, 0, idr)))
	if se, ok := errors.AsType[*wire.StatusError](c.Wait()); !ok || se.Code != wire.CodeRejected || se.Description != "The bit rate is too high for this channel." {
		t.Errorf("client heard %v", se)
	}
	if video, _, clean := h.next(t).end(t); len(video) != 1 || clean {
		t.Errorf("%d frames, clean=%t", len(video), clean)
	}
}

func TestShutdownTellsEncoders(t *testing.T) {
	h := newRecorder()
	s, err := Listen("127.0.0.1:0", testConfig(t), h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	c := dial(t, s.url("app/key"), wire.ClientConfig{})
	idle, err := net.Dial("tcp", s.Addr().String()) // has not even shaken hands
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	sess := h.next(t)
	cancel()
	if se, ok := errors.AsType[*wire.StatusError](c.Wait()); !ok || se.Code != wire.CodeConnectClosed {
		t.Errorf("client heard %v", se)
	}
	_ = c.Abort()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if _, _, clean := sess.end(t); clean {
		t.Error("closed as clean")
	}
}

func TestListenRefusesATakenPort(t *testing.T) {
	s := start(t, testConfig(t), newRecorder())
	if _, err := Listen(s.Addr().String(), Config{}, newRecorder()); err == nil {
		t.Error("bound a port that is taken")
	}
}

// A listener that fails twice as a machine without file descriptors does.
type flaky struct {
	net.Listener
	left int
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

func (l *flaky) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, temporary{errors.New("too many open files")}
	}
	return l.Listener.Accept()
}

func TestAcceptIsRetried(t *testing.T) {
	h := newRecorder()
	s, err := Listen("127.0.0.1:0", testConfig(t), h)
	if err != nil {
		t.Fatal(err)
	}
	s.ln = &flaky{s.ln, 2}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	dial(t, s.url("app/key"), wire.ClientConfig{})
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestRunReturnsAnErrorThatWillNotPass(t *testing.T) {
	s, err := Listen("127.0.0.1:0", testConfig(t), newRecorder())
	if err != nil {
		t.Fatal(err)
	}
	s.ln.Close()
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run = nil on a listener that was closed under it")
	}
}

func TestBothProtocolsShareARegistry(t *testing.T) {
	serverTLS, _ := selfSigned(t)
	reg := prometheus.NewRegistry()
	newServer(Config{Metrics: reg}, nil)
	newServer(Config{Metrics: reg, TLS: serverTLS}, nil)
	got, err := reg.Gather()
	if err != nil || len(got) == 0 {
		t.Fatal(got, err)
	}
	for _, f := range got {
		if f.GetHelp() == "" || !strings.HasPrefix(f.GetName(), "sluice_rtmp_") {
			t.Errorf("metric %v", f)
		}
	}
}
