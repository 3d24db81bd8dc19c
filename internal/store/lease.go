package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A Lease is a node's claim on a live channel. The claim is good until Expires; what
// it allows to write is decided by Generation alone.
type Lease struct {
	Channel    string // ARN of the channel
	Node       string
	Origin     string // base URL where other nodes fetch the channel's media
	Generation int64  // grows each time the lease is acquired
	Expires    time.Time
}

const (
	// $4 is the new expiry, $5 the present. No row means that the lease is held.
	acquireLease = `
INSERT INTO lease (channel, node, origin, generation, expires_ms) VALUES ($1, $2, $3, 1, $4)
ON CONFLICT (channel) DO UPDATE SET node = excluded.node, origin = excluded.origin,
  generation = lease.generation + 1, expires_ms = excluded.expires_ms
WHERE lease.expires_ms <= $5
RETURNING generation`

	renewLease   = `UPDATE lease SET expires_ms = $4 WHERE channel = $1 AND node = $2 AND generation = $3`
	releaseLease = `UPDATE lease SET node = '', origin = '', expires_ms = 0 WHERE channel = $1 AND node = $2 AND generation = $3`
	releaseNode  = `UPDATE lease SET node = '', origin = '', expires_ms = 0 WHERE node = $1`
	selectLease  = `SELECT channel, node, origin, generation, expires_ms FROM lease WHERE channel = $1`
)

// A lease changes by one statement, which both engines apply to the newest row, so
// these transactions need no more than READ COMMITTED, and a renewal is never turned
// away because some other channel's was running.
const leaseLevel = sql.LevelReadCommitted

// Acquire makes node the owner of channel until now+ttl if the lease is free or has
// expired. Otherwise it returns ErrHeld, also when node itself is the holder: a second
// stream must not slip in under the first one's generation.
func (s *Store) Acquire(ctx context.Context, channel, node, origin string, now time.Time, ttl time.Duration) (Lease, error) {
	if channel == "" || node == "" || ttl <= 0 {
		return Lease{}, fmt.Errorf("store: acquire %q for %q: a lease needs a channel, a node and a time to live", channel, node)
	}
	l := Lease{Channel: channel, Node: node, Origin: origin, Expires: fromMillis(now.Add(ttl).UnixMilli())}
	err := s.tx(ctx, leaseLevel, func(t *Tx) error {
		err := t.q.QueryRowContext(ctx, acquireLease, channel, node, origin, millis(l.Expires), millis(now)).Scan(&l.Generation)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrHeld
		}
		return err
	})
	if err != nil {
		return Lease{}, fmt.Errorf("store: acquire %s: %w", channel, err)
	}
	return l, nil
}

// Renew extends l until now+ttl. A lease that expired and was not taken is extended
// too. Otherwise it is lost: the error is ErrFenced, and ErrHeld as well while another
// holds it.
func (s *Store) Renew(ctx context.Context, l Lease, now time.Time, ttl time.Duration) (Lease, error) {
	l.Expires = fromMillis(now.Add(ttl).UnixMilli())
	err := s.tx(ctx, leaseLevel, func(t *Tx) error {
		n, err := t.exec(ctx, renewLease, l.Channel, l.Node, l.Generation, millis(l.Expires))
		if err != nil || n == 1 {
			return err
		}
		cur, err := t.lease(ctx, l.Channel)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case err == nil && cur.Node != "" && cur.Expires.After(now):
			return fmt.Errorf("%w: %w by %s", ErrFenced, ErrHeld, cur.Node)
		}
		return ErrFenced
	})
	if err != nil {
		return Lease{}, fmt.Errorf("store: renew %s: %w", l.Channel, err)
	}
	return l, nil
}

// Release makes the lease free at once. It keeps the generation, so that what l's
// owner still has to write about its session is taken until the next owner comes.
// Releasing a lease that was lost does nothing.
func (s *Store) Release(ctx context.Context, l Lease) error {
	err := s.tx(ctx, leaseLevel, func(t *Tx) error {
		_, err := t.exec(ctx, releaseLease, l.Channel, l.Node, l.Generation)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: release %s: %w", l.Channel, err)
	}
	return nil
}

// ReleaseNode releases every lease of node: those it held before it was restarted.
func (s *Store) ReleaseNode(ctx context.Context, node string) error {
	if node == "" {
		return nil
	}
	err := s.tx(ctx, leaseLevel, func(t *Tx) error {
		_, err := t.exec(ctx, releaseNode, node)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: release leases of %s: %w", node, err)
	}
	return nil
}

// LeaseOf returns the lease of channel that is good at now, or ErrNotFound.
func (s *Store) LeaseOf(ctx context.Context, channel string, now time.Time) (Lease, error) {
	l, err := s.lease(ctx, channel)
	if err == nil && !l.Expires.After(now) {
		err = ErrNotFound
	}
	if err != nil {
		return Lease{}, fmt.Errorf("store: lease of %s: %w", channel, err)
	}
	return l, nil
}

// lease reads the row of channel, held or not.
func (r reader) lease(ctx context.Context, channel string) (Lease, error) {
	if !storable(channel) {
		return Lease{}, ErrNotFound
	}
	var (
		l       Lease
		expires int64
	)
	err := r.q.QueryRowContext(ctx, selectLease, channel).Scan(&l.Channel, &l.Node, &l.Origin, &l.Generation, &expires)
	if err != nil {
		return Lease{}, missing(err)
	}
	l.Expires = fromMillis(expires)
	return l, nil
}

// fence returns ErrFenced unless generation is that of channel's lease, and keeps the
// lease from moving on before t commits.
func (t *Tx) fence(ctx context.Context, channel string, generation int64) error {
	var now int64
	err := t.q.QueryRowContext(ctx, `SELECT generation FROM lease WHERE channel = $1`+t.engine.share, channel).Scan(&now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s has no lease", ErrFenced, channel)
	case err != nil:
		return err
	case now != generation:
		return fmt.Errorf("%w: %s is at generation %d, not %d", ErrFenced, channel, now, generation)
	}
	return nil
}
