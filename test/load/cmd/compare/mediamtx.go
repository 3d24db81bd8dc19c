//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mediamtx is a peer. Its binary is the user's own: nothing of it is in this tree.
type mediamtx struct {
	bin          string
	part, window time.Duration
}

// segment is how long its segments are with the clip of makeClip: it cuts at
// keyframes, whatever is asked for below that.
const segment = 2 * time.Second

func (m *mediamtx) name() string { return "mediamtx" }

func (m *mediamtx) version(ctx context.Context) string {
	return "mediamtx " + versionOf(ctx, m.bin, "--version")
}

func (m *mediamtx) containers() []container { return []container{fmp4} }

func (m *mediamtx) measures() []string { return []string{"startup", "latency", "ingest", "egress"} }

func (m *mediamtx) start(ctx context.Context, dir string, md mode) (*instance, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "mediamtx.yml")
	if err := os.WriteFile(path, m.config(addrs[0], addrs[1], md), 0o600); err != nil {
		return nil, err
	}
	in, err := launch(ctx, m.bin, dir, []string{path}, func() (bool, error) { return listening(ctx, addrs...) })
	if err != nil {
		return nil, err
	}
	in.rtmp, in.http = addrs[0], addrs[1]
	return in, nil
}

// config leaves on RTMP and LL-HLS, which is what is compared.
func (m *mediamtx) config(rtmp, http string, md mode) []byte {
	return fmt.Appendf(nil, `logLevel: warn
rtsp: no
webrtc: no
srt: no
moq: no
rtmp: yes
rtmpAddress: %s
hls: yes
hlsAddress: %s
hlsVariant: lowLatency
hlsAlwaysRemux: %t
hlsPartDuration: %v
hlsSegmentDuration: %v
hlsSegmentCount: %d
paths:
  all_others:
`, rtmp, http, md == alwaysPackage, m.part, segment, max(7, m.window/segment))
}

// channels need no making: a path exists when it is published.
func (m *mediamtx) channels(_ context.Context, in *instance, n int, _ container) ([]channel, error) {
	var cs []channel
	for i := range n {
		path := fmt.Sprintf("live/s%d", i)
		cs = append(cs, channel{publish: "rtmp://" + in.rtmp + "/" + path, play: "http://" + in.http + "/" + path + "/index.m3u8"})
	}
	return cs, nil
}
