package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func request(method, target string) *http.Request {
	return httptest.NewRequestWithContext(context.Background(), method, target, http.NoBody)
}

func TestLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  func(http.ResponseWriter, *http.Request)
		status int
		body   string
		line   map[string]any // without what differs each time
	}{
		"a request is one line": {
			serve: func(w http.ResponseWriter, r *http.Request) {
				e := EventOf(r.Context())
				e.SetOp("CreateChannel")
				e.Add(slog.String("channel", "c"))
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, "hi")
			},
			status: 201, body: "hi",
			line: map[string]any{"level": "INFO", "msg": "request", "status": 201.0, "bytes": 2.0, "op": "CreateChannel", "channel": "c"},
		},
		"no answer is a 200": {
			serve:  func(http.ResponseWriter, *http.Request) {},
			status: 200,
			line:   map[string]any{"level": "INFO", "msg": "request", "status": 200.0, "bytes": 0.0},
		},
		"a 5xx is an error and has its cause": {
			serve: func(w http.ResponseWriter, r *http.Request) {
				EventOf(r.Context()).SetErr(errors.New("disk full"))
				w.WriteHeader(http.StatusServiceUnavailable)
			},
			status: 503,
			line:   map[string]any{"level": "ERROR", "msg": "request", "status": 503.0, "bytes": 0.0, "err": "disk full"},
		},
		"a 4xx is not": {
			serve:  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			status: 403,
			line:   map[string]any{"level": "INFO", "msg": "request", "status": 403.0, "bytes": 0.0},
		},
		"a hint is not the answer": {
			serve: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusNotFound)
			},
			status: 404,
			line:   map[string]any{"level": "INFO", "msg": "request", "status": 404.0, "bytes": 0.0},
		},
		"a panic is a 500 without its words": {
			serve:  func(http.ResponseWriter, *http.Request) { panic("secret") },
			status: 500, body: "internal error\n",
			line: map[string]any{"level": "ERROR", "msg": "request", "status": 500.0, "bytes": 15.0, "err": "httpserver: panic: secret"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			h := Logged(slog.New(slog.NewJSONHandler(&out, nil)), http.HandlerFunc(tt.serve))
			rec := &lastStatus{ResponseRecorder: httptest.NewRecorder()}
			h.ServeHTTP(rec, request("POST", "/CreateChannel?token=hunter2"))
			if rec.last() != tt.status || rec.Body.String() != tt.body {
				t.Errorf("answer %d %q, want %d %q", rec.last(), rec.Body, tt.status, tt.body)
			}
			if strings.Contains(out.String(), "hunter2") {
				t.Errorf("the query is in the log: %s", &out)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var line map[string]any
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			id, _ := line["request_id"].(string)
			if !uuid.MatchString(id) || id != rec.Header().Get("x-amzn-RequestId") {
				t.Errorf("request_id %q, header %q, want the same UUID", id, rec.Header().Get("x-amzn-RequestId"))
			}
			tt.line["method"], tt.line["path"], tt.line["remote"] = "POST", "/CreateChannel", "192.0.2.1"
			for _, k := range []string{"time", "took_ms", "request_id"} {
				if _, ok := line[k]; !ok {
					t.Errorf("the line has no %s", k)
				}
				delete(line, k)
			}
			if d := cmp.Diff(tt.line, line); d != "" {
				t.Errorf("log line: -want +got\n%s", d)
			}
		})
	}
}

// lastStatus records the status after informational ones, which ResponseRecorder
// takes for the answer.
type lastStatus struct {
	*httptest.ResponseRecorder
	status int
}

func (w *lastStatus) WriteHeader(code int) {
	w.status = code
	w.ResponseRecorder.WriteHeader(code)
}

func (w *lastStatus) last() int {
	if w.status == 0 {
		return w.Code
	}
	return w.status
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	var out bytes.Buffer
	h := Quiet(slog.New(slog.NewTextHandler(&out, nil)), http.HandlerFunc(explode))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, request("GET", "/x"))
	if rec.Code != 500 || !strings.Contains(out.String(), "web_test.go") || !strings.Contains(out.String(), "boom") {
		t.Errorf("answer %d, log %s", rec.Code, &out)
	}
}

