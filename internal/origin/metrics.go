package origin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/playback"
)

type metrics struct {
	multivariants, playlists, files, bytes, seconds, nodes prometheus.Counter
	refused                                                map[string]prometheus.Counter // by reason; not changed after newMetrics
}

// Reasons to refuse a viewer beside those of package playback.
const (
	tooManyViews = "views"
	unavailable  = "unavailable"
	atCeiling    = "busy"
	forged       = "node" // to serve somebody as a node who is none
)

// newMetrics registers with reg. The counters are taken out of their vector once:
// looking a label up costs more than counting.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	refused := f.NewCounterVec(prometheus.CounterOpts{Name: "sluice_playback_refused_total", Help: "Playback requests refused, by reason."}, []string{"reason"})
	reasons := map[string]prometheus.Counter{tooManyViews: refused.WithLabelValues(tooManyViews), unavailable: refused.WithLabelValues(unavailable), atCeiling: refused.WithLabelValues(atCeiling), forged: refused.WithLabelValues(forged)}
	for _, r := range playback.Reasons() {
		reasons[string(r)] = refused.WithLabelValues(string(r))
	}
	requests := f.NewCounterVec(prometheus.CounterOpts{Name: "sluice_playback_requests_total", Help: "Playback requests answered with media or a playlist, by kind."}, []string{"kind"})
	return &metrics{
		refused:       reasons,
		multivariants: requests.WithLabelValues("multivariant"),
		playlists:     requests.WithLabelValues("playlist"),
		files:         requests.WithLabelValues("media"),
		nodes:         f.NewCounter(prometheus.CounterOpts{Name: "sluice_playback_node_requests_total", Help: "Playback requests of other nodes, which serve viewers in turn; those answered with media or a playlist are in sluice_playback_requests_total, too."}),
		bytes:         f.NewCounter(prometheus.CounterOpts{Name: "sluice_playback_bytes_total", Help: "Bytes of playlists and media written to viewers, headers not counted."}),
		seconds:       f.NewCounter(prometheus.CounterOpts{Name: "sluice_playback_seconds_total", Help: "Playing time of the media that was written to viewers."}),
	}
}
