package srt

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Config tunes a Listener. The zero value of each field has the meaning noted.
type Config struct {
	Latency    time.Duration // least delay of delivery, in which what is lost is sent again; 0 means 120ms
	MaxLatency time.Duration // a caller may ask for more than Latency, up to this; 0 means 10s
	MaxConns   int           // connections and handshakes at once; 0 means 5000. More are refused.

	// Refused is called for each caller that the listener refuses by itself; nil is no call.
	Refused func(Reason)
}

// receiveBuffer is what the socket may hold while this process waits for a processor, in
// bytes, as libsrt asks for. The system has a limit of its own (net.core.rmem_max).
const receiveBuffer = 8 << 20

// A Listener takes callers on one UDP socket.
type Listener struct {
	cfg     Config
	pc      *net.UDPConn
	started time.Time
	secret  [32]byte  // of the cookies
	pool    sync.Pool // of *datagram

	calls sync.WaitGroup // of handle; added to under mu while not over

	mu      sync.Mutex // guards all below
	over    bool       // no more callers
	active  int        // requests being decided, and connections
	conns   map[uint32]*Conn
	callers map[caller]*entry
}

// A caller is one socket of a peer.
type caller struct {
	addr   netip.AddrPort
	socket uint32
}

// An entry is a caller whose request is being decided, or one that was answered.
type entry struct {
	answer []byte // datagram that accepted it; nil before. It is sent again when it was lost.
}

// Listen binds addr, so a bad address or a taken port fails before anything runs.
func Listen(addr string, cfg Config) (*Listener, error) {
	cfg.Latency = cmp.Or(cfg.Latency, 120*time.Millisecond)
	cfg.MaxLatency = max(cmp.Or(cfg.MaxLatency, 10*time.Second), cfg.Latency)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 5000)
	if cfg.Refused == nil {
		cfg.Refused = func(Reason) {}
	}
	l := &Listener{
		cfg: cfg, started: time.Now(), conns: map[uint32]*Conn{}, callers: map[caller]*entry{},
		pool: sync.Pool{New: func() any { return new(datagram) }},
	}
	_, _ = rand.Read(l.secret[:]) // never fails (crypto/rand)
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("srt: %w", err)
	}
	l.pc = pc.(*net.UDPConn)
	_ = l.pc.SetReadBuffer(receiveBuffer) // as much as the system gives
	if l.pc.LocalAddr().(*net.UDPAddr).IP.IsUnspecified() {
		wantSource(l.pc)
	}
	return l, nil
}

// Addr is the bound address.
func (l *Listener) Addr() net.Addr { return l.pc.LocalAddr() }

// now is our clock in microseconds.
func (l *Listener) now() int64 { return time.Since(l.started).Microseconds() }

// Serve takes callers until ctx is done and then returns nil. It calls handle for each
// one that asks to send, in a goroutine of the call's own; handle accepts or refuses the
// request and serves the connection. When Serve returns, every call has.
func (l *Listener) Serve(ctx context.Context, handle func(ctx context.Context, r *Request)) error {
	ctx, cancel := context.WithCancel(ctx)
	closed := make(chan struct{})
	go func() { // ends with ctx, after the calls
		defer close(closed)
		<-ctx.Done()
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
		l.calls.Wait()
		_ = l.pc.Close() // nobody uses it any more
	}()
	err := l.read(func(r *Request) {
		go l.call(ctx, handle, r) // Serve waits for it
	})
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	<-closed
	return err
}

func (l *Listener) call(ctx context.Context, handle func(context.Context, *Request), r *Request) {
	defer l.calls.Done()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.active--
		if e := l.callers[r.from]; e != nil && e.answer == nil {
			delete(l.callers, r.from)
		}
	}()
	handle(ctx, r)
}

// maxFailures is how many reads in a row may fail.
const maxFailures = 1000

