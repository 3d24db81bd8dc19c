package series

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	lobby = Scope{"123456789012", "us-west-2", "Kq3ZtB7xWm2P"}
	all   = Scope{"123456789012", "us-west-2", ""}
	t0    = time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)
)

// A bench is a recorder with a real database and a clock that stands.
type bench struct {
	*Recorder
	store *store.Store
	clock time.Time
}

func newBench(t testing.TB) *bench {
	b := &bench{store: storetest.SQLite(t), clock: t0}
	b.Recorder = b.another(b.store)
	return b
}

// another is one more process on the same database.
func (b *bench) another(st archive) *Recorder {
	return New(quiet, st, prometheus.NewRegistry(), "a", func() time.Time { return b.clock })
}

func query(t testing.TB, r *Recorder, of Scope, s Series, period time.Duration, from, to time.Time) []Point {
	t.Helper()
	got, err := r.Query(t.Context(), Query{Scope: of, Metric: s.Metric, Label: s.Label, Period: period, Start: from, End: to})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A taken sample, and a model that is slow and plain.
type taken struct {
	at    time.Time
	value float64
}

func model(samples []taken, period time.Duration, from, to time.Time) []Point {
	by := map[time.Time]Stat{}
	for _, s := range samples {
		if start := s.at.Truncate(period); !start.Before(from.Truncate(period)) && s.at.Before(to) {
			x, ok := by[start]
			if !ok {
				x = Stat{Min: s.value, Max: s.value}
			}
			x.Count, x.Sum, x.Min, x.Max = x.Count+1, x.Sum+s.value, min(x.Min, s.value), max(x.Max, s.value)
			by[start] = x
		}
	}
	points := []Point{}
	for at, x := range by {
		points = append(points, Point{at, x})
	}
	slices.SortFunc(points, func(a, b Point) int { return a.Time.Compare(b.Time) })
	return points
}

// Every statistic of every period is exact: from memory, from the store, and after a
// restart in the middle.
func TestStatisticsAreExact(t *testing.T) {
	b := newBench(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var bits, intervals, pooled []taken
	old := b.Recorder
	for s := range 5 * 3600 / 2 { // five hours, every other second
		b.clock = t0.Add(time.Duration(s) * 2 * time.Second)
		if s == 3000 {
			must(t, b.write(t.Context()))
			b.Recorder = b.another(b.store)
		}
		if s%100 == 99 {
			must(t, b.write(t.Context()))
		}
		v, k := float64(rnd.IntN(1_000_000)*8), float64(rnd.IntN(5000))/1000
		b.Add(lobby, b.clock, Sample{IngestBitrate, "", v}, Sample{KeyframeInterval, "Track0", k})
		b.Add(Scope{lobby.Account, lobby.Region, "other"}, b.clock, Sample{IngestBitrate, "", 1000})
		bits, intervals = append(bits, taken{b.clock, v}), append(intervals, taken{b.clock, k})
		pooled = append(pooled, taken{b.clock, v}, taken{b.clock, 1000})
	}
	end := b.clock.Add(time.Second)
	near := cmp.Comparer(func(a, b float64) bool { return max(a-b, b-a) < 1e-6 })
	for _, period := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, time.Hour, day} {
		for _, tt := range []struct {
			of   Scope
			name Series
			want []taken
		}{
			{lobby, Series{IngestBitrate, ""}, bits},
			{lobby, Series{KeyframeInterval, "Track0"}, intervals},
			{all, Series{IngestBitrate, ""}, pooled},
			{lobby, Series{IngestBitrate, "Track0"}, nil},
			{Scope{lobby.Account, "eu-west-1", lobby.Channel}, Series{IngestBitrate, ""}, nil},
		} {
			from := t0.Add(7 * time.Minute)
			if period < time.Minute {
				from = end.Add(-2 * time.Hour) // in the memory of the second process
			}
			got := query(t, b.Recorder, tt.of, tt.name, period, from, end)
			if d := cmp.Diff(model(tt.want, period, from, end), got, near); d != "" {
				t.Errorf("%s %s by %v: -want +got:\n%s", tt.name.Metric, tt.name.Label, period, d[:min(len(d), 2000)])
			}
		}
	}
	if got := query(t, old, lobby, Series{IngestBitrate, ""}, time.Minute, t0, t0.Add(time.Minute)); len(got) != 1 || got[0].Count != 30 {
		t.Errorf("the first process reads the first minute as %+v", got)
	}
}

func TestSecondsAreKeptForThreeHours(t *testing.T) {
	b := newBench(t)
	for s := range 4 * 3600 {
		b.clock = t0.Add(time.Duration(s) * time.Second)
		b.Add(lobby, b.clock, Sample{IngestFramerate, "", 30})
		if s%600 == 0 {
			must(t, b.write(t.Context()))
		}
	}
	got := query(t, b.Recorder, lobby, Series{IngestFramerate, ""}, time.Second, t0, b.clock.Add(time.Second))
	if len(got) != 3*3600+1 || !got[0].Time.Equal(b.clock.Add(-keepFine)) {
		t.Errorf("%d points from %v", len(got), got[0].Time)
	}
	b.clock = b.clock.Add(keepFine + time.Hour)
	must(t, b.write(t.Context()))
	if s := b.find(lobby); s != nil {
		t.Errorf("a channel that is quiet for four hours takes memory: %+v", s)
	}
}

// What is old is coarser, and in the end gone; sums stay as they were.
func TestNumbersAge(t *testing.T) {
	b := newBench(t)
	count := func(period time.Duration) (n int64) {
		for _, p := range query(t, b.Recorder, lobby, Series{LiveInputTime, ""}, period, t0.Add(-day), t0.Add(2*day)) {
			n += p.Count
		}
		return n
	}
	for range 3 { // three processes on one day
		for m := range 30 * 60 { // 30 hours
			b.clock = t0.Add(time.Duration(m) * time.Minute)
			b.Add(lobby, b.clock, Sample{LiveInputTime, "", 60})
		}
		must(t, b.write(t.Context()))
		b.Recorder = b.another(b.store)
	}
	const n = 3 * 30 * 60
	blocks := func() int {
		got, err := b.store.MetricBlocks(t.Context(), lobby.Account, lobby.Region, lobby.Channel, t0.Add(-day), t0.Add(2*day))
		must(t, err)
		return len(got)
	}
	if got := blocks(); got != 3*31 {
		t.Errorf("%d blocks, want one an hour and process", got)
	}
	for _, tt := range []struct {
		age                time.Duration
		minute, five, hour int64
		blocks             int
	}{
		{keepByMinute - day, n, n, n, 93},
		{keepByMinute + 3*day, 0, n, n, 2},
		{keepByFive + 3*day, 0, 0, n, 2},
		{keepByHour + 3*day, 0, 0, 0, 0},
	} {
		b.clock = t0.Add(tt.age)
		for range 2 { // the second time there is nothing to do
			must(t, b.compact(t.Context()))
		}
		if m, f, h, k := count(time.Minute), count(5*time.Minute), count(time.Hour), blocks(); m != tt.minute || f != tt.five || h != tt.hour || k != tt.blocks {
			t.Errorf("after %v: %d samples by the minute, %d by five, %d by the hour in %d blocks, want %+v", tt.age, m, f, h, k, tt)
		}
		if tt.hour > 0 {
			if p := query(t, b.Recorder, lobby, Series{LiveInputTime, ""}, day, t0.Truncate(day), t0.Truncate(day).Add(day)); len(p) != 1 || p[0].Sum != float64(p[0].Count)*60 {
				t.Errorf("after %v the first day is %+v", tt.age, p)
			}
		}
	}
}

// A late block of a day that was made coarser joins it.
func TestLateBlock(t *testing.T) {
	b := newBench(t)
	late := b.another(b.store)
	for _, r := range []*Recorder{b.Recorder, late} {
		r.Add(lobby, t0, Sample{LiveInputTime, "", 1})
	}
	must(t, b.write(t.Context()))
	b.clock = t0.Add(keepByFive + 2*day)
	must(t, b.compact(t.Context()))
	must(t, late.write(t.Context()))
	must(t, b.compact(t.Context()))
	got := query(t, b.another(b.store), lobby, Series{LiveInputTime, ""}, time.Hour, t0, t0.Add(time.Hour))
	if len(got) != 1 || got[0].Count != 2 {
		t.Errorf("%+v", got)
	}
}

// A broken archive fails until it is told not to.
type broken struct {
	*store.Store
	down atomic.Bool
}

var errDown = errors.New("down")

func (b *broken) PutMetricBlocks(ctx context.Context, blocks []store.MetricBlock) error {
	if b.down.Load() {
		return errDown
	}
	return b.Store.PutMetricBlocks(ctx, blocks)
}

func TestStoreThatIsAway(t *testing.T) {
	b := newBench(t)
	st := &broken{Store: b.store}
	r := b.another(st)
	st.down.Store(true)
	for h := range 4 {
		b.clock = t0.Add(time.Duration(h) * time.Hour)
		r.Add(lobby, b.clock, Sample{ConcurrentViews, "", 1})
		if err := r.write(t.Context()); !errors.Is(err, errDown) {
			t.Fatalf("write = %v", err)
		}
	}
	st.down.Store(false)
	must(t, r.write(t.Context()))
	if got := query(t, b.another(b.store), lobby, Series{ConcurrentViews, ""}, time.Hour, t0, b.clock.Add(time.Hour)); len(got) != 4 {
		t.Errorf("%d hours were written, want 4", len(got))
	}
	st.down.Store(true)
	for h := range 20 {
		b.clock = t0.Add(time.Duration(10+h) * time.Hour)
		r.Add(lobby, b.clock, Sample{ConcurrentViews, "", 1})
		_ = r.write(t.Context())
	}
	if n := len(r.find(lobby).hours); n > maxBehind+1 {
		t.Errorf("%d hours wait, want %d at most", n, maxBehind)
	}
}

func TestRunWritesAtTheEnd(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		b.Add(lobby, t0, Sample{ConcurrentViews, "", 7})
		synctest.Wait()
		cancel()
		must(t, <-done)
	})
	if got := query(t, b.another(b.store), lobby, Series{ConcurrentViews, ""}, time.Minute, t0, t0.Add(time.Minute)); len(got) != 1 || got[0].Max != 7 {
		t.Errorf("%+v", got)
	}
}

