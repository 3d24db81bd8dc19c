package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

func TestServe(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "ll"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ll", "v.m3u8"), []byte("#EXTM3U\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"nethttp", "lean"} {
		t.Run(mode, func(t *testing.T) {
			ln, err := loopback.Listen(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- serve(ctx, ln, config{dir: dir, mode: mode}) }()
			get := func(path string) (int, string, string) {
				resp, err := http.Get("http://" + ln.Addr().String() + path)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
			}
			if code, kind, body := get("/ll/v.m3u8?_HLS_msn=1"); code != 200 || kind != "application/vnd.apple.mpegurl" || body != "#EXTM3U\n" {
				t.Errorf("a file: %d, %s, %q", code, kind, body)
			}
			if code, _, _ := get("/ll/../ll/w.m3u8"); code != 404 {
				t.Errorf("no file: %d, want 404", code)
			}
			stop()
			if err := <-done; err != nil {
				t.Errorf("serve = %v", err)
			}
		})
	}
}

func TestServeRefusesAnUnknownMode(t *testing.T) {
	ln, err := loopback.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), ln, config{dir: t.TempDir(), mode: "fast"}); err == nil {
		t.Error("no error")
	}
}