// read dispatches datagrams until the socket is closed.
func (l *Listener) read(serve func(*Request)) error {
	d, failures := l.pool.Get().(*datagram), 0
	var oob [sourceRoom]byte
	for {
		n, came, _, from, err := l.pc.ReadMsgUDPAddrPort(d.buf[:], oob[:])
		if err != nil {
			// Some systems report here that an earlier send did not arrive.
			if failures++; failures > maxFailures || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("srt: %w", err)
			}
			continue
		}
		failures = 0
		p, ok := parsePacket(d.buf[:n])
		if !ok {
			continue
		}
		if p.socket == 0 {
			if p.control && p.kind == ctlHandshake {
				l.greet(p, peer{from, sourceOf(oob[:came])}, serve)
			}
			continue
		}
		l.mu.Lock()
		c := l.conns[p.socket]
		l.mu.Unlock()
		if c != nil && c.remote.addr == from && c.handle(p, d, l.now()) {
			d = l.pool.Get().(*datagram)
		}
	}
}

// A peer is where a caller is, and from where to answer it.
type peer struct {
	addr netip.AddrPort // as the socket has it: IPv4 may come within IPv6
	from source
}

// send sends a datagram. What fails is lost, as it may be on the way.
func (l *Listener) send(b []byte, to peer) { _, _, _ = l.pc.WriteMsgUDPAddrPort(b, to.from, to.addr) }

// greet answers a handshake. Nothing is kept of a caller before it has shown, by a
// cookie, that it is where it says.
func (l *Listener) greet(p packet, from peer, serve func(*Request)) {
	h, err := parseHandshake(p.payload)
	if err != nil {
		l.cfg.Refused(Rogue)
		return // not worth an answer: it may come from anywhere
	}
	now := time.Now()
	if h.typ == hsInduction {
		h.version, h.cipher, h.extension, h.cookie = 5, 0, inductionMagic, l.cookie(from.addr, now)
		l.answer(h, from)
		return
	}
	if h.typ != hsConclusion || h.cookie != l.cookie(from.addr, now) && h.cookie != l.cookie(from.addr, now.Add(-cookieTime)) {
		l.cfg.Refused(Rogue)
		return
	}
	h.cookie = 0
	r := &Request{l: l, peer: from, from: caller{from.addr, h.socket}, handshake: h, clock: l.now() - int64(p.timestamp), timestamp: p.timestamp}
	if reason := h.unfit(); reason != 0 {
		l.refuse(r, reason)
		return
	}
	r.handshake.km = append([]byte(nil), h.km...) // the packet's memory is not ours
	repeat, reason := l.enter(r)
	switch {
	case repeat != nil:
		l.send(repeat, from)
	case reason != 0:
		l.refuse(r, reason)
	case r.entered:
		serve(r)
	}
}

// refuse refuses a caller before anybody has seen its request.
func (l *Listener) refuse(r *Request, reason Reason) {
	l.cfg.Refused(reason)
	l.answerRefusal(r, reason)
}

func (l *Listener) answerRefusal(r *Request, reason Reason) {
	h := r.handshake
	h.typ, h.km, h.streamID, h.congestion = refused+uint32(reason), nil, "", ""
	h.cipher, h.extension = 0, 0
	l.answer(h, r.peer)
}

// enter makes room for a request. A caller that repeats its own is given the answer
// again, once there is one.
func (l *Listener) enter(r *Request) (repeat []byte, reason Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.callers[r.from]; e != nil {
		return e.answer, 0
	}
	switch {
	case l.over:
		return nil, Closing
	case l.active >= l.cfg.MaxConns:
		return nil, Backlog
	}
	l.active++
	l.calls.Add(1)
	l.callers[r.from] = &entry{}
	r.entered = true
	return nil, 0
}

// answer sends a handshake to whom it came from.
func (l *Listener) answer(h handshake, to peer) { l.send(l.handshake(h, to.addr), to) }

func (l *Listener) handshake(h handshake, to netip.AddrPort) []byte {
	b := make([]byte, 0, 256)
	socket := h.socket
	if h.confirmation {
		h.socket = h.ours
	}
	b = appendControl(b, ctlHandshake, 0, 0, uint32(l.now()), socket)
	return h.append(b, to.Addr())
}

// cookieTime is for how long, and once more, a cookie is good.
const cookieTime = time.Minute

