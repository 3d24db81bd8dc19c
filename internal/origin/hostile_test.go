package origin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Viewers who ask for much and read nothing delay nobody, and their connections hold no
// copy of what they asked for.
func TestSlowReaders(t *testing.T) {
	s := newSite(t)
	e := s.publish(t)
	s.golive(t, e, 80)
	url, srv := serve(t, s, IsPlayback)
	addr := strings.TrimPrefix(url, "http://")
	ask := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: live.example.com\r\n\r\n" }
	const slow = 64
	for range slow {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		// More answers than sockets hold, of a segment that grows and of one that is there.
		if _, err := io.WriteString(c, ask(e.path("2.ts"))+strings.Repeat(ask(e.path("1.ts")), 20)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // a test that hangs tells where
	in := bufio.NewReader(c)
	for range 5 {
		for _, path := range []string{e.path("index.m3u8"), e.path("1.ts"), e.path("2.0.ts")} {
			if _, err := io.WriteString(c, ask(path)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
				t.Fatalf("%s: %s, %v", path, res.Status, err)
			}
		}
		e.send(t, 6) // and the stream goes on
	}
	if n := srv.Connections(); n != slow+1 {
		t.Errorf("%d connections, want %d", n, slow+1)
	}
}

// Whatever path and query somebody sends, the answer is one that playback has, at once
// if there is nothing to wait for, and short unless it is media.
func FuzzFiles(f *testing.F) {
	for _, path := range []string{
		"index.m3u8?_HLS_msn=1&_HLS_part=2", "index.m3u8?_HLS_skip=v2", "1.ts", "1.2.ts", "2.ts", "init0.mp4", "01.ts", "1..ts", "1.ts.ts",
		"18446744073709551616.ts", "1099511627777.0.ts", "1.99999999999.ts", "-1.ts", "%00.ts", "index.m3u8?_HLS_msn=1&_HLS_msn=2", "../x", "",
	} {
		f.Add(path, "bytes=0-1")
	}
	s := newSite(f)
	e := s.publish(f)
	s.golive(f, e, 80)
	s.wait = time.Millisecond // nothing more comes
	f.Fuzz(func(t *testing.T, path, ranges string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://live.example.com"+e.path(path), http.NoBody)
		if err != nil || !IsPlayback(r.URL.Path) {
			return
		}
		r.RemoteAddr = "192.0.2.1:1234"
		if ranges != "" {
			r.Header["Range"] = []string{ranges}
		}
		func() {
			defer func() {
				v := recover()
				if err, _ := v.(error); v != nil && !errors.Is(err, http.ErrAbortHandler) { // a segment that stalls
					t.Errorf("%q: panic %v", path, v)
				}
			}()
			w := s.serve(r)
			switch w.Code {
			case 200, 206, 400, 404, 416, 503:
			default:
				t.Errorf("%q with %q: %d %.200s", path, ranges, w.Code, w.Body)
			}
			if w.Code >= 400 && w.Body.Len() > len(path)*6+1<<10 {
				t.Errorf("%q: the error has %d bytes", path, w.Body.Len())
			}
		}()
	})
}
