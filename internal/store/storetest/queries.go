package storetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// fill inserts rows that every query must tell apart. Their ids are such that a
// locale's order would be another one than that of the bytes.
func fill(t *testing.T, s *store.Store) (target string) {
	t.Helper()
	target = "arn:aws:ivs:us-west-2:123456789012:recording-configuration/r1"
	for _, id := range []string{"b2", "B1", "a3", "A4", "0z", "Z"} {
		r := channelRow(id)
		r.Name = "shared"
		if id == "B1" || id == "Z" {
			r.Name = ""
		}
		if id == "a3" || id == "A4" || id == "Z" {
			r.Links = map[string]string{"recording-configuration": target, "other": "x"}
		}
		insert(t, s, r)
		insert(t, s, keyRow(r, "key"+id, "hash"+id))
	}
	insert(t, s, keyRow(channelRow("a3"), "second", "second"))
	for _, arn := range []live.ARN{
		arnIn("eu-west-1", "123456789012", "channel", "elsewhere"),
		arnIn("us-west-2", "999999999999", "channel", "foreign"),
		{Service: "ivschat", Region: "us-west-2", Account: "123456789012", Type: "channel", ID: "chat"},
	} {
		r := channelRow("x")
		r.ARN, r.Name = arn, "shared"
		insert(t, s, r)
	}
	return target
}

var queryTests = map[string]func(*testing.T, *store.Store, string){
	"each shape selects its rows in byte order, page by page": func(t *testing.T, s *store.Store, _ string) {
		target := fill(t, s)
		scope := store.Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2"}
		shape := func(change func(*store.Query)) store.Query {
			q := scope
			change(&q)
			return q
		}
		for name, tt := range map[string]struct {
			q    store.Query
			want []string
		}{
			"account, region and type": {scope, []string{"0z", "A4", "B1", "Z", "a3", "b2"}},
			"type in every account":    {store.Query{Service: "ivs", Type: "channel"}, []string{"0z", "A4", "B1", "Z", "a3", "b2", "elsewhere", "foreign"}},
			"by name":                  {shape(func(q *store.Query) { q.Name = new("shared") }), []string{"0z", "A4", "a3", "b2"}},
			"by empty name":            {shape(func(q *store.Query) { q.Name = new("") }), []string{"B1", "Z"}},
			"by name nobody has":       {shape(func(q *store.Query) { q.Name = new("Shared") }), nil},
			"by name that is no text":  {shape(func(q *store.Query) { q.Name = new("\x00\xff") }), nil},
			"by link":                  {shape(func(q *store.Query) { q.LinkRel, q.LinkTo = "recording-configuration", target }), []string{"A4", "Z", "a3"}},
			"by link alone":            {store.Query{LinkRel: "other", LinkTo: "x"}, []string{"A4", "Z", "a3"}},
			"by another's link":        {shape(func(q *store.Query) { q.LinkRel, q.LinkTo, q.Account = "other", "x", "999999999999" }), nil},
			"by link and name": {shape(func(q *store.Query) {
				q.LinkRel, q.LinkTo, q.Name = "other", "x", new("shared")
			}), []string{"A4", "a3"}},
			"by parent":           {store.Query{Parent: channelARN("a3")}, []string{"keya3", "second"}},
			"by parent and scope": {shape(func(q *store.Query) { q.Parent, q.Type = channelARN("a3"), "stream-key" }), []string{"keya3", "second"}},
			"by parent, other type": {
				shape(func(q *store.Query) { q.Parent = channelARN("a3") }), nil,
			},
			"by parent, other region": {shape(func(q *store.Query) {
				q.Parent, q.Type, q.Region = channelARN("a3"), "stream-key", "eu-west-1"
			}), nil},
		} {
			t.Run(name, func(t *testing.T) {
				if n := must(s.Count(t.Context(), tt.q))(t); n != int64(len(tt.want)) {
					t.Errorf("Count = %d, want %d", n, len(tt.want))
				}
				for page := 1; page <= len(tt.want)+1; page++ {
					q, got := tt.q, []string(nil)
					q.Limit = page
					for {
						rows := must(s.List(t.Context(), q))(t)
						got = append(got, ids(rows)...)
						if len(rows) < page {
							break
						}
						q.After = rows[page-1].ARN.ID
					}
					if !slices.Equal(got, tt.want) {
						t.Errorf("pages of %d: %q, want %q", page, got, tt.want)
					}
				}
			})
		}
	},

	"a transaction reads its own writes": func(t *testing.T, s *store.Store, _ string) {
		scope := store.Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2"}
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Insert(t.Context(), channelRow("c1")); err != nil {
				return err
			}
			if got := ids(must(tx.List(t.Context(), scope))(t)); !slices.Equal(got, []string{"c1"}) {
				t.Errorf("List inside = %q, want c1", got)
			}
			if n := must(s.Count(t.Context(), scope))(t); n != 0 {
				t.Errorf("Count outside, before the commit = %d, want 0", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := must(s.Count(t.Context(), scope))(t); n != 1 {
			t.Errorf("Count after the commit = %d, want 1", n)
		}
	},

	"a query that no index answers is refused": func(t *testing.T, s *store.Store, _ string) {
		for name, q := range map[string]store.Query{
			"empty":                 {},
			"type without service":  {Type: "channel"},
			"account only":          {Account: "123456789012", Region: "us-west-2"},
			"relation, no target":   {Service: "ivs", Type: "channel", LinkRel: "r"},
			"target, no relation":   {Service: "ivs", Type: "channel", LinkTo: "r"},
			"name without anything": {Name: new("n")},
		} {
			if _, err := s.List(t.Context(), q); err == nil {
				t.Errorf("List by %s succeeded", name)
			}
			if _, err := s.Count(t.Context(), q); err == nil {
				t.Errorf("Count by %s succeeded", name)
			}
		}
	},

	"a page has 100 rows unless it says otherwise": func(t *testing.T, s *store.Store, _ string) {
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			for range 120 {
				if err := tx.Insert(t.Context(), channelRow(live.NewID(12))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]int{}
		for _, limit := range []int{-1, 0, 1, 110, 5000} {
			q := store.Query{Service: "ivs", Type: "channel", Limit: limit}
			got[limit] = len(must(s.List(t.Context(), q))(t))
		}
		if diff := cmp.Diff(map[int]int{-1: 100, 0: 100, 1: 1, 110: 110, 5000: 120}, got); diff != "" {
			t.Errorf("rows by limit (-want +got):\n%s", diff)
		}
	},
}
