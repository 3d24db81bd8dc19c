package webrtc

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/live"
)

// Outcomes of an offer, beside the kinds of error of package live.
const (
	outcomeAccepted = "accepted"
	outcomeError    = "error" // an error of no kind: our fault
)

// Ends of a publication. The set is closed.
const (
	endUnpublished  = "unpublished"  // the peer said goodbye
	endDisconnected = "disconnected" // the peer is not there any more
	endUnconnected  = "unconnected"  // the peer never came
	endIdle         = "idle"         // no media for Config.Idle
	endStopped      = "stopped"      // the session's Done
	endShutdown     = "shutdown"     // the server's
	endRefused      = "refused"      // media that we or the session do not take
)

type metrics struct {
	peers   prometheus.Gauge
	offers  *prometheus.CounterVec // by outcome
	ended   *prometheus.CounterVec // by reason
	packets prometheus.Counter
	bytes   prometheus.Counter
	lost    *prometheus.CounterVec // by kind of track
	dropped prometheus.Counter
	asked   prometheus.Counter
	encoder prometheus.Counter
	muted   prometheus.Counter
}

// newMetrics registers with reg, never the default registry.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value) // so that a rate can be taken before the first one
		}
		return v
	}
	outcomes := []string{outcomeAccepted, outcomeError}
	for _, k := range live.Kinds() {
		outcomes = append(outcomes, string(k))
	}
	return &metrics{
		peers:  f.NewGauge(prometheus.GaugeOpts{Name: "sluice_webrtc_peers", Help: "Peers whose offer was accepted and that have not ended."}),
		offers: vec("sluice_webrtc_offers_total", "Offers, by outcome.", "outcome", outcomes...),
		ended: vec("sluice_webrtc_publications_ended_total", "Accepted publications that ended, by reason.", "reason",
			endUnpublished, endDisconnected, endUnconnected, endIdle, endStopped, endShutdown, endRefused),
		packets: counter("sluice_webrtc_received_packets_total", "RTP packets of publications."),
		bytes:   counter("sluice_webrtc_received_bytes_total", "Payload bytes of those packets."),
		lost:    vec("sluice_webrtc_lost_packets_total", "RTP packets that did not come, or too late, by track.", "track", "video", "audio"),
		dropped: counter("sluice_webrtc_dropped_pictures_total", "Pictures that were not complete, or referred to one that was not."),
		asked:   counter("sluice_webrtc_keyframe_requests_total", "Keyframes that peers were asked for."),
		encoder: counter("sluice_webrtc_audio_encoders_total", "Children started to encode sound; more than publications means that some died."),
		muted:   counter("sluice_webrtc_dropped_audio_packets_total", "Packets of sound that could not be encoded."),
	}
}
