package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/stream"
	"github.com/sluice-live/sluice/internal/transcode"
)

// megapixelsPerCore is what a core transcodes of all renditions together, in millions of
// pixels per second, with room for the rest of the program: x264 needs some 0.8 core for
// the ladder of 1080p30.
const megapixelsPerCore = 60

// transcode is how streams are transcoded here, nil for not at all.
func (n *node) transcode() *stream.Transcode {
	if n.cfg.Transcode == "off" {
		return nil
	}
	if _, err := ffmpeg.Find(""); err != nil {
		n.log.Warn("streams are passed on as they come, nothing is transcoded", "err", err)
		return nil
	}
	most := n.cfg.TranscodeCapacity
	if most == 0 {
		most = megapixelsPerCore * runtime.NumCPU()
	}
	budget := transcode.NewBudget(float64(most) * 1e6)
	n.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_transcode_pixels_per_second", Help: "What is transcoded, in pixels per second of all renditions.",
	}, budget.Used))
	return &stream.Transcode{
		Config: transcode.Config{Encoder: transcode.Encoder(n.cfg.Transcode)},
		Budget: budget, OnView: n.cfg.TranscodeOnView,
	}
}
