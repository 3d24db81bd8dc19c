// Package publish replays a pre-encoded FLV file over RTMP in real time on many
// connections, looping without a seam, and reports what the server spent on it. It
// encodes nothing, so that publishers cost next to nothing beside the server.
package publish

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/flv"
	"github.com/sluice-live/sluice/test/load/internal/marker"
	"github.com/sluice-live/sluice/test/load/internal/pace"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/rtmp"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// Config says what to publish where.
type Config struct {
	FLV      string
	URL      string // %d is replaced by the number of the stream
	URLs     string // a file with a URL a line; instead of URL
	Streams  int
	First    int // number of the first stream
	Duration time.Duration
	Ramp     time.Duration
	Settle   time.Duration
	Timeout  time.Duration
	Marker   bool
	Chunk    int // bytes
	PIDs     procstat.PIDs
}

// Flags defines the flags of rtmppub.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.FLV, "flv", "sample.flv", "pre-encoded FLV to replay")
	fs.StringVar(&c.URL, "url", "rtmp://127.0.0.1:1935/app/s%d", "publish URL; %d is the stream number")
	fs.StringVar(&c.URLs, "urls", "", "file with one publish URL per line, instead of -url (keeps stream keys out of the process list)")
	fs.IntVar(&c.Streams, "n", 1, "concurrent publishers")
	fs.IntVar(&c.First, "first", 0, "number of the first stream")
	fs.DurationVar(&c.Duration, "d", 30*time.Second, "measured time, after ramp and settle")
	fs.DurationVar(&c.Ramp, "ramp", 2*time.Second, "spread connection starts over this time")
	fs.DurationVar(&c.Settle, "settle", 2*time.Second, "wait after the ramp before measuring")
	fs.DurationVar(&c.Timeout, "timeout", 10*time.Second, "limit for connecting")
	fs.BoolVar(&c.Marker, "marker", false, "stamp each video frame with its send time")
	fs.IntVar(&c.Chunk, "chunk", 4096, "RTMP chunk size in bytes (OBS: 4096)")
	fs.Var(&c.PIDs, "pid", "server process ids, comma separated; children are included")
}

// Result is what Run reports.
type Result struct {
	Tool             string         `json:"tool"`
	Streams          int            `json:"streams"`
	Failed           int            `json:"failed"`
	LastErr          string         `json:"last_error,omitempty"`
	MbitPerStream    float64        `json:"mbit_per_s_per_stream"`
	TotalMbit        float64        `json:"total_mbit_per_s"`
	Late             stats.Summary  `json:"send_lateness"` // a late publisher was starved of CPU
	CPU              procstat.Delta `json:"cpu"`
	PercentPerStream float64        `json:"server_core_percent_per_stream"`
}

// publishers is what they share.
type publishers struct {
	cfg       Config
	file      *flv.File
	measuring atomic.Bool
	bytes     atomic.Int64

	mu      sync.Mutex // guards the rest
	late    stats.Hist
	failed  int
	lastErr error
}

// Run publishes until the measured time is over or ctx is done; then it reports what
// it has. It fails if a publisher did.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.Streams < 1 {
		return nil, errors.New("publish: at least one stream")
	}
	urls, err := c.urls()
	if err != nil {
		return nil, err
	}
	file, err := flv.Load(c.FLV)
	if err != nil {
		return nil, err
	}
	p := &publishers{cfg: c, file: file}
	streams, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i, u := range urls {
		wg.Go(func() {
			if pace.Sleep(streams, c.Ramp*time.Duration(i)/time.Duration(len(urls))) {
				p.one(streams, u)
			}
		})
	}
	pace.Sleep(ctx, c.Ramp+c.Settle)
	a, err := procstat.Read(c.PIDs)
	if err != nil {
		return nil, err
	}
	bytes := p.bytes.Load()
	p.measuring.Store(true)
	pace.Sleep(ctx, c.Duration)
	p.measuring.Store(false)
	bytes = p.bytes.Load() - bytes
	b, err := procstat.Read(c.PIDs)
	if err != nil {
		return nil, err
	}
	stop()
	wg.Wait()
	return p.result(procstat.Diff(a, b), bytes)
}

func (c *Config) urls() ([]string, error) {
	urls := make([]string, c.Streams)
	var list []string
	if c.URLs != "" {
		b, err := os.ReadFile(c.URLs)
		if err != nil {
			return nil, fmt.Errorf("publish: %w", err)
		}
		if list = strings.Fields(string(b)); len(list) < c.Streams {
			return nil, fmt.Errorf("publish: %d URLs for %d streams", len(list), c.Streams)
		}
	}
	for i := range urls {
		if list != nil {
			urls[i] = list[i]
		} else {
			urls[i] = strings.ReplaceAll(c.URL, "%d", fmt.Sprint(c.First+i))
		}
	}
	return urls, nil
}

func (p *publishers) result(cpu procstat.Delta, bytes int64) (*Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := float64(p.cfg.Streams)
	total := float64(bytes) * 8 / 1e6 / cpu.WallS
	r := &Result{
		Tool:             "rtmppub",
		Streams:          p.cfg.Streams,
		Failed:           p.failed,
		MbitPerStream:    stats.Round(total/n, 3),
		TotalMbit:        stats.Round(total, 3),
		Late:             p.late.Summary(),
		CPU:              cpu,
		PercentPerStream: stats.Round(cpu.ServerCores*100/n, 4),
	}
	if p.lastErr == nil {
		return r, nil
	}
	r.LastErr = p.lastErr.Error()
	return r, fmt.Errorf("publish: %d of %d publishers failed, the last one with: %w", p.failed, p.cfg.Streams, p.lastErr)
}

// one runs one publisher and adds up how it went.
func (p *publishers) one(ctx context.Context, url string) {
	var late stats.Hist
	err := p.publish(ctx, url, &late)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late.Merge(&late)
	if err != nil && ctx.Err() == nil {
		p.failed++
		p.lastErr = err
	}
}

func (p *publishers) publish(ctx context.Context, url string, late *stats.Hist) error {
	conn, err := rtmp.Dial(ctx, url, p.cfg.Chunk, p.cfg.Timeout)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	var drain sync.WaitGroup
	drain.Go(func() { ended <- conn.Drain() })
	defer func() {
		_ = conn.Close() // whatever ended it is told already
		drain.Wait()
	}()
	if p.file.Meta != nil {
		if err := conn.WriteMetadata(p.file.Meta); err != nil {
			return err
		}
	}
	for _, t := range p.file.Config {
		if err := conn.WriteMedia(byte(t.Type), 0, t.Data); err != nil {
			return err
		}
	}
	var (
		start = time.Now()
		loop  time.Duration // where this turn of the file began
		mark  marker.Mark
		buf   []byte
		sent  int64
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ; ; loop += p.file.Loop {
		for _, t := range p.file.Media {
			at := loop + time.Duration(t.MS)*time.Millisecond
			timer.Reset(time.Until(start.Add(at)))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			case err := <-ended:
				return fmt.Errorf("publish: the server ended it: %w", err)
			}
			now := time.Now()
			body := t.Data
			if p.cfg.Marker && t.AVC() {
				mark.Sent = now
				buf = append(buf[:0], body[:5]...)
				body = marker.AppendAVC(buf, body[5:], mark)
				buf = body
				mark.Seq++
			}
			if p.measuring.Load() {
				late.Add(now.Sub(start.Add(at)))
			}
			if err := conn.WriteMedia(byte(t.Type), uint32(at.Milliseconds()), body); err != nil {
				return err
			}
			p.bytes.Add(conn.Bytes() - sent)
			sent = conn.Bytes()
		}
	}
}
