// Package probe follows one live HLS rendition as one player would and measures, for
// every marked video frame, the time from when the publisher wrote the frame to its
// socket until it was usable in the client (package marker says when that is).
//
// It keeps no playback buffer: it measures the server, not a player.
package probe

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/pace"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// Mode is how a player finds and fetches media.
type Mode string

// The modes.
const (
	LowLatency Mode = "ll"       // blocking reload, then each newly listed part, as hls.js does
	Hint       Mode = "hint"     // also request the preload hint before the part exists, as Safari does
	Classic    Mode = "classic"  // whole segments
	Prefetch   Mode = "prefetch" // segments while they grow, found by polling, as the IVS player does
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

// Config says what to follow.
type Config struct {
	URL      string
	Mode     Mode
	Duration time.Duration
	Warm     time.Duration
	Wait     time.Duration
	Poll     time.Duration
	Variant  int
	Header   string
	Dump     string
	Skip     bool
	Gzip     bool
}

// Flags defines the flags of llprobe.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.URL, "url", "http://127.0.0.1:8080/live.m3u8", "multivariant or media playlist")
	fs.StringVar((*string)(&c.Mode), "mode", string(LowLatency), "ll, hint, classic or prefetch")
	fs.DurationVar(&c.Duration, "d", 20*time.Second, "measured time, after the warm-up")
	fs.DurationVar(&c.Warm, "warm", 4*time.Second, "leave out frames that arrive before this")
	fs.DurationVar(&c.Wait, "wait", 20*time.Second, "limit for the first playlist to appear")
	fs.DurationVar(&c.Poll, "poll", 500*time.Millisecond, "playlist interval where it cannot block, and in prefetch mode")
	fs.IntVar(&c.Variant, "variant", 0, "variant to follow, highest bandwidth first")
	fs.StringVar(&c.Header, "H", "", "extra request header, Name: value")
	fs.StringVar(&c.Dump, "dump", "", "write the first media playlist to this file")
	fs.BoolVar(&c.Skip, "skip", true, "ask for delta updates when they are offered")
	fs.BoolVar(&c.Gzip, "gzip", true, "accept compressed playlists, as browsers do")
}

// Result is what Run reports; durations of the playlist are in seconds.
type Result struct {
	Tool           string        `json:"tool"`
	Mode           Mode          `json:"mode"`
	TargetDuration float64       `json:"target_duration"`
	PartTarget     float64       `json:"part_target"`
	PartTargets    int           `json:"part_targets_seen"` // over 1: players on Apple's systems stop
	PartHoldBack   float64       `json:"part_hold_back"`
	JoinMS         float64       `json:"join_ms"` // first playlist request to first usable frame
	Frames         stats.Summary `json:"frame_latency"`
	First          stats.Summary `json:"first_frame_of_unit_latency"`
	Last           stats.Summary `json:"last_frame_of_unit_latency"`
	Units          int           `json:"units"` // parts or segments
	FramesPerUnit  float64       `json:"frames_per_unit"`
	Missing        int           `json:"missing_frames"`
	Prefetched     int           `json:"prefetched"` // segments found by EXT-X-PREFETCH
	Requests       int           `json:"requests"`
	Playlists      int           `json:"playlists"`
	PlaylistBytes  float64       `json:"playlist_bytes_mean"` // on the wire
	Deltas         int           `json:"delta_playlists"`
	Compressed     int           `json:"gzip_playlists"`
	Errors         int           `json:"errors"`
	LastErr        string        `json:"last_error,omitempty"`
}

// ErrNoFrames means that nothing was measured: no media, or media without marks.
var ErrNoFrames = errors.New("probe: no marked frame arrived")

