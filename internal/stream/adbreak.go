package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// Kinds of ad break, for the metric.
const (
	breakAPI      = "api"
	breakPostRoll = "post_roll"
)

// insertAdBreak puts an ad break at the stream's next picture. There is one at a time.
// Nothing fills it here: the programme goes on, for viewers whose player or whose
// stitcher makes nothing of it.
func (st *Stream) insertAdBreak(b roster.AdBreak) error {
	now := time.Now()
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.started.IsZero() || st.ended:
		return errNotLive
	case st.channel.AdConfiguration == "":
		return live.Errorf(live.Invalid, "the channel had no ad configuration when the stream started")
	case now.Before(st.adsUntil):
		return live.Errorf(live.Conflict, "an ad break is running")
	}
	err := st.media.InsertBreak(packager.Break{ID: b.ID, Duration: b.Duration, Out: st.adsOut(breakAPI, b.ID, b.Duration)})
	if err != nil {
		return fmt.Errorf("stream: ad break: %w", err)
	}
	st.adsUntil = now.Add(b.Duration)
	return nil
}

// adsOut tells the world of a break when viewers can have it.
func (st *Stream) adsOut(kind, id string, d time.Duration) packager.Out {
	return func(at time.Time) {
		st.owner.metrics.adBreaks.WithLabelValues(kind).Inc()
		st.emit(event.AdBreak{ID: id, Duration: d, Start: at})
		st.log.Info("ad break inserted", "ad_break", id, "lasts", d, "start", at)
	}
}

// planPostRoll has the playlists end with an ad break, if the channel's ad configuration
// wants one. The configuration cannot go while the lease is held; a change of it counts
// from the next stream on.
func (st *Stream) planPostRoll(ctx context.Context) error {
	if st.channel.AdConfiguration == "" {
		return nil
	}
	arn, err := live.ParseARN(st.channel.AdConfiguration)
	if err != nil {
		return unavailable(err)
	}
	row, err := st.owner.store.Get(ctx, arn)
	if err != nil {
		return unavailable(err)
	}
	c, err := store.AdConfigurationOf(row)
	if err != nil {
		return unavailable(err)
	}
	if c.PostRoll.Enabled {
		id := live.NewID(roster.AdBreakIDLen)
		st.media.PostRoll(packager.Break{ID: id, Duration: c.PostRoll.Duration, Out: st.adsOut(breakPostRoll, id, c.PostRoll.Duration)})
	}
	return nil
}
