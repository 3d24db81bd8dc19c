package storetest

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/store"
)

func testSchema(t *testing.T, database func(*testing.T) string) {
	t.Run("a new database is empty until it is migrated", func(t *testing.T) {
		s := must(store.Open(t.Context(), database(t)))(t)
		defer s.Close()
		have, want, err := s.Schema(t.Context())
		if err != nil || have != 0 || want == 0 {
			t.Fatalf("Schema = %d, %d, %v; want 0, the newest, nil", have, want, err)
		}
		wantErr(t, "first Migrate", s.Migrate(t.Context()), nil)
		wantErr(t, "second Migrate", s.Migrate(t.Context()), nil)
		if have, want, err := s.Schema(t.Context()); err != nil || have != want {
			t.Fatalf("Schema = %d, %d, %v; want them equal", have, want, err)
		}
		wantErr(t, "Ping", s.Ping(t.Context()), nil)
	})

	t.Run("several nodes may migrate one new database at once", func(t *testing.T) {
		url := database(t)
		var g errgroup.Group
		for range 4 {
			g.Go(func() error {
				s, err := store.Open(t.Context(), url)
				if err != nil {
					return err
				}
				defer s.Close()
				return s.Migrate(t.Context())
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		insert(t, Open(t, url), channelRow("c1"))
	})

	t.Run("a closed store answers nothing", func(t *testing.T) {
		s := must(store.Open(t.Context(), database(t)))(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err == nil {
			t.Error("Ping after Close succeeded")
		}
	})
}
