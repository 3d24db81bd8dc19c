//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// srs is a peer for what takes in streams: its HLS has no low-latency form. Its binary
// is the user's own, as every peer's is.
type srs struct{ bin string }

func (s *srs) name() string { return "srs" }

func (s *srs) version(ctx context.Context) string { return "srs " + versionOf(ctx, s.bin, "-v") }

func (s *srs) containers() []container { return nil }

func (s *srs) measures() []string { return []string{"startup", "ingest"} }

func (s *srs) start(ctx context.Context, dir string, md mode) (*instance, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "srs.conf")
	if err := os.WriteFile(path, s.config(addrs[0], dir, md), 0o600); err != nil {
		return nil, err
	}
	in, err := launch(ctx, s.bin, dir, []string{"-c", path}, func() (bool, error) { return listening(ctx, addrs...) })
	if err != nil {
		return nil, err
	}
	in.rtmp = addrs[0]
	return in, nil
}

// config packages into segments of the clip's GOP, on disk: SRS keeps none in memory.
func (s *srs) config(rtmp, dir string, md mode) []byte {
	hls := "off"
	if md == alwaysPackage {
		hls = "on"
	}
	return fmt.Appendf(nil, `listen %s;
max_connections 1000;
daemon off;
srs_log_tank console;
srs_log_level error;
pid %s/srs.pid;
vhost __defaultVhost__ {
    hls {
        enabled %s;
        hls_path %s/hls;
        hls_fragment %d;
        hls_window 14;
    }
}
`, rtmp, dir, hls, dir, int(segment.Seconds()))
}

func (s *srs) channels(_ context.Context, in *instance, n int, _ container) ([]channel, error) {
	var cs []channel
	for i := range n {
		cs = append(cs, channel{publish: fmt.Sprintf("rtmp://%s/live/s%d", in.rtmp, i)})
	}
	return cs, nil
}