func TestBadQueries(t *testing.T) {
	b := newBench(t)
	good := Query{Scope: lobby, Metric: IngestBitrate, Period: time.Second, Start: t0, End: t0.Add(time.Hour)}
	for name, change := range map[string]func(*Query){
		"no such metric":             func(q *Query) { q.Metric = "Nothing" },
		"no period":                  func(q *Query) { q.Period = 0 },
		"a period that is negative":  func(q *Query) { q.Period = -time.Minute },
		"a period of 2 s":            func(q *Query) { q.Period = 2 * time.Second },
		"a period of 90 s":           func(q *Query) { q.Period = 90 * time.Second },
		"a period of two days":       func(q *Query) { q.Period = 2 * day },
		"seconds of what has none":   func(q *Query) { q.Metric = LiveInputTime },
		"an end before the start":    func(q *Query) { q.End = t0.Add(-1) },
		"an end at the start":        func(q *Query) { q.End = t0 },
		"too many points":            func(q *Query) { q.End = t0.Add(100_801 * time.Second) },
		"from the beginning of time": func(q *Query) { q.Start = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			q := good
			change(&q)
			if _, err := b.Query(t.Context(), q); !errors.Is(err, live.Invalid) {
				t.Errorf("Query = %v", err)
			}
		})
	}
	if got, err := b.Query(t.Context(), good); err != nil || len(got) != 0 {
		t.Errorf("Query of nothing = %v, %v", got, err)
	}
}

