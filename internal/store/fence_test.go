package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store/pgtest"
)

// The steps of these tests lie inside one call of the API, so they are not in the suite.
func TestFences(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testFences(t, filepath.Join(t.TempDir(), "sluice.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { testFences(t, pgtest.Start(t).Database(t)) })
}

func testFences(t *testing.T, url string) {
	const ttl = 10 * time.Second
	t0 := time.UnixMilli(1_700_000_000_000).UTC()
	s := openForPlans(t, url)
	start := func(t *testing.T, id string) (Lease, live.Session) {
		channel := live.ARN{Service: "ivs", Region: "us-west-2", Account: "123456789012", Type: "channel", ID: id}
		l, err := s.Acquire(t.Context(), channel.String(), "a", "", t0, ttl)
		if err != nil {
			t.Fatal(err)
		}
		x := live.Session{ID: "st-" + id, Channel: channel, Node: "a", Generation: l.Generation, Created: t0}
		if err := s.CreateSession(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		return l, x
	}

	t.Run("a lease cannot move on under a write that it allowed", func(t *testing.T) {
		l, _ := start(t, "c1")
		err := s.Tx(t.Context(), func(tx *Tx) error {
			if err := tx.fence(t.Context(), l.Channel, l.Generation); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if l, err := s.Acquire(ctx, l.Channel, "b", "", t0.Add(ttl), ttl); err == nil {
				t.Errorf("taken over during the write: %+v", l)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Acquire(t.Context(), l.Channel, "b", "", t0.Add(ttl), ttl); err != nil {
			t.Errorf("Acquire after the write: %v", err)
		}
	})

	note := func(live.Session) ([]Note, error) { return []Note{{Event: live.Event{Name: "over"}}}, nil }
	t.Run("a session is spared whose lease is renewed as it is being closed", func(t *testing.T) {
		l, x := start(t, "c2")
		if _, err := s.Renew(t.Context(), l, t0.Add(ttl), ttl); err != nil {
			t.Fatal(err)
		}
		if ended, err := s.closeAbandoned(t.Context(), x, t0.Add(ttl), note); ended || err != nil {
			t.Errorf("closeAbandoned = %t, %v; want false", ended, err)
		}
		if err := s.EndSession(t.Context(), x.ID, x.Generation, t0); err != nil {
			t.Errorf("EndSession: %v", err)
		}
	})

	t.Run("a session that ended as it is being closed keeps its end", func(t *testing.T) {
		l, x := start(t, "c3")
		if err := errors.Join(s.EndSession(t.Context(), x.ID, x.Generation, t0), s.Release(t.Context(), l)); err != nil {
			t.Fatal(err)
		}
		if ended, err := s.closeAbandoned(t.Context(), x, t0.Add(ttl), note); ended || err != nil {
			t.Errorf("closeAbandoned = %t, %v; want false", ended, err)
		}
		events, err := s.Events(t.Context(), x.ID)
		if err != nil || len(events) != 0 {
			t.Errorf("events = %v, %v; want none", events, err)
		}
	})
}
