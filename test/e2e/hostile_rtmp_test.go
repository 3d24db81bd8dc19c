package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/rtmp"
)

// A peer is an RTMP client that does as it likes. What it writes may fail: the server
// hangs up in the middle of some attacks.
type peer struct {
	t    *testing.T
	conn io.ReadWriter
	w    *rtmp.Writer
}

func (p *peer) raw(b ...byte) { _, _ = p.conn.Write(b) }

// handshake does what is right.
func (p *peer) handshake() {
	const size = 1536
	p.raw(append([]byte{3}, make([]byte, size)...)...)
	s := make([]byte, 1+2*size)
	if _, err := io.ReadFull(p.conn, s); err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	p.raw(s[1 : 1+size]...)
}

func (p *peer) send(chunkStream uint8, m rtmp.Message) {
	p.w.Append(chunkStream, m)
	_ = p.w.Flush()
}

func (p *peer) command(stream uint32, values ...any) {
	p.send(3, rtmp.Message{Type: rtmp.TypeCommand, Stream: stream, Payload: rtmp.AppendAMF0(nil, values...)})
}

func (p *peer) connect() { p.command(0, "connect", 1.0, rtmp.Object{{Name: "app", Value: "app"}}) }

func (p *peer) setChunkSize(n uint32) {
	p.send(2, rtmp.Message{Type: rtmp.TypeSetChunkSize, Payload: binary.BigEndian.AppendUint32(nil, n)})
}

// header writes a type 0 chunk header and nothing behind it.
func (p *peer) header(chunkStream byte, typ rtmp.MessageType, length uint32) {
	p.raw(chunkStream, 0, 0, 0, byte(length>>16), byte(length>>8), byte(length), byte(typ), 0, 0, 0, 0)
}

