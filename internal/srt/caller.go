package srt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what SRT derives keys with
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// CallerConfig is what a Caller asks for.
type CallerConfig struct {
	StreamID   string
	Passphrase string        // "" does not encrypt
	KeyLength  int           // 16, 24 or 32 bytes; 0 means 16
	Latency    time.Duration // what it wants the listener to have; 0 leaves it to the listener
}

// A Caller sends media to a listener. It is for tests and load: it paces nothing, does
// not drop what is too late and keeps its keys.
type Caller struct {
	conn    net.Conn
	peer    uint32
	started time.Time
	keys    *keyring
	ended   chan struct{} // closed when nothing is read any more

	mu     sync.Mutex // guards all below
	seq    uint32     // of the next packet
	sent   [4096][]byte
	again  int64 // packets sent again
	acked  uint32
	peerUp bool
}

// A RefusedError is a listener's refusal.
type RefusedError struct{ Reason Reason }

func (e *RefusedError) Error() string { return "srt: refused: " + e.Reason.String() }

// dialTry is how long a caller waits for an answer before it asks again.
const dialTry = 250 * time.Millisecond

// Dial calls the listener at addr until it answers or ctx is done. A refusal is a
// *RefusedError.
func Dial(ctx context.Context, addr string, cfg CallerConfig) (*Caller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("srt: %w", err)
	}
	c := &Caller{conn: conn, started: time.Now(), ended: make(chan struct{}), peerUp: true}
	if err := c.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go c.listen() // ends with the connection
	return c, nil
}

func (c *Caller) timestamp() uint32 { return uint32(time.Since(c.started).Microseconds()) }

func (c *Caller) open(ctx context.Context, cfg CallerConfig) error {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	h := handshake{
		version: 4, extension: 2, mtu: 1500, window: maxWindow, typ: hsInduction,
		socket: binary.BigEndian.Uint32(random[:]) >> 2, isn: binary.BigEndian.Uint32(random[4:]) & seqMask,
	}
	answer, err := c.exchange(ctx, h)
	if err != nil {
		return err
	}
	h.version, h.extension, h.typ, h.cookie = 5, 0, hsConclusion, answer.cookie
	h.hasHS, h.srtVersion, h.caps = true, ourVersion, ourCaps
	h.sendDelay, h.streamID = uint16(cfg.Latency.Milliseconds()), cfg.StreamID
	if cfg.Passphrase != "" {
		if c.keys, h.km, err = newKeys(cfg.Passphrase, cmp.Or(cfg.KeyLength, 16)); err != nil {
			return err
		}
		h.cipher = uint16(h.km[15]) / 2
	}
	if answer, err = c.exchange(ctx, h); err != nil {
		return err
	}
	c.peer, c.seq, c.acked = answer.socket, h.isn, h.isn
	return nil
}

// exchange sends a handshake and waits for its answer.
func (c *Caller) exchange(ctx context.Context, h handshake) (handshake, error) {
	for {
		b := h.append(appendControl(nil, ctlHandshake, 0, 0, c.timestamp(), 0), netip.IPv4Unspecified())
		if _, err := c.conn.Write(b); err != nil {
			return handshake{}, fmt.Errorf("srt: %w", err)
		}
		answer, err := c.answer(h)
		switch {
		case err == nil && answer.typ == h.typ:
			return answer, nil
		case err == nil && answer.typ > refused && answer.typ < hsConclusion:
			return handshake{}, &RefusedError{Reason(answer.typ - refused)}
		case ctx.Err() != nil:
			return handshake{}, context.Cause(ctx)
		}
	}
}

func (c *Caller) answer(h handshake) (handshake, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(dialTry)); err != nil {
		return handshake{}, err
	}
	var buf [maxPacket]byte
	for {
		n, err := c.conn.Read(buf[:])
		if err != nil {
			return handshake{}, err
		}
		if p, ok := parsePacket(buf[:n]); ok && p.control && p.kind == ctlHandshake && p.socket == h.socket {
			return parseHandshake(bytes.Clone(p.payload))
		}
	}
}

// newKeys makes an even key, and the message that brings it.
func newKeys(passphrase string, length int) (*keyring, []byte, error) {
	secret := make([]byte, kmSalt+length)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	salt, key := secret[:kmSalt], secret[kmSalt:]
	kek, err := pbkdf2.Key(sha1.New, passphrase, salt[8:], kdfRounds, length)
	if err != nil {
		return nil, nil, fmt.Errorf("srt: %w", err)
	}
	m := []byte{kmVersion, kmSignature >> 8, kmSignature & 0xff, evenKey, 0, 0, 0, 0, kmAESCTR, 0, kmOverSRT, 0, 0, 0, kmSalt / 4, byte(length / 4)}
	m = append(m, salt...)
	wrapped, err := wrap(kek, key)
	if err != nil {
		return nil, nil, fmt.Errorf("srt: %w", err)
	}
	m = append(m, wrapped...)
	k := &keyring{passphrase: passphrase}
	return k, m, k.take(m)
}