func explode(http.ResponseWriter, *http.Request) { panic("boom") }

// Half an answer must not look whole to the client.
func TestPanicBreaksAnAnswerThatHasBegun(t *testing.T) {
	for name, wrap := range map[string]func(*slog.Logger, http.Handler) http.Handler{"logged": Logged, "quiet": Quiet} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, Config{}, wrap(quiet, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic("boom")
			})))
			start(t, s)
			res, err := client(t, nil, nil).Get("http://" + s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if b, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("read %q to its end", b)
			}
		})
	}
}

func TestEventOutsideLoggedRoutes(t *testing.T) {
	e := EventOf(t.Context())
	e.SetOp("x")
	e.SetErr(io.EOF)
	e.Add(slog.Int("x", 1))
	if e != nil || RequestID(t.Context()) != "" {
		t.Errorf("event %v, id %q", e, RequestID(t.Context()))
	}
}

// What servers and libraries look for in a ResponseWriter is there behind Logged.
func TestRecorderKeepsTheWritersAbilities(t *testing.T) {
	s := listen(t, Config{}, Logged(quiet, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Errorf("SetWriteDeadline: %v", err)
		}
		if r.URL.Path == "/hijack" {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack: %v", err)
				return
			}
			defer c.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			_ = rw.Flush()
			return
		}
		if _, err := io.Copy(w, strings.NewReader("copied")); err != nil {
			t.Errorf("Copy: %v", err)
		}
		w.(http.Flusher).Flush()
	})))
	start(t, s)
	if code, body := get(t, client(t, nil, nil), "http://"+s.Addr().String()); code != 200 || body != "copied" {
		t.Errorf("got %d %q", code, body)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /hijack HTTP/1.1\r\nHost: h\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 101") {
		t.Errorf("hijacked: %q, %v", b, err)
	}
}

func TestClient(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, tt := range map[string]struct {
		peer, host string
		header     http.Header
		want       ClientInfo
	}{
		"no proxy": {"192.0.2.9:1", "live.example:8080", nil, ClientInfo{netip.MustParseAddr("192.0.2.9"), "http", "live.example:8080"}},
		"a stranger's headers are not believed": {
			"192.0.2.9:1", "live.example",
			http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}},
			ClientInfo{netip.MustParseAddr("192.0.2.9"), "http", "live.example"},
		},
		"a trusted proxy's are": {
			"10.0.0.1:1", "inside",
			http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"live.example"}},
			ClientInfo{netip.MustParseAddr("198.51.100.1"), "https", "live.example"},
		},
		"what the client made up before the proxies is not": {
			"10.0.0.1:1", "h",
			http.Header{"X-Forwarded-For": {"203.0.113.5, 198.51.100.1", "10.0.0.2"}, "X-Forwarded-Proto": {"gopher, https"}, "X-Forwarded-Host": {"evil.example, live.example"}},
			ClientInfo{netip.MustParseAddr("198.51.100.1"), "https", "live.example"},
		},
		"garbage ends the walk":                   {"10.0.0.1:1", "h", http.Header{"X-Forwarded-For": {"198.51.100.1, unknown, 10.0.0.2"}}, ClientInfo{netip.MustParseAddr("10.0.0.2"), "http", "h"}},
		"all proxies: the farthest is the client": {"10.0.0.1:1", "h", http.Header{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, ClientInfo{netip.MustParseAddr("10.0.0.3"), "http", "h"}},
		"an address with its port":                {"10.0.0.1:1", "h", http.Header{"X-Forwarded-For": {"198.51.100.1:4711"}}, ClientInfo{netip.MustParseAddr("198.51.100.1"), "http", "h"}},
		"IPv6":                                    {"[fd00::1]:1", "[2001:db8::1]:80", http.Header{"X-Forwarded-For": {"2001:db8::7"}}, ClientInfo{netip.MustParseAddr("2001:db8::7"), "http", "[2001:db8::1]:80"}},
		"IPv4 in IPv6 is IPv4":                    {"[::ffff:192.0.2.9]:1", "h", nil, ClientInfo{netip.MustParseAddr("192.0.2.9"), "http", "h"}},
		"a scheme that is none":                   {"10.0.0.1:1", "h", http.Header{"X-Forwarded-Proto": {"javascript"}}, ClientInfo{netip.MustParseAddr("10.0.0.1"), "http", "h"}},
		"a forwarded host that is none":           {"10.0.0.1:1", "h", http.Header{"X-Forwarded-Host": {"a/b"}}, ClientInfo{netip.MustParseAddr("10.0.0.1"), "http", "h"}},
		"a host that is none":                     {"192.0.2.9:1", "a@b", nil, ClientInfo{netip.MustParseAddr("192.0.2.9"), "http", "localhost"}},
		"no host":                                 {"192.0.2.9:1", "", nil, ClientInfo{netip.MustParseAddr("192.0.2.9"), "http", "localhost"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("GET", "/")
			r = r.WithContext(context.WithValue(r.Context(), serverKey{}, &Server{proxies: proxies}))
			r.RemoteAddr, r.Host, r.Header = tt.peer, tt.host, tt.header
			if got := Client(r); got != tt.want {
				t.Errorf("Client = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestClientWithoutHostGetsTheLocalAddress(t *testing.T) {
	s := listen(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, Client(r).BaseURL()) }))
	start(t, s)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "http://"+s.Addr().String()) {
		t.Errorf("got %q, %v", b, err)
	}
}

