package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/store"
)

// defaults is a configuration for a test: nothing but the data directory and the
// listeners, on free ports, are others than those of the program.
func defaults(t *testing.T) config.Config {
	t.Helper()
	cfg, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.HTTP, cfg.RTMP, cfg.RTMPS, cfg.SRT, cfg.WebRTC = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// fails runs a node that must not start, and returns its error.
func fails(t *testing.T, cfg config.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := node.Run(ctx, cfg, node.Options{
		Log: slog.New(slog.DiscardHandler), Ready: func(node.Ready) { t.Error("it became ready"); cancel() },
	})
	if err == nil {
		t.Error("it started")
	}
	return err
}

// A lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// run runs a node until stop, which returns Run's error.
func run(t *testing.T, cfg config.Config, o node.Options) (ready node.Ready, stop func() error) {
	t.Helper()
	if o.Log == nil {
		o.Log = node.NewLogger(t.Output(), cfg)
	}
	up := make(chan node.Ready, 1)
	o.Ready = func(r node.Ready) { up <- r }
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx, cfg, o) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	select {
	case ready = <-up:
	case err := <-done:
		done <- err
		t.Fatalf("it did not start: %v", err)
	}
	return ready, stop
}

func TestFirstRun(t *testing.T) {
	cfg := defaults(t)
	var log lines
	o := node.Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	first, stop := run(t, cfg, o)
	file := filepath.Join(cfg.DataDir, "credentials")
	b, err := os.ReadFile(file)
	want := "[default]\naws_access_key_id = " + first.AccessKeyID + "\naws_secret_access_key = " + first.SecretAccessKey + "\n"
	if err != nil || string(b) != want || first.Credentials != file || len(first.AccessKeyID) != 20 || len(first.SecretAccessKey) != 40 {
		t.Errorf("credentials: %v, %d bytes; want those that Ready has", err, len(b))
	}
	for name, mode := range map[string]os.FileMode{"credentials": 0o600, "node": 0o600, "lock": 0o600, "self-signed.pem": 0o600, ".": 0o700} {
		if info, err := os.Stat(filepath.Join(cfg.DataDir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, mode)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, first.SecretAccessKey) || !strings.Contains(text, `"msg":"ready"`) {
		t.Error("the log has the secret, or nothing")
	}

	again, stop := run(t, cfg, o)
	if again.AccessKeyID != first.AccessKeyID || again.SecretAccessKey != first.SecretAccessKey {
		t.Error("the second start has another key")
	}
	st := openStore(t, cfg)
	if err := st.DeleteAccessKey(t.Context(), first.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stop(), st.Close()); err != nil {
		t.Fatal(err)
	}
	// A key that was deleted stays so.
	if r, _ := run(t, cfg, o); r.AccessKeyID == first.AccessKeyID || r.AccessKeyID == "" {
		t.Errorf("after its key was deleted, a start has %q", r.AccessKeyID)
	}
}

// openStore opens the database of a node that runs or ran.
func openStore(t *testing.T, cfg config.Config) *store.Store {
	t.Helper()
	st, err := node.OpenStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func TestAdminKeyOfTheEnvironment(t *testing.T) {
	cfg := defaults(t)
	const id = "AKIAIOSFODNN7EXAMPLE"
	for _, secret := range []string{"first-secret-of-forty-characters-0000000", "first-secret-of-forty-characters-0000000", "another-secret-of-forty-characters-00000"} {
		r, stop := run(t, cfg, node.Options{AccessKeyID: id, SecretAccessKey: secret})
		s := &servertest.Server{Ready: r}
		if r.AccessKeyID != id || r.SecretAccessKey != secret || r.Credentials != "" {
			t.Errorf("Ready has %s, and names the file %q", r.AccessKeyID, r.Credentials)
		}
		if _, err := s.IVS().ListChannels(t.Context(), &ivs.ListChannelsInput{}); err != nil {
			t.Errorf("the key of the environment does not work: %v", err)
		}
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "credentials")); err == nil {
			t.Error("a first key was made besides")
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := openStore(t, cfg).ListAccessKeys(t.Context(), cfg.Account, "", 10)
	if err != nil || len(keys) != 1 || !keys[0].Admin || keys[0].Secret != "another-secret-of-forty-characters-00000" {
		t.Errorf("%d keys, %v, want the newest alone", len(keys), err)
	}
}

func TestReadyFile(t *testing.T) {
	cfg := defaults(t)
	dir := t.TempDir()
	cfg.ReadyFile = filepath.Join(dir, "ready.json")
	ready, stop := run(t, cfg, node.Options{})
	b, err := os.ReadFile(cfg.ReadyFile)
	var got node.Ready
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	got.Base, got.Credentials = ready.Base, ready.Credentials // not in the file
	if info, serr := os.Stat(cfg.ReadyFile); err != nil || serr != nil || got != ready || info.Mode().Perm() != 0o600 || got.PID != os.Getpid() {
		t.Errorf("ready file: %v, %v, %s", err, info, b)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v: something is left of the writing", len(all), err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.ReadyFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: %v, want it gone", err)
	}

	// The file of a run that was killed is gone before this one does anything that lasts.
	if err := os.WriteFile(cfg.ReadyFile, []byte("of a run that was killed"), 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	stale, name := make(chan error, 1), cfg.ReadyFile
	go func() { // ends with the listener
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			_, serr := os.Stat(name)
			select {
			case stale <- serr:
			default:
			}
			c.Close()
		}
	}()
	slow := cfg
	slow.Bus = "nats://" + ln.Addr().String()
	_ = fails(t, slow)
	if err := <-stale; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("during the start: %v, want it gone", err)
	}

	cfg.ReadyFile = filepath.Join(dir, "missing", "ready.json")
	if err := node.Run(t.Context(), cfg, node.Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a ready file that cannot be written is no error")
	}
}

