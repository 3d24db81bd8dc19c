package httpserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/lifecycle"
)

var quiet = slog.New(slog.DiscardHandler)

// listen binds a server on a free port; run, if wanted, is up to the test.
func listen(t *testing.T, c Config, h http.Handler) *Server {
	t.Helper()
	c.Addr = "127.0.0.1:0"
	s, err := Listen(t.Context(), quiet, c, h)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs s until the test ends or stop is called; stop returns Run's error and may
// be called again.
func start(t *testing.T, s *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = s.Run(ctx)
	}()
	stop = func() error { cancel(); <-done; return err }
	t.Cleanup(func() { _ = stop() })
	return stop
}

// client returns a client with connections of its own.
func client(t *testing.T, p *http.Protocols, c *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: p, TLSClientConfig: c}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestProtocols(t *testing.T) {
	certificate, roots := certify(t)
	for name, tt := range map[string]struct {
		tls, http2 bool
		want       string
	}{
		"HTTP/1.1":               {false, false, "HTTP/1.1 http"},
		"HTTP/1.1 over TLS":      {true, false, "HTTP/1.1 https"},
		"HTTP/2 without TLS":     {false, true, "HTTP/2.0 http"},
		"HTTP/2 by ALPN, on TLS": {true, true, "HTTP/2.0 https"},
	} {
		t.Run(name, func(t *testing.T) {
			var c Config
			scheme := "http"
			if tt.tls {
				scheme = "https"
				c.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
			}
			s := listen(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto, " ", Client(r).Scheme)
			}))
			start(t, s)
			var p http.Protocols
			p.SetHTTP1(!tt.http2)
			p.SetHTTP2(tt.http2 && tt.tls)
			p.SetUnencryptedHTTP2(tt.http2 && !tt.tls)
			code, body := get(t, client(t, &p, &tls.Config{RootCAs: roots, ServerName: "localhost"}), scheme+"://"+s.Addr().String())
			if code != 200 || body != tt.want {
				t.Errorf("got %d %q, want 200 %q", code, body, tt.want)
			}
		})
	}
}

// The drain is the same for requests that leanhttp answers.
func TestDrain(t *testing.T) {
	for name, lean := range map[string]func(string) bool{"net/http": nil, "lean": func(string) bool { return true }} {
		t.Run(name, func(t *testing.T) { drain(t, Config{Lean: lean}) })
	}
}

func drain(t *testing.T, c Config) {
	entered, finish := make(chan struct{}, 2), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-finish
		fmt.Fprint(w, "done ", r.Context().Err())
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := UntilDrain(r.Context())
		defer cancel()
		entered <- struct{}{}
		<-ctx.Done()
		<-Draining(r.Context()) // agrees
		fmt.Fprint(w, context.Cause(ctx))
		close(finish) // so: work goes on while waiters have been told
	})
	s := listen(t, c, mux)
	stop := start(t, s)
	url := "http://" + s.Addr().String()

	type reply struct{ path, body string }
	replies := make(chan reply, 2)
	for _, path := range []string{"/work", "/wait"} {
		c := client(t, nil, nil)
		go func() {
			_, body := get(t, c, url+path)
			replies <- reply{path, body}
		}()
	}
	<-entered
	<-entered
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for range 2 {
		want := map[string]string{"/work": "done <nil>", "/wait": ErrDraining.Error()}
		if r := <-replies; r.body != want[r.path] {
			t.Errorf("%s answered %q, want %q", r.path, r.body, want[r.path])
		}
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the drained server still accepts")
	}
}

// A handler that outlasts the drain has its context ended and is waited for.
func TestDrainIsCut(t *testing.T) {
	entered, cause := make(chan struct{}), make(chan error, 1)
	s := listen(t, Config{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- lifecycle.Run(ctx, lifecycle.Config{Cut: cut}, lifecycle.Service{Name: "http", Run: s.Run})
	}()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	cancel()
	close(cut)
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	select {
	case err := <-cause:
		if !errors.Is(err, ErrDrained) {
			t.Errorf("the request's context ended with %v, want %v", err, ErrDrained)
		}
	default:
		t.Error("Run returned before its handler")
	}
}

func TestUntilDrainEndsWithTheRequest(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	ctx, end := UntilDrain(parent)
	defer end()
	cancel()
	<-ctx.Done()
	if Draining(parent) != nil {
		t.Error("Draining outside a server is not nil")
	}
}

func TestRunReportsAcceptErrors(t *testing.T) {
	s := listen(t, Config{}, http.NotFoundHandler())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run on a closed listener = %v, want %v", err, net.ErrClosed)
	}
}

func TestListenReportsBadAddresses(t *testing.T) {
	if s, err := Listen(t.Context(), quiet, Config{Addr: "127.0.0.1:99999"}, nil); err == nil {
		_ = s.Close()
		t.Error("Listen on port 99999 worked")
	}
}

// Each raw request meets one limit; the server answers or hangs up by itself.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		send string
		want string // start of the answer; "" when the server just hangs up
	}{
		"headers too large":  {Config{MaxHeaderBytes: 1 << 10}, "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		"headers too slow":   {Config{ReadHeaderTimeout: 20 * time.Millisecond}, "GET / HTTP/1.1\r\nHost:", ""},
		"nothing after idle": {Config{IdleTimeout: 20 * time.Millisecond}, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 "},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, tt.cfg, http.NotFoundHandler())
			start(t, s)
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, tt.send); err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(c) // returns only when the server hangs up; a reset is as good
			if !strings.HasPrefix(string(b), tt.want) || (tt.want == "" && len(b) > 0) {
				t.Errorf("answer %q, want %q", b, tt.want)
			}
		})
	}
}

func TestMaxConns(t *testing.T) {
	s := listen(t, Config{MaxConns: 1}, http.NotFoundHandler())
	start(t, s)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ask := func(c net.Conn) string {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		l, _ := bufio.NewReader(c).ReadString('\n') // what follows is dropped, it is there already
		return l
	}
	first, second := dial(), dial()
	ask(first)
	answer := make(chan string, 1)
	go func() { answer <- ask(second) }() // the kernel takes the connection, the server does not
	for range 50 {                        // round trips, in which a server without the limit would have answered
		ask(first)
		select {
		case l := <-answer:
			t.Fatalf("a second connection was served: %q", l)
		default:
		}
	}
	first.Close()
	if l := <-answer; !strings.HasPrefix(l, "HTTP/1.1 404") {
		t.Errorf("second connection got %q", l)
	}
}
