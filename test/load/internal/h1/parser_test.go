package h1

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var payload = bytes.Repeat([]byte("0123456789abcdef"), 500)

func fixed() string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(payload), payload)
}

func chunked() string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n")
	for c := range slices.Chunk(payload, 1000) {
		fmt.Fprintf(&b, "%x;ext=1\r\n%s\r\n", len(c), c)
	}
	return b.String() + "0\r\nTrailer: x\r\n\r\n"
}

// parse feeds raw in pieces of size bytes.
func parse(raw string, size int) (p Parser, body []byte, err error) {
	p.Body = func(b []byte) { body = append(body, b...) }
	for c := range slices.Chunk([]byte(raw), size) {
		if err := p.Feed(c); err != nil {
			return p, body, err
		}
	}
	return p, body, nil
}

func TestParser(t *testing.T) {
	for name, tt := range map[string]struct {
		raw   string
		body  []byte
		check func(p *Parser) bool
	}{
		"known length":                  {fixed(), payload, func(p *Parser) bool { return p.Done() && !p.Close && !p.Gzip }},
		"chunked and compressed":        {chunked(), payload, func(p *Parser) bool { return p.Done() && p.Gzip }},
		"redirect":                      {"HTTP/1.1 302 Found\r\nLocation: /a?b=1\r\nContent-Length: 0\r\n\r\n", nil, func(p *Parser) bool { return p.Done() && p.Location == "/a?b=1" }},
		"no body":                       {"HTTP/1.1 204 No Content\r\n\r\n", nil, func(p *Parser) bool { return p.Done() && p.Status == 204 }},
		"an interim response is passed": {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + fixed(), payload, func(p *Parser) bool { return p.Done() && p.Status == 200 }},
		"close ends the body":           {"HTTP/1.1 200 OK\r\n\r\nabc", []byte("abc"), func(p *Parser) bool { return p.UntilClose() && p.Close }},
		"HTTP/1.0 closes":               {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", []byte("a"), func(p *Parser) bool { return p.Done() && p.Close }},
		"HTTP/1.0 may stay":             {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", []byte("a"), func(p *Parser) bool { return p.Done() && !p.Close }},
		"HTTP/1.1 may close":            {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", []byte("a"), func(p *Parser) bool { return p.Done() && p.Close }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 7, 1000, 1 << 20} {
				p, body, err := parse(tt.raw, size)
				if err != nil || !bytes.Equal(body, tt.body) || p.BodyLen != int64(len(tt.body)) || !tt.check(&p) {
					t.Errorf("in pieces of %d: %v, %d bytes of body, %+v", size, err, len(body), p)
				}
			}
		})
	}
}

func TestParserRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"another protocol":         "SSH-2.0-x\r\n\r\n",
		"no status":                "HTTP/1.1 abc\r\n\r\n",
		"a negative length":        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"a bad chunk size":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"a chunk without its end":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
		"an endless header":        "HTTP/1.1 200 OK\r\n" + strings.Repeat("a", maxHeader),
		"an endless chunk line":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", maxLine),
		"bytes after the response": "HTTP/1.1 204 No Content\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := parse(raw, 1000); err == nil {
				t.Errorf("Feed(%.60q): no error", raw)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	for name, tt := range map[string]struct{ base, ref, want string }{
		"beside the playlist":    {"/live/s0/index.m3u8?x=1/", "v.m3u8?y=/2", "/live/s0/v.m3u8?y=/2"},
		"from the root":          {"/a/b", "/c", "/c"},
		"absolute":               {"/a/b?c=/d", "http://127.0.0.1:1/e/f", "/e/f"},
		"absolute without path":  {"/a/b", "https://127.0.0.1:1", "/"},
		"a folder up":            {"/a/b/c.m3u8", "../d/e.ts", "/a/d/e.ts"},
		"never above the root":   {"/a.m3u8", "../../b.ts", "/b.ts"},
		"this folder, spelt out": {"/a/b.m3u8", "./c.ts", "/a/c.ts"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Resolve(tt.base, tt.ref); got != tt.want {
				t.Errorf("Resolve(%q, %q) = %q, want %q", tt.base, tt.ref, got, tt.want)
			}
		})
	}
}

// However a response is cut on its way, it is read the same.
func FuzzParser(f *testing.F) {
	f.Add(fixed(), uint16(3))
	f.Add(chunked(), uint16(900))
	f.Fuzz(func(t *testing.T, raw string, size uint16) {
		p, whole, err1 := parse(raw, len(raw)+1)
		q, cut, err2 := parse(raw, int(size)+1)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, cut: %v", err1, err2)
		}
		if err1 == nil && (!bytes.Equal(whole, cut) || p.state != q.state || p.Status != q.Status) {
			t.Fatalf("whole: %d %d %q, cut: %d %d %q", p.Status, p.state, whole, q.Status, q.state, cut)
		}
	})
}

func BenchmarkParser(b *testing.B) {
	raw := []byte(fixed())
	p := Parser{Body: func([]byte) {}}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		p.Reset()
		if err := p.Feed(raw); err != nil {
			b.Fatal(err)
		}
	}
}