// A start that fails says why and leaves nothing: no listener, no lock, no goroutine.
func TestFailedStart(t *testing.T) {
	for name, tt := range map[string]struct {
		with func(c *config.Config, taken string)
		want string
	}{
		"HTTP's port is taken":       {func(c *config.Config, taken string) { c.HTTP = taken }, "address already in use"},
		"RTMP's port is taken":       {func(c *config.Config, taken string) { c.RTMP = taken }, "address already in use"},
		"RTMPS's port is taken":      {func(c *config.Config, taken string) { c.RTMPS = taken }, "address already in use"},
		"WebRTC's port is taken":     {func(c *config.Config, taken string) { c.WebRTC = taken }, "address already in use"},
		"WebRTC's TCP port is taken": {func(c *config.Config, taken string) { c.WebRTCTCP = taken }, "address already in use"},
		"SRT's port is taken":        {func(c *config.Config, taken string) { c.SRT = taken }, "address already in use"},
		"no database": {func(c *config.Config, taken string) {
			c.Store = "postgres://u@" + taken + "/d?sslmode=disable&connect_timeout=1"
		}, "store"},
		"no bus":              {func(c *config.Config, taken string) { c.Bus = "nats://" + taken }, "bus"},
		"no certificate":      {func(c *config.Config, _ string) { c.TLSCert, c.TLSKey = "/nowhere.pem", "/nowhere.pem" }, "nowhere.pem"},
		"a demo without RTMP": {func(c *config.Config, _ string) { c.Demo, c.RTMP = true, "" }, "--rtmp"},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			pc, err := net.ListenPacket("udp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = pc.Close() }()
			go func() { // ends with the listener; whoever expects a protocol is disappointed
				for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
					c.Close()
				}
			}()
			cfg := defaults(t)
			cfg.HTTP = free(t) // so that the test can see whether it is free again
			http := cfg.HTTP
			tt.with(&cfg, ln.Addr().String())
			before := runtime.NumGoroutine()
			if err := fails(t, cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want it to tell of %q", err, tt.want)
			}
			if ln, err := net.Listen("tcp", http); err != nil {
				t.Errorf("after it: %v", err)
			} else {
				ln.Close()
			}
			servertest.Eventually(t, "its goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
			cfg = withFreePorts(cfg)
			cfg.DataDir = filepath.Join(t.TempDir(), "data")
			run(t, cfg, node.Options{}) // and a start that can succeed does
		})
	}
}

func withFreePorts(c config.Config) config.Config {
	c.HTTP, c.RTMP, c.RTMPS, c.SRT, c.WebRTC, c.WebRTCTCP = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", ""
	c.Store, c.Bus, c.TLSCert, c.TLSKey, c.Demo = "", "", "", "", false
	return c
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestDataDirIsLocked(t *testing.T) {
	cfg := defaults(t)
	cfg.ReadyFile = filepath.Join(t.TempDir(), "ready.json")
	_, stop := run(t, cfg, node.Options{})
	if err := fails(t, cfg); err == nil || !strings.Contains(err.Error(), "in use by another sluice") {
		t.Errorf("a second node on a data directory: %v", err)
	}
	if _, err := os.Stat(cfg.ReadyFile); err != nil {
		t.Errorf("and the ready file of the first: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	run(t, cfg, node.Options{})
}

// A signal that comes while the node starts stops it.
func TestStopDuringStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := node.Run(ctx, defaults(t), node.Options{Log: slog.New(slog.DiscardHandler)}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}

func TestDemoKeepsItsChannel(t *testing.T) {
	cfg := defaults(t)
	cfg.Demo = true
	first, stop := run(t, cfg, node.Options{})
	if !strings.HasPrefix(first.Watch, first.Base+"/watch/") {
		t.Errorf("watch page %q", first.Watch)
	}
	if status, header, _ := getAsIs(t, first.Base+"/"); status != http.StatusFound || first.Base+header.Get("Location") != first.Watch {
		t.Errorf("/ leads to %d %q, want the demo's watch page", status, header.Get("Location"))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	again, _ := run(t, cfg, node.Options{})
	if strings.TrimPrefix(again.Watch, again.Base) != strings.TrimPrefix(first.Watch, first.Base) {
		t.Errorf("after a restart the demo is at %s, it was at %s", again.Watch, first.Watch)
	}
	out, err := (&servertest.Server{Ready: again}).IVS().ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(out.Channels) != 1 || *out.Channels[0].Name != "demo" {
		t.Errorf("channels %+v, %v, want one", out, err)
	}
}

// getAsIs does not follow redirects.
func getAsIs(t *testing.T, url string) (int, http.Header, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}
