package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/stub"
)

func clip(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.flv")
	if err := os.WriteFile(path, stub.Clip(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func config(t *testing.T, url string) Config {
	return Config{FLV: clip(t), URL: url, Streams: 1, Duration: 500 * time.Millisecond, Timeout: 5 * time.Second, Chunk: 4096}
}

func TestEveryStreamIsPublished(t *testing.T) {
	srv := stub.Start(t, stub.Config{})
	c := config(t, srv.PublishURL("s%d"))
	c.Streams, c.First, c.Settle, c.Marker = 5, 3, 100*time.Millisecond, true
	c.PIDs = procstat.PIDs{os.Getpid()}
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if srv.Published() != 5 || r.Failed != 0 || r.Late.N == 0 || r.TotalMbit <= 0 || r.CPU.ServerRSSMB <= 0 {
		t.Errorf("%d streams arrived, result %+v", srv.Published(), r)
	}
}

func TestURLsFromAFile(t *testing.T) {
	srv := stub.Start(t, stub.Config{})
	c := config(t, "")
	c.URLs = filepath.Join(t.TempDir(), "urls")
	if err := os.WriteFile(c.URLs, []byte(srv.PublishURL("a")+"\n"+srv.PublishURL("b")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Streams = 2
	if _, err := Run(t.Context(), c); err != nil || srv.Published() != 2 {
		t.Errorf("%d streams arrived, %v", srv.Published(), err)
	}
	c.Streams = 3
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("more streams than URLs: no error")
	}
}

func TestFailuresAreReported(t *testing.T) {
	srv := stub.Start(t, stub.Config{Refuse: true})
	c := config(t, srv.PublishURL("sk_secret"))
	r, err := Run(t.Context(), c)
	if err == nil || r.Failed != 1 || !strings.Contains(r.LastErr, "NetStream.Publish.BadName") {
		t.Errorf("a refused publisher: %+v, %v", r, err)
	}
	if strings.Contains(r.LastErr, "secret") {
		t.Errorf("the stream key is in %q", r.LastErr)
	}
	c.URL = "rtmp://192.0.2.1:1935/app/x"
	if _, err := Run(t.Context(), c); !errors.Is(err, loopback.ErrRefused) {
		t.Errorf("another machine: %v, want ErrRefused", err)
	}
}

func TestAnInterruptStillReports(t *testing.T) {
	srv := stub.Start(t, stub.Config{})
	c := config(t, srv.PublishURL("a"))
	c.Duration = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if r, err := Run(ctx, c); err != nil || r.Late.N == 0 {
		t.Errorf("result %+v, %v", r, err)
	}
}
