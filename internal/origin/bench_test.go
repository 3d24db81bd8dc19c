package origin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/live"
)

// sink is a client that is as cheap as can be.
type sink struct {
	header http.Header
	status int
	bytes  int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { s.bytes += len(b); return len(b), nil }

// hot are the requests that viewers make all the time.
func hot(e *encoder) map[string]*http.Request {
	get := func(path string, header ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "http://live.example.com:8080"+path, http.NoBody)
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
		r.Header.Set("Origin", "https://shop.example.com")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	return map[string]*http.Request{
		"playlist": get(e.path("index.m3u8?_HLS_msn=1&_HLS_part=1"), "Accept-Encoding", "gzip, deflate, br, zstd"),
		"part":     get(e.path("1.1.ts"), "Accept-Encoding", "gzip, deflate, br, zstd"),
		"segment":  get(e.path("0.ts")),
	}
}

// The handler alone, for requests whose answer is there.
func BenchmarkHandler(b *testing.B) {
	s := newSite(b)
	e := s.publish(b)
	s.golive(b, e, 50)
	for name, r := range hot(e) {
		b.Run(name, func(b *testing.B) {
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				s.ServeHTTP(w, r)
			}
			b.SetBytes(int64(w.bytes / b.N))
		})
	}
}

// The handler behind the real HTTP server, as leanhttp serves it and as net/http would,
// over loopback, with one connection for each processor.
func BenchmarkServer(b *testing.B) {
	b.Run("lean", func(b *testing.B) { benchmarkServer(b, IsPlayback) })
	b.Run("nethttp", func(b *testing.B) { benchmarkServer(b, nil) })
}

func benchmarkServer(b *testing.B, lean func(path string) bool) {
	s := newSite(b)
	e := s.publish(b)
	s.golive(b, e, 50)
	quiet := slog.New(slog.DiscardHandler)
	srv, err := httpserver.Listen(b.Context(), quiet, httpserver.Config{Addr: "127.0.0.1:0", Lean: lean}, httpserver.Quiet(quiet, s))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	for name, r := range hot(e) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", srv.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				var size int
				buf := make([]byte, 1<<20)
				for pb.Next() {
					if err := r.Write(c); err != nil {
						b.Error(err)
						return
					}
					if size == 0 { // the first answer says how long they are
						n, err := c.Read(buf)
						if err != nil {
							b.Error(err)
							return
						}
						size = length(buf[:n])
						if _, err := io.ReadFull(c, buf[:size-n]); err != nil {
							b.Error(err)
							return
						}
						continue
					}
					if _, err := io.ReadFull(c, buf[:size]); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// What a session adds to a request for a part: the same handler, the same part, with
// and without one, and with the claims that ask for more.
func BenchmarkSession(b *testing.B) {
	s := newSite(b)
	key := newKey(b)
	s.importKey(b, key)
	public, closed := s.publish(b), s.publish(b, private)
	s.golive(b, public, 50)
	s.golive(b, closed, 50)
	origin := []any{"aws:access-control-allow-origin", "https://shop.example.com,https://*.example.net"}
	for name, path := range map[string]string{
		"public":  public.path(""),
		"session": directory(b, s.play(closed, token(b, key, closed))),
		"viewer":  directory(b, s.play(closed, token(b, key, closed, "aws:viewer-id", "ann"))),
		"strict": directory(b, s.play(closed, token(b, key, closed, append(origin,
			"aws:viewer-id", "ann", "aws:strict-origin-enforcement", true, "aws:maximum-resolution", "HD")...), "Origin", "https://shop.example.com")),
	} {
		b.Run(name, func(b *testing.B) {
			r := hot(public)["part"].Clone(b.Context())
			r.URL.Path = path + "1.1.ts"
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				s.ServeHTTP(w, r)
			}
			if w.status != 0 {
				b.Errorf("answered %d", w.status)
			}
		})
	}
}

// A viewer who begins: the token is verified, the session sealed, the playlist rendered.
// With an id the store is asked about revocations, and with one use it is written.
func BenchmarkBegin(b *testing.B) {
	s := newSite(b)
	key := newKey(b)
	s.importKey(b, key)
	e := s.publish(b, private)
	s.golive(b, e, 50)
	for name, with := range map[string][]any{"anonymous": nil, "viewer": {"aws:viewer-id", "ann"}} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, e.playback()+"?token="+token(b, key, e, with...), http.NoBody)
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				s.ServeHTTP(w, r)
			}
			if w.status != 0 {
				b.Errorf("answered %d", w.status)
			}
		})
	}
	b.Run("one use", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			r := httptest.NewRequest(http.MethodGet, e.playback()+"?token="+token(b, key, e, "aws:single-use-uuid", live.NewUUID()), http.NoBody)
			w := &sink{header: http.Header{}}
			b.StartTimer()
			s.ServeHTTP(w, r)
			if w.status != 0 {
				b.Fatalf("answered %d", w.status)
			}
		}
	})
}

// length is how long the answer is that starts with b, header and body.
func length(b []byte) int {
	end := bytes.Index(b, []byte("\r\n\r\n")) + 4
	_, after, _ := bytes.Cut(b[:end], []byte("\r\nContent-Length: "))
	digits, _, _ := bytes.Cut(after, []byte("\r\n"))
	n, _ := strconv.Atoi(string(digits))
	return end + n
}
