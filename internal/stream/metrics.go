package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/id3"
)

type metrics struct {
	started prometheus.Counter
	ended   prometheus.Counter

	takeovers  *prometheus.CounterVec // by outcome
	violations *prometheus.CounterVec // by code

	metadata        *prometheus.CounterVec // by owner
	metadataDropped prometheus.Counter
	metadataDelay   prometheus.Histogram   // seconds
	adBreaks        *prometheus.CounterVec // by kind

	shed     prometheus.Counter // renditions
	restarts prometheus.Counter
	failed   prometheus.Counter
}

// takeoverDone is the outcome of one that did not fail; the others are the codes of their
// events.
const takeoverDone = "done"

// newMetrics registers with reg, never the default registry: two servers fit in one test.
func newMetrics(reg prometheus.Registerer, s *Streams) *metrics {
	f := promauto.With(reg)
	reg.MustRegister(newGauges(s))
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_streams", Help: "Streams that this node owns, live or starting."}, func() float64 {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return float64(len(s.channel))
	})
	vec := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value) // so that a rate can be taken before the first one
		}
		return v
	}
	return &metrics{
		started: f.NewCounter(prometheus.CounterOpts{Name: "sluice_streams_started_total", Help: "Streams that went live."}),
		ended:   f.NewCounter(prometheus.CounterOpts{Name: "sluice_streams_ended_total", Help: "Sessions that ended, live or not."}),

		takeovers: vec("sluice_stream_takeovers_total", "Encoders that asked to take over a stream, by outcome.", "outcome",
			takeoverDone, string(event.TakeoverMediaMismatch), string(event.TakeoverInvalidPriority), string(event.TakeoverLimitBreached)),

		violations: vec("sluice_multitrack_violations_total", "Streams that a rule of multitrack video ended, by the code of their end.", "code",
			string(event.MultitrackNotAllowed), string(event.MultitrackRequired), string(event.MultitrackKeyInvalid),
			string(event.MultitrackKeyRequired), string(event.MultitrackTrackCount), string(event.MultitrackProperties)),

		metadata: vec("sluice_metadata_total", "Timed metadata put into media, by owner of its ID3 frame.", "owner", id3.OwnerAPI, id3.OwnerInband),
		metadataDropped: f.NewCounter(prometheus.CounterOpts{
			Name: "sluice_metadata_dropped_total", Help: "Timed metadata that a stream had no room or no media for.",
		}),
		metadataDelay: f.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_metadata_delay_seconds", Help: "From the answer of PutMetadata until viewers can fetch the part that carries it.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}),
		adBreaks: vec("sluice_ad_breaks_total", "Ad breaks in playlists, by what caused them.", "kind", breakAPI, breakPostRoll),

		shed: f.NewCounter(prometheus.CounterOpts{
			Name: "sluice_transcode_shed_total", Help: "Renditions that were not made, or given up, because the node was too slow for them.",
		}),
		restarts: f.NewCounter(prometheus.CounterOpts{
			Name: "sluice_transcode_restarts_total", Help: "Times that ffmpeg ended, hung or fell behind, and was started again.",
		}),
		failed: f.NewCounter(prometheus.CounterOpts{
			Name: "sluice_transcode_failed_total", Help: "Streams that are not transcoded any more.",
		}),
	}
}
