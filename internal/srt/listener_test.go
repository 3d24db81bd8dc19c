package srt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// serve runs a listener until the test's end, and checks that it then returns.
func serve(t testing.TB, cfg Config, handle func(context.Context, *Request)) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
		if len(l.conns)+len(l.callers)+l.active > 0 {
			t.Errorf("left behind: %d connections, %d callers, %d active", len(l.conns), len(l.callers), l.active)
		}
	})
	return l
}

// A result is what a sink got of one connection.
type result struct {
	id    string
	data  []byte
	lost  int
	err   error
	stats Stats
}

// sink accepts callers whose passphrase is "right passphrase" or none, and collects.
func sink(results chan<- result) func(context.Context, *Request) {
	return func(ctx context.Context, r *Request) {
		if r.Encrypted() && !r.Unlock("right passphrase") {
			r.Refuse(BadSecret)
			return
		}
		c, err := r.Accept()
		if err != nil {
			r.Refuse(Internal)
			return
		}
		defer c.Close()
		out := result{id: r.StreamID()}
		for {
			b, lost, err := c.Next(ctx, 10*time.Second)
			out.lost += lost
			if err != nil {
				out.err, out.stats = err, c.Stats()
				results <- out
				return
			}
			out.data = append(out.data, b...)
		}
	}
}

func dialTest(t testing.TB, addr string, cfg CallerConfig) (*Caller, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return Dial(ctx, addr, cfg)
}

// message is n bytes that tell their place.
func message(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := uint32(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	return b[:n]
}

func send(t testing.TB, c *Caller, b []byte) {
	t.Helper()
	for part := range chunks(b, 1316) {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			part := b[:min(n, len(b))]
			if b = b[len(part):]; !yield(part) {
				return
			}
		}
	}
}

