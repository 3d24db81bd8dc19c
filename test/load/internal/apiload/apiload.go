// Package apiload drives an IVS control plane with signed JSON requests over keep-alive
// connections and reports rate and latency of each operation. It writes requests by
// hand: the AWS SDK would cost the client more than the server spends.
package apiload

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/pace"
	"github.com/sluice-live/sluice/test/load/internal/procstat"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// Config says what to ask.
type Config struct {
	URL       string
	Ops       string // phases: create, get, list, list:<page>, page, name, mix
	Conns     int
	Duration  time.Duration // of a phase
	Half      bool          // repeat each phase at half the rate it reached
	Prefill   int           // channels made before the first phase; 0 finds those that are there
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
	fs.StringVar(&c.Ops, "ops", "create,get,list", "phases to run: create, get, get:N (of N channels only), list (the first page, of -page), list:N (of N), page (of 100, any but the first), name (a page of one name), mix")
	fs.IntVar(&c.Conns, "c", 8, "connections")
	fs.DurationVar(&c.Duration, "d", 10*time.Second, "length of a phase")
	fs.BoolVar(&c.Half, "half", false, "repeat each phase at half the rate it reached, for its latency")
	fs.IntVar(&c.Prefill, "prefill", 200, "channels to create before the first phase; 0 lists those that are there")
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

	Rate float64       `json:"-"`             // requests a second to send; 0 for as many as go
	Half stats.Summary `json:"half,omitzero"` // latency at half of PerS, from when each request was due
}

// load is what the connections share.
type load struct {
	cfg Config

	mu     sync.Mutex // guards the rest
	arns   []string   // of channels made
	names  []string   // theirs, or of some of them
	tokens []string   // of the pages of the channels that were there
	made   int        // names given out, and requests sent
	phase  *Phase
	hist   stats.Hist
}

