package rtmp

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	version       = 3    // C0 and S0
	handshakeSize = 1536 // C1, S1, C2, S2
	digestSize    = sha256.Size
)

// The digest handshake is not in the specification; its keys and offsets are what
// Flash Player, FMLE and every server since 2008 use. The key that covers a first
// packet is the text alone, the one for a second packet is the text and this tail.
const (
	playerKey = "Genuine Adobe Flash Player 001"
	serverKey = "Genuine Adobe Flash Media Server 001"
	keyTail   = "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57" +
		"\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae"
)

// digestBlocks are the places where the four offset bytes of a digest may lie.
var digestBlocks = [2]int{8, 772}

// serveHandshake answers a client's handshake. A first packet with a valid digest is
// answered with digests, any other by the simple echo of specification 5.2.
func serveHandshake(br *bufio.Reader, w io.Writer) error {
	var c [1 + handshakeSize]byte
	if _, err := io.ReadFull(br, c[:1]); err != nil {
		return fmt.Errorf("rtmp: read C0: %w", err)
	}
	if c[0] != version {
		return protocolError(ReasonHandshake, "version %d, want %d", c[0], version)
	}
	c1 := c[1:]
	if _, err := io.ReadFull(br, c1); err != nil {
		return fmt.Errorf("rtmp: read C1: %w", err)
	}

	var s [1 + 2*handshakeSize]byte
	s[0] = version
	s1, s2 := s[1:1+handshakeSize], s[1+handshakeSize:]
	_, _ = rand.Read(s1[8:]) // never fails: crypto/rand ends the process instead
	if block, digest, ok := findDigest(c1, playerKey); ok {
		copy(s1[4:8], []byte{4, 5, 0, 1}) // a server version that speaks digests
		putDigest(s1, block, serverKey)
		signSecond(s2, digest, serverKey+keyTail)
	} else {
		copy(s2, c1)
	}
	if _, err := w.Write(s[:]); err != nil {
		return fmt.Errorf("rtmp: write S0 S1 S2: %w", err)
	}
	// C2 is read and not compared: encoders are known to get it wrong, and it proves nothing.
	if _, err := br.Discard(handshakeSize); err != nil {
		return fmt.Errorf("rtmp: read C2: %w", err)
	}
	return nil
}

// dialHandshake is the client's side; with digest it sends the digest form and
// checks the server's.
func dialHandshake(br *bufio.Reader, w io.Writer, digest bool) error {
	var c [1 + handshakeSize]byte
	c[0] = version
	c1 := c[1:]
	_, _ = rand.Read(c1[8:])
	if digest {
		copy(c1[4:8], []byte{9, 0, 124, 2})
		putDigest(c1, digestBlocks[1], playerKey)
	}
	if _, err := w.Write(c[:]); err != nil {
		return fmt.Errorf("rtmp: write C0 C1: %w", err)
	}
	var s [1 + 2*handshakeSize]byte
	if _, err := io.ReadFull(br, s[:]); err != nil {
		return fmt.Errorf("rtmp: read S0 S1 S2: %w", err)
	}
	s1, s2 := s[1:1+handshakeSize], s[1+handshakeSize:]
	switch {
	case s[0] != version:
		return protocolError(ReasonHandshake, "version %d, want %d", s[0], version)
	case !digest:
		if !bytes.Equal(s2[8:], c1[8:]) {
			return protocolError(ReasonHandshake, "S2 does not echo C1")
		}
		return writeC2(w, s1)
	}
	_, own, _ := findDigest(c1, playerKey)
	_, theirs, ok := findDigest(s1, serverKey)
	if !ok || !validSecond(s2, own, serverKey+keyTail) {
		return protocolError(ReasonHandshake, "the server's digests are wrong")
	}
	var c2 [handshakeSize]byte
	signSecond(c2[:], theirs, playerKey+keyTail)
	return writeC2(w, c2[:])
}

func writeC2(w io.Writer, c2 []byte) error {
	if _, err := w.Write(c2); err != nil {
		return fmt.Errorf("rtmp: write C2: %w", err)
	}
	return nil
}

// digestAt is where the digest of block lies in p.
func digestAt(p []byte, block int) int {
	sum := int(p[block]) + int(p[block+1]) + int(p[block+2]) + int(p[block+3])
	return block + 4 + sum%728
}

// firstDigest covers a first packet except for the digest itself at position at.
func firstDigest(p []byte, at int, key string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write(p[:at])
	h.Write(p[at+digestSize:])
	return h.Sum(nil)
}

func findDigest(p []byte, key string) (block int, digest []byte, ok bool) {
	if binary.BigEndian.Uint32(p[4:8]) == 0 {
		return 0, nil, false // the simple form says so with a zero version
	}
	for _, block := range digestBlocks {
		at := digestAt(p, block)
		if got := p[at : at+digestSize]; hmac.Equal(got, firstDigest(p, at, key)) {
			return block, got, true
		}
	}
	return 0, nil, false
}

func putDigest(p []byte, block int, key string) {
	at := digestAt(p, block)
	copy(p[at:], firstDigest(p, at, key))
}

// signSecond fills a second packet: random, signed with a key made of the digest of
// the first packet that it answers.
func signSecond(p, digest []byte, key string) {
	_, _ = rand.Read(p[:handshakeSize-digestSize])
	copy(p[handshakeSize-digestSize:], secondSignature(p, digest, key))
}

func validSecond(p, digest []byte, key string) bool {
	return hmac.Equal(p[handshakeSize-digestSize:], secondSignature(p, digest, key))
}

func secondSignature(p, digest []byte, key string) []byte {
	k := hmac.New(sha256.New, []byte(key))
	k.Write(digest)
	h := hmac.New(sha256.New, k.Sum(nil))
	h.Write(p[:handshakeSize-digestSize])
	return h.Sum(nil)
}
