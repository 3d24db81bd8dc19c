package roster

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
)

func TestEveryNodeHearsOfRevocations(t *testing.T) {
	b := openBus(t)
	heard := make(chan []live.Revocation, 2)
	for range 2 { // nodes
		stop, err := New(b, time.Now).OnRevoke(t.Context(), func(_ context.Context, all []live.Revocation) { heard <- all })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	want := []live.Revocation{
		{Channel: channel("a"), Viewer: "ann", Version: 7, Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)},
		{Channel: channel("b"), Viewer: "bob"},
	}
	if err := New(b, time.Now).Revoke(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d := cmp.Diff(want, <-heard); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	}
}