// Run runs the phases one after the other; ctx ends them early.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	u, addr, err := loopback.URL(cfg.URL, "http")
	if err != nil {
		return nil, err
	}
	ops := strings.Split(cfg.Ops, ",")
	for _, op := range ops {
		if _, err := pageOf(op, cfg.Page); err != nil {
			return nil, err
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
	if err := l.prepare(ctx, conns); err != nil {
		return nil, fmt.Errorf("apiload: prefill: %w", err)
	}
	if len(l.arns) == 0 && ops[0] != "create" {
		return nil, errors.New("apiload: nothing to get: -prefill is 0 and there are no channels")
	}
	r := &Result{Tool: "awsload"}
	for _, op := range ops {
		p, err := l.run(ctx, op, conns, 0)
		if err != nil {
			return nil, err
		}
		if cfg.Half && p.PerS > 0 {
			half, err := l.run(ctx, op, conns, p.PerS/2)
			if err != nil {
				return nil, err
			}
			p.Half = half.Latency
			p.Errors, p.Throttled = p.Errors+half.Errors, p.Throttled+half.Throttled
		}
		r.Phases = append(r.Phases, *p)
	}
	return r, nil
}

// pageOf is the page that op lists; 0 when it does not.
func pageOf(op string, page int) (int, error) {
	switch op {
	case "create", "get":
		return 0, nil
	case "page":
		return learnPage, nil
	case "list", "name", "mix":
		return page, nil
	}
	how, n, _ := strings.Cut(op, ":")
	size, err := strconv.Atoi(n)
	if how == "get" && err == nil && size > 0 {
		return 0, nil
	}
	if how != "list" || err != nil || size < 1 {
		return 0, fmt.Errorf("apiload: unknown phase %q", op)
	}
	return size, nil
}

// prepare makes the channels, on all connections, or learns of those that are there.
func (l *load) prepare(ctx context.Context, conns []*conn) error {
	if l.cfg.Prefill == 0 {
		return l.learn(ctx, conns[0])
	}
	var g errgroup.Group
	for i, c := range conns {
		g.Go(func() error {
			for range l.cfg.Prefill/len(conns) + btoi(i < l.cfg.Prefill%len(conns)) {
				if err := l.one(ctx, c, "create"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// learnPage is the size of the pages that learn reads.
const learnPage = 100

// learn reads the whole list of channels, and shuffles it: calls about one channel after
// the other, in the order of a server's pages, would find each page still in its cache.
func (l *load) learn(ctx context.Context, c *conn) error {
	for next := ""; ; {
		body, err := c.post(ctx, "/ListChannels", list(learnPage, next))
		if err != nil {
			return err
		}
		var page struct {
			Channels []struct {
				ARN  string `json:"arn"`
				Name string `json:"name"`
			} `json:"channels"`
			NextToken string `json:"nextToken"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		for _, ch := range page.Channels {
			l.arns, l.names = append(l.arns, ch.ARN), append(l.names, ch.Name)
		}
		if next = page.NextToken; next == "" {
			l.shuffle()
			return nil
		}
		l.tokens = append(l.tokens, next)
	}
}

// shuffle brings the channels into an order of chance that is the same in each run.
func (l *load) shuffle() {
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(l.arns), func(i, j int) {
		l.arns[i], l.arns[j] = l.arns[j], l.arns[i]
		l.names[i], l.names[j] = l.names[j], l.names[i]
	})
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(l.tokens), func(i, j int) { l.tokens[i], l.tokens[j] = l.tokens[j], l.tokens[i] })
}

// run runs one phase, at the given rate of requests a second or as fast as it goes.
func (l *load) run(ctx context.Context, op string, conns []*conn, rate float64) (*Phase, error) {
	p := &Phase{Op: op, Conns: len(conns), Rate: rate}
	l.phase, l.hist = p, stats.Hist{}
	a, err := procstat.Read(l.cfg.PIDs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Duration)
	defer cancel()
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range conns {
		wg.Go(func() { l.drive(ctx, c, op, l.schedule(start, i), rand.New(rand.NewPCG(uint64(i), 0))) })
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

// schedule returns when the requests of connection i are due, one after the other; nil
// when each follows the answer of the one before.
func (l *load) schedule(start time.Time, i int) func() time.Time {
	if l.phase.Rate == 0 {
		return nil
	}
	every := time.Duration(float64(time.Second) / l.phase.Rate)
	n := i
	return func() time.Time {
		due := start.Add(time.Duration(n) * every)
		n += l.cfg.Conns
		return due
	}
}

// drive sends requests on a connection until ctx is done. The latency of one that was due
// before the connection was free counts from when it was due.
func (l *load) drive(ctx context.Context, c *conn, op string, schedule func() time.Time, rnd *rand.Rand) {
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
		if schedule != nil {
			due := schedule()
			if late := start.Sub(due); late >= 0 {
				start = due
			} else if !pace.Sleep(ctx, -late) {
				return
			} else {
				start = time.Now()
			}
		}
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

// list is the body of ListChannels; no token asks for the first page.
func list(page int, token string) []byte {
	if token == "" {
		return fmt.Appendf(nil, `{"maxResults":%d}`, page)
	}
	return fmt.Appendf(nil, `{"maxResults":%d,"nextToken":%q}`, page, token)
}

// one sends one request.
func (l *load) one(ctx context.Context, c *conn, op string) error {
	l.mu.Lock()
	l.made++
	n, arn, name, token := l.made, "", "", ""
	if m := len(l.arns); m > 0 {
		if of, err := strconv.Atoi(strings.TrimPrefix(op, "get:")); err == nil {
			m = min(m, of)
		}
		arn = l.arns[n%m]
	}
	if m := len(l.names); m > 0 {
		name = l.names[n%m]
	}
	if m := len(l.tokens); m > 0 && op == "page" {
		token = l.tokens[n%m]
	}
	l.mu.Unlock()
	switch op {
	case "create":
		name := fmt.Sprintf("bench-%d", n)
		body, err := c.post(ctx, "/CreateChannel", fmt.Appendf(nil, `{"name":%q,"latencyMode":"LOW","type":"STANDARD","tags":{"k":"v"}}`, name))
		if err != nil {
			return err
		}
		arn, err := channelARN(body)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.arns, l.names = append(l.arns, arn), append(l.names, name)
		return nil
	case "name":
		_, err := c.post(ctx, "/ListChannels", fmt.Appendf(nil, `{"maxResults":%d,"filterByName":%q}`, l.cfg.Page, name))
		return err
	}
	page, err := pageOf(op, l.cfg.Page)
	if err != nil {
		return err
	}
	if page == 0 { // get:N
		_, err := c.post(ctx, "/GetChannel", fmt.Appendf(nil, `{"arn":%q}`, arn))
		return err
	}
	_, err = c.post(ctx, "/ListChannels", list(page, token))
	return err
}
