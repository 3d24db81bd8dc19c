package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/store"
)

// writers is how many transactions the tests of this file run at once.
const writers = 12

var txTests = map[string]func(*testing.T, *store.Store, string){
	"an error undoes all of it and comes back as it is": func(t *testing.T, s *store.Store, _ string) {
		stop := errors.New("stop")
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Insert(t.Context(), channelRow("c1")); err != nil {
				return err
			}
			return stop
		})
		if err != stop { //nolint:errorlint // the promise is of the very error, unwrapped
			t.Errorf("Tx = %v, want the very error of its function", err)
		}
		_, err = s.Get(t.Context(), channelARN("c1"))
		wantErr(t, "Get", err, store.ErrNotFound)
	},

	"a panic undoes it and leaves the store usable": func(t *testing.T, s *store.Store, _ string) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = s.Tx(t.Context(), func(tx *store.Tx) error {
				if err := tx.Insert(t.Context(), channelRow("c1")); err != nil {
					return err
				}
				panic("bug")
			})
		}()
		insert(t, s, channelRow("c1"))
	},

	"a context that ends while it runs undoes it": func(t *testing.T, s *store.Store, _ string) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.Insert(ctx, channelRow("c1")); err != nil {
				return err
			}
			cancel()
			return nil
		})
		if err == nil {
			t.Error("Tx committed after its context ended")
		}
		insert(t, s, channelRow("c1"))
	},

	"writers that read before they write lose no update": func(t *testing.T, s *store.Store, _ string) {
		c := channelRow("c1")
		c.Body = text(0)
		insert(t, s, c)
		var g errgroup.Group
		for range writers {
			g.Go(func() error {
				return s.Tx(t.Context(), func(tx *store.Tx) error {
					it, err := store.Get[int](t.Context(), tx, c.ARN)
					if err != nil {
						return err
					}
					it.Value++
					return store.Update(t.Context(), tx, it)
				})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var n int
		row := must(s.Get(t.Context(), c.ARN))(t)
		if err := json.Unmarshal(row.Body, &n); err != nil || n != writers || row.Version != writers+1 {
			t.Errorf("counter %d, version %d, want %d, %d", n, row.Version, writers, writers+1)
		}
	},

	"a count checked inside stays true, so a quota holds": func(t *testing.T, s *store.Store, url string) {
		const quota = 5
		full := errors.New("full")
		scope := store.Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2"}
		stores := []*store.Store{s, Open(t, url)} // two nodes
		var g errgroup.Group
		for i := range writers {
			g.Go(func() error {
				err := stores[i%2].Tx(t.Context(), func(tx *store.Tx) error {
					n, err := tx.Count(t.Context(), scope)
					if err != nil {
						return err
					}
					if n >= quota {
						return full
					}
					return tx.Insert(t.Context(), channelRow(fmt.Sprintf("c%d", i)))
				})
				if errors.Is(err, full) {
					return nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := must(s.Count(t.Context(), scope))(t); n != quota {
			t.Errorf("%d rows, want the quota, %d", n, quota)
		}
	},

	"of two inserts of one lookup one succeeds": func(t *testing.T, s *store.Store, url string) {
		c := channelRow("c1")
		insert(t, s, c)
		stores := []*store.Store{s, Open(t, url)}
		errs := make([]error, writers)
		var g errgroup.Group
		for i := range writers {
			g.Go(func() error {
				errs[i] = stores[i%2].Tx(t.Context(), func(tx *store.Tx) error {
					return tx.Insert(t.Context(), keyRow(c, fmt.Sprintf("k%d", i), "same"))
				})
				return nil
			})
		}
		_ = g.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantErr(t, "losing insert", err, store.ErrExists)
			}
		}
		if won != 1 {
			t.Errorf("%d inserts succeeded, want 1", won)
		}
	},

	"a child cannot outlive a parent deleted meanwhile": func(t *testing.T, s *store.Store, url string) {
		stores := []*store.Store{s, Open(t, url)}
		for round := range 8 {
			c := channelRow(fmt.Sprintf("c%d", round))
			k := keyRow(c, fmt.Sprintf("k%d", round), "")
			insert(t, s, c)
			var g errgroup.Group
			g.Go(func() error {
				return stores[0].Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), c.ARN) })
			})
			var added error
			g.Go(func() error {
				added = stores[1].Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), k) })
				return nil
			})
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if added != nil {
				wantErr(t, "Insert of a child", added, store.ErrNotFound)
			}
			_, err := s.Get(t.Context(), k.ARN)
			wantErr(t, "Get of the child", err, store.ErrNotFound)
		}
	},

	"two stores on one database agree": func(t *testing.T, s *store.Store, url string) {
		other := Open(t, url)
		insert(t, s, channelRow("c1"))
		row := must(other.Get(t.Context(), channelARN("c1")))(t)
		row.Name = "by the other"
		if err := other.Tx(t.Context(), func(tx *store.Tx) error { return tx.Update(t.Context(), row) }); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "stale update", s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Update(t.Context(), row) }), store.ErrStale)
		if got := must(s.Get(t.Context(), row.ARN))(t); got.Name != row.Name || got.Version != 2 {
			t.Errorf("first store reads %q at %d, want %q at 2", got.Name, got.Version, row.Name)
		}
	},
}