func TestList(t *testing.T) {
	b := newBench(t)
	b.Add(lobby, t0, Sample{IngestFramerate, "Track0", 1}, Sample{ConcurrentViews, "", 1})
	must(t, b.write(t.Context()))
	r := b.another(b.store)
	r.Add(lobby, t0.Add(time.Hour), Sample{IngestBitrate, "", 1})
	b.clock = t0.Add(time.Hour)
	for since, want := range map[time.Time][]Series{
		t0:                       {{ConcurrentViews, ""}, {IngestBitrate, ""}, {IngestFramerate, "Track0"}},
		t0.Add(30 * time.Minute): {{IngestBitrate, ""}},
	} {
		got, err := r.List(t.Context(), lobby, since)
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("since %v: -want +got:\n%s", since, d)
		}
	}
	got, err := r.List(t.Context(), all, t0)
	if d := cmp.Diff([]Series{{IngestBitrate, ""}}, got); d != "" || err != nil {
		t.Errorf("of all channels: %v, -want +got:\n%s", err, d)
	}
}

func TestBounds(t *testing.T) {
	b := newBench(t)
	for n := range 2 * maxNames {
		b.Add(lobby, t0, Sample{IngestFramerate, "Track" + string(rune('a'+n)), 1}, Sample{"Nothing", "", 1})
	}
	s := b.find(lobby)
	if len(s.fine) != maxNames || len(s.hours[0].minutes) != maxNames {
		t.Errorf("%d and %d series", len(s.fine), len(s.hours[0].minutes))
	}
	must(t, b.write(t.Context()))
	for n := range maxScopes + 10 {
		b.scope(Scope{"a", "b", string(rune(n))})
	}
	if n := len(b.scopes); n != maxScopes {
		t.Errorf("%d scopes", n)
	}
	b.Add(Scope{"a", "b", "one too many"}, t0, Sample{LiveInputTime, "", 1})
}

