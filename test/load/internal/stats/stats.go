// Package stats holds a duration histogram for the inner loop of a load generator:
// buckets about 1.6 % wide from a microsecond to hours, no allocation, mergeable.
package stats

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	subBits = 6            // 64 buckets for each power of two
	sub     = 1 << subBits // and the first 64 µs exactly
)

// Hist is a log-linear histogram of microseconds. The zero value is ready. It is not
// safe for concurrent use: give each goroutine its own and Merge.
type Hist struct {
	bucket [64 * sub]uint32
	n      uint64
	sumUS  float64
	minUS  int64
	maxUS  int64
}

func index(us int64) int {
	if us < sub {
		return int(us)
	}
	e := bits.Len64(uint64(us)) - subBits - 1
	return (e+1)*sub + int(us>>e) - sub
}

// middle is the centre of bucket i in microseconds.
func middle(i int) float64 {
	if i < sub {
		return float64(i)
	}
	e := i/sub - 1
	low := int64(i%sub+sub) << e
	return float64(low) + float64(int64(1)<<e)/2
}

// Add records d; a negative duration counts as zero.
func (h *Hist) Add(d time.Duration) {
	us := max(0, d.Microseconds())
	h.bucket[index(us)]++
	if h.n == 0 || us < h.minUS {
		h.minUS = us
	}
	h.maxUS = max(h.maxUS, us)
	h.n++
	h.sumUS += float64(us)
}

// Merge adds the samples of o.
func (h *Hist) Merge(o *Hist) {
	if o.n == 0 {
		return
	}
	for i, c := range o.bucket {
		h.bucket[i] += c
	}
	if h.n == 0 || o.minUS < h.minUS {
		h.minUS = o.minUS
	}
	h.maxUS = max(h.maxUS, o.maxUS)
	h.n += o.n
	h.sumUS += o.sumUS
}

// N is the number of samples.
func (h *Hist) N() uint64 { return h.n }

// quantileMS returns the q-quantile in milliseconds; h must not be empty.
func (h *Hist) quantileMS(q float64) float64 {
	want := max(1, uint64(math.Ceil(q*float64(h.n))))
	var c uint64
	for i, n := range h.bucket {
		if c += uint64(n); c >= want {
			return min(middle(i), float64(h.maxUS)) / 1000
		}
	}
	return float64(h.maxUS) / 1000
}

// Summary is a histogram as the tools print it, in milliseconds.
type Summary struct {
	N    uint64  `json:"n"`
	Mean float64 `json:"mean_ms"`
	Min  float64 `json:"min_ms"`
	P50  float64 `json:"p50_ms"`
	P95  float64 `json:"p95_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
}

// Summary reduces the histogram; all zero when it is empty.
func (h *Hist) Summary() Summary {
	if h.n == 0 {
		return Summary{}
	}
	return Summary{
		N:    h.n,
		Mean: Round(h.sumUS/float64(h.n)/1000, 3),
		Min:  Round(float64(h.minUS)/1000, 3),
		P50:  Round(h.quantileMS(.50), 3),
		P95:  Round(h.quantileMS(.95), 3),
		P99:  Round(h.quantileMS(.99), 3),
		Max:  Round(float64(h.maxUS)/1000, 3),
	}
}

// Round rounds x to a number of decimals; what JSON cannot hold (a division by an
// empty window) becomes 0.
func Round(x float64, decimals int) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	p := math.Pow10(decimals)
	return math.Round(x*p) / p
}

// Median of x; 0 when x is empty.
func Median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	y := slices.Sorted(slices.Values(x))
	if n := len(y); n%2 == 0 {
		return (y[n/2-1] + y[n/2]) / 2
	}
	return y[len(y)/2]
}
