// Package webrtctest is a publisher over WebRTC for tests: it offers by WHIP, as an
// encoder does, and sends pictures and sound that were coded before, in real time. It
// can lose packets on purpose. What a browser makes of it is for test/e2e/browser.
package webrtctest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/sluice-live/sluice/internal/testmedia"
)

// A Source is what a publisher sends.
type Source struct {
	Pictures [][]byte // access units in Annex B form
	FPS      int      // of Pictures; 0 means 30
	Sound    [][]byte // Opus packets of 20 ms; nil for no sound
	Offset   time.Duration
	Lose     int  // every Lose-th packet of pictures is lost once; 0 for none
	Forever  bool // and is not sent again when asked for
	TCP      bool // media over TCP only
}

// A Publisher sends a Source.
type Publisher struct {
	PC       *pion.PeerConnection
	Session  string       // URL of the WHIP session
	Asked    atomic.Int64 // keyframes that the server asked for
	Again    atomic.Int64 // packets that it asked for again
	up       chan struct{}
	over     chan struct{} // closed when the connection is not up any more
	sent     chan struct{} // closed when all is sent
	endpoint string
	key      string
	cancel   context.CancelFunc
}

// A Refusal is an answer other than 201.
type Refusal struct {
	Status int
	Header http.Header
	Body   string
}

func (r *Refusal) Error() string { return fmt.Sprintf("WHIP: %d %s", r.Status, r.Body) }

// Publish offers s at a WHIP endpoint and starts to send. The end of the test ends it.
func Publish(t testing.TB, endpoint, key string, s Source) (*Publisher, error) {
	t.Helper()
	p := &Publisher{up: make(chan struct{}), over: make(chan struct{}), sent: make(chan struct{}), endpoint: endpoint, key: key}
	if s.FPS == 0 {
		s.FPS = 30
	}
	var m pion.MediaEngine
	must(t, m.RegisterDefaultCodecs())
	var all interceptor.Registry
	all.Add(&loser{every: s.Lose, forever: s.Forever})
	must(t, pion.RegisterDefaultInterceptors(&m, &all))
	var e pion.SettingEngine
	e.SetIncludeLoopbackCandidate(true)
	if s.TCP {
		e.SetNetworkTypes([]pion.NetworkType{pion.NetworkTypeTCP4})
	}
	pc, err := pion.NewAPI(pion.WithMediaEngine(&m), pion.WithInterceptorRegistry(&all), pion.WithSettingEngine(e)).
		NewPeerConnection(pion.Configuration{})
	must(t, err)
	p.PC = pc
	var up, over sync.Once
	pc.OnConnectionStateChange(func(state pion.PeerConnectionState) {
		switch state {
		case pion.PeerConnectionStateConnected:
			up.Do(func() { close(p.up) })
		case pion.PeerConnectionStateDisconnected, pion.PeerConnectionStateFailed, pion.PeerConnectionStateClosed:
			over.Do(func() { close(p.over) })
		}
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p.cancel = cancel
	t.Cleanup(func() {
		cancel()
		<-p.sent
		_ = pc.GracefulClose() // the server may have ended it
	})
	pictures := p.add(t, pion.RTPCodecCapability{MimeType: pion.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"})
	var sound *pion.TrackLocalStaticSample
	if s.Sound != nil {
		sound = p.add(t, pion.RTPCodecCapability{MimeType: pion.MimeTypeOpus, ClockRate: 48000, Channels: 2})
	}
	if err := p.offer(ctx, t); err != nil {
		close(p.sent)
		return nil, err
	}
	go func() { // ends with ctx, or when all is sent
		defer close(p.sent)
		p.send(ctx, s, pictures, sound)
	}()
	return p, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *Publisher) add(t testing.TB, c pion.RTPCodecCapability) *pion.TrackLocalStaticSample {
	t.Helper()
	track, err := pion.NewTrackLocalStaticSample(c, c.MimeType, "publisher")
	must(t, err)
	sender, err := p.PC.AddTrack(track)
	must(t, err)
	go func() { // ends with the connection
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				switch packet := packet.(type) {
				case *rtcp.PictureLossIndication:
					p.Asked.Add(1)
				case *rtcp.TransportLayerNack:
					for _, pair := range packet.Nacks {
						p.Again.Add(int64(len(pair.PacketList())))
					}
				}
			}
		}
	}()
	return track
}

func (p *Publisher) offer(ctx context.Context, t testing.TB) error {
	t.Helper()
	d, err := p.PC.CreateOffer(nil)
	must(t, err)
	must(t, p.PC.SetLocalDescription(d))
	resp, body := p.request(ctx, t, http.MethodPost, p.endpoint, d.SDP)
	if resp.StatusCode != http.StatusCreated {
		return &Refusal{resp.StatusCode, resp.Header, body}
	}
	base, err := url.Parse(p.endpoint)
	must(t, err)
	at, err := base.Parse(resp.Header.Get("Location"))
	must(t, err)
	p.Session = at.String()
	must(t, p.PC.SetRemoteDescription(pion.SessionDescription{Type: pion.SDPTypeAnswer, SDP: body}))
	return nil
}

func (p *Publisher) request(ctx context.Context, t testing.TB, method, url, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/sdp")
	req.Header.Set("User-Agent", "webrtctest/1")
	if p.key != "" {
		req.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(b)
}

// send sends everything at the time that it is due.
func (p *Publisher) send(ctx context.Context, s Source, pictures, sound *pion.TrackLocalStaticSample) {
	select {
	case <-p.up:
	case <-ctx.Done():
		return
	}
	start := time.Now()
	var both sync.WaitGroup
	defer both.Wait()
	run := func(track *pion.TrackLocalStaticSample, units [][]byte, each, late time.Duration) {
		both.Go(func() {
			due := time.NewTimer(0)
			defer due.Stop()
			for n, b := range units {
				due.Reset(time.Until(start.Add(late + time.Duration(n)*each)))
				select {
				case <-due.C:
				case <-ctx.Done():
					return
				case <-p.over:
					return
				}
				if track.WriteSample(media.Sample{Data: b, Duration: each}) != nil {
					return
				}
			}
		})
	}
	run(pictures, s.Pictures, time.Second/time.Duration(s.FPS), 0)
	if sound != nil {
		run(sound, s.Sound, 20*time.Millisecond, s.Offset)
	}
}

// Sent is closed when all is sent.
func (p *Publisher) Sent() <-chan struct{} { return p.sent }

// Over is closed when the connection has ended, whoever ended it.
func (p *Publisher) Over() <-chan struct{} { return p.over }

// Stop ends the publication as an encoder does that is told to, and returns the status
// of the answer.
func (p *Publisher) Stop(t testing.TB) int {
	t.Helper()
	resp, _ := p.request(t.Context(), t, http.MethodDelete, p.Session, "")
	return resp.StatusCode
}

// A loser loses packets of pictures on purpose.
type loser struct {
	interceptor.NoOp
	every   int
	forever bool
}

// NewInterceptor implements interceptor.Factory.
func (l *loser) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

// BindLocalStream implements interceptor.Interceptor.
func (l *loser) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	if l.every == 0 || !strings.HasPrefix(info.MimeType, "video/") {
		return w
	}
	var mu sync.Mutex
	count, lost := 0, map[uint16]bool{}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		mu.Lock()
		again := lost[h.SequenceNumber]
		if !again {
			count++
		}
		lose := again && l.forever || !again && count%l.every == 0
		lost[h.SequenceNumber] = lose
		mu.Unlock()
		if lose {
			return len(payload), nil
		}
		return w.Write(h, payload, a)
	})
}

