package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/config"
)

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := func(format string) string {
		b.Reset()
		NewLogger(&b, config.Config{LogFormat: format}).Info("x", "took", 1500*time.Microsecond, slog.Group("a", slog.Any("wait", time.Minute)), "n", 7)
		return b.String()
	}
	var line struct {
		Took float64 `json:"took_ms"`
		N    int
		A    struct {
			Wait float64 `json:"wait_ms"`
		}
	}
	if err := json.Unmarshal([]byte(log("json")), &line); err != nil || line.Took != 1.5 || line.A.Wait != 60000 || line.N != 7 {
		t.Errorf("%v: %s", err, &b)
	}
	if s := log("text"); !strings.Contains(s, "took_ms=1.5 a.wait_ms=60000 n=7") {
		t.Errorf("%s", s)
	}
}

func TestOrigin(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  config.Config
		addr string
		want string
	}{
		"the listener's address":        {config.Config{}, "192.0.2.1:8080", "http://192.0.2.1:8080"},
		"no other machine's localhost":  {config.Config{}, "[::]:8080", ""},
		"nor with IPv4":                 {config.Config{}, "0.0.0.0:8080", ""},
		"the public URL":                {config.Config{PublicURL: "https://live.example.com"}, "[::]:8080", "https://live.example.com"},
		"its own URL before the public": {config.Config{PublicURL: "https://live.example.com", OriginURL: "http://n1.example.com"}, "[::]:8080", "http://n1.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := net.ResolveTCPAddr("tcp", tt.addr)
			if err != nil {
				t.Fatal(err)
			}
			n := &node{cfg: tt.cfg, ready: Ready{Base: "http://" + reachable(a)}}
			if got := n.originAt(a); got != tt.want {
				t.Errorf("origin = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSteady(t *testing.T) {
	t0 := time.Now()
	for name, tt := range map[string]struct {
		took time.Duration
		want bool
	}{
		"the first round":                  {0, true},
		"a round":                          {reapEvery, true},
		"a clock that was set back":        {-time.Second, false},
		"a clock that was set forward":     {time.Hour, false},
		"a process that stood for a lease": {reapEvery + 10*time.Second, false},
		"a ticker that is a bit late":      {reapEvery + time.Second/2, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := steady(t0, t0.Round(0).Add(tt.took)); got != tt.want {
				t.Errorf("steady after %v = %t, want %t", tt.took, got, tt.want)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	if err := os.WriteFile(name, []byte("old and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(name, "new"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	info, serr := os.Stat(name)
	if err != nil || serr != nil || string(b) != "new" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v, %v", b, err, info, serr)
	}
	if err := writeFile(filepath.Join(dir, "b", "c"), ""); err == nil {
		t.Error("writing into a missing directory succeeds")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%d files are left, %v", len(all), err)
	}
}

func TestNodeName(t *testing.T) {
	cfg := config.Config{DataDir: t.TempDir()}
	first, err := nodeName(cfg)
	if err != nil || !strings.HasPrefix(first, "node-") {
		t.Fatalf("nodeName = %q, %v", first, err)
	}
	if again, err := nodeName(cfg); err != nil || again != first {
		t.Errorf("the second start is %q, %v, the first was %q", again, err, first)
	}
	cfg.Node = "n1"
	if got, err := nodeName(cfg); err != nil || got != "n1" {
		t.Errorf("nodeName = %q, %v, want the configured one", got, err)
	}
	other, err := nodeName(config.Config{DataDir: t.TempDir()})
	if err != nil || other == first {
		t.Errorf("another node is %q, %v", other, err)
	}
}
