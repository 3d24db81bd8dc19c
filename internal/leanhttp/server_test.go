package leanhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What is not a plain GET of ours goes to net/http, with all that was read, and so does
// what follows it.
func TestHandOver(t *testing.T) {
	s := start(t, Config{}, who("lean"), who("net/http"))
	for name, tt := range map[string]struct {
		request, want string
		status        int
	}{
		"ours":                     {get("/v1/a?b=c"), `lean GET /v1/a?b=c "live.example.com" "" `, 200},
		"ours with a header":       {get("/v1/a", "x-a:  b\t"), `lean GET /v1/a "live.example.com" "" b`, 200},
		"ours, kept alive":         {get("/v1/a", "Connection: Keep-Alive"), `lean GET /v1/a "live.example.com" "" `, 200},
		"another path":             {get("/v2/a"), `net/http GET /v2/a "live.example.com" "" `, 200},
		"a path with escapes":      {get("/v1/%61"), `net/http GET /v1/%61 "live.example.com" "" `, 200},
		"an empty query":           {get("/v1/a?"), `net/http GET /v1/a? "live.example.com" "" `, 200},
		"an absolute URL":          {"GET http://h.example/v1/a HTTP/1.1\r\nHost: x\r\n\r\n", `net/http GET http://h.example/v1/a "h.example" "" `, 200},
		"a body":                   {get("/v1/a", "Content-Length: 3") + "abc", `net/http GET /v1/a "live.example.com" "abc" `, 200},
		"a body of no length":      {get("/v1/a", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n", `net/http GET /v1/a "live.example.com" "abc" `, 200},
		"another method":           {strings.Replace(get("/v1/a"), "GET", "HEAD", 1), "", 200},
		"another case of a method": {strings.Replace(get("/v1/a"), "GET", "get", 1), `net/http get /v1/a "live.example.com" "" `, 200},
		"HTTP/1.0":                 {"GET /v1/a HTTP/1.0\r\nHost: x\r\n\r\n", `net/http GET /v1/a "x" "" `, 200},
		"no host":                  {"GET /v1/a HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header", 400},
		"two hosts":                {get("/v1/a", "Host: b"), "400 Bad Request", 400},
		"lines that end in LF":     {strings.ReplaceAll(get("/v1/a"), "\r\n", "\n"), `net/http GET /v1/a "live.example.com" "" `, 200},
		"a folded header":          {get("/v1/a", "X-A: b", " c"), `net/http GET /v1/a "live.example.com" "" b c`, 200},
		"a space before a colon":   {get("/v1/a", "X-A : b"), "400 Bad Request", 400},
		"a header without a colon": {get("/v1/a", "X-A"), "400 Bad Request", 400},
		"a control character":      {get("/v1/a", "X-A: \x01"), "400 Bad Request", 400},
		"noise":                    {"\x00\x01\xff\r\n\r\n", "400 Bad Request", 400},
		"a header of 20 KB":        {get("/v1/a", "X-A: b", "X-B: "+strings.Repeat("x", 20<<10)), `net/http GET /v1/a "live.example.com" "" b`, 200},
		"100 fields":               {get("/v1/a", strings.Repeat("X-B: b\r\n", 100)+"X-A: c"), `net/http GET /v1/a "live.example.com" "" c`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s.addr)
			for range 2 { // the second finds out whether the first left something behind
				for _, half := range []string{tt.request[:len(tt.request)/2], tt.request[len(tt.request)/2:]} {
					p.send(t, half)
				}
				method := strings.Fields(tt.request + " ?")[0]
				res, err := http.ReadResponse(p.in, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != tt.status || !strings.HasPrefix(string(body), tt.want) {
					t.Fatalf("%d %q, %v; want %d %q", res.StatusCode, body, err, tt.status, tt.want)
				}
				if res.Close {
					return
				}
			}
		})
	}
}

// Requests that come at once are answered one after the other, whoever they are for.
func TestPipelining(t *testing.T) {
	s := start(t, Config{}, who("lean"), who("net/http"))
	p := dial(t, s.addr)
	p.send(t, get("/v1/1")+get("/v1/2")+get("/2/3")+get("/v1/4"))
	for _, want := range []string{"lean GET /v1/1", "lean GET /v1/2", "net/http GET /2/3", "net/http GET /v1/4"} {
		if _, body := p.answer(t); !strings.HasPrefix(body, want) {
			t.Errorf("got %q, want %q", body, want)
		}
	}
}

// Whatever a handler does, the answer is what net/http makes of it.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	set := func(w http.ResponseWriter, fields ...string) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"a status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"two statuses": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) },
		"a short text": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"two short texts": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "he")
			_, _ = io.WriteString(w, "llo")
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) },
		"a type and length": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Type", "video/MP2T", "Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		},
		"a long text": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
			}
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "he")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "llo")
		},
		"flushed before anything": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "hello")
		},
		"flushed, of known length": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Length", "5")
			_, _ = io.WriteString(w, "he")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "llo")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Length", "5", "X-A", "b")
			w.WriteHeader(204)
			_, _ = io.WriteString(w, "hello")
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Type", "text/plain", "Content-Length", "5", "Etag", `"a"`)
			w.WriteHeader(304)
		},
		"a range": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=1-3,5-6")
			http.ServeContent(w, r, "a.ts", time.Time{}, strings.NewReader("hello world"))
		},
		"a header with a line break": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A"] = []string{"a\r\nX-B: c"} },
		"its own date":               func(w http.ResponseWriter, _ *http.Request) { set(w, "Date", "then") },
		"its own close":              func(w http.ResponseWriter, _ *http.Request) { set(w, "Connection", "close") },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Length", "2")
			_, _ = io.WriteString(w, "hello")
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"too short": func(w http.ResponseWriter, _ *http.Request) {
			set(w, "Content-Length", "9")
			_, _ = io.WriteString(w, "hello")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{}, h, h)
			type result struct {
				status int
				header http.Header
				length int64
				chunks bool
				body   string
				failed bool
				after  bool // another request is answered on the connection
			}
			ask := func(text string) (r result) {
				p := dial(t, s.addr)
				p.send(t, text)
				res, err := http.ReadResponse(p.in, nil)
				if err != nil {
					return result{failed: true}
				}
				b, err := io.ReadAll(res.Body)
				r = result{status: res.StatusCode, header: res.Header, length: res.ContentLength, chunks: len(res.TransferEncoding) > 0, body: string(b), failed: err != nil}
				r.header.Del("Date")
				if v := r.header.Get("Content-Type"); strings.HasPrefix(v, "multipart/byteranges") { // its boundary is random
					_, boundary, _ := strings.Cut(v, "boundary=")
					r.header.Set("Content-Type", "multipart/byteranges")
					r.body = strings.ReplaceAll(r.body, boundary, "")
				}
				if _, err := io.WriteString(p, text); err == nil && !res.Close {
					_, err := http.ReadResponse(p.in, nil)
					r.after = err == nil
				}
				return r
			}
			got := ask(get("/v1/a"))
			want := ask(strings.Replace(get("/v1/a"), "\r\n", "\r\nX-Fold: a\r\n b\r\n", 1))
			if got.failed && want.failed {
				return
			}
			if got.status != want.status || got.length != want.length || got.chunks != want.chunks || got.body != want.body || got.failed != want.failed || got.after != want.after {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			for k := range want.header {
				if got.header.Get(k) != want.header.Get(k) {
					t.Errorf("%s: %q, want %q", k, got.header.Get(k), want.header.Get(k))
				}
			}
			if len(got.header) != len(want.header) {
				t.Errorf("header %v, want %v", got.header, want.header)
			}
		})
	}
}

