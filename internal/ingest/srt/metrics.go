package srt

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	wire "github.com/sluice-live/sluice/internal/srt"
)

// Outcomes of a wish to publish, beside the kinds of error of package live.
const (
	outcomeAccepted = "accepted"
	outcomeError    = "error" // an error of no kind: our fault
)

// Ends of a publication. The set is closed.
const (
	endUnpublished = "unpublished" // the encoder said goodbye
	endIdle        = "idle"        // no media for Config.Idle: also when the encoder is just gone
	endStopped     = "stopped"     // the session's Done
	endShutdown    = "shutdown"    // the server's
	endRefused     = "refused"     // media that we or the session do not take
	endError       = "error"       // our fault
)

// What is dropped of media, by why. The set is closed.
const (
	dropNoConfig  = "no_config"  // pictures before their parameter sets
	dropNoPicture = "no_picture" // SEI or parameter sets alone
	dropNoTime    = "no_time"    // PES packets without a timestamp
	dropMalformed = "malformed"  // audio frames that do not add up
	dropDamaged   = "damaged"    // PES packets and tables of which something is missing
	dropTooLarge  = "too_large"  // PES packets beyond their bound
)

type metrics struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec // by wire.Reason
	publishes   *prometheus.CounterVec // by outcome
	ended       *prometheus.CounterVec // by reason
	dropped     *prometheus.CounterVec // by reason
	packets     prometheus.Counter
	bytes       prometheus.Counter
	lost        prometheus.Counter
	repaired    prometheus.Counter
	useless     prometheus.Counter
	undecrypted prometheus.Counter
}

// newMetrics registers with reg, never the default registry.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value) // so that a rate can be taken before the first one
		}
		return v
	}
	var reasons []string
	for _, r := range wire.Reasons() {
		reasons = append(reasons, r.String())
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{Name: "sluice_srt_connections", Help: "Open SRT connections, and callers that are being decided about."}),
		refused:     vec("sluice_srt_refused_total", "Callers that were refused, by the reason they were told.", "reason", reasons...),
		publishes:   vec("sluice_srt_publishes_total", "Wishes to publish, by outcome.", "outcome", outcomeAccepted, outcomeError),
		ended: vec("sluice_srt_publications_ended_total", "Accepted publications that ended, by reason.", "reason",
			endUnpublished, endIdle, endStopped, endShutdown, endRefused, endError),
		dropped: vec("sluice_srt_dropped_total", "Pieces of media that were of no use, by reason.", "reason",
			dropNoConfig, dropNoPicture, dropNoTime, dropMalformed, dropDamaged, dropTooLarge),
		packets:     counter("sluice_srt_received_packets_total", "Data packets of publications, each counted once."),
		bytes:       counter("sluice_srt_received_bytes_total", "Payload bytes of those packets."),
		lost:        counter("sluice_srt_lost_packets_total", "Data packets that were still missing when their time came."),
		repaired:    counter("sluice_srt_retransmitted_packets_total", "Data packets that came as a retransmission."),
		useless:     counter("sluice_srt_useless_packets_total", "Data packets that came too late, twice or beyond the window."),
		undecrypted: counter("sluice_srt_undecryptable_packets_total", "Data packets in the clear on an encrypted connection, or under an unknown key."),
	}
}