// attackRTMP breaks the protocol before anything is published. Each attack is cut off,
// is counted under its reason, and hears why where RTMP has words for it.
func attackRTMP(t *testing.T, srv *process) {
	noise := make([]byte, 1<<20)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ { // the same bytes in each run
		noise[i] = byte(r.Uint32())
	}
	for name, tt := range map[string]struct {
		reason rtmp.Reason // "" when the end of the connection is no breach, or which one is luck
		hears  string
		attack func(p *peer)
	}{
		"nothing at all":          {"", "", func(*peer) {}},
		"a handshake cut short":   {"", "", func(p *peer) { p.raw(append([]byte{3}, make([]byte, 700)...)...) }},
		"a handshake and no more": {"", "", func(p *peer) { p.handshake() }},
		"HTTP":                    {rtmp.ReasonHandshake, "", func(p *peer) { p.raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")...) }},
		"TLS":                     {rtmp.ReasonHandshake, "", func(p *peer) { p.raw(0x16, 3, 1, 2, 0, 1, 0) }},
		"noise":                   {rtmp.ReasonHandshake, "", func(p *peer) { p.raw(noise...) }},
		"noise after the handshake": {"", "", func(p *peer) {
			p.handshake()
			p.raw(noise...)
		}},
		"zeros after the handshake": {"", "", func(p *peer) {
			p.handshake()
			p.raw(make([]byte, 1<<20)...)
		}},

		"chunks of 0 bytes":        {rtmp.ReasonChunkSize, "", func(p *peer) { p.handshake(); p.setChunkSize(0) }},
		"chunks of 1 byte":         {rtmp.ReasonChunkSize, "", func(p *peer) { p.handshake(); p.setChunkSize(1) }},
		"chunks of 2 GiB":          {rtmp.ReasonChunkSize, "", func(p *peer) { p.handshake(); p.setChunkSize(1<<31 - 1) }},
		"chunks of 4 GiB":          {rtmp.ReasonChunkSize, "", func(p *peer) { p.handshake(); p.setChunkSize(1<<32 - 1) }},
		"a chunk size of no bytes": {rtmp.ReasonChunkSize, "", func(p *peer) { p.handshake(); p.send(2, rtmp.Message{Type: rtmp.TypeSetChunkSize}) }},
		"a command of 16 MiB":      {rtmp.ReasonTooLarge, "", func(p *peer) { p.handshake(); p.header(3, rtmp.TypeCommand, 1<<24-1) }},
		"many large messages begun": {rtmp.ReasonTooLarge, "", func(p *peer) {
			p.handshake()
			for id := range byte(8) {
				p.header(3+id, rtmp.TypeCommand, 60<<10)
				p.raw(make([]byte, 128)...)
			}
		}},
		"a chunk that continues nothing": {rtmp.ReasonChunk, "", func(p *peer) { p.handshake(); p.raw(0xc5, 1, 2, 3) }},
		"an Abort of no bytes":           {rtmp.ReasonChunk, "", func(p *peer) { p.handshake(); p.send(2, rtmp.Message{Type: rtmp.TypeAbort}) }},
		"hundreds of chunk streams": {rtmp.ReasonStreams, "", func(p *peer) {
			p.handshake()
			for id := range 300 { // ids above 63 have a form of their own
				p.raw(0, byte(id), 0, 0, 0, 0, 0, 4, byte(rtmp.TypeAcknowledgement), 0, 0, 0, 0, 0, 0, 0, 0)
			}
		}},

		"media before connect": {rtmp.ReasonOrder, "", func(p *peer) { p.handshake(); p.send(6, rtmp.Message{Type: rtmp.TypeVideo, Payload: []byte{0x17, 1}}) }},
		"an aggregate before connect": {rtmp.ReasonOrder, "", func(p *peer) {
			p.handshake()
			p.send(6, rtmp.Message{Type: rtmp.TypeAggregate, Payload: make([]byte, 64)})
		}},
		"createStream before connect": {rtmp.ReasonOrder, "", func(p *peer) { p.handshake(); p.command(0, "createStream", 1.0, nil) }},
		"publish before connect":      {rtmp.ReasonOrder, "", func(p *peer) { p.handshake(); p.command(1, "publish", 1.0, nil, "key", "live") }},
		"media before publish": {rtmp.ReasonOrder, "NetConnection.Connect.Success", func(p *peer) {
			p.handshake()
			p.connect()
			p.send(6, rtmp.Message{Type: rtmp.TypeVideo, Stream: 1, Payload: []byte{0x17, 1}})
		}},
		"connect twice": {rtmp.ReasonOrder, "NetConnection.Connect.Success", func(p *peer) { p.handshake(); p.connect(); p.connect() }},
		"commands for ever": {rtmp.ReasonOrder, "", func(p *peer) {
			p.handshake()
			p.connect()
			for range 1000 {
				p.command(0, "releaseStream", 0.0, nil, "x")
			}
		}},
		"streams for ever": {rtmp.ReasonStreams, "", func(p *peer) {
			p.handshake()
			p.connect()
			for range 50 {
				p.command(0, "createStream", 0.0, nil)
			}
		}},
		"another application": {rtmp.ReasonApp, "NetConnection.Connect.InvalidApp", func(p *peer) {
			p.handshake()
			p.command(0, "connect", 1.0, rtmp.Object{{Name: "app", Value: "live/../app"}})
		}},
		"play": {rtmp.ReasonPlay, "NetStream.Play.StreamNotFound", func(p *peer) {
			p.handshake()
			p.connect()
			p.command(0, "createStream", 2.0, nil)
			p.command(1, "play", 3.0, nil, "key")
		}},

		"AMF that is noise":        {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf(noise[:4000]) }},
		"AMF cut short":            {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf([]byte{2, 0xff, 0xff, 'c'}) }},
		"AMF strings of 4 GiB":     {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf([]byte{0x0c, 0xff, 0xff, 0xff, 0xff}) }},
		"AMF arrays of 4 G values": {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf([]byte{0x0a, 0xff, 0xff, 0xff, 0xff}) }},
		"AMF 10,000 deep":          {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf(bytes.Repeat([]byte{3, 0, 1, 'a'}, 10_000)) }},
		"AMF of 60,000 values":     {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf(bytes.Repeat([]byte{5}, 60_000)) }},
		"a command of nothing":     {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.amf(nil) }},
		"a command without a name": {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.command(0, 7.0, 1.0) }},
		"publish without a name":   {rtmp.ReasonAMF, "", func(p *peer) { p.handshake(); p.connect(); p.command(1, "publish", 0.0, nil, 42.0) }},
		"publish of 10 KB of name": {rtmp.ReasonAMF, "", func(p *peer) {
			p.handshake()
			p.connect()
			p.command(1, "publish", 0.0, nil, strings.Repeat("k", 10_000))
		}},
		"publish with a hostile name": {"", rtmp.CodeBadName, func(p *peer) {
			p.handshake()
			p.connect()
			p.command(1, "publish", 0.0, nil, "sk_us-west-2_\x00' OR 1=1 --/../\xff%00?priority=-1&a=%zz")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			sample := fmt.Sprintf("sluice_rtmp_protocol_errors_total{protocol=%q,reason=%q}", "rtmp", tt.reason)
			var count float64
			if tt.reason != "" {
				count = metric(t, srv, sample)
			}
			c := connect(t, srv.RTMP)
			p := &peer{t, c, rtmp.NewWriter(c)}
			tt.attack(p)
			_ = c.(interface{ CloseWrite() error }).CloseWrite() // fails when the server was first
			said, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server keeps the connection")
			}
			// An answer that was on its way when the server hung up may be lost to a reset.
			if err == nil && !strings.Contains(string(said), tt.hears) {
				t.Errorf("the server said %q, want %s", said, tt.hears)
			}
			if tt.reason != "" && metric(t, srv, sample) == count {
				t.Errorf("the breach is not counted as %s", tt.reason)
			}
		})
	}
}

