package series

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// A Query asks for one series.
type Query struct {
	Scope
	Metric Metric
	Label  string
	// Period is how long a point is: 1, 5, 10 or 30 seconds, or minutes. Periods under a
	// minute are for the metrics that are kept by the second.
	Period     time.Duration
	Start, End time.Time // points that begin from Start, rounded down to Period, up to End
}

// A Point is a period that has samples.
type Point struct {
	Time time.Time // when the period begins
	Stat
}

// maxPoints is how many points one query may span, as in CloudWatch.
const maxPoints = 100_800

// valid returns an error of kind Invalid about a query that nobody can answer.
func (q Query) valid() error {
	d, ok := define(q.Metric)
	switch {
	case !ok:
		return live.Errorf(live.Invalid, "there is no metric %q", q.Metric)
	case q.Period <= 0, q.Period%time.Minute != 0 && !slices.Contains([]time.Duration{1, 5, 10, 30}, q.Period/time.Second), q.Period%time.Second != 0, q.Period > day:
		return live.Errorf(live.Invalid, "a period of %v is not 1, 5, 10 or 30 seconds or a number of minutes up to a day", q.Period)
	case q.Period < time.Minute && !d.fine:
		return live.Errorf(live.Invalid, "%s is kept by the minute", q.Metric)
	case !q.Start.Before(q.End):
		return live.Errorf(live.Invalid, "the start is not before the end")
	case q.End.Sub(q.Start) > maxPoints*q.Period:
		return live.Errorf(live.Invalid, "more than %d points", maxPoints)
	}
	return nil
}

// Query returns the periods of a series that have samples, in order. What is kept only
// at a coarser resolution than the period has none.
func (r *Recorder) Query(ctx context.Context, q Query) ([]Point, error) {
	if err := q.valid(); err != nil {
		return nil, err
	}
	d := r.defs[q.Metric]
	q.Start = q.Start.UTC().Truncate(q.Period)
	g := &gather{query: q, sums: map[int64]bucket{}}
	if q.Period < time.Minute {
		if err := r.seconds(q, g); err != nil {
			return nil, err
		}
		return g.points(d.scale), nil
	}
	written, err := r.inMemory(q.Scope, g)
	if err == nil {
		err = r.inStore(ctx, q.Scope, written, g)
	}
	if err != nil {
		return nil, err
	}
	return g.points(d.scale), nil
}

// A gather sums the buckets of one series by period.
type gather struct {
	query Query
	sums  map[int64]bucket // by the start of the period, in seconds since 1970
}

// take takes a bucket of that length if the query asks for it.
func (g *gather) take(n name, at time.Time, length time.Duration, b bucket) {
	q := &g.query
	if n.metric != q.Metric || n.label != q.Label || length > q.Period || at.Before(q.Start) || !at.Before(q.End) {
		return
	}
	start := at.Truncate(q.Period).Unix()
	sum := g.sums[start]
	sum.merge(b)
	g.sums[start] = sum
}

func (g *gather) points(scale float64) []Point {
	all := make([]Point, 0, len(g.sums))
	for start, b := range g.sums {
		all = append(all, Point{time.Unix(start, 0).UTC(), b.stat(scale)})
	}
	slices.SortFunc(all, func(a, b Point) int { return a.Time.Compare(b.Time) })
	return all
}

// find returns what this node has of a Scope, nil for nothing.
func (r *Recorder) find(of Scope) *scope {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.scopes[of]
}

// seconds gathers a fine series.
func (r *Recorder) seconds(q Query, g *gather) error {
	s := r.find(q.Scope)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := name{q.Metric, q.Label}
	f := s.fine[n]
	if f == nil {
		return nil
	}
	oldest := r.now().Add(-keepFine).Unix()
	return f.each(max(q.Start.Unix(), oldest), q.End.Unix()+1, func(second int64, b bucket) {
		g.take(n, time.Unix(second, 0), time.Second, b)
	})
}

// inMemory gathers the hours that this node has, and returns their numbers.
func (r *Recorder) inMemory(of Scope, g *gather) (have map[int64]bool, err error) {
	s := r.find(of)
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have = map[int64]bool{}
	n := name{g.query.Metric, g.query.Label}
	for _, h := range s.hours {
		have[h.number] = true
		for _, p := range h.minutes[n] {
			g.take(n, time.Unix(h.number*3600+int64(p.n)*60, 0), byMinute, p.bucket)
		}
	}
	return have, nil
}

// inStore gathers what is in the store, except what this process has itself.
func (r *Recorder) inStore(ctx context.Context, of Scope, have map[int64]bool, g *gather) error {
	// A block of a day may begin that much before.
	all, err := r.store.MetricBlocks(ctx, of.Account, of.Region, of.Channel, g.query.Start.Truncate(day), g.query.End)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.Writer == r.writer && have[b.Start.Unix()/3600] {
			continue
		}
		if err := r.read(b, func(n name, at time.Time, x bucket) { g.take(n, at, b.Resolution, x) }); err != nil {
			return err
		}
	}
	return nil
}

// A Series names one that there is.
type Series struct {
	Metric Metric
	Label  string
}

// List returns the series of a scope that have samples from since on.
func (r *Recorder) List(ctx context.Context, of Scope, since time.Time) ([]Series, error) {
	found := map[Series]bool{}
	if s := r.find(of); s != nil {
		s.mu.Lock()
		for _, h := range s.hours {
			for n := range h.minutes {
				found[Series{n.metric, n.label}] = true
			}
		}
		s.mu.Unlock()
	}
	all, err := r.store.MetricBlocks(ctx, of.Account, of.Region, of.Channel, since.UTC().Truncate(day), r.now())
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		err := r.read(b, func(n name, at time.Time, _ bucket) {
			if !at.Before(since) {
				found[Series{n.metric, n.label}] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]Series, 0, len(found))
	for n := range found {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Series) int {
		return cmp.Or(strings.Compare(string(a.Metric), string(b.Metric)), strings.Compare(a.Label, b.Label))
	})
	return list, nil
}

var _ archive = (*store.Store)(nil)
