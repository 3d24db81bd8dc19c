//go:build linux

package h1

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/evloop"
)

// serve returns a client of a server with the given handler, and its loop.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	l, err := evloop.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Client{Loop: l, Addr: netip.MustParseAddrPort(host), Host: host}
}

// get runs one request to its end.
func get(t *testing.T, c *Client, r Request) error {
	t.Helper()
	var result error
	r.Done = func(_ *Client, err error) {
		result = err
		c.Loop.Stop()
	}
	c.Loop.After(0, func() { c.Get(r) })
	if err := c.Loop.Run(); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestClientCollects(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to?x="+r.Header.Get("X-Test"), http.StatusFound)
			return
		}
		w.Write([]byte(r.URL.RequestURI()))
	})
	if err := get(t, c, Request{Path: "/from", Header: "X-Test: 1\r\n", Collect: true, Follow: 1}); err != nil {
		t.Fatal(err)
	}
	if string(c.Body()) != "/to?x=1" || c.Path() != "/to?x=1" || c.Dials != 1 {
		t.Errorf("body %q, path %q, %d connections", c.Body(), c.Path(), c.Dials)
	}
}

func TestClientDropsBodiesNobodyReads(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		w.Write(bytes.Repeat([]byte("x"), 3<<20))
	})
	for _, path := range []string{"/fixed", "/chunked"} {
		if err := get(t, c, Request{Path: path}); err != nil || c.Status() != 200 {
			t.Fatalf("%s: %d, %v", path, c.Status(), err)
		}
	}
	if c.Dials != 1 || c.Bytes < 6<<20 {
		t.Errorf("%d connections, %d bytes; want 1 and 6 MiB", c.Dials, c.Bytes)
	}
}

func TestClientStreams(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("x"), 1<<20)) })
	n := 0
	if err := get(t, c, Request{Path: "/", Stream: func(b []byte, _ time.Time) { n += len(b) }}); err != nil || n != 1<<20 {
		t.Errorf("streamed %d bytes, %v", n, err)
	}
}

func TestClientReportsARefusedConnection(t *testing.T) {
	c := serve(t, nil)
	c.Addr = netip.MustParseAddrPort("127.0.0.1:1") // nothing listens on tcpmux
	if err := get(t, c, Request{Path: "/"}); err == nil {
		t.Error("no error")
	}
}

func TestClientRetriesOnAConnectionThatWasClosedIdle(t *testing.T) {
	served := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if served++; served == 2 {
			panic(http.ErrAbortHandler) // as if the close had crossed with the request
		}
		w.Write([]byte("ok"))
	})
	for range 2 {
		if err := get(t, c, Request{Path: "/", Collect: true}); err != nil || string(c.Body()) != "ok" {
			t.Fatalf("%q, %v", c.Body(), err)
		}
	}
	if c.Dials != 2 {
		t.Errorf("%d connections, want 2", c.Dials)
	}
}
