package rtmp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// ends returns both ends of a connection that the test closes.
func ends(t testing.TB) (server, client net.Conn) {
	server, client = net.Pipe()
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func TestHandshake(t *testing.T) {
	for name, digest := range map[string]bool{"simple": false, "digest": true} {
		t.Run(name, func(t *testing.T) {
			server, client := ends(t)
			served := make(chan error, 1)
			go func() { served <- serveHandshake(bufio.NewReader(server), server) }()
			if err := dialHandshake(bufio.NewReader(client), client, digest); err != nil {
				t.Error("client:", err)
			}
			if err := <-served; err != nil {
				t.Error("server:", err)
			}
		})
	}
}

// firstPacket is C0 and C1 as an encoder of the given kind makes it.
func firstPacket(edit func(c1 []byte)) []byte {
	c := make([]byte, 1+handshakeSize)
	for i := range c {
		c[i] = byte(i * 7)
	}
	c[0] = version
	clear(c[5:9])
	if edit != nil {
		edit(c[1:])
	}
	return c
}

func TestServerAnswersEachFirstPacketInItsForm(t *testing.T) {
	old := []byte{9, 0, 124, 2}
	for name, tt := range map[string]struct {
		edit   func(c1 []byte)
		digest bool
	}{
		"zero version":               {nil, false},
		"digest in the first block":  {func(c []byte) { copy(c[4:], old); putDigest(c, digestBlocks[0], playerKey) }, true},
		"digest in the second block": {func(c []byte) { copy(c[4:], old); putDigest(c, digestBlocks[1], playerKey) }, true},
		"version without a digest":   {func(c []byte) { copy(c[4:], old) }, false},
		"digest with a server's key": {func(c []byte) { copy(c[4:], old); putDigest(c, digestBlocks[0], serverKey) }, false},
		"offset bytes at their most": {func(c []byte) {
			copy(c[4:], old)
			copy(c[8:], "\xff\xff\xff\xff")
			putDigest(c, digestBlocks[0], playerKey)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c01 := firstPacket(tt.edit)
			var out bytes.Buffer
			in := io.MultiReader(bytes.NewReader(c01), bytes.NewReader(make([]byte, handshakeSize)))
			if err := serveHandshake(bufio.NewReader(in), &out); err != nil {
				t.Fatal(err)
			}
			s := out.Bytes()
			if len(s) != 1+2*handshakeSize || s[0] != version {
				t.Fatalf("answer of %d bytes, version %d", len(s), s[0])
			}
			s1, s2 := s[1:1+handshakeSize], s[1+handshakeSize:]
			if !tt.digest {
				if !bytes.Equal(s2, c01[1:]) {
					t.Error("S2 is not C1")
				}
				return
			}
			_, digest, ok := findDigest(c01[1:], playerKey)
			if !ok || !validSecond(s2, digest, serverKey+keyTail) {
				t.Error("S2 is not signed for C1")
			}
			if _, _, ok := findDigest(s1, serverKey); !ok {
				t.Error("S1 has no digest")
			}
		})
	}
}

func TestHandshakeRefuses(t *testing.T) {
	good := append(firstPacket(nil), make([]byte, handshakeSize)...)
	for name, tt := range map[string]struct {
		in     []byte
		reason Reason // "" for an end of input
	}{
		"nothing":            {nil, ""},
		"C0 only":            {good[:1], ""},
		"cut in C1":          {good[:700], ""},
		"cut in C2":          {good[:2000], ""},
		"encrypted RTMPE":    {append([]byte{6}, good[1:]...), ReasonHandshake},
		"an HTTP request":    {[]byte("GET / HTTP/1.1\r\n\r\n"), ReasonHandshake},
		"a TLS client hello": {append([]byte{0x16, 3, 1}, good...), ReasonHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			err := serveHandshake(bufio.NewReader(bytes.NewReader(tt.in)), io.Discard)
			pe, ok := errors.AsType[*ProtocolError](err)
			switch {
			case err == nil:
				t.Error("accepted")
			case ok != (tt.reason != "") || ok && pe.Reason != tt.reason:
				t.Errorf("got %v, want reason %q", err, tt.reason)
			}
		})
	}
}

func TestClientRefusesAForgedServer(t *testing.T) {
	server, client := ends(t)
	go func() {
		var c [1 + handshakeSize]byte
		_, _ = io.ReadFull(server, c[:])
		s := make([]byte, 1+2*handshakeSize)
		s[0] = version
		_, _ = server.Write(s)
	}()
	if err := dialHandshake(bufio.NewReader(client), client, true); err == nil {
		t.Error("accepted a server without digests")
	}
}