// Run follows the stream until the measured time is over, the stream ends or ctx is
// done.
func Run(ctx context.Context, c Config) (*Result, error) {
	if !slices.Contains([]Mode{LowLatency, Hint, Classic, Prefetch}, c.Mode) {
		return nil, fmt.Errorf("probe: unknown mode %q", c.Mode)
	}
	if _, _, err := loopback.URL(c.URL, "http"); err != nil {
		return nil, err
	}
	f, err := newFetcher(c.Header, c.Gzip)
	if err != nil {
		return nil, err
	}
	defer f.close()
	begin, media, err := locate(ctx, f, c)
	if err != nil {
		return nil, err
	}
	fl := &follower{cfg: c, fetch: f, media: media, hinted: map[string]bool{}}
	watch, cancel := context.WithDeadline(ctx, begin.Add(c.Warm+c.Duration))
	defer cancel()
	t := tally{begin: begin, warm: c.Warm, seen: map[uint32]bool{}}
	for u := range fl.units(watch) {
		t.add(u)
	}
	if err := fl.dump(); err != nil {
		return nil, err
	}
	r := t.result()
	r.Mode = c.Mode
	fl.report(r)
	f.report(r)
	if r.Frames.N == 0 {
		return r, ErrNoFrames
	}
	return r, nil
}

// locate waits for the playlist and returns when the request that got it was sent,
// and the URL of the media playlist to follow.
func locate(ctx context.Context, f *fetcher, c Config) (begin time.Time, media string, err error) {
	limit, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for {
		begin = time.Now()
		p, err := f.playlist(limit, c.URL)
		if err == nil {
			vs := hls.Multivariant(p.body)
			slices.SortStableFunc(vs, func(a, b hls.Variant) int { return cmp.Compare(b.Bandwidth, a.Bandwidth) })
			switch {
			case len(vs) == 0:
				return begin, p.url, nil
			case c.Variant < 0 || c.Variant >= len(vs):
				return begin, "", fmt.Errorf("probe: no variant %d, there are %d", c.Variant, len(vs))
			}
			media, err := resolve(p.url, vs[c.Variant].URI)
			return begin, media, err
		}
		if !pace.Sleep(limit, 200*time.Millisecond) {
			return begin, "", fmt.Errorf("probe: no playlist within %v: %w", c.Wait, err)
		}
	}
}

// tally adds up frames.
type tally struct {
	begin            time.Time
	warm             time.Duration
	seen             map[uint32]bool
	lo, hi           uint32
	units            int
	joinMS           float64
	all, first, last stats.Hist
}

func (t *tally) add(u unit) {
	if len(u) == 0 {
		return
	}
	if t.joinMS == 0 {
		t.joinMS = stats.Round(float64(u[0].usable.Sub(t.begin).Microseconds())/1000, 3)
	}
	if u[0].usable.Sub(t.begin) < t.warm {
		return
	}
	slices.SortFunc(u, func(a, b frame) int { return cmp.Compare(a.mark.Seq, b.mark.Seq) })
	fresh := false
	for _, f := range u {
		seq := f.mark.Seq
		if t.seen[seq] {
			continue
		}
		if len(t.seen) == 0 {
			t.lo, t.hi = seq, seq
		}
		t.seen[seq] = true
		t.lo, t.hi = min(t.lo, seq), max(t.hi, seq)
		t.all.Add(f.latency())
		fresh = true
	}
	if fresh {
		t.units++
		t.first.Add(u[0].latency())
		t.last.Add(u[len(u)-1].latency())
	}
}

func (t *tally) result() *Result {
	r := &Result{Tool: "llprobe", JoinMS: t.joinMS, Units: t.units, Frames: t.all.Summary(), First: t.first.Summary(), Last: t.last.Summary()}
	if n := len(t.seen); n > 0 {
		r.Missing = int(t.hi-t.lo) + 1 - n
		r.FramesPerUnit = stats.Round(float64(n)/float64(t.units), 2)
	}
	return r
}

// dump writes the first media playlist where the flags say.
func (f *follower) dump() error {
	if f.cfg.Dump == "" {
		return nil
	}
	if err := os.WriteFile(f.cfg.Dump, f.firstPlaylist, 0o644); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}
