package probe

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/publish"
	"github.com/sluice-live/sluice/test/load/internal/stub"
)

// live starts a stub with one stream that is published until the test ends.
func live(t *testing.T, cfg stub.Config, marks bool) (url string) {
	t.Helper()
	srv := stub.Start(t, cfg)
	path := filepath.Join(t.TempDir(), "clip.flv")
	if err := os.WriteFile(path, stub.Clip(), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	c := publish.Config{FLV: path, URL: srv.PublishURL("a"), Streams: 1, Duration: time.Hour, Timeout: 5 * time.Second, Chunk: 4096, Marker: marks}
	ctx := t.Context() // done before cleanup functions run
	go func() {
		_, err := publish.Run(ctx, c)
		done <- err
	}()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv.PlaybackURL("a")
}

func config(url string, m Mode) Config {
	return Config{URL: url, Mode: m, Duration: 1100 * time.Millisecond, Wait: 10 * time.Second, Poll: 100 * time.Millisecond, Skip: true, Gzip: true}
}

func TestEveryFrameIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  stub.Config
		mode Mode
		per  float64 // most frames of a unit
	}{
		"parts of fMP4":            {stub.Config{}, LowLatency, 3},
		"parts of TS":              {stub.Config{TS: true}, LowLatency, 3},
		"hinted parts of fMP4":     {stub.Config{}, Hint, 3},
		"hinted parts of TS":       {stub.Config{TS: true}, Hint, 3},
		"segments of fMP4":         {stub.Config{}, Classic, 15},
		"segments of TS":           {stub.Config{TS: true}, Classic, 15},
		"segments without parts":   {stub.Config{Plain: true}, Classic, 15},
		"growing segments of fMP4": {stub.Config{}, Prefetch, 15},
		"growing segments of TS":   {stub.Config{TS: true}, Prefetch, 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Run(t.Context(), config(live(t, tt.cfg, true), tt.mode))
			if err != nil {
				t.Fatalf("%v; result %+v", err, r)
			}
			if r.Frames.N < 15 || r.Missing != 0 || r.Errors != 0 || r.FramesPerUnit > tt.per || r.JoinMS <= 0 {
				t.Errorf("result %+v", r)
			}
			if r.Compressed != r.Playlists-1 { // the multivariant playlist of the stub is plain
				t.Errorf("%d of %d playlists compressed", r.Compressed, r.Playlists)
			}
			if (r.Prefetched > 0) != (tt.mode == Prefetch) {
				t.Errorf("%d segments prefetched", r.Prefetched)
			}
			// Which frames come early is timing; that streamed ones can is the scanner's test.
			if hasParts := !tt.cfg.Plain; hasParts != (r.PartTargets == 1) {
				t.Errorf("%d part targets seen", r.PartTargets)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	url := live(t, stub.Config{}, true)
	for name, tt := range map[string]struct {
		change func(*Config)
		check  func(*Result) bool
	}{
		"delta updates":                         {func(c *Config) { c.Duration = 3 * time.Second }, func(r *Result) bool { return r.Deltas > 0 }},
		"no delta updates when not asked for":   {func(c *Config) { c.Skip = false }, func(r *Result) bool { return r.Deltas == 0 }},
		"no compression when not asked for":     {func(c *Config) { c.Gzip = false }, func(r *Result) bool { return r.Compressed == 0 }},
		"frames of the warm-up are not counted": {func(c *Config) { c.Warm, c.Duration = c.Duration, 0 }, func(r *Result) bool { return r.Frames.N == 0 && r.JoinMS > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(url, LowLatency)
			tt.change(&c)
			r, err := Run(t.Context(), c)
			if r == nil || r.Errors != 0 || !tt.check(r) {
				t.Errorf("result %+v, %v", r, err)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	unmarked := live(t, stub.Config{}, false)
	gone := stub.Start(t, stub.Config{}).PlaybackURL("nobody")
	for name, tt := range map[string]struct {
		change func(*Config)
		want   error // nil: any
	}{
		"no marks":        {func(c *Config) {}, ErrNoFrames},
		"no stream":       {func(c *Config) { c.URL, c.Wait = gone, 300*time.Millisecond }, nil},
		"another machine": {func(c *Config) { c.URL = "http://192.0.2.1:80/a.m3u8" }, loopback.ErrRefused},
		"an unknown mode": {func(c *Config) { c.Mode = "best" }, nil},
		"no such variant": {func(c *Config) { c.Variant = 5 }, nil},
		"a bad header":    {func(c *Config) { c.Header = "no colon" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(unmarked, LowLatency)
			c.Duration = time.Second
			tt.change(&c)
			if _, err := Run(t.Context(), c); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Run = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDump(t *testing.T) {
	c := config(live(t, stub.Config{}, true), LowLatency)
	c.Duration = time.Second
	c.Dump = filepath.Join(t.TempDir(), "first.m3u8")
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(c.Dump); err != nil || string(b[:7]) != "#EXTM3U" {
		t.Errorf("dumped %.20q, %v", b, err)
	}
}
