package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Principal is a user or a role: who an access key speaks for, and what it may.
type Principal struct {
	ARN     string // arn:aws:iam::<account>:user/<name>
	Account string // 12 digits
	Body    []byte // JSON
	Created time.Time
}

const (
	insertPrincipal = `INSERT INTO principal (arn, account, body, created_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	updatePrincipal = `UPDATE principal SET body = $2 WHERE arn = $1`
	deletePrincipal = `DELETE FROM principal WHERE arn = $1`
	deleteTheirKeys = `DELETE FROM access_key WHERE principal = $1`

	principalColumns = `arn, account, body, created_ms`
	selectPrincipal  = `SELECT ` + principalColumns + ` FROM principal WHERE arn = $1`
	listPrincipals   = `SELECT ` + principalColumns + ` FROM principal WHERE account = $1 AND arn > $2 ORDER BY arn LIMIT $3`
)

// CreatePrincipal adds p, or returns ErrExists when its ARN is taken.
func (s *Store) CreatePrincipal(ctx context.Context, p Principal) error {
	if p.ARN == "" || p.Account == "" || !storable(p.ARN, p.Account) {
		return errors.New("store: a principal needs an ARN and an account")
	}
	if err := checkBody(p.Body); err != nil {
		return fmt.Errorf("store: create %s: %w", p.ARN, err)
	}
	err := s.Tx(ctx, func(t *Tx) error {
		n, err := t.exec(ctx, insertPrincipal, p.ARN, p.Account, string(p.Body), millis(p.Created))
		if err == nil && n == 0 {
			err = ErrExists
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: create %s: %w", p.ARN, err)
	}
	return nil
}

// Principal returns the principal named arn, or ErrNotFound.
func (s *Store) Principal(ctx context.Context, arn string) (Principal, error) {
	if !storable(arn) {
		return Principal{}, fmt.Errorf("store: principal: %w", ErrNotFound)
	}
	p, err := scanPrincipal(s.q.QueryRowContext(ctx, selectPrincipal, arn).Scan)
	if err != nil {
		return Principal{}, fmt.Errorf("store: principal %s: %w", arn, missing(err))
	}
	return p, nil
}

// ChangePrincipal replaces the body of the principal named arn by what change makes of
// it. It returns ErrNotFound when there is none, and change's error as it is.
func (s *Store) ChangePrincipal(ctx context.Context, arn string, change func(body []byte) ([]byte, error)) error {
	if !storable(arn) {
		return fmt.Errorf("store: change a principal: %w", ErrNotFound)
	}
	return s.Tx(ctx, func(t *Tx) error {
		p, err := scanPrincipal(t.q.QueryRowContext(ctx, selectPrincipal, arn).Scan)
		if err != nil {
			return fmt.Errorf("store: change %s: %w", arn, missing(err))
		}
		body, err := change(p.Body)
		if err != nil {
			return err
		}
		if err := checkBody(body); err != nil {
			return fmt.Errorf("store: change %s: %w", arn, err)
		}
		if _, err := t.exec(ctx, updatePrincipal, arn, string(body)); err != nil {
			return fmt.Errorf("store: change %s: %w", arn, err)
		}
		return nil
	})
}

// ListPrincipals returns a page of an account's principals in the order of their ARNs.
// after is the last ARN of the page before; n is as the Limit of a Query.
func (s *Store) ListPrincipals(ctx context.Context, account, after string, n int) ([]Principal, error) {
	all, err := collect(ctx, s.q, scanPrincipal, listPrincipals, account, after, limit(n))
	if err != nil {
		return nil, fmt.Errorf("store: list principals: %w", err)
	}
	return all, nil
}

// DeletePrincipal removes the principal named arn and its access keys, which may be
// there without it. It returns ErrNotFound when there is neither.
func (s *Store) DeletePrincipal(ctx context.Context, arn string) error {
	if !storable(arn) {
		return fmt.Errorf("store: delete a principal: %w", ErrNotFound)
	}
	err := s.Tx(ctx, func(t *Tx) error {
		var gone int64
		for _, query := range []string{deletePrincipal, deleteTheirKeys} {
			n, err := t.exec(ctx, query, arn)
			if err != nil {
				return err
			}
			gone += n
		}
		if gone == 0 {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: delete %s: %w", arn, err)
	}
	return nil
}

func checkBody(body []byte) error {
	if len(body) > maxBody || !json.Valid(body) {
		return fmt.Errorf("its body is not JSON of at most %d bytes", maxBody)
	}
	return nil
}

func scanPrincipal(scan func(...any) error) (Principal, error) {
	var (
		p       Principal
		created int64
	)
	err := scan(&p.ARN, &p.Account, &p.Body, &created)
	p.Created = fromMillis(created)
	return p, err
}
