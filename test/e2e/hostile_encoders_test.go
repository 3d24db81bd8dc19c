package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
)

// mayBeLate is when a part counts as stuck. What is measured is in the log; machines
// that run tests promise no times.
const mayBeLate = 5 * time.Second

// TestHostileEncoders lets encoders misbehave in every way at once, while a channel is
// live: its parts go on to come, and the log says how late they are.
func TestHostileEncoders(t *testing.T) {
	t.Parallel()
	srv := serve(t, dataDir(t))
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	v, p := watch(t, *ch.PlaybackUrl), punctuate(t, *ch.PlaybackUrl)
	v.more(t, 6)
	attacked := time.Now()

	var attacks sync.WaitGroup // at once, however few tests run in parallel
	for _, attack := range []func(*testing.T, *process){halfOpen, drip, guess, flood, ancient} {
		attacks.Go(func() { attack(t, srv) })
	}
	attacks.Wait()
	v.more(t, 2)
	quiet, busy := p.worst(attacked)
	t.Logf("the latest part was %v late before the attacks, %v during them; of %d parts", quiet.Round(time.Millisecond), busy.Round(time.Millisecond), p.count())
	if busy > mayBeLate || !e.live() {
		t.Errorf("a part was %v late; encoder connected: %t", busy, e.live())
	}
	e.finish()
	v.untilEnd(t)
	v.check(t)
}

// from is a connection to the server's RTMP from another address of this machine; nil
// when the server, or the machine, has no more of them.
func from(t *testing.T, srv *process, host int) net.Conn {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(host))}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", srv.RTMP)
	if err != nil {
		return nil
	}
	return c
}

// halfOpen holds 1,000 connections in the middle of their handshake until the server
// closes them, all from ten addresses.
func halfOpen(t *testing.T, srv *process) {
	var conns sync.WaitGroup
	for n := range 1000 {
		c := from(t, srv, n%10+1)
		if c == nil {
			t.Errorf("connection %d of 1,000 is not taken", n)
			return
		}
		conns.Go(func() {
			defer c.Close()
			_, _ = c.Write(append([]byte{3}, make([]byte, 1536)...))
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			for b := make([]byte, 4096); ; {
				if _, err := c.Read(b); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("a connection that says nothing is kept for a minute")
					}
					return
				}
			}
		})
	}
	conns.Wait()
}

// drip sends a handshake a byte a second, until the server has had enough.
func drip(t *testing.T, srv *process) {
	c := from(t, srv, 20)
	if c == nil {
		t.Error("a slow encoder is not taken")
		return
	}
	defer c.Close()
	began := time.Now()
	for {
		if _, err := c.Write([]byte{3}); err != nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Error("a byte a second keeps a connection for a minute")
			return
		}
		time.Sleep(time.Second)
	}
}

// guess tries 200 wrong keys a second, for five seconds, from one address.
func guess(t *testing.T, srv *process) {
	const perSecond, seconds = 200, 5
	sample := func(outcome string) float64 {
		return metric(t, srv, `sluice_rtmp_publishes_total{outcome="`+outcome+`",protocol="rtmp"}`)
	}
	var tries sync.WaitGroup
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	began := time.Now()
	for n := range perSecond * seconds {
		<-tick.C
		tries.Go(func() {
			c := from(t, srv, 30)
			if c == nil {
				return
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := rtmp.NewClient(ctx, c, "rtmp://"+srv.RTMP+"/app/sk_us-west-2_Guess"+strconv.Itoa(n)+"_x", rtmp.ClientConfig{}); err == nil {
				t.Error("a guess is right")
			}
		})
	}
	tries.Wait()
	tried, refused := sample("denied"), sample("throttled")
	t.Logf("of %d keys in %v, %v were looked up and %v refused unseen", perSecond*seconds, time.Since(began).Round(time.Second), tried, refused)
	if limit := 20 + time.Since(began).Seconds() + 10; tried > limit || refused == 0 {
		t.Errorf("%v wrong keys were looked up, want %.0f at most", tried, limit)
	}
}

// flood publishes nothing but keyframes, 300 a second, until that is a breach.
func flood(t *testing.T, srv *process) {
	ch := srv.NewChannel(t)
	c, err := dial(t, srv.RTMPURL(ch))
	if err != nil {
		t.Errorf("publish: %v", err)
		return
	}
	defer c.Abort()
	config, key, err := firstPictures(t)
	if err == nil {
		err = c.WriteVideo(0, config)
	}
	began, over := time.Now(), make(chan error, 1)
	go func() { over <- c.Wait() }() // ends with the connection
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; err == nil && n < 300*60; {
		<-tick.C
		for ; err == nil && n < int(time.Since(began).Seconds()*300); n++ {
			err = c.WriteVideo(uint32(n*1000/300), key)
		}
	}
	said := <-over
	if s, ok := errors.AsType[*rtmp.StatusError](said); !ok || s.Code != rtmp.CodeRejected || !strings.Contains(s.Description, "Ingest Framerate") {
		t.Errorf("the encoder heard %v, want of its frame rate", said)
	}
	t.Logf("300 keyframes a second were refused after %v", time.Since(began).Round(10*time.Millisecond))
	api := srv.IVS()
	servertest.Eventually(t, "the session is over, and failed", func() bool {
		out, err := api.ListStreamSessions(t.Context(), &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn})
		return err == nil && len(out.StreamSessions) == 1 && out.StreamSessions[0].EndTime != nil && out.StreamSessions[0].HasErrorEvent
	})
	out, err := api.GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Error(err)
		return
	}
	found := false
	for _, e := range out.StreamSession.TruncatedEvents {
		found = found || aws.ToString(e.Type) == "IVS Limit Breach" && aws.ToString(e.Name) == "Ingest Framerate"
	}
	if !found {
		t.Errorf("no event tells of the breach: %+v", out.StreamSession.TruncatedEvents)
	}
}

