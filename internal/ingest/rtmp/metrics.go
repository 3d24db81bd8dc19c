package rtmp

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/ingest"
	wire "github.com/sluice-live/sluice/internal/rtmp"
)

// Outcomes of a wish to publish, beside the kinds of error of package live.
const (
	outcomeAccepted = "accepted"
	outcomeError    = "error" // an error of no kind: our fault
)

// Ends of a publication. The set is closed.
const (
	endUnpublished  = "unpublished"  // the encoder said goodbye
	endDisconnected = "disconnected" // the connection just ended
	endIdle         = "idle"         // no data for Config.Idle
	endStopped      = "stopped"      // the session's Done
	endShutdown     = "shutdown"     // the server's
	endProtocol     = "protocol"     // the encoder broke the protocol
	endRefused      = "refused"      // media that we or the session do not take
)

// Messages that are dropped, by why. The set is closed.
const (
	dropNoConfig   = "no_config"  // before the sequence header
	dropMalformed  = "malformed"  // NAL lengths or metadata that do not add up
	dropNoPicture  = "no_picture" // SEI or parameter sets alone
	dropEmpty      = "empty"
	dropExtraAudio = "extra_audio" // of an audio track beside the first
	dropText       = "text"        // timed metadata that is no text, or too much of it
	dropCaptions   = "captions"    // that are none, or too many, or before the video
)

type metrics struct {
	connections prometheus.Gauge
	rejected    prometheus.Counter
	publishes   *prometheus.CounterVec // by outcome
	ended       *prometheus.CounterVec // by reason
	breaches    *prometheus.CounterVec // by wire.Reason
	dropped     *prometheus.CounterVec // by reason
	messages    prometheus.Counter
	bytes       prometheus.Counter
}

// newMetrics registers with reg, never the default registry: servers of both protocols
// share one, told apart by a label.
func newMetrics(reg prometheus.Registerer, p ingest.Protocol) *metrics {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"protocol": strings.ToLower(string(p))}, reg)
	}
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
		reasons = append(reasons, string(r))
	}
	return &metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{Name: "sluice_rtmp_connections", Help: "Open RTMP connections, publishing or not."}),
		rejected:    f.NewCounter(prometheus.CounterOpts{Name: "sluice_rtmp_connections_rejected_total", Help: "Connections closed at accept because of a limit."}),
		publishes:   vec("sluice_rtmp_publishes_total", "Wishes to publish, by outcome.", "outcome", outcomeAccepted, outcomeError),
		ended: vec("sluice_rtmp_publications_ended_total", "Accepted publications that ended, by reason.", "reason",
			endUnpublished, endDisconnected, endIdle, endStopped, endShutdown, endProtocol, endRefused),
		breaches: vec("sluice_rtmp_protocol_errors_total", "Connections closed for a breach of the protocol, by reason.", "reason", reasons...),
		dropped: vec("sluice_rtmp_dropped_messages_total", "Audio, video and data messages that were of no use, by reason.", "reason",
			dropNoConfig, dropMalformed, dropNoPicture, dropEmpty, dropExtraAudio, dropText, dropCaptions),
		messages: f.NewCounter(prometheus.CounterOpts{Name: "sluice_rtmp_received_messages_total", Help: "Audio, video and data messages of publications."}),
		bytes:    f.NewCounter(prometheus.CounterOpts{Name: "sluice_rtmp_received_bytes_total", Help: "Payload bytes of those messages."}),
	}
}