func (p *peer) amf(payload []byte) {
	if len(payload) <= 60_000 {
		p.send(3, rtmp.Message{Type: rtmp.TypeCommand, Payload: payload})
	}
}

// attackAsPublisher sends what no encoder sends, with a good key.
func attackAsPublisher(t *testing.T, srv *process) {
	ch := srv.NewChannel(t)
	for name, tt := range map[string]struct {
		code  string // what the encoder hears
		media func(c *rtmp.Client) error
	}{
		"an empty video tag":  {rtmp.CodeFailed, func(c *rtmp.Client) error { return c.WriteVideo(0, []byte{0x17}) }},
		"an empty audio tag":  {rtmp.CodeFailed, func(c *rtmp.Client) error { return c.WriteAudio(0, []byte{0xaf}) }},
		"another video codec": {rtmp.CodeRejected, func(c *rtmp.Client) error { return c.WriteVideo(0, []byte{0x12, 0, 0, 0, 0, 1, 2, 3}) }},
		"another audio codec": {rtmp.CodeRejected, func(c *rtmp.Client) error { return c.WriteAudio(0, []byte{0x2f, 1, 2, 3}) }},
		"a bad sequence header": {rtmp.CodeRejected, func(c *rtmp.Client) error {
			return c.WriteVideo(0, []byte{0x17, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
		}},
		"a bad audio config":       {rtmp.CodeRejected, func(c *rtmp.Client) error { return c.WriteAudio(0, []byte{0xaf, 0, 0xff}) }},
		"a frame of 9 MiB":         {rtmp.CodeFailed, func(c *rtmp.Client) error { return c.WriteVideo(0, make([]byte, 9<<20)) }},
		"a multitrack tag cut off": {rtmp.CodeFailed, func(c *rtmp.Client) error { return c.WriteVideo(0, []byte{0x96, 0x01, 'a', 'v', 'c', '1', 0, 0}) }},
		"an enhanced tag cut off":  {rtmp.CodeFailed, func(c *rtmp.Client) error { return c.WriteVideo(0, []byte{0x90, 'h'}) }},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dial(t, srv.RTMPURL(ch))
			if err != nil {
				t.Fatalf("publish: %v", err)
			}
			defer c.Abort()
			_ = tt.media(c) // the server may hang up in the middle
			if s, ok := errors.AsType[*rtmp.StatusError](c.Wait()); !ok || s.Code != tt.code || s.Description == "" {
				t.Errorf("the encoder heard %+v, want %s", s, tt.code)
			}
		})
	}
	t.Run("noise between good frames is left out", func(t *testing.T) {
		const dropped = `sluice_rtmp_dropped_messages_total{protocol="rtmp",reason="malformed"}`
		before := metric(t, srv, dropped)
		c, err := dial(t, srv.RTMPURL(ch))
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		r, err := rtmp.NewFileReader(bytes.NewReader(clip(t)))
		if err != nil {
			t.Fatal(err)
		}
		pictures := 0
		for pictures < 3*clipFPS {
			tag, err := r.Next()
			if err == nil && tag.Type == rtmp.TypeVideo {
				pictures++
				err = c.WriteVideo(tag.Timestamp, tag.Body)
				if err == nil && pictures > 1 { // the first one is the sequence header
					err = c.WriteVideo(tag.Timestamp, append([]byte{0x27, 1, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 100)...))
				}
			}
			if err != nil {
				t.Fatalf("after %d pictures: %v", pictures, err)
			}
		}
		srv.WaitLive(t, ch)
		if n := metric(t, srv, dropped) - before; n != float64(pictures-1) {
			t.Errorf("%v messages dropped, want %d", n, pictures-1)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
