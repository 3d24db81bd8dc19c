// Package apiload drives an IVS control plane with signed JSON requests over keep-alive
// connections and reports rate and latency of each operation. It writes requests by
// hand: the AWS SDK would cost the client more than the server spends.
package apiload

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/pace"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// Config says what to ask.
type Config struct {
	URL       string
	Ops       string // phases: create, get, list, mix
	Conns     int
	Duration  time.Duration // of a phase
	Prefill   int           // channels made before the first phase
	MaxCreate int
	Page      int // maxResults of list
	Region    string
	AccessKey string
	SecretEnv string // name of the environment variable with the secret key
	PIDs      procstat.PIDs
}

// Flags defines the flags of awsload.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.URL, "url", "http://127.0.0.1:8080", "endpoint")
	fs.StringVar(&c.Ops, "ops", "create,get,list", "phases to run: create, get, list, mix")
	fs.IntVar(&c.Conns, "c", 8, "connections")
	fs.DurationVar(&c.Duration, "d", 10*time.Second, "length of a phase")
	fs.IntVar(&c.Prefill, "prefill", 200, "channels to create before the first phase")
	fs.IntVar(&c.MaxCreate, "max-create", 20000, "end the create phase after this many")
	fs.IntVar(&c.Page, "page", 50, "maxResults of list")
	fs.StringVar(&c.Region, "region", "us-west-2", "region to sign for")
	fs.StringVar(&c.AccessKey, "ak", "", "access key id")
	fs.StringVar(&c.SecretEnv, "sk-env", "AWS_SECRET_ACCESS_KEY", "environment variable that holds the secret key")
	fs.Var(&c.PIDs, "pid", "server process ids, comma separated; children are included")
}

// Result is what Run reports.
type Result struct {
	Tool   string  `json:"tool"`
	Phases []Phase `json:"phases"`
}

// Phase is one operation under load.
type Phase struct {
	Op        string         `json:"op"`
	Conns     int            `json:"connections"`
	N         int            `json:"n"`
	Throttled int            `json:"throttled"` // HTTP 429: the server's limit was measured, not its speed
	Errors    int            `json:"errors"`
	LastErr   string         `json:"last_error,omitempty"`
	PerS      float64        `json:"req_per_s"`
	Latency   stats.Summary  `json:"latency"`
	CPU       procstat.Delta `json:"cpu"`
	PerCPU    float64        `json:"req_per_server_cpu_s"`
}

// load is what the connections share.
type load struct {
	cfg Config

	mu    sync.Mutex // guards the rest
	arns  []string   // of channels made
	made  int        // names given out
	phase *Phase
	hist  stats.Hist
}

// Run runs the phases one after the other; ctx ends them early.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	u, addr, err := loopback.URL(cfg.URL, "http")
	if err != nil {
		return nil, err
	}
	ops := strings.Split(cfg.Ops, ",")
	for _, op := range ops {
		if !slices.Contains([]string{"create", "get", "list", "mix"}, op) {
			return nil, fmt.Errorf("apiload: unknown phase %q", op)
		}
	}
	secret := os.Getenv(cfg.SecretEnv)
	if cfg.Conns < 1 || cfg.AccessKey == "" || secret == "" {
		return nil, errors.New("apiload: at least one connection, an access key and its secret are needed")
	}
	l := &load{cfg: cfg}
	conns := make([]*conn, cfg.Conns)
	for i := range conns {
		conns[i] = newConn(addr, u.Host, cfg.AccessKey, secret, cfg.Region)
		defer conns[i].close()
	}
	for range cfg.Prefill {
		if err := l.one(ctx, conns[0], "create"); err != nil {
			return nil, fmt.Errorf("apiload: prefill: %w", err)
		}
	}
	if len(l.arns) == 0 && ops[0] != "create" {
		return nil, errors.New("apiload: nothing to get: -prefill is 0")
	}
	r := &Result{Tool: "awsload"}
	for _, op := range ops {
		p, err := l.run(ctx, op, conns)
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, *p)
	}
	return r, nil
}

func (l *load) run(ctx context.Context, op string, conns []*conn) (*Phase, error) {
	p := &Phase{Op: op, Conns: len(conns)}
	l.phase, l.hist = p, stats.Hist{}
	a, err := procstat.Read(l.cfg.PIDs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Duration)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { l.drive(ctx, c, op, rand.New(rand.NewPCG(uint64(i), 0))) })
	}
	wg.Wait()
	b, err := procstat.Read(l.cfg.PIDs)
	if err != nil {
		return nil, err
	}
	p.CPU = procstat.Diff(a, b)
	p.Latency = l.hist.Summary()
	p.PerS = stats.Round(float64(p.N)/p.CPU.WallS, 1)
	p.PerCPU = stats.Round(float64(p.N)/p.CPU.ServerCPUS, 1)
	return p, nil
}

// drive sends one request after the other on a connection until ctx is done.
func (l *load) drive(ctx context.Context, c *conn, op string, rnd *rand.Rand) {
	var h stats.Hist
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.hist.Merge(&h)
	}()
	for ctx.Err() == nil {
		next := op
		if op == "mix" { // reads outnumber writes, as a console's and a site's do
			switch r := rnd.IntN(10); {
			case r == 0:
				next = "create"
			case r < 8:
				next = "get"
			default:
				next = "list"
			}
		}
		if next == "create" && l.full() {
			return
		}
		start := time.Now()
		err := l.one(ctx, c, next)
		if ctx.Err() != nil {
			return // cut off
		}
		if l.count(err) {
			h.Add(time.Since(start))
		} else {
			pace.Sleep(ctx, 10*time.Millisecond)
		}
	}
}

func (l *load) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase.N >= l.cfg.MaxCreate
}

// count adds up an outcome and reports whether it was a success.
func (l *load) count(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch status, ok := errors.AsType[*statusError](err); {
	case err == nil:
		l.phase.N++
		return true
	case ok && status.code == 429:
		l.phase.Throttled++
	default:
		l.phase.Errors++
		l.phase.LastErr = err.Error()
	}
	return false
}

// one sends one request.
func (l *load) one(ctx context.Context, c *conn, op string) error {
	l.mu.Lock()
	l.made++
	name, arn := l.made, ""
	if n := len(l.arns); n > 0 {
		arn = l.arns[name%n]
	}
	l.mu.Unlock()
	switch op {
	case "create":
		body, err := c.post(ctx, "/CreateChannel", fmt.Appendf(nil, `{"name":"bench-%d","latencyMode":"LOW","type":"STANDARD","tags":{"k":"v"}}`, name))
		if err != nil {
			return err
		}
		arn, err := channelARN(body)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.arns = append(l.arns, arn)
		return nil
	case "get":
		_, err := c.post(ctx, "/GetChannel", fmt.Appendf(nil, `{"arn":%q}`, arn))
		return err
	default:
		_, err := c.post(ctx, "/ListChannels", fmt.Appendf(nil, `{"maxResults":%d}`, l.cfg.Page))
		return err
	}
}
