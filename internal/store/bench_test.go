package store_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/pgtest"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

// What a first start pays: the program must be ready within 300 ms.
func BenchmarkSQLiteFirstOpen(b *testing.B) {
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		openAndMigrate(b, filepath.Join(dir, strconv.Itoa(n)))
	}
}

// What every later start pays.
func BenchmarkSQLiteNextOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "sluice.db")
	openAndMigrate(b, path)
	for b.Loop() {
		openAndMigrate(b, path)
	}
}

func openAndMigrate(b *testing.B, path string) {
	s, err := store.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSQLite(b *testing.B) { benchmark(b, storetest.SQLite(b)) }

func BenchmarkPostgres(b *testing.B) { benchmark(b, storetest.Open(b, pgtest.Start(b).Database(b))) }

func benchmark(b *testing.B, s *store.Store) {
	row := func() store.Row {
		return store.Row{
			ARN:    live.ARN{Service: "ivs", Region: "us-west-2", Account: "123456789012", Type: "channel", ID: live.NewID(12)},
			Lookup: live.NewID(32),
			Body:   []byte(`{"latencyMode":"LOW","type":"STANDARD","containerFormat":"TS"}`),
		}
	}
	insert := func(b *testing.B, r store.Row) {
		if err := s.Tx(b.Context(), func(tx *store.Tx) error { return tx.Insert(b.Context(), r) }); err != nil {
			b.Fatal(err)
		}
	}
	first := row()
	insert(b, first)
	err := s.Tx(b.Context(), func(tx *store.Tx) error {
		for range 10_000 {
			if err := tx.Insert(b.Context(), row()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}

	b.Run("Insert", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			insert(b, row())
		}
	})
	b.Run("ByLookup", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.ByLookup(b.Context(), "ivs", "channel", first.Lookup); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("List/100of10000", func(b *testing.B) {
		b.ReportAllocs()
		q := store.Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2", After: "U"}
		for b.Loop() {
			if _, err := s.List(b.Context(), q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Renew", func(b *testing.B) {
		b.ReportAllocs()
		now := time.UnixMilli(1_700_000_000_000)
		l, err := s.Acquire(b.Context(), live.NewID(12), "node", "", now, time.Second)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			now = now.Add(time.Millisecond)
			if l, err = s.Renew(b.Context(), l, now, time.Second); err != nil {
				b.Fatal(err)
			}
		}
	})
}
