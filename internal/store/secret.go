package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Secret returns the 32 random bytes kept under name, the same for every node; the
// first to ask makes them.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	var text string
	err := s.Tx(ctx, func(t *Tx) error {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh) // never fails
		if _, err := t.exec(ctx, `INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
			name, hex.EncodeToString(fresh)); err != nil {
			return err
		}
		return t.q.QueryRowContext(ctx, `SELECT value FROM secret WHERE name = $1`, name).Scan(&text)
	})
	if err != nil {
		return nil, fmt.Errorf("store: secret %s: %w", name, err)
	}
	return hex.DecodeString(text)
}
