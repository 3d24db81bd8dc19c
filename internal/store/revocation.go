package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	// A later call with a lower version takes nothing back.
	upsertRevocation = `
INSERT INTO revocation (channel, viewer, version, revoked_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (channel, viewer) DO UPDATE SET
  version = CASE WHEN excluded.version > revocation.version THEN excluded.version ELSE revocation.version END,
  revoked_ms = CASE WHEN excluded.revoked_ms > revocation.revoked_ms THEN excluded.revoked_ms ELSE revocation.revoked_ms END`

	selectRevocation = `SELECT version, revoked_ms FROM revocation WHERE channel = $1 AND viewer = $2`

	// SQLite would look at a bare number and plan the query anew for each one.
	revocationsSince = `
SELECT channel, viewer, version, revoked_ms FROM revocation WHERE revoked_ms >= $1 ORDER BY revoked_ms LIMIT $2 + 0`
)

// Revoke notes that sessions of x's viewer on x's channel up to x's version are revoked.
// A viewer that is not text as both engines know it (Storable) is an error.
func (t *Tx) Revoke(ctx context.Context, x live.Revocation) error {
	if x.Viewer == "" || !storable(x.Viewer) || x.Time.IsZero() {
		return errors.New("store: a revocation needs a viewer, as text, and a time")
	}
	if _, err := t.exec(ctx, upsertRevocation, x.Channel.String(), x.Viewer, x.Version, millis(x.Time)); err != nil {
		return fmt.Errorf("store: revoke a session on %s: %w", x.Channel, err)
	}
	return nil
}

// Revocation returns what was revoked of a viewer on a channel, or ErrNotFound.
func (s *Store) Revocation(ctx context.Context, channel live.ARN, viewer string) (live.Revocation, error) {
	x := live.Revocation{Channel: channel, Viewer: viewer}
	err := ErrNotFound
	if storable(viewer) {
		var ms int64
		err = missing(s.q.QueryRowContext(ctx, selectRevocation, channel.String(), viewer).Scan(&x.Version, &ms))
		x.Time = fromMillis(ms)
	}
	if err != nil {
		return live.Revocation{}, fmt.Errorf("store: revocation on %s: %w", channel, err)
	}
	return x, nil
}

// RevocationsSince returns those whose newest call is not before t, oldest first; n is as
// the Limit of a Query.
func (s *Store) RevocationsSince(ctx context.Context, t time.Time, n int) ([]live.Revocation, error) {
	all, err := collect(ctx, s.q, func(scan func(...any) error) (live.Revocation, error) {
		var (
			x       live.Revocation
			channel string
			ms      int64
		)
		err := scan(&channel, &x.Viewer, &x.Version, &ms)
		if err == nil {
			x.Channel, err = live.ParseARN(channel)
		}
		x.Time = fromMillis(ms)
		return x, err
	}, revocationsSince, millis(t), limit(n))
	if err != nil {
		return nil, fmt.Errorf("store: revocations: %w", err)
	}
	return all, nil
}

// Storable reports whether s can be kept as text on both engines: UTF-8 without NUL.
func Storable(s string) bool { return storable(s) }

// Retention: rows whose time has passed go in batches, so that no transaction is long
// and nobody waits for it. A batch ends with the row that $2 others come before.
const (
	forgetBatch = 500

	forgetRevocations = `
DELETE FROM revocation WHERE revoked_ms < $1 AND revoked_ms <= coalesce(
  (SELECT revoked_ms FROM revocation WHERE revoked_ms < $1 ORDER BY revoked_ms LIMIT 1 OFFSET $2), $1)`

	// A session's events go with it.
	forgetSessions = `
DELETE FROM stream_session WHERE ended_ms <> 0 AND ended_ms < $1 AND ended_ms <= coalesce(
  (SELECT ended_ms FROM stream_session WHERE ended_ms <> 0 AND ended_ms < $1 ORDER BY ended_ms LIMIT 1 OFFSET $2), $1)`
)

// ForgetRevocations removes those whose newest call is before t, and returns how many.
func (s *Store) ForgetRevocations(ctx context.Context, t time.Time) (int64, error) {
	return s.forget(ctx, "revocations", forgetRevocations, t)
}

// ForgetSessions removes the sessions that ended before t, and returns how many.
func (s *Store) ForgetSessions(ctx context.Context, t time.Time) (int64, error) {
	return s.forget(ctx, "sessions", forgetSessions, t)
}

func (s *Store) forget(ctx context.Context, what, statement string, before time.Time, more ...any) (int64, error) {
	args := append([]any{millis(before), forgetBatch}, more...)
	for total := int64(0); ; {
		var n int64
		err := s.tx(ctx, leaseLevel, func(t *Tx) (err error) { // nothing is decided by what was read
			n, err = t.exec(ctx, statement, args...)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("store: forget %s: %w", what, err)
		}
		if total += n; n <= forgetBatch {
			return total, nil
		}
	}
}
