package series

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// archive is what a recorder needs of package store.
type archive interface {
	PutMetricBlocks(ctx context.Context, blocks []store.MetricBlock) error
	MetricBlocks(ctx context.Context, account, region, channel string, from, to time.Time) ([]store.MetricBlock, error)
	OldMetricBlocks(ctx context.Context, resolution time.Duration, before time.Time, limit int) ([]store.MetricBlock, error)
	MergeMetricBlocks(ctx context.Context, into store.MetricBlock, length time.Duration, merge func([]store.MetricBlock) (store.MetricBlock, error)) error
	ForgetMetricBlocks(ctx context.Context, before time.Time) (int64, error)
}

// Bounds of what a node remembers.
const (
	maxScopes = 20000 // channels, and accounts in regions
	maxBehind = 6     // hours of a scope that could not be written; the oldest go
)

// A Recorder takes the samples of a node. It is safe for concurrent use.
type Recorder struct {
	log     *slog.Logger
	store   archive
	writer  string // of the blocks of this process
	now     func() time.Time
	defs    map[Metric]definition
	dropped prometheus.Counter

	mu     sync.RWMutex // guards scopes
	scopes map[Scope]*scope
}

// New returns a recorder that has nothing yet. node names this node in the store, reg
// may be nil.
func New(log *slog.Logger, st archive, reg prometheus.Registerer, node string, now func() time.Time) *Recorder {
	f := promauto.With(reg)
	r := &Recorder{
		log: log, store: st, now: now, scopes: map[Scope]*scope{}, defs: map[Metric]definition{},
		// A process has blocks of its own, which it writes as a whole: nothing is added to
		// what may have been written already.
		writer:  node + "/" + live.NewID(8),
		dropped: f.NewCounter(prometheus.CounterOpts{Name: "sluice_series_dropped_samples_total", Help: "Samples of metrics for which there was no room."}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_series_scopes", Help: "Channels and accounts whose metrics this node has in memory."}, func() float64 {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return float64(len(r.scopes))
	})
	for _, d := range definitions() {
		r.defs[d.metric] = d
	}
	return r
}

// A scope is what this node has of one Scope.
type scope struct {
	mu    sync.Mutex // guards the fields below
	fine  map[name]*fine
	hours []*hour // oldest first: those that are not over, and those not written
	seen  int64   // hour of the newest sample
	gone  bool    // no scope of the recorder any more
}

// An hour has the minutes of one hour.
type hour struct {
	number  int64 // since 1970
	minutes map[name][]point
	changed bool // since it was written
}

// Add takes samples that were measured at the time at. Those of a channel also count
// for all channels, where the metric has a series for that.
func (r *Recorder) Add(of Scope, at time.Time, samples ...Sample) {
	r.add(of, at, samples, func(definition) bool { return true })
	if of.Channel == "" {
		return
	}
	if slices.ContainsFunc(samples, func(s Sample) bool { return s.Label == "" && r.defs[s.Metric].pooled }) {
		of.Channel = ""
		r.add(of, at, samples, func(d definition) bool { return d.pooled })
	}
}

func (r *Recorder) add(of Scope, at time.Time, samples []Sample, want func(definition) bool) {
	for {
		s := r.scope(of)
		if s == nil {
			r.dropped.Add(float64(len(samples)))
			return
		}
		lost, ok := s.add(of, at, samples, r.defs, want)
		if ok {
			r.dropped.Add(float64(lost))
			return
		}
	}
}

// add returns how many samples found no room; ok is false when s is gone.
func (s *scope) add(of Scope, at time.Time, samples []Sample, defs map[Metric]definition, want func(definition) bool) (lost int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return 0, false
	}
	for _, x := range samples {
		d, known := defs[x.Metric]
		switch {
		case !known || len(x.Label) > maxName:
			lost++
		case !want(d) || of.Channel == "" && d.pooled && x.Label != "":
		case !s.put(name{x.Metric, x.Label}, d.fine, at.Unix(), single(x.Value, d.scale)):
			lost++
		}
	}
	return lost, true
}

// scope returns that of a Scope, and makes it if there is none; nil if there are too many.
func (r *Recorder) scope(of Scope) *scope {
	r.mu.RLock()
	s := r.scopes[of]
	r.mu.RUnlock()
	if s != nil {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s = r.scopes[of]; s == nil && len(r.scopes) < maxScopes {
		s = &scope{fine: map[name]*fine{}}
		r.scopes[of] = s
	}
	return s
}

// put merges a bucket into the series n. It reports whether there was room.
func (s *scope) put(n name, isFine bool, second int64, b bucket) bool {
	h := s.hour(second / 3600)
	if h == nil {
		return false
	}
	points, known := h.minutes[n]
	if !known && len(h.minutes) >= maxNames {
		return false
	}
	h.minutes[n], h.changed = put(points, int(second/60%60), b), true
	if !isFine {
		return true
	}
	f := s.fine[n]
	if f == nil {
		if len(s.fine) >= maxNames {
			return false
		}
		f = &fine{}
		s.fine[n] = f
	}
	var twin *fine
	if n.label != "" { // a channel with one track has all its numbers twice
		twin = s.fine[name{n.metric, ""}]
	}
	f.add(second, b, twin)
	return true
}

// hour returns the block of an hour, nil when that is too long ago.
func (s *scope) hour(number int64) *hour {
	for _, h := range slices.Backward(s.hours) {
		if h.number == number {
			return h
		}
	}
	if number < s.seen {
		return nil // it is written, and done with
	}
	s.seen = number
	h := &hour{number: number, minutes: map[name][]point{}}
	s.hours = append(s.hours, h)
	return h
}

// sorted is the series of an hour in an order that does not change.
func (h *hour) sorted() []name {
	names := make([]name, 0, len(h.minutes))
	for n := range h.minutes {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b name) int {
		return cmp.Or(strings.Compare(string(a.metric), string(b.metric)), strings.Compare(a.label, b.label))
	})
	return names
}

// copyOf is the scopes there are now.
func (r *Recorder) copyOf() map[Scope]*scope {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make(map[Scope]*scope, len(r.scopes))
	for k, v := range r.scopes {
		all[k] = v
	}
	return all
}
