package leanhttp

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What is ours, net/http understands in the same way, and it ends at the same byte. So
// nobody can smuggle a request past one of the two.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		get("/v1/live/st-1/360p30/index.m3u8?_HLS_msn=1&_HLS_part=2&_HLS_skip=YES", "Accept-Encoding: gzip, deflate, br", "Accept: */*"),
		get("/v1/a", "x-a: b", "X-A: c", "sec-ch-ua: \"x\";v=\"1\"") + get("/v1/b"),
		get("/v1//a/../b"),
		get("/v1/a?b?c=%zz"),
		get("/v1/a", "Content-Length: 5") + "hello",
		get("/v1/a", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		get("/v1/a", "Connection: keep-alive"),
		get("/v1/a", "Connection: close"),
		get("/v1/a", "Range: bytes=0-1", "If-None-Match: \"a\""),
		"GET /v1/a HTTP/1.1\nHost: x\n\nGET /v1/b HTTP/1.1\r\nHost: y\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n",
		"GET /v1/a  HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET //v1/a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: x:y\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost : x\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q := request{header: http.Header{}}
		size, v := q.parse(b, func(string) bool { return true })
		if v != ours {
			return
		}
		in := bufio.NewReader(bytes.NewReader(b))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b[:size], err)
		}
		if n, err := io.Copy(io.Discard, r.Body); n != 0 || err != nil {
			t.Errorf("%q has a body of %d bytes, %v", b, n, err)
		}
		rest, err := io.ReadAll(in)
		if err != nil || len(rest) != len(b)-size {
			t.Errorf("%q ends at %d, for net/http at %d", b, size, len(b)-len(rest))
		}
		if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || *r.URL != q.url || r.RequestURI != q.target || r.Host != q.host || r.Close {
			t.Errorf("%q is %+v (%+v), for net/http %+v (%+v)", b, q, q.url, r, r.URL)
		}
		if len(r.Header) != len(q.header) {
			t.Errorf("%q has %v, for net/http %v", b, q.header, r.Header)
		}
		for k, v := range r.Header {
			if !slices.Equal(v, q.header[k]) {
				t.Errorf("%q has %s: %q, for net/http %q", b, k, q.header[k], v)
			}
		}
	})
}

// A request that comes byte by byte is the same one.
func TestPartial(t *testing.T) {
	text := get("/v1/a?b=c", "X-A: b")
	for i := 1; i < len(text); i++ {
		q := request{header: http.Header{}}
		if _, v := q.parse([]byte(text[:i]), mine); v != partial {
			t.Errorf("%q: verdict %d, want that more is needed", text[:i], v)
		}
	}
	for name, text := range map[string]string{
		"another method":       "P",
		"HTTP/2":               "PRI * HTTP/2.0\r\n",
		"TLS":                  "\x16\x03\x01",
		"a header too long":    "GET /" + strings.Repeat("a", maxHead),
		"lines that end in LF": "GET /v1/a HTTP/1.1\n",
	} {
		q := request{header: http.Header{}}
		if _, v := q.parse([]byte(text), mine); v != foreign {
			t.Errorf("%s: verdict %d, want that it is not ours", name, v)
		}
	}
}

func TestParseAllocatesOnce(t *testing.T) {
	b := []byte(get("/v1/live/st-1/360p30/index.m3u8?_HLS_msn=1&_HLS_part=2", "User-Agent: x", "Accept: */*", "Accept-Encoding: gzip", "Origin: https://shop.example.com"))
	q := request{header: http.Header{}}
	if n := testing.AllocsPerRun(100, func() { q.parse(b, mine) }); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(get("/v1/live/st-1/360p30/index.m3u8?_HLS_msn=1&_HLS_part=2", "User-Agent: x", "Accept: */*", "Accept-Encoding: gzip", "Origin: https://shop.example.com"))
	q := request{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		if _, v := q.parse(text, mine); v != ours {
			b.Fatal(v)
		}
	}
}
