package leanhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// mine says which paths the tests' handlers are for.
func mine(path string) bool { return strings.HasPrefix(path, "/v1/") }

// A site is a server with a net/http server behind it, on one port.
type site struct {
	*Server
	addr string
	stop func() // may be called again
}

// start serves h by both until the test ends: other is for what is not ours.
func start(t testing.TB, c Config, h, other http.Handler) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Handler, c.Match, c.Log = h, mine, quiet
	s := &site{Server: New(c), addr: ln.Addr().String()}
	behind := &http.Server{Handler: other, ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelDebug), ReadHeaderTimeout: time.Minute}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 2)
	go func() { done <- s.Serve(ctx, ln) }()
	go func() { done <- behind.Serve(s.Others(ln)) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ln.Close()
		cancel()
		s.Close()
		_ = behind.Close()
		for range 2 {
			if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
		if n := s.Open(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// A peer is a raw connection to a server.
type peer struct {
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // a test that hangs tells where
	return &peer{c, bufio.NewReader(c)}
}

func (p *peer) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads one answer and its body.
func (p *peer) answer(t testing.TB) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("body: %v after %d bytes", err, len(b))
	}
	return res, string(b)
}

// get is a plain one of ours.
func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: live.example.com\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// who tells which server answers, and what it understood.
func who(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %q %q %s", name, r.Method, r.RequestURI, r.Host, body, r.Header.Get("X-A"))
	})
}
