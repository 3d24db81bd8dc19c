package stream

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/media"
)

// gauges shows Prometheus what comes in on each live channel. They are read when they
// are asked for, so none is left of a stream that ended; and there are no more of them
// than Config.MetricChannels channels have, because each is a time series for good.
type gauges struct {
	streams                          *Streams
	bits, pictures, interval, unseen *prometheus.Desc
}

func newGauges(s *Streams) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"channel"}, labels...), nil)
	}
	return &gauges{
		streams:  s,
		bits:     desc("sluice_ingest_bits_per_second", "Bits received in the last second, by channel and kind of media.", "kind"),
		pictures: desc("sluice_ingest_frames_per_second", "Pictures received in the last second, of the first video track."),
		interval: desc("sluice_ingest_keyframe_interval_seconds", "Time between the last two keyframes of the first video track."),
		unseen: prometheus.NewDesc("sluice_ingest_channels_unseen",
			"Channels that have no gauges of their own because there are more than metric-channels.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.bits, g.pictures, g.interval, g.unseen} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	all := g.streams.open()
	slices.SortFunc(all, func(a, b *Stream) int { return a.born.Compare(b.born) })
	shown := min(len(all), g.streams.cfg.MetricChannels)
	for _, st := range all[:shown] {
		g.collect(st, to)
	}
	to <- prometheus.MustNewConstMetric(g.unseen, prometheus.GaugeValue, float64(len(all)-shown))
}

func (g *gauges) collect(st *Stream, to chan<- prometheus.Metric) {
	channel := st.channel.ARN.String()
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{channel}, labels...)...)
	}
	last, interval := st.vitals.latest()
	var video, audio, pictures int64
	for _, t := range last.Tracks {
		switch {
		case t.Kind == media.Audio:
			audio += t.Bits
		case t.ID == 0:
			pictures = t.Pictures
			fallthrough
		default:
			video += t.Bits
		}
	}
	send(g.bits, float64(video), "video")
	send(g.bits, float64(audio), "audio")
	send(g.pictures, float64(pictures))
	if interval > 0 {
		send(g.interval, interval.Seconds())
	}
}
