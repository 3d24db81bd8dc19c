package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	insertToken = `INSERT INTO used_token (channel, id, expires_ms) VALUES ($1, $2, $3) ON CONFLICT (channel, id) DO NOTHING`
	selectToken = `SELECT expires_ms FROM used_token WHERE channel = $1 AND id = $2`

	forgetTokens = `
DELETE FROM used_token WHERE expires_ms < $1 AND expires_ms <= coalesce(
  (SELECT expires_ms FROM used_token WHERE expires_ms < $1 ORDER BY expires_ms LIMIT 1 OFFSET $2), $1)`
)

// UseToken notes that the playback token of a channel with this single-use id is used,
// and reports whether it was the first to say so, on any node. It is kept at least until
// expires, which is when the token stops being valid.
func (s *Store) UseToken(ctx context.Context, channel live.ARN, id string, expires time.Time) (first bool, err error) {
	if id == "" || !storable(id) || expires.IsZero() {
		return false, errors.New("store: a single-use token needs an id, as text, and an end")
	}
	err = s.tx(ctx, leaseLevel, func(t *Tx) error { // the primary key decides
		n, err := t.exec(ctx, insertToken, channel.String(), id, millis(expires))
		first = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store: use a token of %s: %w", channel, err)
	}
	return first, nil
}

// TokenUsed reports whether UseToken was called with that id.
func (s *Store) TokenUsed(ctx context.Context, channel live.ARN, id string) (bool, error) {
	if !storable(id) {
		return false, nil
	}
	err := missing(s.q.QueryRowContext(ctx, selectToken, channel.String(), id).Scan(new(int64)))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("store: look for a token of %s: %w", channel, err)
	}
	return true, nil
}

// ForgetTokens removes those that expired before t, and returns how many.
func (s *Store) ForgetTokens(ctx context.Context, t time.Time) (int64, error) {
	return s.forget(ctx, "used tokens", forgetTokens, t)
}