// Pictures returns the access units of a clip of the given number of frames.
func Pictures(t testing.TB, s testmedia.Source, frames int) [][]byte {
	t.Helper()
	s.Audio = false
	s.Format = []string{"-bsf:v", "h264_metadata=aud=insert", "-f", "h264"}
	var units [][]byte
	delimiter := []byte{0, 0, 0, 1, 9}
	for _, b := range bytes.SplitAfter(testmedia.Clip(t, s, frames), delimiter)[1:] {
		b = bytes.TrimSuffix(b, delimiter)
		units = append(units, b[1:]) // less the rest of the delimiter, which says nothing
	}
	if len(units) != frames {
		t.Fatalf("webrtctest: %d access units of %d frames", len(units), frames)
	}
	return units
}

// Sound has ffmpeg make Opus of an expression of its aevalsrc, and returns the packets,
// of 20 ms each. The coder's delay is Delay.
func Sound(t testing.TB, expr string, d time.Duration) [][]byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sound.ogg")
	cmd := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), "-v", "error", "-f", "lavfi",
		"-i", fmt.Sprintf("aevalsrc='%s':s=48000:d=%f", expr, d.Seconds()),
		"-ac", "2", "-c:a", "libopus", "-b:a", "96k", "-application", "lowdelay", "-frame_duration", "20", "-vbr", "off", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("webrtctest: %v: %s", err, out)
	}
	b, err := os.ReadFile(name)
	must(t, err)
	packets := oggPackets(b)
	if len(packets) < 3 {
		t.Fatalf("webrtctest: %d packets of Ogg", len(packets))
	}
	if skip := binary.LittleEndian.Uint16(packets[0][10:]); skip != Delay {
		t.Fatalf("webrtctest: a pre-skip of %d samples, want %d", skip, Delay)
	}
	return packets[2:]
}

// Delay is how late what Sound returns is, in samples of 48 kHz.
const Delay = 120

// oggPackets takes the packets out of an Ogg stream that ffmpeg wrote.
func oggPackets(b []byte) (packets [][]byte) {
	const header = 27
	var packet []byte
	for len(b) >= header {
		n := int(b[header-1])
		table := b[header : header+n]
		b = b[header+n:]
		for _, size := range table {
			packet = append(packet, b[:size]...)
			b = b[size:]
			if size < 255 {
				packets, packet = append(packets, packet), nil
			}
		}
	}
	return packets
}