func TestCallers(t *testing.T) {
	results := make(chan result, 1)
	l := serve(t, Config{Latency: 20 * time.Millisecond}, sink(results))
	want := message(100_000)
	for name, cfg := range map[string]CallerConfig{
		"plain":   {StreamID: "plain"},
		"AES-128": {StreamID: "sk_1", Passphrase: "right passphrase"},
		"AES-192": {StreamID: "sk_12", Passphrase: "right passphrase", KeyLength: 24},
		"AES-256": {StreamID: "sk_123", Passphrase: "right passphrase", KeyLength: 32},
		"no id":   {},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dialTest(t, l.Addr().String(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, want)
			if err := c.Acked(t.Context()); err != nil {
				t.Error("acknowledged:", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			got := <-results
			if got.id != cfg.StreamID || !bytes.Equal(got.data, want) || got.lost != 0 || !errors.Is(got.err, io.EOF) {
				t.Errorf("stream %q: %d bytes of %d, %d lost, end: %v", got.id, len(got.data), len(want), got.lost, got.err)
			}
			if got.stats.Undecryptable != 0 || got.stats.Packets != 76 || got.stats.Bytes != int64(len(want)) || got.stats.RTT == 0 {
				t.Errorf("%+v", got.stats)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	l := serve(t, Config{MaxLatency: 500 * time.Millisecond}, sink(nil))
	for name, tt := range map[string]struct {
		cfg  CallerConfig
		want Reason
	}{
		"wrong passphrase": {CallerConfig{Passphrase: "wrong passphrase"}, BadSecret},
		"too much latency": {CallerConfig{Latency: time.Second}, Internal},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dialTest(t, l.Addr().String(), tt.cfg)
			if e, ok := errors.AsType[*RefusedError](err); !ok || e.Reason != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// The connections that a listener has room for are taken, the next one hears why not.
func TestMaxConns(t *testing.T) {
	l := serve(t, Config{MaxConns: 2}, sink(make(chan result, 3)))
	for range 2 {
		c, err := dialTest(t, l.Addr().String(), CallerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	_, err := dialTest(t, l.Addr().String(), CallerConfig{})
	if e, ok := errors.AsType[*RefusedError](err); !ok || e.Reason != Backlog {
		t.Errorf("%v, want %v", err, Backlog)
	}
}

// A relay is a network between a caller and a listener that loses, doubles and
// reorders what it carries, both ways.
type relay struct {
	net.PacketConn
	done sync.WaitGroup
}

func newRelay(t testing.TB, to net.Addr, mangle func(toListener bool, b []byte) (copies int, hold bool)) *relay {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{PacketConn: front}
	var mu sync.Mutex // guards caller and mangle
	var caller net.Addr
	carry := func(read func([]byte) (int, net.Addr, error), write func([]byte), toListener bool) {
		var held []byte
		buf := make([]byte, 2000)
		for {
			n, from, err := read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			if toListener {
				caller = from
			}
			copies, hold := mangle(toListener, buf[:n])
			mu.Unlock()
			if hold && held == nil {
				held = bytes.Clone(buf[:n])
				continue
			}
			for range copies {
				write(buf[:n])
			}
			if held != nil {
				write(held)
				held = nil
			}
		}
	}
	r.done.Go(func() {
		carry(front.ReadFrom, func(b []byte) { _, _ = back.Write(b) }, true)
	})
	r.done.Go(func() {
		carry(func(b []byte) (int, net.Addr, error) { n, err := back.Read(b); return n, nil, err }, func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			if caller != nil {
				_, _ = front.WriteTo(b, caller)
			}
		}, false)
	})
	t.Cleanup(func() {
		_ = errors.Join(front.Close(), back.Close())
		r.done.Wait()
	})
	return r
}

// Over a network that loses a tenth of all packets, handshakes included, doubles some
// and reorders some, everything arrives within the latency.
func TestLossIsRepaired(t *testing.T) {
	t.Parallel()
	results := make(chan result, 1)
	l := serve(t, Config{Latency: 2 * time.Second}, sink(results))
	r := rand.New(rand.NewPCG(3, 4))
	network := newRelay(t, l.Addr(), func(bool, []byte) (int, bool) {
		switch n := r.IntN(100); {
		case n < 10:
			return 0, false
		case n < 15:
			return 2, false
		case n < 20:
			return 1, true
		}
		return 1, false
	})
	c, err := dialTest(t, network.LocalAddr().String(), CallerConfig{StreamID: "x", Passphrase: "right passphrase"})
	if err != nil {
		t.Fatal(err)
	}
	want := message(400_000)
	send(t, c, want)
	for acked := false; !acked; { // a loss shows by what comes after it
		if _, err := c.Write(nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		acked = c.Acked(ctx) == nil
		cancel()
	}
	for range 5 { // the goodbye may be lost too
		c.mu.Lock()
		c.control(ctlShutdown, 0)
		c.mu.Unlock()
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	got := <-results
	if !bytes.Equal(got.data, want) || got.lost != 0 || !errors.Is(got.err, io.EOF) {
		t.Errorf("%d bytes of %d, %d lost, end: %v; %+v", len(got.data), len(want), got.lost, got.err, got.stats)
	}
	if got.stats.Retransmitted == 0 || got.stats.Reports == 0 {
		t.Errorf("nothing was repaired: %+v", got.stats)
	}
}

// What is missing when its time has come is given up, and the rest is delivered.
func TestTooLateIsGivenUp(t *testing.T) {
	t.Parallel()
	results := make(chan result, 1)
	l := serve(t, Config{Latency: 50 * time.Millisecond}, sink(results))
	media := 0
	network := newRelay(t, l.Addr(), func(toListener bool, b []byte) (int, bool) {
		if p, ok := parsePacket(b); ok && toListener && !p.control {
			if media++; p.retransmitted || media >= 10 && media < 15 {
				return 0, false
			}
		}
		return 1, false
	})
	c, err := dialTest(t, network.LocalAddr().String(), CallerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	want := message(50 * 1316)
	send(t, c, want)
	if err := c.Acked(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	got := <-results
	want = append(want[:9*1316:9*1316], want[14*1316:]...)
	if got.lost != 5 || got.stats.Lost != 5 || !bytes.Equal(got.data, want) {
		t.Errorf("%d lost, %d bytes of %d", got.lost, len(got.data), len(want))
	}
}

// A connection without media ends, though the caller still answers.
func TestIdle(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	l := serve(t, Config{}, func(ctx context.Context, r *Request) {
		c, err := r.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for err == nil {
			_, _, err = c.Next(ctx, 100*time.Millisecond)
		}
		ended <- err
	})
	c, err := dialTest(t, l.Addr().String(), CallerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
	<-c.Ended() // the listener said so
	if err := c.Abort(); err != nil {
		t.Error(err)
	}
}

// Media in the clear has no place on an encrypted connection, nor has media under a key
// that nobody brought.
func TestUndecryptable(t *testing.T) {
	results := make(chan result, 1)
	l := serve(t, Config{Latency: 20 * time.Millisecond}, sink(results))
	c, err := dialTest(t, l.Addr().String(), CallerConfig{Passphrase: "right passphrase"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []uint32{0, oddKey, 3} {
		b := binary.BigEndian.AppendUint32(nil, c.seq)
		b = binary.BigEndian.AppendUint32(b, 3<<30|key<<27|1)
		b = binary.BigEndian.AppendUint32(b, c.timestamp())
		b = append(binary.BigEndian.AppendUint32(b, c.peer), "injected"...)
		if _, err := c.conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	send(t, c, []byte("real"))
	if err := c.Acked(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := <-results; string(got.data) != "real" || got.stats.Undecryptable != 3 {
		t.Errorf("%q, %+v", got.data, got.stats)
	}
}

// A listener on all addresses of a machine answers from the one that was called: a
// caller takes no other for its peer.
func TestAnswersFromTheAddressThatWasCalled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the routes decide here, and only Linux has all of 127.0.0.0/8")
	}
	for _, bound := range []string{"0.0.0.0:0", "[::]:0"} {
		l, err := Listen(bound, Config{})
		if err != nil {
			t.Skip(err) // no IPv6 here
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		results := make(chan result, 1)
		go func() { served <- l.Serve(ctx, sink(results)) }()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := dialTest(t, net.JoinHostPort("127.0.0.2", port), CallerConfig{})
		if err != nil {
			t.Fatalf("%s: %v", bound, err)
		}
		send(t, c, []byte("media"))
		if err := c.Acked(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got := <-results; string(got.data) != "media" {
			t.Errorf("%s: %q", bound, got.data)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// Handshakes that are never finished leave nothing behind; those that lie about the
// cookie get no answer.
func TestHalfOpenHandshakes(t *testing.T) {
	var refusals sync.Map
	l := serve(t, Config{Refused: func(r Reason) { refusals.Store(r, true) }}, sink(make(chan result, 1)))
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	induction, conclusion := recorded(t, recordedInduction), recorded(t, recordedPlain)
	header := appendControl(nil, ctlHandshake, 0, 0, 1, 0)
	buf := make([]byte, 2000)
	for range 1000 {
		if _, err := conn.Write(append(bytes.Clone(header), induction...)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(append(bytes.Clone(header), conclusion...)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := dialTest(t, l.Addr().String(), CallerConfig{})
	if err != nil {
		t.Fatal("after 1000 half handshakes:", err)
	}
	if _, ok := refusals.Load(Rogue); !ok {
		t.Error("a wrong cookie is not counted")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.callers) != 1 || len(l.conns) != 1 {
		t.Errorf("%d callers and %d connections are kept, want 1", len(l.callers), len(l.conns))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenTakesAPortOnce(t *testing.T) {
	l := serve(t, Config{}, sink(nil))
	if _, err := Listen(l.Addr().String(), Config{}); err == nil {
		t.Error("two listeners on one port")
	}
}

// Whatever datagrams a caller sends on its connection, what is delivered is what it sent,
// in order, and the window stays within its bounds.
func FuzzConnection(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05\x00\x00\x00\x07\x00\x05"))
	f.Add([]byte("\x00\x00\x80\x06\xff\xff\x80\x03\x00\x00"))
	f.Add([]byte("\x1f\xff\x00\x01\x7f\xff\x00\x01\x20\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, script []byte) {
		pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pc.Close() }()
		l := &Listener{cfg: Config{}, pc: pc, started: time.Now(), conns: map[uint32]*Conn{}, callers: map[caller]*entry{}}
		l.pool.New = func() any { return new(datagram) }
		const first = seqMask - 3
		c := &Conn{l: l, wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), window: newWindow(first), heard: l.now()}
		last := -1
		for ; len(script) >= 4; script = script[4:] {
			d := new(datagram)
			offset, when := binary.BigEndian.Uint16(script), binary.BigEndian.Uint16(script[2:])
			b := binary.BigEndian.AppendUint32(nil, (first+uint32(offset))&seqMask)
			if when&1 == 1 {
				b = appendControl(nil, offset, when>>1, uint32(when), uint32(when)<<14, 1)
			} else {
				b = binary.BigEndian.AppendUint32(b, 3<<30|1)
				b = binary.BigEndian.AppendUint32(b, uint32(when)<<14)
				b = binary.BigEndian.AppendUint32(b, 1)
			}
			b = fmt.Appendf(b, "%d", offset)
			p, ok := parsePacket(d.buf[:copy(d.buf[:], b)])
			if !ok {
				t.Fatal("a packet of 16 bytes does not parse")
			}
			c.handle(p, d, l.now())
			if len(c.window.slots) > maxWindow || c.window.held > maxWindow {
				t.Fatalf("window of %d with %d packets", len(c.window.slots), c.window.held)
			}
			got, _, _, err := c.step(time.Minute)
			if err != nil {
				break
			}
			if got == nil {
				continue
			}
			var n int
			if _, err := fmt.Sscan(string(got.payload()), &n); err != nil || n <= last {
				t.Fatalf("%q delivered after %d", got.payload(), last)
			}
			last = n
		}
	})
}
