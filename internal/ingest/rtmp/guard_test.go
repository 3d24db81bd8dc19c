package rtmp

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// 200 wrong keys from one address: most are not even asked about, and neither they nor
// the log's length give anything away.
func TestWrongKeysAreNotTriedForEver(t *testing.T) {
	var lines buffer
	h, cfg, reg := newRecorder(), testConfig(t), prometheus.NewRegistry()
	cfg.Log, cfg.Metrics, cfg.Linger = slog.New(slog.NewTextHandler(&lines, nil)), reg, time.Millisecond
	s := start(t, cfg, h)
	for range 200 {
		_, err := wire.Dial(t.Context(), s.url("app/denied"), wire.ClientConfig{})
		if _, ok := errors.AsType[*wire.StatusError](err); !ok {
			t.Fatalf("Dial = %v", err)
		}
	}
	asked := value(t, reg, "sluice_rtmp_publishes_total", "denied")
	if asked < 20 || asked > 40 || asked+value(t, reg, "sluice_rtmp_publishes_total", "throttled") != 200 {
		t.Errorf("%v of 200 keys were tried", asked)
	}
	text := lines.String()
	if n := strings.Count(text, "publish refused"); n != int(asked) || strings.Count(text, "too many wrong keys from one address") == 0 {
		t.Errorf("%d lines of %v keys, and the warning %d times", n, asked, strings.Count(text, "too many wrong keys"))
	}
	if strings.Contains(text, "app/denied") || strings.Contains(text, "key=") {
		t.Error("a key is in the log")
	}
	if _, err := wire.Dial(t.Context(), s.url("app/good"), wire.ClientConfig{}); err == nil || !strings.Contains(err.Error(), "Too many wrong stream keys") {
		t.Errorf("a good key from that address: %v", err)
	}
}

// A guard that listeners share counts for all of them.
func TestGuardIsShared(t *testing.T) {
	h, cfg := newRecorder(), testConfig(t)
	cfg.Guard, cfg.Metrics = ingest.NewGuard(), nil
	a, b := start(t, cfg, h), start(t, cfg, h)
	for range 30 {
		_, _ = wire.Dial(t.Context(), a.url("app/denied"), wire.ClientConfig{})
	}
	if _, err := wire.Dial(t.Context(), b.url("app/good"), wire.ClientConfig{}); err == nil {
		t.Error("an address that was wrong at one listener is not at the other")
	}
}

// A buffer may be written by many.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
