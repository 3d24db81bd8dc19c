package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	started prometheus.Counter
	ended   prometheus.Counter
}

// newMetrics registers with reg, never the default registry: two servers fit in one test.
func newMetrics(reg prometheus.Registerer, s *Streams) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_streams", Help: "Streams that this node owns, live or starting."}, func() float64 {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return float64(len(s.channel))
	})
	return &metrics{
		started: f.NewCounter(prometheus.CounterOpts{Name: "sluice_streams_started_total", Help: "Streams that went live."}),
		ended:   f.NewCounter(prometheus.CounterOpts{Name: "sluice_streams_ended_total", Help: "Sessions that ended, live or not."}),
	}
}