// firstPictures are the sequence header of the clip and its first picture.
func firstPictures(t *testing.T) (config, key []byte, err error) {
	r, err := rtmp.NewFileReader(bytes.NewReader(clip(t)))
	for err == nil && key == nil {
		var tag rtmp.FileTag
		switch tag, err = r.Next(); {
		case err != nil || tag.Type != rtmp.TypeVideo:
		case config == nil:
			config = tag.Body
		default:
			key = tag.Body
		}
	}
	return config, key, err
}

// ancient publishes with a clock that says now 1970, now 2106: the ends of 32 bits.
func ancient(t *testing.T, srv *process) {
	ch := srv.NewChannel(t)
	c, err := dial(t, srv.RTMPURL(ch))
	if err != nil {
		t.Errorf("publish: %v", err)
		return
	}
	defer c.Close()
	r, err := rtmp.NewFileReader(bytes.NewReader(clip(t)))
	if err != nil {
		t.Error(err)
		return
	}
	began := time.Now()
	for at := uint32(0); at < 8000; {
		tag, err := r.Next()
		if err != nil {
			t.Error(err)
			return
		}
		at = tag.Timestamp
		time.Sleep(time.Until(began.Add(time.Duration(at) * time.Millisecond)))
		clock := at // 1970
		if at/2000%2 == 1 {
			clock = 1<<32 - 1 - 10_000 + at // 2106
		}
		switch tag.Type {
		case rtmp.TypeVideo:
			err = c.WriteVideo(clock, tag.Body)
		case rtmp.TypeAudio:
			err = c.WriteAudio(clock, tag.Body)
		}
		if err != nil {
			t.Errorf("at %d ms: %v", at, err)
			return
		}
	}
	srv.WaitLive(t, ch)
	status, text, err := fetch(t.Context(), variantURL(t, *ch.PlaybackUrl))
	if err != nil || status != http.StatusOK {
		t.Errorf("playlist: %d, %v", status, err)
		return
	}
	pl, err := hls.Parse(text)
	if err != nil {
		t.Error(err)
		return
	}
	var sum time.Duration
	for _, s := range pl.Segments {
		sum += s.Duration
	}
	if sum < 6*time.Second || sum > 9*time.Second {
		t.Errorf("8 s of media became %v:\n%s", sum, text)
	}
}

// punctuality is when each part of a channel came to a viewer who waits for it.
type punctuality struct {
	mu    sync.Mutex // guards all below
	parts []arrival
}

// An arrival is when a part came, and when it would have if all had taken as long as the
// fastest: what media there is before its end, from the first part on.
type arrival struct {
	at    time.Time
	media time.Duration
}

// punctuate measures until the end of the test.
func punctuate(t *testing.T, playbackURL string) *punctuality {
	t.Helper()
	p, url := &punctuality{}, variantURL(t, playbackURL)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { // ends with ctx or the playlist
		defer close(done)
		p.follow(ctx, t, url)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *punctuality) follow(ctx context.Context, t *testing.T, url string) {
	msn, part := int64(-1), 0 // the next one
	var media time.Duration
	for {
		u := url
		if msn >= 0 {
			u += "?_HLS_msn=" + strconv.FormatInt(msn, 10) + "&_HLS_part=" + strconv.Itoa(part)
		}
		status, text, err := fetch(ctx, u)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable:
			t.Errorf("part %d.%d: %d, %v", msn, part, status, err)
			return
		case status == http.StatusServiceUnavailable:
			continue
		}
		pl, err := hls.Parse(text)
		if err != nil {
			t.Error(err)
			return
		}
		if msn < 0 {
			msn, part = pl.Sequence+int64(len(pl.Segments)), len(pl.Open.Parts)
			continue
		}
		for i := int(msn - pl.Sequence); i >= 0 && i <= len(pl.Segments); i++ {
			parts := pl.Open.Parts
			if i < len(pl.Segments) {
				parts = pl.Segments[i].Parts
			}
			for _, x := range parts[min(part, len(parts)):] {
				media += x.Duration
				p.add(arrival{now, media})
			}
			if part = len(parts); i < len(pl.Segments) {
				msn, part = msn+1, 0
			}
		}
		if pl.EndList {
			return
		}
	}
}

func (p *punctuality) add(a arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = append(p.parts, a)
}

func (p *punctuality) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.parts)
}

// worst is how late the latest part was that came before a time, and of those after it.
func (p *punctuality) worst(since time.Time) (before, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parts) == 0 {
		return 0, 0
	}
	start := p.parts[0]
	late := func(a arrival) time.Duration { return a.at.Sub(start.at) - (a.media - start.media) }
	least := time.Duration(0)
	for _, a := range p.parts {
		least = min(least, late(a))
	}
	for _, a := range p.parts {
		if d := late(a) - least; a.at.Before(since) {
			before = max(before, d)
		} else {
			after = max(after, d)
		}
	}
	return before, after
}
