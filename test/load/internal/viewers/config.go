//go:build linux

// Package viewers simulates many live viewers of HLS and reports what they saw (stalls,
// request times, how far apart they got the same playlist, latency of frames on a
// sample) and what the server spent on them.
//
// Each viewer behaves as hls.js does: the multivariant playlist, then for each
// rendition (video, and audio where it is apart) one connection for the playlist and
// one for media. In low-latency mode the playlist connection is always parked in a
// blocking reload, and each newly listed part is fetched in order. All viewers run on
// one goroutine (package evloop), and media bodies are dropped in the kernel except
// those of the sample. Linux only.
package viewers

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// Mode is how a viewer finds and fetches media.
type Mode string

// The modes.
const (
	LowLatency Mode = "ll"       // blocking reload, part by part
	Classic    Mode = "classic"  // whole segments; blocking reload where it is offered
	Prefetch   Mode = "prefetch" // poll, fetch segments while they grow
	Paced      Mode = "paced"    // no live logic: the same files on every tick; what plain file serving costs
)

func (m Mode) kind() hls.Kind {
	switch m {
	case Classic:
		return hls.Segments
	case Prefetch:
		return hls.Prefetch
	}
	return hls.Parts
}

// Config says who watches what.
type Config struct {
	URL      string // %d is replaced by the number of the stream
	URLs     string // a file with a URL a line; instead of URL
	Streams  int
	Mode     Mode
	Viewers  int
	Ramp     time.Duration
	Settle   time.Duration
	Duration time.Duration
	Sample   int // viewers whose media is looked at
	PIDs     procstat.PIDs
	Skip     bool
	Gzip     bool
	HoldBack time.Duration
	Variant  int
	Header   string
	Paths    string
	Interval time.Duration
	Jitter   bool
}

// Flags defines the flags of hlsload.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.URL, "url", "http://127.0.0.1:8080/live.m3u8", "playlist; %d is the viewer's number modulo -streams")
	fs.StringVar(&c.URLs, "urls", "", "file with one playlist URL per line, instead of -url and -streams")
	fs.IntVar(&c.Streams, "streams", 1, "streams over which the viewers are spread")
	fs.StringVar((*string)(&c.Mode), "mode", string(LowLatency), "ll, classic, prefetch or paced")
	fs.IntVar(&c.Viewers, "n", 100, "viewers")
	fs.DurationVar(&c.Ramp, "ramp", 5*time.Second, "spread viewer starts over this time")
	fs.DurationVar(&c.Settle, "settle", 4*time.Second, "wait after the ramp before measuring")
	fs.DurationVar(&c.Duration, "d", 20*time.Second, "measured time")
	fs.IntVar(&c.Sample, "sample", 20, "viewers whose media is scanned for frame marks")
	fs.Var(&c.PIDs, "pid", "server process ids, comma separated; children are included")
	fs.BoolVar(&c.Skip, "skip", true, "ask for delta updates when they are offered")
	fs.BoolVar(&c.Gzip, "gzip", true, "accept compressed playlists, as browsers do")
	fs.DurationVar(&c.HoldBack, "holdback", 0, "playback buffer of a viewer (0: what the playlist says)")
	fs.IntVar(&c.Variant, "variant", 0, "variant to follow, highest bandwidth first")
	fs.StringVar(&c.Header, "H", "", "extra request header, Name: value")
	fs.StringVar(&c.Paths, "paths", "", "paced: comma separated paths, fetched in order; ';' separates connections")
	fs.DurationVar(&c.Interval, "interval", 200*time.Millisecond, "paced: tick")
	fs.BoolVar(&c.Jitter, "jitter", false, "paced: spread the viewers over the tick")
}

// target is a playlist on the server.
type target struct {
	addr       netip.AddrPort
	host, path string
}

func (c *Config) targets() ([]target, error) {
	var urls []string
	if c.URLs != "" {
		b, err := os.ReadFile(c.URLs)
		if err != nil {
			return nil, fmt.Errorf("viewers: %w", err)
		}
		urls = strings.Fields(string(b))
	} else {
		for i := range c.Streams {
			urls = append(urls, strings.ReplaceAll(c.URL, "%d", fmt.Sprint(i)))
		}
	}
	if len(urls) == 0 {
		return nil, errors.New("viewers: at least one stream")
	}
	var ts []target
	for _, raw := range urls {
		u, addr, err := loopback.URL(raw, "http")
		if err != nil {
			return nil, err
		}
		ts = append(ts, target{addr, u.Host, u.RequestURI()})
	}
	return ts, nil
}

func (c *Config) validate() error {
	switch c.Mode {
	case LowLatency, Classic, Prefetch:
	case Paced:
		if c.Paths == "" || c.Interval <= 0 {
			return errors.New("viewers: paced mode needs -paths and -interval")
		}
	default:
		return fmt.Errorf("viewers: unknown mode %q", c.Mode)
	}
	switch {
	case c.Viewers < 1 || c.Duration <= 0:
		return errors.New("viewers: at least one viewer, for some time")
	case c.Header != "" && !strings.Contains(c.Header, ":"), strings.ContainsAny(c.Header, "\r\n"):
		return fmt.Errorf("viewers: header %q is not Name: value", c.Header)
	}
	return nil
}

// Result is what Run reports.
type Result struct {
	Tool            string         `json:"tool"`
	Mode            Mode           `json:"mode"`
	Viewers         int            `json:"viewers"`
	Playing         int            `json:"playing"`
	StalledViewers  int            `json:"stalled_viewers"`
	Stalls          int            `json:"stalls"`
	StallS          float64        `json:"stall_s"`
	RebufferPercent float64        `json:"rebuffer_percent"`
	Errors          int            `json:"errors"`
	LastErr         string         `json:"last_error,omitempty"`
	Reconnects      int            `json:"reconnects"`
	ReqPerS         float64        `json:"req_per_s"`
	MbitPerS        float64        `json:"mbit_per_s"`
	HoldBackS       float64        `json:"hold_back_s"`
	UnitS           float64        `json:"unit_s"`          // length of the last part or segment
	Playlist        stats.Summary  `json:"playlist_spread"` // after the first viewer to get the same update
	Media           stats.Summary  `json:"media_response"`  // request to last byte
	MediaTTFB       stats.Summary  `json:"media_ttfb"`
	Frames          stats.Summary  `json:"frame_latency"` // of the sample
	CPU             procstat.Delta `json:"cpu"`
	CPUPerViewerMin float64        `json:"server_cpu_s_per_viewer_minute"`
	KBPerViewer     float64        `json:"server_rss_kb_per_viewer"`
	ClientBound     bool           `json:"client_bound"` // the client filled its core: the figures are not the server's
}
