package rtmp

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// hello is a client's handshake, all of it.
func hello() []byte {
	b := make([]byte, 1+2*1536)
	b[0] = 3
	return b
}

// message is one message in one chunk of type 0, whatever its size says.
func message(id byte, typ wire.MessageType, size int, p ...byte) []byte {
	return append([]byte{id, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size), byte(typ), 1, 0, 0, 0}, p...)
}

func command(values ...any) []byte {
	p := wire.AppendAMF0(nil, values...)
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	w.Append(3, wire.Message{Type: wire.TypeCommand, Stream: 1, Payload: p})
	_ = w.Flush()
	return b.Bytes()
}

func join(p ...[]byte) []byte { return bytes.Join(p, nil) }

// opening is what a client says until it publishes.
func opening(key string) []byte {
	return join(command("connect", 1.0, wire.Object{{Name: "app", Value: "app"}}), command("createStream", 2.0, nil), command("publish", 3.0, nil, key))
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
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// Each of these is closed by the server at once, counted under its reason, and
// disturbs nobody: one encoder publishes through all of it.
func TestHostileBytes(t *testing.T) {
	h, cfg := newRecorder(), testConfig(t)
	reg := prometheus.NewRegistry()
	cfg.Metrics, cfg.Linger = reg, time.Millisecond
	s := start(t, cfg, h)
	good, check := dial(t, s.url("app/good"), wire.ClientConfig{}), must(t)
	goodSession := h.next(t)
	check(good.WriteVideo(0, videoConfig(avcC)))

	deep := wire.AppendAMF0(nil, "connect", 1.0)
	for range 40 {
		deep = append(deep, 3, 0, 1, 'a')
	}
	streams := opening("many")
	for id := range byte(62) {
		streams = append(streams, message(id+2, 99, 0)...)
	}
	for id := range byte(4) {
		streams = append(streams, append([]byte{0, id}, message(0, 99, 0)[1:]...)...)
	}
	partial := opening("partial")
	for id := range byte(3) {
		partial = append(partial, message(id+10, wire.TypeVideo, 8<<20, make([]byte, 128)...)...)
	}
	size := func(n uint32) []byte {
		return message(2, wire.TypeSetChunkSize, 4, binary.BigEndian.AppendUint32(nil, n)...)
	}
	frames := uint32(0)
	for name, tt := range map[string]struct {
		in     []byte
		reason wire.Reason
	}{
		"not RTMP":                       {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), wire.ReasonHandshake},
		"media before connect":           {join(hello(), message(4, wire.TypeVideo, 2, 0x17, 1)), wire.ReasonOrder},
		"publish before connect":         {join(hello(), command("publish", 3.0, nil, "key")), wire.ReasonOrder},
		"chunk size 1":                   {join(hello(), size(1)), wire.ReasonChunkSize},
		"chunk size 2^31":                {join(hello(), size(1<<31)), wire.ReasonChunkSize},
		"AMF garbage":                    {join(hello(), message(3, wire.TypeCommand, 8, []byte("\xde\xad\xbe\xef\xde\xad\xbe\xef")...)), wire.ReasonAMF},
		"AMF depth bomb":                 {join(hello(), message(3, wire.TypeCommand, len(deep)), deep[:128], []byte{0xc3}, deep[128:]), wire.ReasonAMF},
		"a command of 65 KiB":            {join(hello(), message(3, wire.TypeCommand, 65<<10)), wire.ReasonTooLarge},
		"a message of 16 MiB":            {join(hello(), opening("big"), message(6, wire.TypeVideo, 1<<24-1)), wire.ReasonTooLarge},
		"24 MiB of partial messages":     {join(hello(), partial), wire.ReasonTooLarge},
		"66 chunk streams":               {join(hello(), streams), wire.ReasonStreams},
		"a chunk stream out of thin air": {join(hello(), []byte{0xc9, 1}), wire.ReasonChunk},
		"commands while publishing":      {join(hello(), opening("cmd"), message(3, wire.TypeCommand, 2, 0xff, 0xff)), wire.ReasonAMF},
	} {
		t.Run(name, func(t *testing.T) {
			before := value(t, reg, "sluice_rtmp_protocol_errors_total", string(tt.reason))
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write(tt.in); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			if got := value(t, reg, "sluice_rtmp_protocol_errors_total", string(tt.reason)); got != before+1 {
				t.Errorf("%s counted %v times", tt.reason, got-before)
			}
			frames++
			check(good.WriteVideo(33*frames, videoFrame(false, 0, slice)))
		})
	}
	check(good.Close())
	if video, _, clean := goodSession.end(t); len(video) != int(frames) || !clean {
		t.Errorf("the good encoder got %d of %d frames through, clean=%t", len(video), frames, clean)
	}
}

