package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store/pgtest"
)

func openCached(t *testing.T, most int64) *Store {
	t.Helper()
	return openCachedAt(t, filepath.Join(t.TempDir(), "sluice.db"), most)
}

func openCachedAt(t *testing.T, url string, most int64) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Cache(most)
	return s
}

func cacheARN(typ, id string) live.ARN {
	return live.ARN{Service: "ivs", Region: "us-west-2", Account: "123456789012", Type: typ, ID: id}
}

func cacheRow(id string) Row {
	return Row{ARN: cacheARN("channel", id), Body: []byte(`{}`), Tags: map[string]string{"k": id}}
}

// reads are what the tests ask for: every shape of a query, in pages.
func reads() (qs []Query) {
	scope := Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2"}
	for _, after := range []string{"", "c3"} {
		for _, limit := range []int{2, 100} {
			q := scope
			q.After, q.Limit = after, limit
			qs = append(qs, q)
			for _, name := range []string{"", "n0", "n1"} {
				n := q
				n.Name = &name
				qs = append(qs, n)
			}
			for _, target := range []string{"t0", "t1"} {
				l := q
				l.LinkRel, l.LinkTo = "r", target
				qs = append(qs, l)
			}
			p := q
			p.Type, p.Parent = "stream-key", cacheARN("channel", "c1")
			qs = append(qs, p)
		}
	}
	name := "n0"
	both := scope
	both.Name, both.LinkRel, both.LinkTo = &name, "r", "t0"
	return append(qs, both, Query{Service: "ivs", Type: "channel"})
}

// Whatever is written, what is read from memory is what the database holds: with
// PostgreSQL also what others write.
func TestCacheIsExact(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		s := openCached(t, 1<<20)
		testExact(t, s, s)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Start(t).Database(t)
		testExact(t, openCachedAt(t, url, 1<<20), openCachedAt(t, url, 1<<20))
	})
}

func testExact(t *testing.T, s, other *Store) {
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(1, 2))
	failed := errors.New("failed")
	step := func(tx *Tx) error {
		row := cacheRow("c" + strconv.Itoa(rnd.IntN(7)))
		row.Name = []string{"", "n0", "n1"}[rnd.IntN(3)]
		row.Links = map[string]string{"r": []string{"", "t0", "t1"}[rnd.IntN(3)]}
		key := Row{ARN: cacheARN("stream-key", "k"+row.ARN.ID), Parent: row.ARN, Body: []byte(`{}`)}
		switch have, err := tx.Get(ctx, row.ARN); {
		case errors.Is(err, ErrNotFound):
			return errors.Join(tx.Insert(ctx, row), tx.Insert(ctx, key))
		case err != nil:
			return err
		case rnd.IntN(3) == 0:
			return tx.Delete(ctx, row.ARN)
		default:
			row.Version = have.Version
			return tx.Update(ctx, row)
		}
	}
	for n := range 30 {
		err := other.Tx(ctx, func(tx *Tx) error {
			for range 1 + rnd.IntN(3) {
				if err := step(tx); err != nil {
					return err
				}
			}
			if n%10 == 9 {
				return failed
			}
			return nil
		})
		if err != nil && !errors.Is(err, failed) {
			t.Fatal(err)
		}
		compareReads(t, s, n)
		if t.Failed() {
			return
		}
	}
	if c := s.CacheStats(); c.Bytes == 0 || c.Hits == 0 || c.Misses == 0 {
		t.Errorf("the cache was not used: %+v", c)
	}
}

// compareReads reads everything from the database, and twice through the cache: the second
// time from memory.
func compareReads(t *testing.T, s *Store, n int) {
	t.Helper()
	ignore := cmpopts.IgnoreUnexported(Row{})
	for _, q := range reads() {
		want, wantErr := s.reader.List(t.Context(), q)
		for range 2 {
			got, err := s.List(t.Context(), q)
			if d := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty()); d != "" || wantErr != nil || err != nil {
				t.Errorf("after %d transactions, List(%+v) (-database +memory):\n%s%v %v", n, q, d, wantErr, err)
			}
		}
	}
	for i := range 7 {
		for _, arn := range []live.ARN{cacheARN("channel", fmt.Sprint("c", i)), cacheARN("stream-key", fmt.Sprint("kc", i))} {
			want, wantErr := s.reader.Get(t.Context(), arn)
			for range 2 {
				got, err := s.Get(t.Context(), arn)
				if d := cmp.Diff(want, got, ignore); d != "" || errors.Is(wantErr, ErrNotFound) != errors.Is(err, ErrNotFound) {
					t.Errorf("after %d transactions, Get(%s) (-database +memory):\n%s%v %v", n, arn, d, wantErr, err)
				}
			}
		}
	}
}

// Who reads never sees an older version than one that was acknowledged before, or that
// another reader has seen, however reads and commits overlap.
func TestCacheNeverGoesBack(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		s := openCached(t, 1<<20)
		testNeverBack(t, s, s)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Start(t).Database(t)
		testNeverBack(t, openCachedAt(t, url, 1<<20), openCachedAt(t, url, 1<<20))
	})
}

