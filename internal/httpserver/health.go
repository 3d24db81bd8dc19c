package httpserver

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	checkTimeout = 2 * time.Second        // of all checks together
	checkEvery   = 500 * time.Millisecond // at most; asking more often gets the last answer
)

// Readiness tells load balancers whether to send work here. Parts register checks;
// all must pass between Serving and Draining. The zero value needs a Log.
type Readiness struct {
	Log *slog.Logger

	mu     sync.Mutex
	state  state   // guarded by mu
	checks []check // guarded by mu; only ever appended to

	// running is held while checks run, one run serving all who ask meanwhile. They
	// bound their time, and Serving and Draining do not wait for it.
	running sync.Mutex
	asked   time.Time // when failed was found; guarded by running
	failed  []string  // names of the checks that failed then; guarded by running
}

type state int

const (
	starting state = iota
	serving
	draining
)

type check struct {
	name string
	fn   func(context.Context) error
}

// Register adds a check; name is shown to whoever asks, its error only to the log.
func (r *Readiness) Register(name string, fn func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks = append(r.checks, check{name, fn})
}

// Serving says that everything has started.
func (r *Readiness) Serving() { r.set(serving) }

// Draining says that the end has begun; there is no way back.
func (r *Readiness) Draining() { r.set(draining) }

func (r *Readiness) set(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = max(r.state, s)
}

// status is the body of /readyz.
type status struct {
	Status  string   `json:"status"` // ready, starting, draining or failing
	Failing []string `json:"failing,omitempty"`
}

// Check runs the checks, or takes the answer of at most half a second ago.
func (r *Readiness) Check(ctx context.Context) (ready bool, failing []string) {
	s := r.check(ctx)
	return s.Status == "ready", s.Failing
}

func (r *Readiness) check(ctx context.Context) status {
	r.mu.Lock()
	st, checks := r.state, r.checks
	r.mu.Unlock()
	switch st {
	case starting:
		return status{Status: "starting"}
	case draining:
		return status{Status: "draining"}
	}
	r.running.Lock()
	defer r.running.Unlock()
	if r.asked.IsZero() || time.Since(r.asked) >= checkEvery {
		r.failed = r.run(ctx, checks, r.failed)
		r.asked = time.Now()
	}
	if len(r.failed) > 0 {
		return status{"failing", slices.Clone(r.failed)}
	}
	return status{Status: "ready"}
}

// run returns the names of failing checks. A check that newly fails, or passes again,
// is logged.
func (r *Readiness) run(ctx context.Context, checks []check, was []string) (failed []string) {
	// Whoever asks may hang up; the answer serves others, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.fn(ctx) })
	}
	wg.Wait()
	for i, c := range checks {
		before := slices.Contains(was, c.name)
		switch {
		case errs[i] != nil:
			failed = append(failed, c.name)
			if !before {
				r.Log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", c.name), slog.Any("err", errs[i]))
			}
		case before:
			r.Log.LogAttrs(ctx, slog.LevelInfo, "ready again", slog.String("check", c.name))
		}
	}
	return failed
}

// Handle adds GET /healthz (the process is alive), /readyz (it takes work) and
// /metrics (from g, in Prometheus's formats) to mux.
func Handle(mux *http.ServeMux, r *Readiness, g prometheus.Gatherer) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, status{Status: "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		s, code := r.check(req.Context()), http.StatusOK
		if s.Status != "ready" {
			code = http.StatusServiceUnavailable
		}
		answer(w, code, s)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, // gathering is not free, and the port is public
		Timeout:             10 * time.Second,
	}))
}

func answer(w http.ResponseWriter, code int, s status) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s) // the client is gone, or has it
}
