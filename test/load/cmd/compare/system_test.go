//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

// script writes an executable shell script.
func script(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) func() (bool, error) {
	return func() (bool, error) {
		_, err := os.Stat(path)
		return err == nil, nil
	}
}

func TestLaunchWaitsUntilReady(t *testing.T) {
	dir := t.TempDir()
	bin := script(t, filepath.Join(dir, "server"), "env > env; mv env up; exec sleep 60")
	t.Setenv("SLUICE_HTTP", "0.0.0.0:80")
	in, err := launch(t.Context(), bin, dir, nil, exists(filepath.Join(dir, "up")))
	if err != nil {
		t.Fatal(err)
	}
	if in.ready <= 0 {
		t.Errorf("ready after %v", in.ready)
	}
	if env, err := os.ReadFile(filepath.Join(dir, "up")); err != nil || strings.Contains(string(env), "SLUICE_HTTP") {
		t.Errorf("the server's environment holds our configuration, or %v", err)
	}
	if err := in.stop(); err != nil {
		t.Errorf("stop = %v", err)
	}
	if err := in.stop(); err != nil {
		t.Errorf("stop again = %v", err)
	}
}

func TestLaunchSaysWhyAServerEnded(t *testing.T) {
	dir := t.TempDir()
	bin := script(t, filepath.Join(dir, "server"), "echo port is taken >&2; exit 1")
	_, err := launch(t.Context(), bin, dir, nil, exists(filepath.Join(dir, "up")))
	if err == nil || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("launch = %v, want the server's own words", err)
	}
}

func TestLaunchGivesUpWithTheContext(t *testing.T) {
	dir := t.TempDir()
	bin := script(t, filepath.Join(dir, "server"), "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := launch(ctx, bin, dir, nil, exists(filepath.Join(dir, "up"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("launch = %v", err)
	}
}

// The contract with the program: its flags, its ready file, and channels made with the
// AWS SDK.
func TestSluice(t *testing.T) {
	var created []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		created = append(created, r.URL.Path+" "+r.Header.Get("Authorization"))
		fmt.Fprintf(w, `{"channel":{"arn":"a","playbackUrl":"http://%s/%d.m3u8"},"streamKey":{"value":"sk_%d"}}`, r.Host, len(created), len(created))
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	bin := script(t, filepath.Join(t.TempDir(), "sluice"), `
echo "$@" > args
while [ $# -gt 0 ]; do
	case $1 in --ready-file) ready=$2 ;; esac
	shift
done
echo '{"http":"'$FAKE_HTTP'","rtmp":"127.0.0.1:1935","accessKeyId":"AK","secretAccessKey":"SK","region":"eu-west-1"}' > "$ready"
exec sleep 60`)
	s := &sluice{bin: bin, args: []string{"--demo=false"}, part: 200 * time.Millisecond, window: 14 * time.Second}

	dir := t.TempDir()
	t.Setenv("FAKE_HTTP", host)
	in, err := s.start(t.Context(), dir, asShipped)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.stop(); err != nil {
			t.Error(err)
		}
	})
	args, err := os.ReadFile(filepath.Join(dir, "args"))
	for _, want := range []string{"serve", "--http 127.0.0.1:0", "--rtmp 127.0.0.1:0", "--hls-part 200ms", "--hls-window 14s", "--demo=false"} {
		if err != nil || !strings.Contains(string(args), want) {
			t.Errorf("arguments %q, %v, want %q in them", args, err, want)
		}
	}
	chs, err := s.channels(t.Context(), in, 2, ts)
	if err != nil || len(chs) != 2 || chs[1] != (channel{"rtmp://127.0.0.1:1935/app/sk_2", srv.URL + "/2.m3u8"}) {
		t.Errorf("channels = %+v, %v", chs, err)
	}
	if !strings.Contains(created[0], "/CreateChannel AWS4-HMAC-SHA256 Credential=AK/") || !strings.Contains(created[0], "/eu-west-1/ivs/") {
		t.Errorf("request %q", created[0])
	}

	t.Setenv("FAKE_HTTP", "192.0.2.1:80")
	if _, err := s.start(t.Context(), t.TempDir(), asShipped); !errors.Is(err, loopback.ErrRefused) {
		t.Errorf("a server on another machine: %v, want ErrRefused", err)
	}
}

func TestMediamtxConfig(t *testing.T) {
	m := &mediamtx{part: 100 * time.Millisecond, window: 20 * time.Second}
	for name, tt := range map[string]struct {
		mode mode
		want []string
	}{
		"as shipped":     {asShipped, []string{"hlsAlwaysRemux: false", "rtmpAddress: 127.0.0.1:1\n", "hlsAddress: 127.0.0.1:2\n", "hlsPartDuration: 100ms", "hlsSegmentCount: 10"}},
		"always package": {alwaysPackage, []string{"hlsAlwaysRemux: true"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(m.config("127.0.0.1:1", "127.0.0.1:2", tt.mode))
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("configuration without %q:\n%s", want, got)
				}
			}
		})
	}
}

func TestListening(t *testing.T) {
	ln, err := loopback.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if ok, err := listening(t.Context(), addr); !ok || err != nil {
		t.Errorf("listening = %t, %v while it does", ok, err)
	}
	ln.Close()
	if ok, err := listening(t.Context(), addr); ok || err != nil {
		t.Errorf("listening = %t, %v after it closed", ok, err)
	}
}
