package store

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/internal/store/pgtest"
)

// Rows of before their table was made anew are there after it, with their children, links
// and lookups, and what depends on them still goes with them.
func TestClusteringKeepsRows(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testClustering(t, filepath.Join(t.TempDir(), "sluice.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { testClustering(t, pgtest.Start(t).Database(t)) })
}

func testClustering(t *testing.T, url string) {
	ctx := t.Context()
	s, err := Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p, err := s.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 9); err != nil {
		t.Fatal(err)
	}
	channel := cacheRow("c1")
	channel.Name, channel.Links = "n0", map[string]string{"r": "t0"}
	key := Row{ARN: cacheARN("stream-key", "a-key"), Parent: channel.ARN, Lookup: "hash", Body: []byte(`{}`)} // before its parent in order
	if err := s.Tx(ctx, func(tx *Tx) error { return errors.Join(tx.Insert(ctx, channel), tx.Insert(ctx, key)) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}

	scope := Query{Service: "ivs", Type: "channel", Account: channel.ARN.Account, Region: channel.ARN.Region}
	named, linked := scope, scope
	named.Name = &channel.Name
	linked.LinkRel, linked.LinkTo = "r", "t0"
	for name, q := range map[string]Query{"scope": scope, "name": named, "link": linked, "parent": {Parent: channel.ARN}} {
		if rows, err := s.List(ctx, q); err != nil || len(rows) != 1 {
			t.Errorf("by %s: %v, %v, want one row", name, rows, err)
		}
	}
	if r, err := s.ByLookup(ctx, "ivs", "stream-key", "hash"); err != nil || r.Parent != channel.ARN {
		t.Errorf("by lookup: %v, %v", r, err)
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		again := key
		again.ARN.ID = "other"
		if err := tx.Insert(ctx, again); !errors.Is(err, ErrExists) {
			t.Errorf("a lookup that is taken: %v, want ErrExists", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.Delete(ctx, channel.ARN) }); err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]string{"rows": "resource", "links": "link"} {
		var n int
		if err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d %s are left of a channel that was removed, %v", n, name, err)
		}
	}
}
