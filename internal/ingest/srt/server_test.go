package srt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
	wire "github.com/sluice-live/sluice/internal/srt"
)

const testPassphrase = "the channel's own passphrase"

// A recorder is a Handler that takes any key but some, knows one passphrase, and keeps
// what it is given.
type recorder struct {
	refuse   map[string]error
	sessions chan *session // each new one
	asked    chan string   // each key that it was asked about
	writeErr error         // of every session's Write
}

func newRecorder() *recorder {
	return &recorder{sessions: make(chan *session, 100), asked: make(chan string, 1000), refuse: map[string]error{
		"denied":      live.Errorf(live.Denied, "the stream key is not valid"),
		"conflict":    live.Errorf(live.Conflict, "the channel is already live"),
		"unsupported": live.Errorf(live.Unsupported, "no"),
		"quota":       live.Errorf(live.Quota, "too many"),
		"unavailable": &live.Error{Kind: live.Unavailable, Detail: "Try again.", Err: errors.New("store: down")},
		"broken":      errors.New("store: a detail that is nobody's business"),
	}}
}

func (h *recorder) Publish(_ context.Context, r ingest.Request) (ingest.Session, error) {
	h.asked <- r.Key
	if err := h.refuse[r.Key]; err != nil {
		return nil, err
	}
	if r.Unlock != nil && !r.Unlock(testPassphrase) || !r.Encrypted && r.Key == "secure" {
		return nil, h.refuse["denied"]
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
	case <-time.After(30 * time.Second):
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
	closes []bool
}

func (s *session) Announce(ingest.Announcement) {}
func (s *session) Metadata(string)              {}

func (s *session) Write(u media.Unit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.closes) > 0 {
		return errors.New("Write after Close")
	}
	s.units = append(s.units, u)
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
	select {
	case <-s.closed:
	case <-time.After(30 * time.Second):
		t.Fatal("the session does not end")
	}
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

// A logger that fails the test when a secret appears.
type secretGuard struct {
	t  testing.TB
	mu sync.Mutex // guards the test's log order
}

func (g *secretGuard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if bytes.Contains(p, []byte("Secret123456")) || bytes.Contains(p, []byte("passphrase=")) || bytes.Contains(p, []byte(testPassphrase)) {
		g.t.Errorf("a secret is in the log: %s", p)
	}
	return len(p), nil
}

// start runs a server until the test's end, and checks that it then returns.
func start(t testing.TB, cfg Config, h ingest.Handler) *Server {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(&secretGuard{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Latency == 0 {
		cfg.Latency = 20 * time.Millisecond
	}
	s, err := Listen("127.0.0.1:0", cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
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

func call(t testing.TB, s *Server, cfg wire.CallerConfig) (*wire.Caller, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return wire.Dial(ctx, s.Addr().String(), cfg)
}

func value(t testing.TB, reg prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			found := label == ""
			for _, l := range m.GetLabel() {
				found = found || l.GetValue() == label
			}
			if f.GetName() == name && found {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// Parameter sets and pictures.
const (
	sps    = "\x67\x42\xc0\x15\xd9\x01\xb1\xfe\x4f\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x62\xe4\x80" // 426x240 at 30
	pps    = "\x68\xcb\x83\xcb\x20"
	idrNAL = "\x65\x88\x84\x21"
)

// picture is the NAL unit of frame n, behind its length.
func picture(n int) string {
	nal := idrNAL
	if n%30 > 0 {
		nal = fmt.Sprintf("\x41\x9a%c%s", n%200+1, strings.Repeat("x", n*37%3000))
	}
	return string([]byte{0, 0, byte(len(nal) >> 8), byte(len(nal))}) + nal
}

// clip is a transport stream of n frames at 30 a second with two AAC frames each,
// beginning at start.
func clip(n int, start int64) []byte {
	m := mpegts.New(true)
	adts, _ := mpegts.ParseConfig([]byte{0x11, 0x90})
	var b []byte
	for i := range n {
		if i%30 == 0 {
			b = m.AppendTables(b)
		}
		at := start + int64(i)*3000
		b = m.AppendVideo(b, mpegts.Picture{DTS: at, PTS: at, Key: i%30 == 0, Data: []byte(picture(i)), SPS: [][]byte{[]byte(sps)}, PPS: [][]byte{[]byte(pps)}})
		if i%2 == 0 {
			b = m.AppendAudio(b, at, adts, [][]byte{[]byte("sound"), fmt.Appendf(nil, "%d", i), []byte("three")})
		}
	}
	return b
}

func send(t testing.TB, c *wire.Caller, b []byte) {
	t.Helper()
	for len(b) > 0 {
		n := min(len(b), 1316)
		if _, err := c.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := c.Acked(t.Context()); err != nil {
		t.Fatal("acknowledged:", err)
	}
}

// What a caller sends arrives whole: to the last frame, which nothing follows, and with
// what its stream id says.
func TestPublish(t *testing.T) {
	h, reg := newRecorder(), prometheus.NewRegistry()
	s := start(t, Config{Metrics: reg}, h)
	for name, tt := range map[string]struct {
		cfg  wire.CallerConfig
		want ingest.Request
	}{
		"in the clear": {
			wire.CallerConfig{StreamID: testKey},
			ingest.Request{Key: testKey, Params: url.Values{}},
		},
		"encrypted, with a priority": {
			wire.CallerConfig{StreamID: "#!::u=" + testKey + ",priority=7", Passphrase: testPassphrase, KeyLength: 32},
			ingest.Request{Key: testKey, Params: url.Values{"priority": {"7"}}, Encrypted: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := call(t, s, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			const n = 90
			send(t, c, clip(n, 1<<33-45*3000)) // over the wrap of times
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			session := h.next(t)
			video, audio, clean := session.end(t)
			if !clean || len(video) != n || len(audio) != 3*n/2 {
				t.Fatalf("clean=%t, %d frames of %d, %d of audio, want %d", clean, len(video), n, len(audio), 3*n/2)
			}
			for i, u := range video {
				if string(u.Data) != picture(i) || u.Key != (i%30 == 0) || u.DTS-video[0].DTS != int64(i)*3000 || u.Track != video[0].Track || u.PTS != u.DTS {
					t.Fatalf("frame %d: %d bytes at %d, key=%t", i, len(u.Data), u.DTS-video[0].DTS, u.Key)
				}
			}
			for i, u := range audio {
				if u.DTS-audio[0].DTS != int64(i)*media.SamplesPerFrame && i < 3 {
					t.Errorf("audio %d at %d", i, u.DTS-audio[0].DTS)
				}
			}
			r := session.request
			if r.Key != tt.want.Key || r.Encrypted != tt.want.Encrypted || r.Params.Encode() != tt.want.Params.Encode() || r.Protocol != ingest.SRT || r.Agent != "SRT 1.5.3" {
				t.Errorf("asked for %+v", r)
			}
		})
	}
	if got := value(t, reg, "sluice_srt_publications_ended_total", endUnpublished); got != 2 {
		t.Errorf("%v publications ended well, want 2", got)
	}
	if got := value(t, reg, "sluice_srt_received_packets_total", ""); got == 0 {
		t.Error("no packets are counted")
	}
}

// Who is refused hears why, in SRT's own numbers; and who guesses learns nothing: an
// unknown key is like a wrong passphrase, or like a channel that wants encryption.
func TestRefusals(t *testing.T) {
	h, reg := newRecorder(), prometheus.NewRegistry()
	s := start(t, Config{Metrics: reg, MaxLatency: 500 * time.Millisecond}, h)
	for name, tt := range map[string]struct {
		cfg  wire.CallerConfig
		want wire.Reason
	}{
		"an unknown key":                  {wire.CallerConfig{StreamID: "denied"}, wire.Unsecure},
		"an unknown key, encrypted":       {wire.CallerConfig{StreamID: "denied", Passphrase: testPassphrase}, wire.BadSecret},
		"a wrong passphrase":              {wire.CallerConfig{StreamID: testKey, Passphrase: "not the passphrase"}, wire.BadSecret},
		"no passphrase, where one is due": {wire.CallerConfig{StreamID: "secure"}, wire.Unsecure},
		"a channel that is live":          {wire.CallerConfig{StreamID: "conflict"}, wire.Conflict},
		"a stream of another kind":        {wire.CallerConfig{StreamID: "unsupported"}, wire.Unsupported},
		"one stream too many":             {wire.CallerConfig{StreamID: "quota"}, wire.Overload},
		"no database":                     {wire.CallerConfig{StreamID: "unavailable"}, wire.Unavailable},
		"our fault":                       {wire.CallerConfig{StreamID: "broken"}, wire.Internal},
		"no stream id":                    {wire.CallerConfig{}, wire.BadRequest},
		"who wants to play":               {wire.CallerConfig{StreamID: "#!::m=request,u=" + testKey}, wire.BadMode},
		"too much latency":                {wire.CallerConfig{StreamID: testKey, Latency: time.Second}, wire.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			before := value(t, reg, "sluice_srt_refused_total", tt.want.String())
			_, err := call(t, s, tt.cfg)
			if e, ok := errors.AsType[*wire.RefusedError](err); !ok || e.Reason != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if got := value(t, reg, "sluice_srt_refused_total", tt.want.String()); got != before+1 {
				t.Errorf("counted %v times", got-before)
			}
		})
	}
	if len(h.sessions) > 0 {
		t.Error("there is a session")
	}
}

// After some wrong keys from an address it is not asked for more, whatever it brings.
func TestGuessing(t *testing.T) {
	h := newRecorder()
	s := start(t, Config{}, h)
	const attempts = 60
	for range attempts {
		if _, err := call(t, s, wire.CallerConfig{StreamID: "denied"}); err == nil {
			t.Fatal("a wrong key is taken")
		}
	}
	if n := len(h.asked); n < 20 || n > attempts/2 {
		t.Errorf("%d keys of %d were looked up", n, attempts)
	}
	_, err := call(t, s, wire.CallerConfig{StreamID: testKey})
	if e, ok := errors.AsType[*wire.RefusedError](err); !ok || e.Reason != wire.Overload {
		t.Errorf("after them: %v, want %v", err, wire.Overload)
	}
}

// How a publication ends besides the encoder's goodbye, and that the encoder hears it.
func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg    Config
		write  error
		ends   func(*wire.Caller, *session)
		reason string
	}{
		"the session is stopped":       {ends: func(_ *wire.Caller, s *session) { close(s.done) }, reason: endStopped},
		"the encoder just goes":        {cfg: Config{Idle: 100 * time.Millisecond}, ends: func(c *wire.Caller, _ *session) { _ = c.Abort() }, reason: endIdle},
		"the encoder is there, silent": {cfg: Config{Idle: 100 * time.Millisecond}, ends: func(*wire.Caller, *session) {}, reason: endIdle},
		"the session takes no more":    {write: live.Errorf(live.Unsupported, "no"), ends: func(*wire.Caller, *session) {}, reason: endRefused},
		"no video comes":               {cfg: Config{NoVideo: time.Nanosecond}, ends: func(*wire.Caller, *session) {}, reason: endRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, reg := newRecorder(), prometheus.NewRegistry()
			h.writeErr, tt.cfg.Metrics = tt.write, reg
			s := start(t, tt.cfg, h)
			c, err := call(t, s, wire.CallerConfig{StreamID: testKey})
			if err != nil {
				t.Fatal(err)
			}
			session := h.next(t)
			media := clip(30, 0)
			if tt.cfg.NoVideo > 0 {
				media = media[:2*mpegts.PacketSize] // the tables
				media = append(media, media...)
			}
			for len(media) > 0 {
				n := min(len(media), mpegts.PacketSize*2)
				if _, err := c.Write(media[:n]); err != nil {
					break // it has ended already
				}
				media = media[n:]
			}
			tt.ends(c, session)
			if _, _, clean := session.end(t); clean {
				t.Error("that was a clean end")
			}
			<-c.Ended()
			_ = c.Abort()
			if got := value(t, reg, "sluice_srt_publications_ended_total", tt.reason); got != 1 {
				t.Errorf("counted %v times as %s", got, tt.reason)
			}
		})
	}
}

// A caller that is accepted and sends nothing is not waited for as long as one that did.
func TestOpening(t *testing.T) {
	h := newRecorder()
	s := start(t, Config{Opening: 50 * time.Millisecond, Idle: time.Hour}, h)
	c, err := call(t, s, wire.CallerConfig{StreamID: testKey})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, clean := h.next(t).end(t); clean {
		t.Error("that was a clean end")
	}
	_ = c.Abort()
}

// The end of the server ends publications, and says so to encoders.
func TestShutdown(t *testing.T) {
	h := newRecorder()
	s, err := Listen("127.0.0.1:0", Config{}, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	c, err := call(t, s, wire.CallerConfig{StreamID: testKey})
	if err != nil {
		t.Fatal(err)
	}
	session := h.next(t)
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	session.end(t)
	<-c.Ended()
	_ = c.Abort()
}

// One address holds so many connections that do not publish; they cost the others nothing.
func TestPending(t *testing.T) {
	block := make(chan struct{})
	h := handlerFunc(func(ctx context.Context, r ingest.Request) (ingest.Session, error) {
		select {
		case <-block:
		case <-ctx.Done():
		}
		return nil, live.Errorf(live.Unavailable, "later")
	})
	s := start(t, Config{MaxPending: 3}, h)
	defer close(block)
	var calls sync.WaitGroup
	defer calls.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		calls.Go(func() { _, _ = wire.Dial(ctx, s.Addr().String(), wire.CallerConfig{StreamID: testKey}) })
	}
	for {
		dctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := wire.Dial(dctx, s.Addr().String(), wire.CallerConfig{StreamID: testKey})
		stop()
		if e, ok := errors.AsType[*wire.RefusedError](err); ok {
			if e.Reason != wire.Overload {
				t.Errorf("%v, want %v", err, wire.Overload)
			}
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nobody is refused")
		}
	}
}

type handlerFunc func(context.Context, ingest.Request) (ingest.Session, error)

func (f handlerFunc) Publish(ctx context.Context, r ingest.Request) (ingest.Session, error) {
	return f(ctx, r)
}
