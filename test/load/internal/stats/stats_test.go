package stats

import (
	"math"
	"testing"
	"time"
)

func TestQuantilesAreWithinABucket(t *testing.T) {
	var h Hist
	for i := range 10000 {
		h.Add(time.Duration(i+1) * 100 * time.Microsecond) // 0.1 ms .. 1 s
	}
	s := h.Summary()
	for name, v := range map[string]struct{ got, want float64 }{
		"p50": {s.P50, 500}, "p95": {s.P95, 950}, "p99": {s.P99, 990}, "mean": {s.Mean, 500.05},
	} {
		if math.Abs(v.got-v.want)/v.want > 0.016 {
			t.Errorf("%s = %v ms, want %v within 1.6 %%", name, v.got, v.want)
		}
	}
	if s.N != 10000 || s.Min != 0.1 || s.Max != 1000 {
		t.Errorf("n, min, max = %d, %v, %v", s.N, s.Min, s.Max)
	}
}

func TestMergeEqualsAddingAll(t *testing.T) {
	var a, b, all Hist
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.Add(d)
		if i%3 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	var m Hist
	m.Merge(&a)
	m.Merge(&Hist{})
	m.Merge(&b)
	if m.Summary() != all.Summary() {
		t.Errorf("merged %+v, want %+v", m.Summary(), all.Summary())
	}
}

func TestExtremesFit(t *testing.T) {
	var h Hist
	h.Add(-time.Second)
	h.Add(math.MaxInt64)
	if s := h.Summary(); s.N != 2 || s.Min != 0 {
		t.Errorf("summary %+v", s)
	}
}

func TestMedian(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []float64
		want float64
	}{
		"none": {nil, 0},
		"odd":  {[]float64{3, 1, 2}, 2},
		"even": {[]float64{4, 1, 2, 3}, 2.5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Median(tt.in); got != tt.want {
				t.Errorf("Median(%v) = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}

func TestRoundHoldsWhatJSONCannot(t *testing.T) {
	if Round(math.NaN(), 2) != 0 || Round(math.Inf(1), 2) != 0 || Round(1.2345, 2) != 1.23 {
		t.Error("Round does not keep numbers printable")
	}
}

func BenchmarkAdd(b *testing.B) {
	var h Hist
	for b.Loop() {
		h.Add(12345 * time.Microsecond)
	}
}