// cookie is what a caller at addr must bring back.
func (l *Listener) cookie(addr netip.AddrPort, now time.Time) uint32 {
	m := hmac.New(sha256.New, l.secret[:])
	b := addr.Addr().As16()
	m.Write(b[:])
	m.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, addr.Port()), uint64(now.Unix()/int64(cookieTime/time.Second))))
	return binary.BigEndian.Uint32(m.Sum(nil))
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c.local)
	delete(l.callers, caller{c.remote.addr, c.peer})
}

// A Request is a caller that wants to send. Accept or Refuse decides, once.
type Request struct {
	l         *Listener
	peer      peer
	from      caller
	handshake handshake
	clock     int64  // ours when the caller's was 0, microseconds
	timestamp uint32 // the caller's when it asked
	keys      *keyring
	entered   bool
}

// Remote is the address of the caller.
func (r *Request) Remote() netip.AddrPort {
	return netip.AddrPortFrom(r.peer.addr.Addr().Unmap(), r.peer.addr.Port())
}

// StreamID is what the caller says it sends; a secret may be in it.
func (r *Request) StreamID() string { return r.handshake.streamID }

// Encrypted reports whether the caller encrypts. Then it can only be accepted after Unlock.
func (r *Request) Encrypted() bool { return len(r.handshake.km) > 0 }

// Version is the caller's of SRT, such as 0x010501 for 1.5.1.
func (r *Request) Version() uint32 { return r.handshake.srtVersion }

// Unlock reports whether passphrase is the one that the caller encrypts with, and if so
// makes it the connection's. It takes about a millisecond, right or wrong.
func (r *Request) Unlock(passphrase string) bool {
	if !r.Encrypted() {
		return false
	}
	k := &keyring{passphrase: passphrase}
	if k.take(r.handshake.km) != nil {
		return false
	}
	r.keys = k
	return true
}

// Refuse tells the caller why it is refused.
func (r *Request) Refuse(reason Reason) { r.l.answerRefusal(r, reason) }

// ErrLatency means that the caller wants a longer delay than Config.MaxLatency.
var ErrLatency = errors.New("srt: the caller wants too much latency")

// Latency is what the connection would have: the greater of ours and the caller's wish.
func (r *Request) Latency() time.Duration {
	return max(r.l.cfg.Latency, time.Duration(r.handshake.sendDelay)*time.Millisecond)
}

// Accept takes the caller. It fails with ErrLatency, or when the caller encrypts and was
// not unlocked; the caller has to be refused then.
func (r *Request) Accept() (*Conn, error) {
	switch {
	case r.Latency() > r.l.cfg.MaxLatency:
		return nil, ErrLatency
	case r.Encrypted() != (r.keys != nil):
		return nil, errPassphrase
	}
	now := r.l.now()
	c := &Conn{
		l: r.l, remote: r.peer, peer: r.from.socket, latency: r.Latency(), keys: r.keys,
		wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour),
		window: newWindow(r.handshake.isn), clock: clock{base: r.clock, newest: int64(r.timestamp)},
		heard: now, spoke: now, rtt: initialRTT, dev: initialRTT / 2,
		ackSent: r.handshake.isn, ackSure: r.handshake.isn, rate: rate{start: now},
	}
	h := r.handshake
	h.confirmation, h.srtVersion, h.caps, h.streamID, h.congestion = true, ourVersion, ourCaps, "", ""
	h.mtu, h.window = min(h.mtu, 1500), maxWindow
	h.recvDelay, h.sendDelay = uint16(c.latency.Milliseconds()), h.recvDelay
	if h.cipher = 0; h.km != nil {
		h.cipher = uint16(h.km[15]) / 2 // from words of the key to its units of 8 bytes
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for c.local == 0 || r.l.conns[c.local] != nil {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		c.local = binary.BigEndian.Uint32(b[:]) >> 2
	}
	h.ours = c.local
	answer := r.l.handshake(h, c.remote.addr)
	r.l.conns[c.local] = c
	r.l.callers[r.from] = &entry{answer: answer}
	r.l.send(answer, c.remote)
	return c, nil
}