// What the documentation promises of memory and disk, with numbers as they are in life.
func TestFootprint(t *testing.T) {
	const channels = 10
	b := newBench(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	before := heap()
	for s := range 3*3600 + 60 {
		b.clock = t0.Add(time.Duration(s) * time.Second)
		for c := range channels {
			v, a := float64(2_500_000+rnd.IntN(400_000)*8), float64(160_000+rnd.IntN(100)*8)
			samples := []Sample{
				{IngestVideoBitrate, "", v},
				{IngestVideoBitrate, "Track0", v},
				{IngestAudioBitrate, "", a},
				{IngestAudioBitrate, "Track0", a},
				{IngestBitrate, "", v + a},
				{IngestFramerate, "", 30},
				{IngestFramerate, "Track0", 30},
				{LiveInputTime, "", 1},
				{LiveDeliveredTime, "", float64(rnd.IntN(100))},
				{ConcurrentViews, "", float64(rnd.IntN(100))},
			}
			if s%2 == 0 {
				samples = append(samples, Sample{KeyframeInterval, "", 2}, Sample{KeyframeInterval, "Track0", 2})
			}
			b.Add(Scope{"123456789012", "us-west-2", string(rune('a' + c))}, b.clock, samples...)
		}
		if s%600 == 0 {
			must(t, b.write(t.Context()))
		}
	}
	memory := (heap() - before) / (channels + 1)
	blocks, err := b.store.MetricBlocks(t.Context(), "123456789012", "us-west-2", "a", t0, b.clock)
	must(t, err)
	disk := 24 * len(blocks[1].Body)
	five := len(b.merge(store.MetricBlock{Start: blocks[1].Start, Resolution: byFive}, blocks[1:2]).Body) * 24
	hour := len(b.merge(store.MetricBlock{Start: blocks[1].Start, Resolution: byHour}, blocks[1:2]).Body) * 24
	t.Logf("%d KB of memory a channel; %d KB of disk a day, then %d, then %d", memory>>10, disk>>10, five>>10, hour>>10)
	if memory > 280<<10 || disk > 160<<10 || five > disk/3 || hour > disk/12 {
		t.Errorf("%d KB of memory a channel; %d KB of disk a day, then %d, then %d", memory>>10, disk>>10, five>>10, hour>>10)
	}
	runtime.KeepAlive(b)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkAdd(b *testing.B) {
	x := newBench(b)
	samples := []Sample{
		{IngestVideoBitrate, "", 1},
		{IngestVideoBitrate, "Track0", 1},
		{IngestAudioBitrate, "", 1},
		{IngestAudioBitrate, "Track0", 1},
		{IngestBitrate, "", 2},
		{IngestFramerate, "", 30},
		{IngestFramerate, "Track0", 30},
		{LiveInputTime, "", 1},
	}
	b.ReportAllocs()
	for b.Loop() {
		x.clock = x.clock.Add(time.Second)
		x.Add(lobby, x.clock, samples...)
	}
}
