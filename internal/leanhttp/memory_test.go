package leanhttp

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// Players keep connections that do nothing most of the time. What one costs is bounded:
// a goroutine, a small buffer, and what a request needs. Ours are counted together with
// the test's own ends of them.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const (
		conns = 2000
		limit = 24 << 10 // bytes each
	)
	body := make([]byte, 50_000)
	s := start(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"video/MP2T"}
		w.Header()["Content-Length"] = []string{"50000"}
		_, _ = w.Write(body)
	}), nil)
	ask := []byte(get("/v1/live/st-1/360p30/1.0.ts", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept: */*"))
	in := make([]byte, 64<<10)
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // what a pool or a finalizer held is free now
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	for range conns {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(ask); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAtLeast(c, in, len(body)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Open(); n != conns {
		t.Errorf("%d are open, want %d", n, conns)
	}
	each := int64(used()-before) / conns
	t.Logf("%d bytes each", each)
	if each > limit {
		t.Errorf("%d bytes each, want at most %d", each, limit)
	}
}
