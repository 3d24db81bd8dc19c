package stream

import (
	"context"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/store"
)

// loadRestriction returns from where the channel may be watched, nil for from anywhere.
// A change of the policy is for the next stream (low-latency.md 6). While the lease is
// held nobody can detach it, and so nobody can delete it. Of a private channel it does
// not count.
func (s *Streams) loadRestriction(ctx context.Context, ch live.Channel) (*playback.Restriction, error) {
	if ch.PlaybackRestrictionPolicy == "" || ch.Authorized {
		return nil, nil
	}
	arn, err := live.ParseARN(ch.PlaybackRestrictionPolicy)
	if err != nil {
		return nil, unavailable(err)
	}
	row, err := s.store.Get(ctx, arn)
	if err != nil {
		return nil, unavailable(err)
	}
	p, err := store.RestrictionPolicyOf(row)
	if err != nil {
		return nil, unavailable(err)
	}
	return playback.NewRestriction(p), nil
}

// Restriction is the channel's restriction policy as it was at go-live, nil for none.
func (st *Stream) Restriction() *playback.Restriction { return st.restriction }
