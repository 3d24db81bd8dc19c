package edge

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	hits, joined, misses, stale prometheus.Counter // of what was asked here
	fetched, missing, failed    prometheus.Counter // of what was asked of owners
	bytes                       prometheus.Counter
}

// newMetrics registers with reg. Counters are taken out of their vectors once: looking a
// label up costs more than counting.
func newMetrics(reg prometheus.Registerer, e *Edge) *metrics {
	f := promauto.With(reg)
	requests := f.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_edge_requests_total",
		Help: "What was asked of streams of other nodes: hit was in memory, joined waited for what was fetched already, miss was fetched, stale was too old but the origin did not answer.",
	}, []string{"result"})
	fetches := f.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_edge_fetches_total", Help: "Requests to origins that have ended: ok, missing (they do not have it) or failed.",
	}, []string{"result"})
	gauge := func(name, help string, value func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("sluice_edge_cache_bytes", "Bytes of other nodes' media and playlists in memory.", func() float64 { return float64(e.cache.bytes()) })
	gauge("sluice_edge_streams", "Streams of other nodes that are served here, or were a moment ago.", func() float64 { return float64(e.count()) })
	gauge("sluice_edge_fetching", "Requests to origins under way, parked ones included.", func() float64 { return float64(e.fetching.Load()) })
	return &metrics{
		hits: requests.WithLabelValues("hit"), joined: requests.WithLabelValues("joined"),
		misses: requests.WithLabelValues("miss"), stale: requests.WithLabelValues("stale"),
		fetched: fetches.WithLabelValues("ok"), missing: fetches.WithLabelValues("missing"), failed: fetches.WithLabelValues("failed"),
		bytes: f.NewCounter(prometheus.CounterOpts{Name: "sluice_edge_fetched_bytes_total", Help: "Bytes fetched from origins, headers not counted."}),
	}
}
