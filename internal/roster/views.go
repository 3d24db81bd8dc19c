package roster

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sluice-live/sluice/internal/bus"
)

// Views is how many viewers a node has of streams that another owns.
type Views struct {
	Node    string           `json:"node"`    // that serves them
	Streams map[string]int64 `json:"streams"` // by stream id; 0 says that the last one has left
}

// MaxViews is how many streams one Views may have; it keeps a message below what the bus
// carries.
const MaxViews = 4096

func viewsSubject(owner string) string { return "roster.views." + owner }

// ReportViews tells the owner of streams who watches them here. It holds until the next
// report, and no longer than Expiry.
func (r *Roster) ReportViews(ctx context.Context, owner string, v Views) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	return r.bus.Publish(ctx, viewsSubject(owner), b)
}

// OnViews calls f with what other nodes report to owner, until stop.
func (r *Roster) OnViews(ctx context.Context, owner string, f func(context.Context, Views)) (stop func(), err error) {
	return r.bus.Subscribe(ctx, viewsSubject(owner), "", func(ctx context.Context, m bus.Msg) {
		var v Views
		if json.Unmarshal(m.Data, &v) == nil { // only nodes publish here; one of another version may not be understood
			f(ctx, v)
		}
	})
}