func testNeverBack(t *testing.T, s, other *Store) {
	rows := []Row{cacheRow("a"), cacheRow("b")}
	for _, r := range rows {
		if err := s.Tx(t.Context(), func(tx *Tx) error { return tx.Insert(t.Context(), r) }); err != nil {
			t.Fatal(err)
		}
	}
	const writes = 50
	list := reads()[0]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	for range 2 {
		g.Go(func() error {
			var seen, listed int64
			for ctx.Err() == nil {
				row, err := s.Get(t.Context(), rows[0].ARN)
				if err != nil || row.Version < seen {
					return fmt.Errorf("read version %d after %d, %w", row.Version, seen, err)
				}
				seen = row.Version
				page, err := s.List(t.Context(), list)
				if err != nil || len(page) != 2 || page[0].Version < max(seen, listed) {
					return fmt.Errorf("listed %v after version %d, %w", page, seen, err)
				}
				listed = page[0].Version
			}
			return nil
		})
	}
	g.Go(func() error {
		defer stop()
		for n := range int64(writes) {
			row := rows[0]
			row.Version = n + 1
			if err := other.Tx(t.Context(), func(tx *Tx) error { return tx.Update(t.Context(), row) }); err != nil {
				return err
			}
			if got, err := s.Get(t.Context(), row.ARN); err != nil || got.Version != n+2 {
				return fmt.Errorf("read version %d after version %d was acknowledged, %w", got.Version, n+2, err)
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	const most = 100 << 10
	s := openCached(t, most)
	err := s.Tx(t.Context(), func(tx *Tx) error {
		for n := range 2 * maxDoubt { // more than are looked at one by one
			if err := tx.Insert(t.Context(), cacheRow(fmt.Sprintf("c%04d", n))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 * maxDoubt {
		if _, err := s.Get(t.Context(), cacheARN("channel", fmt.Sprintf("c%04d", n))); err != nil {
			t.Fatal(err)
		}
		q := reads()[0]
		q.After = fmt.Sprintf("c%04d", n)
		if _, err := s.List(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if s.cache.size > most {
			t.Fatalf("%d bytes are in memory, want at most %d", s.cache.size, most)
		}
	}
	var size int64
	pages := 0
	for _, r := range s.cache.results {
		size += r.size
		if r.among != nil {
			pages++
		}
	}
	indexed := 0
	for _, of := range s.cache.scopes {
		for _, same := range of.by {
			indexed += len(same)
		}
	}
	if size != s.cache.size || pages != indexed || size < most/2 {
		t.Errorf("%d bytes and %d pages are in memory, counted as %d and %d", size, pages, s.cache.size, indexed)
	}
}

// A row that is not read again from the database is not made into anything again, either.
func TestMadeOnce(t *testing.T) {
	s := openCached(t, 1<<20)
	row := cacheRow("a")
	if err := s.Tx(t.Context(), func(tx *Tx) error { return tx.Insert(t.Context(), row) }); err != nil {
		t.Fatal(err)
	}
	var made []int64
	use := func(r Row) {
		v, err := Made(r, func(r Row) (string, error) {
			made = append(made, r.Version)
			return r.ARN.ID, nil
		})
		if v != "a" || err != nil {
			t.Errorf("Made = %q, %v", v, err)
		}
	}
	get := func() Row {
		r, err := s.Get(t.Context(), row.ARN)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	use(get())
	use(get())
	row.Version = 1
	if err := s.Tx(t.Context(), func(tx *Tx) error {
		use(Row{ARN: row.ARN}) // of no store
		return tx.Update(t.Context(), row)
	}); err != nil {
		t.Fatal(err)
	}
	use(get())
	for range 2 {
		page, err := s.List(t.Context(), reads()[0])
		if err != nil {
			t.Fatal(err)
		}
		n, err := MadeOfPage(page, func(rows []Row) (int, error) {
			made = append(made, 100)
			return len(rows), nil
		})
		if n != 1 || err != nil {
			t.Errorf("MadeOfPage = %d, %v", n, err)
		}
	}
	if n, err := MadeOfPage(nil, func(rows []Row) (int, error) { return len(rows), nil }); n != 0 || err != nil {
		t.Errorf("MadeOfPage(nil) = %d, %v", n, err)
	}
	if want := []int64{1, 0, 2, 100}; !slices.Equal(made, want) {
		t.Errorf("made of versions %d, want %d", made, want)
	}
}

// What was read before a commit may be older than it, and is not kept after it; what is
// read during a commit may be either, and is not kept, too.
func TestCacheDoesNotKeepWhatACommitOvertook(t *testing.T) {
	arn := cacheARN("channel", "a")
	changes := []change{{arn: arn}}
	for name, read := range map[string]func(c *cache, version int64, meanwhile func()) int64{
		"a row": func(c *cache, version int64, meanwhile func()) int64 {
			row, err := c.row(arn, func() (Row, error) {
				meanwhile()
				return Row{ARN: arn, Version: version}, nil
			})
			if err != nil {
				t.Error(err)
			}
			return row.Version
		},
		"a page": func(c *cache, version int64, meanwhile func()) int64 {
			page, err := c.page(reads()[0], func() ([]Row, error) {
				meanwhile()
				return []Row{{ARN: arn, Version: version}}, nil
			})
			if err != nil {
				t.Error(err)
			}
			return page[0].Version
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(1 << 20)
			nothing := func() {}
			read(c, 1, func() {
				c.begin(changes)
				c.end()
			})
			if got := read(c, 2, nothing); got != 2 {
				t.Errorf("read version %d after a commit overtook a read of version 1, want 2", got)
			}
			c.begin(changes)
			read(c, 2, nothing)
			c.end()
			if got := read(c, 3, nothing); got != 3 {
				t.Errorf("read version %d after the commit of version 3, want 3", got)
			}
			if got := read(c, 4, nothing); got != 3 {
				t.Errorf("read version %d, want 3 from memory", got)
			}
		})
	}
}
