package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

var rowTests = map[string]func(*testing.T, *store.Store, string){
	"what is inserted is read back": func(t *testing.T, s *store.Store, _ string) {
		channel := channelRow("c1")
		channel.Name = `naïve "name"`
		channel.Tags = map[string]string{"team": "a\x00b", "": "empty key"}
		channel.Links = map[string]string{"recording-configuration": "arn:aws:ivs:us-west-2:123456789012:recording-configuration/r1"}
		key := keyRow(channel, "k1", "hash")
		insert(t, s, channel, key)
		channel.Version, key.Version = 1, 1
		for _, want := range []store.Row{channel, key} {
			got := must(s.Get(t.Context(), want.ARN))(t)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(store.Row{})); diff != "" {
				t.Errorf("Get(%s) (-want +got):\n%s", want.ARN, diff)
			}
		}
	},

	"a row that is not there is ErrNotFound": func(t *testing.T, s *store.Store, _ string) {
		_, err := s.Get(t.Context(), channelARN("none"))
		wantErr(t, "Get", err, store.ErrNotFound)
		_, err = s.Get(t.Context(), channelARN("bad\x00\xff"))
		wantErr(t, "Get of no text", err, store.ErrNotFound)
		_, err = s.ByLookup(t.Context(), "ivs", "stream-key", "none")
		wantErr(t, "ByLookup", err, store.ErrNotFound)
		_, err = s.ByLookup(t.Context(), "ivs", "stream-key", "\xff\x00")
		wantErr(t, "ByLookup of no text", err, store.ErrNotFound)
		for name, f := range map[string]func(*store.Tx) error{
			"Update":            func(tx *store.Tx) error { return tx.Update(t.Context(), channelRow("none")) },
			"Delete":            func(tx *store.Tx) error { return tx.Delete(t.Context(), channelARN("none")) },
			"Delete of no text": func(tx *store.Tx) error { return tx.Delete(t.Context(), channelARN("bad\x00")) },
			"Insert of a child": func(tx *store.Tx) error { return tx.Insert(t.Context(), keyRow(channelRow("none"), "k", "")) },
		} {
			wantErr(t, name, s.Tx(t.Context(), f), store.ErrNotFound)
		}
	},

	"what could not be read back is refused": func(t *testing.T, s *store.Store, _ string) {
		insert(t, s, channelRow("parent"))
		for name, change := range map[string]func(*store.Row){
			"no id":             func(r *store.Row) { r.ARN.ID = "" },
			"no service":        func(r *store.Row) { r.ARN.Service = "" },
			"ARN with a slash":  func(r *store.Row) { r.ARN.ID = "a/b" },
			"body is no JSON":   func(r *store.Row) { r.Body = []byte(`{`) },
			"no body":           func(r *store.Row) { r.Body = nil },
			"huge body":         func(r *store.Row) { r.Body = text(strings.Repeat("x", 1<<20)) },
			"name with NUL":     func(r *store.Row) { r.Name = "a\x00" },
			"name is no UTF-8":  func(r *store.Row) { r.Name = "\xff" },
			"lookup with NUL":   func(r *store.Row) { r.Lookup = "\x00" },
			"link with NUL":     func(r *store.Row) { r.Links = map[string]string{"a": "\x00"} },
			"parent far away":   func(r *store.Row) { r.Parent = arnIn("eu-west-1", "123456789012", "channel", "parent") },
			"foreigner's child": func(r *store.Row) { r.Parent = arnIn("us-west-2", "999999999999", "channel", "parent") },
		} {
			r := channelRow("c1")
			change(&r)
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), r) }); err == nil {
				t.Errorf("Insert of a row with %s succeeded", name)
			}
		}
	},

	"an ARN and a lookup are taken once": func(t *testing.T, s *store.Store, _ string) {
		c := channelRow("c1")
		insert(t, s, c, keyRow(c, "k1", "one"), keyRow(c, "k2", "two"), keyRow(c, "k3", ""), keyRow(c, "k4", ""))
		other := channelRow("c2")
		other.Lookup = "one" // free: unique within service and type only
		insert(t, s, other)

		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			wantErr(t, "second c1", tx.Insert(t.Context(), c), store.ErrExists)
			wantErr(t, "second lookup one", tx.Insert(t.Context(), keyRow(c, "k5", "one")), store.ErrExists)
			return tx.Insert(t.Context(), keyRow(c, "k6", "six")) // the transaction goes on
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Tx(t.Context(), func(tx *store.Tx) error {
			k2 := must(tx.ByLookup(t.Context(), "ivs", "stream-key", "two"))(t)
			k2.Lookup = "one"
			return tx.Update(t.Context(), k2)
		})
		wantErr(t, "Update to a taken lookup", err, store.ErrExists)
		if got := must(s.ByLookup(t.Context(), "ivs", "stream-key", "six"))(t).ARN.ID; got != "k6" {
			t.Errorf("lookup six is %s, want k6", got)
		}
		if got := must(s.ByLookup(t.Context(), "ivs", "channel", "one"))(t).ARN.ID; got != "c2" {
			t.Errorf("lookup one of the channels is %s, want c2", got)
		}
	},

	"an update needs the version it was read at": func(t *testing.T, s *store.Store, _ string) {
		c := channelRow("c1")
		c.Links = map[string]string{"a": "x", "b": "y"}
		insert(t, s, c)
		read := must(s.Get(t.Context(), c.ARN))(t)
		read.Name, read.Body, read.Lookup = "renamed", []byte(`{"n":2}`), "new"
		read.Tags, read.Links = map[string]string{"k": "v"}, map[string]string{"b": "z", "c": ""}
		read.Parent, read.Created = channelARN("ignored"), t0.AddDate(1, 0, 0)
		update := func(tx *store.Tx) error { return tx.Update(t.Context(), read) }
		wantErr(t, "first update", s.Tx(t.Context(), update), nil)
		wantErr(t, "second update of the same version", s.Tx(t.Context(), update), store.ErrStale)

		want := read
		want.Version, want.Parent, want.Created, want.Links = 2, live.ARN{}, t0, map[string]string{"b": "z"}
		if diff := cmp.Diff(want, must(s.Get(t.Context(), c.ARN))(t), cmpopts.IgnoreUnexported(store.Row{})); diff != "" {
			t.Errorf("after update (-want +got):\n%s", diff)
		}
		for target, want := range map[string]int64{"x": 0, "y": 0, "z": 1} {
			rel := map[string]string{"x": "a", "y": "b", "z": "b"}[target]
			if got := must(s.Count(t.Context(), store.Query{LinkRel: rel, LinkTo: target}))(t); got != want {
				t.Errorf("links to %s = %d, want %d", target, got, want)
			}
		}
	},

	"children and links go with their row, links to it stay": func(t *testing.T, s *store.Store, _ string) {
		c, pointer := channelRow("c1"), channelRow("c2")
		c.Links = map[string]string{"r": "target"}
		pointer.Links = map[string]string{"to": c.ARN.String()}
		child := keyRow(c, "k1", "one")
		grandchild := keyRow(c, "k2", "two")
		grandchild.Parent = child.ARN
		insert(t, s, c, pointer, child, grandchild)
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), c.ARN) }); err != nil {
			t.Fatal(err)
		}
		left := must(s.GetMany(t.Context(), []live.ARN{c.ARN, pointer.ARN, child.ARN, grandchild.ARN}))(t)
		if _, ok := left[pointer.ARN]; !ok || len(left) != 1 {
			t.Errorf("left: %v, want only %s", left, pointer.ARN)
		}
		if n := must(s.Count(t.Context(), store.Query{LinkRel: "r", LinkTo: "target"}))(t); n != 0 {
			t.Errorf("%d links of the deleted row are left", n)
		}
		if n := must(s.Count(t.Context(), store.Query{LinkRel: "to", LinkTo: c.ARN.String()}))(t); n != 1 {
			t.Errorf("links to the deleted row = %d, want 1", n)
		}
		insert(t, s, keyRow(pointer, "k3", "one")) // the child's lookup is free again
	},

	"GetMany returns what exists, however many are asked for": func(t *testing.T, s *store.Store, _ string) {
		insert(t, s, channelRow("c1"), channelRow("c2"))
		arns := []live.ARN{channelARN("c1"), channelARN("bad\x00")}
		for i := range 1200 {
			arns = append(arns, channelARN(fmt.Sprintf("none%d", i)))
		}
		arns = append(arns, channelARN("c2"), channelARN("c1"))
		got := must(s.GetMany(t.Context(), arns))(t)
		if len(got) != 2 || got[channelARN("c1")].ARN.ID != "c1" || got[channelARN("c2")].ARN.ID != "c2" {
			t.Errorf("GetMany = %v, want c1 and c2", got)
		}
		if got := must(s.GetMany(t.Context(), nil))(t); len(got) != 0 {
			t.Errorf("GetMany of nothing = %v", got)
		}
	},

	"typed values travel in the body": func(t *testing.T, s *store.Store, _ string) {
		want := live.Channel{Name: "n", LatencyMode: live.LatencyLow, Type: live.TypeBasic, SRTPassphrase: "hidden-passphrase", Created: t0}
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			if err := store.Insert(t.Context(), tx, store.Item[live.Channel]{Row: channelRow("c1"), Value: want}); err != nil {
				return err
			}
			it, err := store.Get[live.Channel](t.Context(), tx, channelARN("c1"))
			if err != nil {
				return err
			}
			it.Value.Type, it.Lookup = live.TypeStandard, "l"
			return store.Update(t.Context(), tx, it)
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Type = live.TypeStandard
		got := must(store.Get[live.Channel](t.Context(), s, channelARN("c1")))(t)
		if diff := cmp.Diff(want, got.Value); diff != "" || got.Version != 2 {
			t.Errorf("version %d (-want +got):\n%s", got.Version, diff)
		}
		if diff := cmp.Diff(got, must(store.Lookup[live.Channel](t.Context(), s, "ivs", "channel", "l"))(t), cmpopts.IgnoreUnexported(store.Row{})); diff != "" {
			t.Errorf("Lookup (-want +got):\n%s", diff)
		}
		list := must(store.List[live.Channel](t.Context(), s, store.Query{Service: "ivs", Type: "channel"}))(t)
		if diff := cmp.Diff([]store.Item[live.Channel]{got}, list, cmpopts.IgnoreUnexported(store.Row{})); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		_, err = store.Get[[]int](t.Context(), s, channelARN("c1"))
		if err == nil || strings.Contains(err.Error(), want.SRTPassphrase) {
			t.Errorf("Get as another type: error %v, want one without the body", err)
		}
	},
}
