package e2e

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/series"
)

// What was measured of a channel is there after the server was stopped: from the
// encoder's bits to what a viewer was given.
func TestMetricsOutliveTheServer(t *testing.T) {
	t.Parallel()
	srv := serve(t, dataDir(t))
	ch := srv.NewChannel(t)
	began := time.Now()
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	v := watch(t, *ch.PlaybackUrl)
	v.more(t, 12) // so that streams and viewers have been counted
	arn, err := live.ParseARN(*ch.Arn)
	if err != nil {
		t.Fatal(err)
	}
	name := `sluice_ingest_frames_per_second{channel="` + arn.String() + `"}`
	if fps := metric(t, srv, name); fps < 1 || fps > 2*clipFPS {
		t.Errorf("%s = %v, want about %d", name, fps, clipFPS)
	}
	e.finish()
	v.untilEnd(t)
	if err := srv.terminate(); err != nil {
		t.Fatal(err)
	}
	r := series.New(slog.New(slog.DiscardHandler), openStore(t, srv.Dir), prometheus.NewRegistry(), "reader", time.Now)
	took := time.Since(began).Seconds()
	for _, tt := range []struct {
		channel   string
		metric    series.Metric
		label     string
		low, high float64 // of the average, or of the sum of a time
	}{
		{arn.ID, series.IngestVideoBitrate, "Track0", 20_000, 400_000},
		{arn.ID, series.IngestAudioBitrate, "", 10_000, 300_000},
		{arn.ID, series.IngestBitrate, "", 30_000, 700_000},
		{"", series.IngestBitrate, "", 30_000, 700_000},
		{arn.ID, series.IngestFramerate, "", clipFPS / 2, clipFPS + 1},
		{arn.ID, series.KeyframeInterval, "", 0.9, 1.1},
		{arn.ID, series.ConcurrentViews, "", 0, 1},
		{"", series.ConcurrentStreams, "", 1, 1},
		{arn.ID, series.LiveInputTime, "", 10, took + 1},
		{arn.ID, series.LiveDeliveredTime, "", 10, took + 1},
	} {
		points, err := r.Query(t.Context(), series.Query{
			Scope:  series.Scope{Account: arn.Account, Region: arn.Region, Channel: tt.channel},
			Metric: tt.metric, Label: tt.label, Period: time.Hour, Start: began, End: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var all series.Stat
		for _, p := range points {
			all.Count, all.Sum = all.Count+p.Count, all.Sum+p.Sum
		}
		got := all.Average()
		if tt.metric.Unit() == series.Seconds && tt.metric != series.KeyframeInterval {
			got = all.Sum
		}
		if all.Count == 0 || got < tt.low || got > tt.high {
			t.Errorf("%s %s of %q: %v of %d samples, want %v to %v", tt.metric, tt.label, tt.channel, got, all.Count, tt.low, tt.high)
		}
	}
}
