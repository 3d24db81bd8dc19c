package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluice-live/sluice/internal/live"
)

// conflict is what PostgreSQL says to a transaction that others got in the way of.
var conflict = &pgconn.PgError{Code: "40001"}

func inBubble(t *testing.T, f func(t *testing.T, s *Store)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sluice.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, s)
	})
}

func TestTxRunsAgainAfterAConflict(t *testing.T) {
	for name, tt := range map[string]struct {
		fails     int // how many runs fail
		with      error
		tries     int // want
		wantError bool
	}{
		"no conflict":                      {fails: 0, tries: 1},
		"one conflict":                     {fails: 1, with: conflict, tries: 2},
		"deadlock":                         {fails: 1, with: &pgconn.PgError{Code: "40P01"}, tries: 2},
		"wrapped, as a cause for a client": {fails: 1, with: &live.Error{Kind: live.Conflict, Err: conflict}, tries: 2},
		"the last try succeeds":            {fails: txTries - 1, with: conflict, tries: txTries},
		"conflicts without end":            {fails: 1000, with: conflict, tries: txTries, wantError: true},
		"another error":                    {fails: 1, with: &pgconn.PgError{Code: "42601"}, tries: 1, wantError: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *Store) {
				tries := 0
				err := s.Tx(t.Context(), func(*Tx) error {
					if tries++; tries <= tt.fails {
						return tt.with
					}
					return nil
				})
				if tries != tt.tries || (err != nil) != tt.wantError || tt.wantError && !errors.Is(err, tt.with) {
					t.Errorf("%d tries, error %v; want %d, error %t", tries, err, tt.tries, tt.wantError)
				}
			})
		})
	}
}

func TestTxWaitsBetweenTriesNoLongerThanItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := s.Tx(ctx, func(*Tx) error { return conflict })
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 20*time.Millisecond {
			t.Errorf("Tx = %v after %v, want the deadline at 20ms", err, took)
		}
	})
}