// wrap is the AES key wrapping of RFC 3394.
func wrap(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	n := len(key) / 8
	var a [aes.BlockSize]byte
	copy(a[:], bytes.Repeat([]byte{0xa6}, 8))
	key = bytes.Clone(key)
	for t := uint64(1); t <= uint64(6*n); t++ {
		part := key[8*((t-1)%uint64(n)):][:8]
		copy(a[8:], part)
		block.Encrypt(a[:], a[:])
		copy(part, a[8:])
		binary.BigEndian.PutUint64(a[:], binary.BigEndian.Uint64(a[:])^t)
	}
	return append(a[:8:8], key...), nil
}

// Write sends one packet.
func (c *Caller) Write(payload []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.peerUp {
		return 0, io.ErrClosedPipe
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headerSize+len(payload)), c.seq)
	second := uint32(3<<30 | 1) // a message of one packet
	if c.keys != nil {
		second |= evenKey << 27
	}
	b = binary.BigEndian.AppendUint32(b, second)
	b = binary.BigEndian.AppendUint32(b, c.timestamp())
	b = append(binary.BigEndian.AppendUint32(b, c.peer), payload...)
	if c.keys != nil {
		c.keys.decrypt(b[headerSize:], evenKey, c.seq) // a stream cipher: the same both ways
	}
	c.sent[c.seq%uint32(len(c.sent))] = b
	c.seq = (c.seq + 1) & seqMask
	if _, err := c.conn.Write(b); err != nil {
		return 0, fmt.Errorf("srt: %w", err)
	}
	return len(payload), nil
}

// listen answers the listener.
func (c *Caller) listen() {
	defer close(c.ended)
	var buf [maxPacket]byte
	if c.conn.SetReadDeadline(time.Time{}) != nil {
		return
	}
	for {
		n, err := c.conn.Read(buf[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if p, ok := parsePacket(buf[:n]); ok && err == nil && p.control && !c.take(p) {
			return
		}
	}
}

func (c *Caller) take(p packet) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch p.kind {
	case ctlACK:
		if len(p.payload) >= 4 {
			c.acked = binary.BigEndian.Uint32(p.payload) & seqMask
		}
		c.control(ctlACKACK, p.info)
	case ctlNAK:
		c.repeat(p.payload)
	case ctlShutdown:
		c.peerUp = false
		return false
	}
	return true
}

// repeat sends again what a loss report names.
func (c *Caller) repeat(list []byte) {
	for len(list) >= 4 {
		first := binary.BigEndian.Uint32(list)
		last := first
		if list = list[4:]; first>>31 == 1 && len(list) >= 4 {
			first, last, list = first&seqMask, binary.BigEndian.Uint32(list), list[4:]
		}
		for seq := first; ahead(seq, last) <= 0; seq = (seq + 1) & seqMask {
			if behind := ahead(c.seq, seq); behind <= 0 || behind > len(c.sent) {
				break
			}
			b := c.sent[seq%uint32(len(c.sent))]
			b[4] |= 1 << 2 // retransmitted
			_, _ = c.conn.Write(b)
			c.again++
		}
	}
}

func (c *Caller) control(kind uint16, info uint32) {
	_, _ = c.conn.Write(append(appendControl(nil, kind, 0, info, c.timestamp(), c.peer), 0, 0, 0, 0))
}

// Acked returns when the listener has all that was written, or ctx is done.
func (c *Caller) Acked(ctx context.Context) error {
	tick := time.NewTicker(ackInterval)
	defer tick.Stop()
	for {
		c.mu.Lock()
		done := c.acked == c.seq
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ended:
			return io.ErrClosedPipe
		case <-tick.C:
		}
	}
}

// Ended is closed when the listener has ended the connection, or Close or Abort has.
func (c *Caller) Ended() <-chan struct{} { return c.ended }

// Close says goodbye and ends the connection.
func (c *Caller) Close() error {
	c.mu.Lock()
	c.control(ctlShutdown, 0)
	c.mu.Unlock()
	return c.Abort()
}

// Abort ends the connection as a crash does: without a word.
func (c *Caller) Abort() error {
	err := c.conn.Close()
	<-c.ended
	return err
}