// What connections hold before they have published anything is bounded for each.
func TestOpeningConnectionsHoldLittle(t *testing.T) {
	const n = 200
	s := newServer(Config{MaxConns: n, MaxPending: n}, newRecorder())
	ctx, cancel := context.WithCancel(t.Context())
	var conns sync.WaitGroup
	before := heap()
	for range n {
		server, client := net.Pipe()
		v, ok := s.limiter.Acquire(server.RemoteAddr())
		if !ok {
			t.Fatal("no slot")
		}
		conns.Go(func() { s.serve(ctx, server, v) })
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := client.Write(hello()); err != nil {
			t.Fatal(err)
		}
		for id := range byte(2) { // 64 KiB each: the most that two partial commands may claim
			if _, err := client.Write(message(id+3, wire.TypeCommand, 64<<10, make([]byte, 128)...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if per := (heap() - before) / n; per > 256<<10 {
		t.Errorf("%d bytes a connection", per)
	}
	cancel()
	conns.Wait()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// serveOne runs a server's side of one connection inside a synctest bubble and
// returns the client's side, and how long the server kept it.
func serveOne(t *testing.T, s *Server) (client net.Conn, kept func() time.Duration) {
	server, client := net.Pipe()
	v, ok := s.limiter.Acquire(server.RemoteAddr())
	if !ok {
		t.Fatal("no slot")
	}
	began, done := time.Now(), make(chan time.Duration, 1)
	go func() {
		s.serve(context.Background(), server, v)
		v.Release()
		done <- time.Since(began)
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	return client, func() time.Duration { return <-done }
}

func TestTimeouts(t *testing.T) {
	for name, tt := range map[string]struct {
		client   func(c net.Conn) // while it writes time passes
		from, to time.Duration    // when the server is done with it
	}{
		"says nothing": {func(net.Conn) {}, 10 * time.Second, 10 * time.Second},
		"handshake a byte a second": {func(c net.Conn) {
			for _, b := range hello() {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 10 * time.Second, 10 * time.Second},
		"handshake and then nothing": {func(c net.Conn) { _, _ = c.Write(hello()) }, 10 * time.Second, 10 * time.Second},
		"commands a byte a second": {func(c net.Conn) {
			_, _ = c.Write(hello())
			for _, b := range opening("key") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 10 * time.Second, 10 * time.Second},
		"pings and no publish": {func(c net.Conn) {
			_, _ = c.Write(hello())
			for {
				if _, err := c.Write(message(2, wire.TypeUserControl, 6, 0, 6, 0, 0, 0, 0)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 10 * time.Second, 10 * time.Second},
		"publishes and then nothing": {func(c net.Conn) { _, _ = c.Write(append(hello(), opening("key")...)) }, 30 * time.Second, 32 * time.Second},
		"a pause of 29 s is no end": {func(c net.Conn) {
			_, _ = c.Write(append(hello(), opening("key")...))
			for range 3 {
				time.Sleep(29 * time.Second)
				_, _ = c.Write(message(6, wire.TypeVideo, 0))
			}
		}, (3*29 + 30) * time.Second, (3*29 + 32) * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newRecorder()
				client, kept := serveOne(t, newServer(Config{Linger: time.Nanosecond}, h))
				defer client.Close()
				var says sync.WaitGroup
				says.Go(func() { tt.client(client) })
				if got := kept(); got < tt.from || got > tt.to {
					t.Errorf("kept for %v, want %v to %v", got, tt.from, tt.to)
				}
				says.Wait()
				if len(h.sessions) == 1 {
					if _, _, clean := h.next(t).end(t); clean {
						t.Error("closed as clean")
					}
				}
			})
		})
	}
}

// An encoder that does not read our answers is cut off.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		s := newServer(Config{}, newRecorder())
		v, _ := s.limiter.Acquire(server.RemoteAddr())
		began, done := time.Now(), make(chan time.Duration, 1)
		go func() {
			s.serve(context.Background(), server, v)
			done <- time.Since(began)
		}()
		go func() { _, _ = client.Write(hello()) }() // and never reads S0
		if got := <-done; got != 5*time.Second {
			t.Errorf("kept for %v, want 5s", got)
		}
		client.Close()
	})
}

// A refused client has time to read why, and no more.
func TestLinger(t *testing.T) {
	other := command("connect", 1.0, wire.Object{{Name: "app", Value: "other"}})
	play := join(command("connect", 1.0, wire.Object{{Name: "app", Value: "app"}}), command("play", 2.0, nil, "key"))
	for name, in := range map[string][]byte{"bad key": opening("denied"), "another application": other, "player": play} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, kept := serveOne(t, newServer(Config{}, newRecorder()))
				defer client.Close()
				go func() { _, _ = client.Write(append(hello(), in...)) }()
				if got := kept(); got != time.Second {
					t.Errorf("kept for %v, want 1s", got)
				}
			})
		})
	}
}

// An interrupt is not undone by a deadline that is set after it.
func TestInterruptIsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer client.Close()
		c := &conn{Conn: server, write: time.Second}
		c.interrupt()
		if err := c.within(time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := c.whileActive(time.Hour); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(began) != 0 {
			t.Errorf("Read = %v after %v", err, time.Since(began))
		}
	})
}

func TestConnectionsOverTheLimitAreClosed(t *testing.T) {
	h, cfg := newRecorder(), testConfig(t)
	reg := prometheus.NewRegistry()
	cfg.MaxPending, cfg.Metrics = 1, reg
	s := start(t, cfg, h)
	waiting, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	over, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	if n, err := over.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of a connection over the limit", n)
	}
	if got := value(t, reg, "sluice_rtmp_connections_rejected_total", ""); got != 1 {
		t.Errorf("%v rejected", got)
	}
}