// Whatever host a client or proxy sends, the base URL is that of a host and no more.
func FuzzClient(f *testing.F) {
	f.Add("live.example:443", "live.example", "https", "198.51.100.1")
	f.Add("[::1]:1", "[fe80::1%25eth0]", "http,https", "::1, [::2]:3")
	f.Add("a b", "a:b:c", "", "%")
	f.Fuzz(func(t *testing.T, host, fhost, proto, ffor string) {
		r := request("GET", "/")
		r = r.WithContext(context.WithValue(r.Context(), serverKey{}, &Server{proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}))
		r.Host = host
		r.Header = http.Header{"X-Forwarded-Host": {fhost}, "X-Forwarded-Proto": {proto}, "X-Forwarded-For": {ffor}}
		c := Client(r)
		u, err := url.Parse(c.BaseURL())
		if err != nil || u.Host != c.Host || u.Hostname() == "" || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
			t.Errorf("%q (%q, %q): base URL %q: %+v, %v", host, fhost, proto, c.BaseURL(), u, err)
		}
		if !c.RemoteIP.IsValid() || c.RemoteIP.Zone() != "" {
			t.Errorf("%q: remote %v", ffor, c.RemoteIP)
		}
	})
}

func TestBody(t *testing.T) {
	slow := make(chan error, 1)
	mux := http.NewServeMux()
	mux.Handle("/limit", Body(4, time.Hour, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, tooLarge := errors.AsType[*http.MaxBytesError](err)
		fmt.Fprint(w, len(b), tooLarge)
	})))
	mux.Handle("/slow", Body(4, 20*time.Millisecond, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		slow <- err
	})))
	read := make(chan context.Context, 1)
	finish := make(chan struct{})
	mux.Handle("/think", Body(4, 20*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		read <- r.Context()
		<-finish
		fmt.Fprint(w, r.Context().Err())
	})))
	s := listen(t, Config{}, mux)
	start(t, s)
	post := func(path, body string) string {
		res, err := client(t, nil, nil).Post("http://"+s.Addr().String()+path, "", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	for body, want := range map[string]string{"": "0 false", "1234": "4 false", "12345": "4 true"} {
		if got := post("/limit", body); got != want {
			t.Errorf("%d bytes of 4: %s, want %s", len(body), got, want)
		}
	}

	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n12")
	if err := <-slow; err == nil || !isTimeout(err) {
		t.Errorf("a body that never comes: %v, want a timeout", err)
	}

	// The deadline is the body's: a slow answer outlives it.
	got := make(chan string, 1)
	go func() { got <- post("/think", "1234") }()
	ctx := <-read
	select {
	case <-ctx.Done():
		t.Error("the deadline of the body ended the request")
	case <-time.After(100 * time.Millisecond): // five deadlines; only a broken server is done by then
	}
	close(finish)
	if g := <-got; g != "<nil>" {
		t.Errorf("answered %q", g)
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func TestHealth(t *testing.T) {
	down := errors.New("connection refused to 10.0.0.1")
	for name, tt := range map[string]struct {
		do   func(*Readiness)
		code int
		body string
	}{
		"before it serves":        {func(*Readiness) {}, 503, `{"status":"starting"}`},
		"serving without checks":  {func(r *Readiness) { r.Serving() }, 200, `{"status":"ready"}`},
		"draining":                {func(r *Readiness) { r.Serving(); r.Draining() }, 503, `{"status":"draining"}`},
		"draining is the end":     {func(r *Readiness) { r.Draining(); r.Serving() }, 503, `{"status":"draining"}`},
		"checks that pass":        {func(r *Readiness) { r.Serving(); r.Register("store", ok) }, 200, `{"status":"ready"}`},
		"one that fails is named": {func(r *Readiness) { r.Serving(); r.Register("store", ok); r.Register("bus", fail(down)) }, 503, `{"status":"failing","failing":["bus"]}`},
		"one that hangs is cut": {func(r *Readiness) {
			r.Serving()
			r.Register("blob", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}, 503, `{"status":"failing","failing":["blob"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &Readiness{Log: quiet}
				tt.do(r)
				mux := http.NewServeMux()
				Handle(mux, r, prometheus.NewRegistry())
				rec := httptest.NewRecorder()
				mux.ServeHTTP(rec, request("GET", "/readyz"))
				if got := strings.TrimSpace(rec.Body.String()); rec.Code != tt.code || got != tt.body {
					t.Errorf("/readyz: %d %s, want %d %s", rec.Code, got, tt.code, tt.body)
				}
				rec = httptest.NewRecorder()
				mux.ServeHTTP(rec, request("GET", "/healthz"))
				if got := strings.TrimSpace(rec.Body.String()); rec.Code != 200 || got != `{"status":"alive"}` {
					t.Errorf("/healthz: %d %s", rec.Code, got)
				}
			})
		})
	}
}

func ok(context.Context) error { return nil }

func fail(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// Asking costs at most one run of the checks in half a second, and only changes are
// logged.
func TestChecksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := &Readiness{Log: slog.New(slog.NewTextHandler(&out, nil))}
		r.Serving()
		runs, err := 0, error(nil)
		r.Register("bus", func(context.Context) error { runs++; return err })
		ask := func(want bool) {
			t.Helper()
			for range 3 {
				if got, failing := r.Check(t.Context()); got != want {
					t.Errorf("ready = %t (%v), want %t", got, failing, want)
				}
			}
			time.Sleep(checkEvery)
		}
		ask(true)
		err = errors.New("down")
		ask(false)
		ask(false)
		err = nil
		ask(true)
		if runs != 4 {
			t.Errorf("%d runs, want 4", runs)
		}
		if n := strings.Count(out.String(), "\n"); n != 2 {
			t.Errorf("logged %d lines, want 2:\n%s", n, &out)
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "answer", Help: "h"}, func() float64 { return 42 }))
	mux := http.NewServeMux()
	Handle(mux, &Readiness{Log: quiet}, reg)
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, request("GET", "/metrics"))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "answer 42") {
		t.Errorf("/metrics: %d %s", rec.Code, rec.Body)
	}
}

func BenchmarkRoute(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	log := slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil))
	for name, h := range map[string]http.Handler{"bare": h, "quiet": Quiet(log, h), "logged": Logged(log, h)} {
		b.Run(name, func(b *testing.B) {
			r := request("GET", "/x")
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
