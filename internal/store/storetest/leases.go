package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/store"
)

const ttl = 10 * time.Second

var leaseTests = map[string]func(*testing.T, *store.Store, string){
	"a lease changes hands only after it expires": func(t *testing.T, s *store.Store, _ string) {
		a := must(s.Acquire(t.Context(), "ch", "a", "http://a", t0, ttl))(t)
		want := store.Lease{Channel: "ch", Node: "a", Origin: "http://a", Generation: 1, Expires: t0.Add(ttl)}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Errorf("first Acquire (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, must(s.LeaseOf(t.Context(), "ch", t0))(t)); diff != "" {
			t.Errorf("LeaseOf (-want +got):\n%s", diff)
		}
		_, err := s.Acquire(t.Context(), "ch", "b", "http://b", t0.Add(ttl-time.Millisecond), ttl)
		wantErr(t, "Acquire by another just before it expires", err, store.ErrHeld)
		_, err = s.LeaseOf(t.Context(), "ch", t0.Add(ttl))
		wantErr(t, "LeaseOf when it expires", err, store.ErrNotFound)
		b := must(s.Acquire(t.Context(), "ch", "b", "http://b", t0.Add(ttl), ttl))(t)
		if b.Generation != 2 || b.Origin != "http://b" {
			t.Errorf("takeover = %+v, want generation 2 at http://b", b)
		}
	},

	"the holder cannot acquire it again": func(t *testing.T, s *store.Store, _ string) {
		must(s.Acquire(t.Context(), "ch", "a", "", t0, ttl))(t)
		_, err := s.Acquire(t.Context(), "ch", "a", "", t0, ttl)
		wantErr(t, "second Acquire", err, store.ErrHeld)
	},

	"the generation grows with each acquisition, whoever makes it": func(t *testing.T, s *store.Store, _ string) {
		for n := range int64(4) {
			l := must(s.Acquire(t.Context(), "ch", fmt.Sprintf("node%d", n/2), "", t0, ttl))(t)
			if l.Generation != n+1 {
				t.Errorf("acquisition %d has generation %d, want %d", n, l.Generation, n+1)
			}
			if err := s.Release(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			_, err := s.LeaseOf(t.Context(), "ch", t0)
			wantErr(t, "LeaseOf after Release", err, store.ErrNotFound)
		}
	},

	"channels have leases of their own": func(t *testing.T, s *store.Store, _ string) {
		must(s.Acquire(t.Context(), "one", "a", "", t0, ttl))(t)
		if l := must(s.Acquire(t.Context(), "two", "b", "", t0, ttl))(t); l.Generation != 1 {
			t.Errorf("lease of another channel = %+v, want generation 1", l)
		}
	},

	"renewal extends it, also late if nobody came": func(t *testing.T, s *store.Store, _ string) {
		l := must(s.Acquire(t.Context(), "ch", "a", "o", t0, ttl))(t)
		for _, at := range []time.Duration{5 * time.Second, 14 * time.Second, time.Hour} {
			l = must(s.Renew(t.Context(), l, t0.Add(at), ttl))(t)
			want := store.Lease{Channel: "ch", Node: "a", Origin: "o", Generation: 1, Expires: t0.Add(at + ttl)}
			if diff := cmp.Diff(want, l); diff != "" {
				t.Errorf("Renew after %v (-want +got):\n%s", at, diff)
			}
		}
		_, err := s.Acquire(t.Context(), "ch", "b", "", t0.Add(time.Hour), ttl)
		wantErr(t, "Acquire after a renewal", err, store.ErrHeld)
	},

	"a lost lease cannot be renewed or released": func(t *testing.T, s *store.Store, _ string) {
		a := must(s.Acquire(t.Context(), "ch", "a", "", t0, ttl))(t)
		later := t0.Add(ttl)
		b := must(s.Acquire(t.Context(), "ch", "b", "", later, ttl))(t)
		_, err := s.Renew(t.Context(), a, later, ttl)
		wantErr(t, "Renew after a takeover", err, store.ErrFenced)
		wantErr(t, "Renew after a takeover", err, store.ErrHeld)
		wantErr(t, "Release of a lost lease", s.Release(t.Context(), a), nil)
		if got := must(s.LeaseOf(t.Context(), "ch", later))(t); got != b {
			t.Errorf("lease after the loser's Release = %+v, want %+v", got, b)
		}
		if err := s.Release(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		_, err = s.Renew(t.Context(), b, later, ttl)
		wantErr(t, "Renew after Release", err, store.ErrFenced)
		if errors.Is(err, store.ErrHeld) {
			t.Errorf("Renew of a free lease = %v, want no ErrHeld", err)
		}
		_, err = s.Renew(t.Context(), store.Lease{Channel: "none", Node: "a", Generation: 1}, later, ttl)
		wantErr(t, "Renew of no lease", err, store.ErrFenced)
	},

	"a node's old leases are void when it returns, others' are not": func(t *testing.T, s *store.Store, _ string) {
		old := must(s.Acquire(t.Context(), "one", "a", "", t0, ttl))(t)
		must(s.Acquire(t.Context(), "two", "a", "", t0, ttl))(t)
		must(s.Acquire(t.Context(), "three", "b", "", t0, ttl))(t)
		if err := s.ReleaseNode(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		_, err := s.Renew(t.Context(), old, t0, ttl)
		wantErr(t, "Renew", err, store.ErrFenced)
		for channel, want := range map[string]error{"one": nil, "two": nil, "three": store.ErrHeld} {
			_, err := s.Acquire(t.Context(), channel, "c", "", t0, ttl)
			wantErr(t, "Acquire of "+channel, err, want)
		}
	},

	"of nodes that acquire at once one succeeds": func(t *testing.T, s *store.Store, url string) {
		stores := []*store.Store{s, Open(t, url)}
		for round := range 4 {
			won := make([]bool, writers)
			var g errgroup.Group
			for i := range writers {
				g.Go(func() error {
					_, err := stores[i%2].Acquire(t.Context(), fmt.Sprintf("ch%d", round), fmt.Sprintf("n%d", i), "", t0, ttl)
					won[i] = err == nil
					if errors.Is(err, store.ErrHeld) {
						return nil
					}
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, w := range won {
				if w {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d nodes acquired the lease, want 1", n)
			}
		}
	},

	"a lease needs a channel, a node and a time to live": func(t *testing.T, s *store.Store, _ string) {
		for _, l := range []struct {
			channel, node string
			ttl           time.Duration
		}{{"", "a", ttl}, {"ch", "", ttl}, {"ch", "a", 0}} {
			if _, err := s.Acquire(t.Context(), l.channel, l.node, "", t0, l.ttl); err == nil {
				t.Errorf("Acquire(%q, %q, %v) succeeded", l.channel, l.node, l.ttl)
			}
		}
	},
}
