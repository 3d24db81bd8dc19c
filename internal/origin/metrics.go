package origin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	multivariants, playlists, files, bytes, seconds prometheus.Counter
}

// newMetrics registers with reg. The counters are taken out of their vector once:
// looking a label up costs more than counting.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	requests := f.NewCounterVec(prometheus.CounterOpts{Name: "sluice_playback_requests_total", Help: "Playback requests answered with media or a playlist, by kind."}, []string{"kind"})
	return &metrics{
		multivariants: requests.WithLabelValues("multivariant"),
		playlists:     requests.WithLabelValues("playlist"),
		files:         requests.WithLabelValues("media"),
		bytes:         f.NewCounter(prometheus.CounterOpts{Name: "sluice_playback_bytes_total", Help: "Bytes of playlists and media written to viewers, headers not counted."}),
		seconds:       f.NewCounter(prometheus.CounterOpts{Name: "sluice_playback_seconds_total", Help: "Playing time of the media that was written to viewers."}),
	}
}