// Chunks reach the reader as they are flushed.
func TestFlushedAtOnce(t *testing.T) {
	next := make(chan struct{})
	s := start(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}), nil)
	p := dial(t, s.addr)
	p.send(t, get("/v1/a"))
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "part" {
			t.Fatalf("%q, %v", b, err)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}

// Nobody is waited for without end, and who makes others wait delays nobody.
func TestTimeouts(t *testing.T) {
	const limit = 100 * time.Millisecond
	big := bytes.Repeat([]byte("x"), 64<<20) // more than sockets hold
	failed := make(chan error, 1)
	s := start(t, Config{HeadTimeout: limit, IdleTimeout: limit, WriteTimeout: limit}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/big" {
			// Not its size is to be waited for: it goes in pieces.
			for range 64 {
				if _, err := w.Write(big[:1<<16]); err != nil {
					break
				}
			}
			_, err := w.Write(big[:1])
			failed <- err
		}
	}), nil)
	for name, sent := range map[string]string{
		"nothing":                 "",
		"half a header":           "GET /v1/a HT",
		"nothing more":            get("/v1/a"),
		"half a header, later on": get("/v1/a") + "GET ",
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s.addr)
			p.send(t, sent)
			if strings.HasSuffix(sent, "\r\n\r\n") || strings.HasSuffix(sent, "GET ") {
				p.answer(t)
			}
			if b, err := io.ReadAll(p.in); err != nil || len(b) > 0 {
				t.Errorf("it ends with %q, %v", b, err)
			}
		})
	}
	t.Run("a reader who does not read", func(t *testing.T) {
		p := dial(t, s.addr)
		_ = p.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		p.send(t, get("/v1/big"))
		if err := <-failed; err == nil {
			t.Skip("the sockets took all of it")
		}
		quick := dial(t, s.addr)
		quick.send(t, get("/v1/a"))
		quick.answer(t)
	})
}

