package control

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// Limits are how many resources of a type an account may have in a region, and how much
// one call may bring. 0 is the default, which is none unless a field says otherwise; below 0 is none.
type Limits struct {
	Channels                int
	StreamKeys              int // of one channel; by default 1
	RecordingConfigurations int
	PlaybackKeys            int // by default 3
	RestrictionPolicies     int // by default 3
	AdConfigurations        int
	Tags                    int // of one resource; by default 50, and the model allows no more
	MetadataBytes           int // of one PutMetadata; by default 1024
}

// withDefaults fills in the limits that are part of what the service means: clients
// rely on one stream key a channel (low-latency.md 12).
func (l Limits) withDefaults() Limits {
	l.StreamKeys = cmp.Or(l.StreamKeys, 1)
	l.PlaybackKeys = cmp.Or(l.PlaybackKeys, 3)
	l.RestrictionPolicies = cmp.Or(l.RestrictionPolicies, 3)
	l.Tags = cmp.Or(l.Tags, 50)
	l.MetadataBytes = cmp.Or(l.MetadataBytes, 1024)
	return l
}

// room makes sure that one more row fits under the limit on what q selects. It counts in
// the transaction that inserts, so no two calls can take the last place.
func room(ctx context.Context, tx *store.Tx, q store.Query, limit int) error {
	if limit <= 0 {
		return nil
	}
	n, err := tx.Count(ctx, q)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if n >= int64(limit) {
		return live.Errorf(live.Quota, "the limit of %d %s resources is reached: delete one first", limit, q.Type)
	}
	return nil
}
