package roster

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/live"
)

const revokeSubject = "roster.revoke"

// Revoke tells every node that sessions of viewers are revoked. Nothing says that it
// arrives: the revocations are in the store before this is called, and whoever lets a
// viewer in looks there.
func (r *Roster) Revoke(ctx context.Context, all []live.Revocation) error {
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	return r.bus.Publish(ctx, revokeSubject, b)
}

// OnRevoke calls f with what any node revokes, until stop.
func (r *Roster) OnRevoke(ctx context.Context, f func(context.Context, []live.Revocation)) (stop func(), err error) {
	return r.bus.Subscribe(ctx, revokeSubject, "", func(ctx context.Context, m bus.Msg) {
		var all []live.Revocation
		if json.Unmarshal(m.Data, &all) == nil { // only nodes publish here; one of another version may not be understood
			f(ctx, all)
		}
	})
}
