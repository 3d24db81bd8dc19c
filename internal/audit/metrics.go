package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records  *prometheus.CounterVec
	lost     prometheus.Counter
	failures prometheus.Counter
}

// newMetrics registers with reg, never the default registry: two servers fit in one test.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		records: f.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_audit_records_total", Help: "Records written to the audit log, by series: calls, or unsigned ones.",
		}, []string{"series"}),
		lost: f.NewCounter(prometheus.CounterOpts{Name: "sluice_audit_records_lost_total", Help: "API calls of which the audit log has no record."}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "sluice_audit_write_failures_total", Help: "Times that the audit log could not be written or synced.",
		}),
	}
}
