//go:build linux

package viewers

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/publish"
	"github.com/sluice-live/sluice/test/load/internal/stub"
)

// live starts a stub with streams s0 and s1, published until the test ends.
func live(t *testing.T, cfg stub.Config) *stub.Server {
	t.Helper()
	srv := stub.Start(t, cfg)
	path := filepath.Join(t.TempDir(), "clip.flv")
	if err := os.WriteFile(path, stub.Clip(), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	c := publish.Config{FLV: path, URL: srv.PublishURL("s%d"), Streams: 2, Duration: time.Hour, Timeout: 5 * time.Second, Chunk: 4096, Marker: true}
	ctx := t.Context()
	go func() {
		_, err := publish.Run(ctx, c)
		done <- err
	}()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv
}

func config(url string, m Mode) Config {
	return Config{
		URL: url, Streams: 2, Mode: m, Viewers: 20, Ramp: 200 * time.Millisecond, Settle: time.Second, Duration: time.Second,
		Sample: 4, PIDs: procstat.PIDs{os.Getpid()}, Skip: true, Gzip: true, HoldBack: 300 * time.Millisecond,
	}
}

func TestViewersPlay(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  stub.Config
		mode Mode
	}{
		"parts of fMP4":         {stub.Config{}, LowLatency},
		"parts of TS":           {stub.Config{TS: true}, LowLatency},
		"segments":              {stub.Config{}, Classic},
		"segments by polling":   {stub.Config{Plain: true, TS: true}, Classic},
		"segments as they grow": {stub.Config{TS: true}, Prefetch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Run(t.Context(), config(live(t, tt.cfg).PlaybackURL("s%d"), tt.mode))
			if err != nil {
				t.Fatal(err)
			}
			if r.Playing != 20 || r.Errors != 0 || r.Reconnects != 0 || r.Frames.N == 0 || r.Media.N == 0 || r.MbitPerS <= 0 || r.ReqPerS <= 0 {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestURLsFromAFile(t *testing.T) {
	srv := live(t, stub.Config{})
	c := config("", LowLatency)
	c.URLs = filepath.Join(t.TempDir(), "urls")
	if err := os.WriteFile(c.URLs, []byte(srv.PlaybackURL("s0")+"\n"+srv.PlaybackURL("s1")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Run(t.Context(), c); err != nil || r.Playing != 20 {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestPacedFetchesEveryPath(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 5000))
	}))
	t.Cleanup(srv.Close)
	c := config(srv.URL, Paced)
	c.Paths, c.Interval, c.Settle, c.Jitter = "/v.m3u8,/v.mp4;/a.m3u8,/a.mp4", 50*time.Millisecond, 100*time.Millisecond, true
	r, err := Run(t.Context(), c)
	if err != nil || r.Errors != 0 || r.Playing != 20 || r.Playlist.N == 0 || r.Media.N == 0 {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	srv := stub.Start(t, stub.Config{})
	c := config(srv.PlaybackURL("nobody"), LowLatency)
	r, err := Run(t.Context(), c)
	if err != nil || r.Errors == 0 || r.LastErr == "" || r.Playing != 0 {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   error // nil: any
	}{
		"another machine":       {func(c *Config) { c.URL = "http://192.0.2.1:80/" }, loopback.ErrRefused},
		"a name":                {func(c *Config) { c.URL = "http://localhost:80/" }, loopback.ErrRefused},
		"an unknown mode":       {func(c *Config) { c.Mode = "best" }, nil},
		"paced without paths":   {func(c *Config) { c.Mode = Paced }, nil},
		"nobody":                {func(c *Config) { c.Viewers = 0 }, nil},
		"a header in a header":  {func(c *Config) { c.Header = "A: b\r\nC: d" }, nil},
		"a server that is gone": {func(c *Config) { c.PIDs = procstat.PIDs{1 << 22} }, os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			c := config("http://127.0.0.1:1/", LowLatency)
			tt.change(&c)
			if _, err := Run(t.Context(), c); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Run = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestPlaybackBuffer(t *testing.T) {
	const ms = time.Millisecond
	type part struct{ at, length time.Duration }
	for name, tt := range map[string]struct {
		parts  []part
		stalls int
		lost   time.Duration
	}{
		"steady":                  {[]part{{0, 200 * ms}, {200 * ms, 200 * ms}, {400 * ms, 200 * ms}, {600 * ms, 200 * ms}, {800 * ms, 200 * ms}}, 0, 0},
		"late within the buffer":  {[]part{{0, 600 * ms}, {500 * ms, 200 * ms}}, 0, 0},
		"late past the buffer":    {[]part{{0, 600 * ms}, {650 * ms, 200 * ms}, {850 * ms, 200 * ms}}, 1, 50 * ms},
		"every part late":         {[]part{{0, 600 * ms}, {700 * ms, 100 * ms}, {900 * ms, 100 * ms}}, 2, 200 * ms},
		"before playback started": {[]part{{0, 200 * ms}, {900 * ms, 200 * ms}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := &crowd{measuring: true, cfg: Config{Mode: LowLatency}}
			v := &viewer{crowd: c}
			v.setHold(hls.Info{TargetDuration: time.Second, PartHoldBack: 600 * ms})
			for _, p := range tt.parts {
				v.buffered(p.length, time.Unix(0, 0).Add(p.at))
			}
			if v.stalls != tt.stalls || v.stalled != tt.lost {
				t.Errorf("%d stalls of %v, want %d of %v", v.stalls, v.stalled, tt.stalls, tt.lost)
			}
		})
	}
}
