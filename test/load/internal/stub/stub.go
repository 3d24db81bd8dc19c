// Package stub is a live server of a few hundred lines for the tests of the load
// generators: RTMP in, LL-HLS out, in fragmented MP4 or MPEG-TS that only a mark
// scanner can read. It streams parts and segments while they grow, blocks reloads,
// compresses and makes delta updates, so that every path of a client is walked. It is
// no model of the real server and is not measured.
package stub

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/test/load/internal/flv"
	"github.com/sluice-live/sluice/test/load/internal/rtmp"
)

const (
	framesPerPart = 3
	window        = 8 // segments in a playlist
	skipUntil     = 3 // segments that a delta update leaves in
)

// Config is how the server behaves.
type Config struct {
	TS     bool // MPEG-TS instead of fragmented MP4
	Plain  bool // no parts, no blocking, no prefetch: classic HLS
	Refuse bool // answer every publish with an error
}

// Server is a running stub.
type Server struct {
	cfg  Config
	rtmp net.Listener
	http *httptest.Server

	mu      sync.Mutex // guards streams
	streams map[string]*stream
	conns   map[net.Conn]bool
	wg      sync.WaitGroup
}

// Start starts a server on free ports; it stops with the test.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: cfg, rtmp: ln, streams: map[string]*stream{}, conns: map[net.Conn]bool{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serveHTTP))
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serveRTMP(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		for _, st := range s.streams {
			st.end()
		}
		s.mu.Unlock()
		s.wg.Wait()
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// PublishURL is where to publish under key; key may hold %d for rtmppub.
func (s *Server) PublishURL(key string) string {
	return "rtmp://" + s.rtmp.Addr().String() + "/app/" + key
}

// PlaybackURL is the multivariant playlist of key.
func (s *Server) PlaybackURL(key string) string { return s.http.URL + "/live/" + key + "/index.m3u8" }

// Published is how many keys were published, now or before.
func (s *Server) Published() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

func (s *Server) stream(key string, make bool) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[key]
	if st == nil && make {
		st = newStream(s.cfg)
		s.streams[key] = st
	}
	return st
}

// serveRTMP answers one publisher. What it does not understand ends the connection.
func (s *Server) serveRTMP(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	var hello [1537]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil {
		return
	}
	if _, err := c.Write(append(hello[:], hello[1:]...)); err != nil { // S0, S1 and, echoing C1, S2
		return
	}
	if _, err := io.CopyN(io.Discard, c, 1536); err != nil {
		return
	}
	r, w := rtmp.NewReader(c), rtmp.NewWriter(c)
	reply := func(cmd rtmp.Command) error {
		return w.Write(3, rtmp.Message{Type: rtmp.TypeCommand, Body: cmd.Append(nil)})
	}
	var st *stream
	for {
		m, err := r.Read()
		if err != nil {
			break
		}
		switch {
		case m.Type == rtmp.TypeCommand:
			cmd, ok := rtmp.ParseCommand(m.Body)
			if !ok {
				return
			}
			switch cmd.Name {
			case "connect":
				err = reply(rtmp.Command{Name: "_result", Transaction: cmd.Transaction, Args: rtmp.Args()})
			case "createStream":
				err = reply(rtmp.Command{Name: "_result", Transaction: cmd.Transaction, Args: append(rtmp.Args(), 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0)})
			case "publish":
				if s.cfg.Refuse {
					err = errors.Join(reply(rtmp.Command{Name: "onStatus", Args: rtmp.Args("error", "NetStream.Publish.BadName")}), io.EOF)
					break
				}
				_, key, _ := strings.Cut(string(cmd.Args), "\x02\x00") // after null, a short string
				if n := int(key[0]); n < len(key) {
					st = s.stream(key[1:1+n], true)
				}
				err = reply(rtmp.Command{Name: "onStatus", Args: rtmp.Args("status", "NetStream.Publish.Start")})
			}
			if err != nil {
				return
			}
		case m.Type == rtmp.TypeVideo && st != nil:
			if t := (flv.Tag{Type: flv.Video, Data: m.Body}); t.AVC() {
				st.add(m.Body[5:], m.Body[0]>>4&7 == 1)
			}
		}
	}
	if st != nil {
		st.end()
	}
}

// Clip is a second of 30 frames a second with a keyframe each half second, as an FLV
// file. Its pictures are noise: nothing here decodes.
func Clip() []byte {
	b := flv.AppendHeader(nil)
	b = flv.AppendTag(b, flv.Tag{Type: flv.Script, Data: []byte{2, 0, 10, 'o', 'n', 'M', 'e', 't', 'a', 'D', 'a', 't', 'a', 5}})
	b = flv.AppendTag(b, flv.Tag{Type: flv.Video, Data: []byte{0x17, 0, 0, 0, 0, 1}})
	for i := range 30 {
		head := byte(0x27)
		if i%15 == 0 {
			head = 0x17
		}
		nal := append([]byte{0, 0, 0x0f, 0xa0, 0x41}, make([]byte, 3999)...)
		b = flv.AppendTag(b, flv.Tag{Type: flv.Video, MS: uint32((i*1000 + 15) / 30), Data: append([]byte{head, 1, 0, 0, 0}, nal...)})
		b = flv.AppendTag(b, flv.Tag{Type: flv.Audio, MS: uint32((i*1000 + 15) / 30), Data: []byte{0xaf, 1, 0, 0}})
	}
	return b
}
