package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// An AccessKey is what a caller of the API signs its requests with.
type AccessKey struct {
	ID        string // "AKIA..."
	Secret    string `json:"-"` // never logged
	Account   string // 12 digits
	Principal string // ARN of who it speaks for
	Created   time.Time
	Admin     bool   // may do anything in its account
	Policies  []byte // JSON array of policy documents, or null
}

// String is the key without its secret.
func (k AccessKey) String() string {
	return fmt.Sprintf("access key %s of %s (account %s)", k.ID, k.Principal, k.Account)
}

// GoString is String, so that %#v hides the secret too.
func (k AccessKey) GoString() string { return k.String() }

// LogValue is the key without its secret.
func (k AccessKey) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("account", k.Account),
		slog.String("principal", k.Principal), slog.Bool("admin", k.Admin))
}

const (
	insertKey = `
INSERT INTO access_key (id, secret, account, principal, admin, policies, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING`

	keyColumns      = `id, secret, account, principal, admin, policies, created_ms`
	selectKey       = `SELECT ` + keyColumns + ` FROM access_key WHERE id = $1`
	listKeys        = `SELECT ` + keyColumns + ` FROM access_key WHERE id > $1 ORDER BY id LIMIT $2`
	listAccountKeys = `SELECT ` + keyColumns + ` FROM access_key WHERE account = $3 AND id > $1 ORDER BY id LIMIT $2`
)

// CreateAccessKey adds k, or returns ErrExists when its id is taken.
func (s *Store) CreateAccessKey(ctx context.Context, k AccessKey) error {
	if k.ID == "" || k.Secret == "" || k.Account == "" {
		return errors.New("store: an access key needs an id, a secret and an account")
	}
	policies := "null"
	if len(k.Policies) > 0 {
		policies = string(k.Policies)
	}
	if len(policies) > maxBody || !json.Valid([]byte(policies)) {
		return fmt.Errorf("store: policies of access key %s are not JSON of at most %d bytes", k.ID, maxBody)
	}
	err := s.Tx(ctx, func(t *Tx) error {
		n, err := t.exec(ctx, insertKey, k.ID, k.Secret, k.Account, k.Principal, k.Admin, policies, millis(k.Created))
		if err == nil && n == 0 {
			err = ErrExists
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: create access key %s: %w", k.ID, err)
	}
	return nil
}

// AccessKey returns the key named id, or ErrNotFound.
func (s *Store) AccessKey(ctx context.Context, id string) (AccessKey, error) {
	if !storable(id) { // it comes from the Authorization header of anyone
		return AccessKey{}, fmt.Errorf("store: access key: %w", ErrNotFound)
	}
	k, err := scanKey(s.q.QueryRowContext(ctx, selectKey, id).Scan)
	if err != nil {
		return AccessKey{}, fmt.Errorf("store: access key: %w", missing(err))
	}
	return k, nil
}

// ListAccessKeys returns a page of the keys of account ("" for all accounts) in the
// order of their ids. after is the last id of the page before; limit is as in a Query.
func (s *Store) ListAccessKeys(ctx context.Context, account, after string, n int) ([]AccessKey, error) {
	query, args := listKeys, []any{after, limit(n)}
	if account != "" {
		query, args = listAccountKeys, append(args, account)
	}
	all, err := collect(ctx, s.q, scanKey, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: list access keys: %w", err)
	}
	return all, nil
}

// DeleteAccessKey removes the key named id, or returns ErrNotFound.
func (s *Store) DeleteAccessKey(ctx context.Context, id string) error {
	if !storable(id) {
		return fmt.Errorf("store: delete access key: %w", ErrNotFound)
	}
	err := s.Tx(ctx, func(t *Tx) error {
		n, err := t.exec(ctx, `DELETE FROM access_key WHERE id = $1`, id)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: delete access key: %w", err)
	}
	return nil
}

func scanKey(scan func(...any) error) (AccessKey, error) {
	var (
		k       AccessKey
		created int64
	)
	err := scan(&k.ID, &k.Secret, &k.Account, &k.Principal, &k.Admin, &k.Policies, &created)
	k.Created = fromMillis(created)
	return k, err
}