func TestShutdownFinishesRequests(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	s := start(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/slow" {
			entered <- struct{}{}
			<-finish
		}
		_, _ = io.WriteString(w, "done")
	}), nil)
	idle, busy := dial(t, s.addr), dial(t, s.addr)
	idle.send(t, get("/v1/a"))
	idle.answer(t)
	busy.send(t, get("/v1/slow"))
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	if _, err := idle.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("who asks for nothing reads %v, want the end", err)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(finish)
	if res, body := busy.answer(t); body != "done" || !res.Close {
		t.Errorf("%q, close %t", body, res.Close)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsRequests(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, Config{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), nil)
	p := dial(t, s.addr)
	p.send(t, get("/v1/a"))
	<-entered
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the time is up")
	cancel(cause)
	if err := s.Shutdown(ctx); !errors.Is(err, cause) {
		t.Errorf("Shutdown: %v", err)
	}
	s.stop()
}

// Past MaxConns a connection waits until another ends, whoever serves that.
func TestMaxConns(t *testing.T) {
	for name, path := range map[string]string{"ours": "/v1/a", "net/http's": "/a"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{MaxConns: 1}, who("lean"), who("net/http"))
			first, second := dial(t, s.addr), dial(t, s.addr)
			first.send(t, get(path))
			first.answer(t)
			second.send(t, get(path))
			if n := s.Open(); n != 1 {
				t.Errorf("%d are open", n)
			}
			first.Close()
			second.answer(t)
		})
	}
}

func TestPanicClosesTheConnection(t *testing.T) {
	s := start(t, Config{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }), nil)
	p := dial(t, s.addr)
	p.send(t, get("/v1/a"))
	if _, err := p.in.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %v, want the end", err)
	}
}

// Many at once: for the race detector.
func TestManyConnections(t *testing.T) {
	s := start(t, Config{}, who("lean"), who("net/http"))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			p := dial(t, s.addr)
			for range 10 {
				p.send(t, get("/v1/a"))
				if _, body := p.answer(t); !strings.HasPrefix(body, "lean") {
					t.Errorf("%q", body)
				}
			}
			p.send(t, get("/b"))
			p.answer(t)
		})
	}
	all.Wait()
}
