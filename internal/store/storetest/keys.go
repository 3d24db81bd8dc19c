package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

func accessKey(id, account string) store.AccessKey {
	return store.AccessKey{
		ID: id, Secret: "secret of " + id, Account: account, Principal: "arn:aws:iam::" + account + ":user/u",
		Created: t0, Policies: []byte("null"),
	}
}

var keyTests = map[string]func(*testing.T, *store.Store, string){
	"a key is read back as it was created, until it is deleted": func(t *testing.T, s *store.Store, _ string) {
		want := accessKey("AKIA1", "123456789012")
		want.Admin, want.Policies = true, []byte(`[{"Version":"2012-10-17"}]`)
		wantErr(t, "CreateAccessKey", s.CreateAccessKey(t.Context(), want), nil)
		if diff := cmp.Diff(want, must(s.AccessKey(t.Context(), "AKIA1"))(t)); diff != "" {
			t.Errorf("AccessKey (-want +got):\n%s", diff)
		}
		again := accessKey("AKIA1", "999999999999")
		wantErr(t, "second CreateAccessKey", s.CreateAccessKey(t.Context(), again), store.ErrExists)
		if got := must(s.AccessKey(t.Context(), "AKIA1"))(t); got.Account != want.Account {
			t.Errorf("the second key replaced the first: %v", got)
		}
		wantErr(t, "DeleteAccessKey", s.DeleteAccessKey(t.Context(), "AKIA1"), nil)
		wantErr(t, "second DeleteAccessKey", s.DeleteAccessKey(t.Context(), "AKIA1"), store.ErrNotFound)
		for _, id := range []string{"AKIA1", "", "\x00", "\xff", "akia1"} {
			_, err := s.AccessKey(t.Context(), id)
			wantErr(t, fmt.Sprintf("AccessKey(%q)", id), err, store.ErrNotFound)
		}
		wantErr(t, "DeleteAccessKey of no text", s.DeleteAccessKey(t.Context(), "\x00"), store.ErrNotFound)
	},

	"no policies are null": func(t *testing.T, s *store.Store, _ string) {
		k := accessKey("AKIA1", "123456789012")
		k.Policies = nil
		wantErr(t, "CreateAccessKey", s.CreateAccessKey(t.Context(), k), nil)
		if got := must(s.AccessKey(t.Context(), "AKIA1"))(t); string(got.Policies) != "null" || got.Admin {
			t.Errorf("policies %s, admin %t; want null, false", got.Policies, got.Admin)
		}
	},

	"an incomplete key is refused": func(t *testing.T, s *store.Store, _ string) {
		for name, change := range map[string]func(*store.AccessKey){
			"no id":       func(k *store.AccessKey) { k.ID = "" },
			"no secret":   func(k *store.AccessKey) { k.Secret = "" },
			"no account":  func(k *store.AccessKey) { k.Account = "" },
			"bad policy":  func(k *store.AccessKey) { k.Policies = []byte("[") },
			"long policy": func(k *store.AccessKey) { k.Policies = text(make([]byte, 1<<20)) },
		} {
			k := accessKey("AKIA1", "123456789012")
			change(&k)
			if err := s.CreateAccessKey(t.Context(), k); err == nil {
				t.Errorf("a key with %s was created", name)
			}
		}
	},

	"keys are listed by account or all, page by page": func(t *testing.T, s *store.Store, _ string) {
		for id, account := range map[string]string{"b": "111111111111", "A": "111111111111", "c": "222222222222", "d": "111111111111"} {
			wantErr(t, "CreateAccessKey", s.CreateAccessKey(t.Context(), accessKey(id, account)), nil)
		}
		for account, want := range map[string][]string{
			"111111111111": {"A", "b", "d"}, "222222222222": {"c"}, "333333333333": nil, "": {"A", "b", "c", "d"},
		} {
			for page := 1; page <= 5; page++ {
				var got []string
				for after := ""; ; after = got[len(got)-1] {
					keys := must(s.ListAccessKeys(t.Context(), account, after, page))(t)
					for _, k := range keys {
						got = append(got, k.ID)
					}
					if len(keys) < page {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("account %q, pages of %d: %q, want %q", account, page, got, want)
				}
			}
		}
	},
}

var outboxTests = map[string]func(*testing.T, *store.Store, string){
	"messages commit with the write that caused them": func(t *testing.T, s *store.Store, _ string) {
		emit := func(tx *store.Tx, id string) error {
			if err := tx.Insert(t.Context(), channelRow(id)); err != nil {
				return err
			}
			return tx.Emit(t.Context(), store.Message{Subject: "event.channel", Body: []byte(id)})
		}
		undone := fmt.Errorf("undone")
		wantErr(t, "Tx that fails", s.Tx(t.Context(), func(tx *store.Tx) error {
			if err := emit(tx, "c1"); err != nil {
				return err
			}
			return undone
		}), undone)
		if got := must(s.Pending(t.Context(), 10))(t); len(got) != 0 {
			t.Fatalf("pending after a rollback: %v", got)
		}
		wantErr(t, "Tx", s.Tx(t.Context(), func(tx *store.Tx) error { return emit(tx, "c2") }), nil)
		got := must(s.Pending(t.Context(), 10))(t)
		if len(got) != 1 || got[0].Subject != "event.channel" || string(got[0].Body) != "c2" || got[0].Created.IsZero() {
			t.Errorf("pending = %v, want the message of c2", got)
		}
	},

	"they stay, in order, until they are delivered, and no id comes twice": func(t *testing.T, s *store.Store, _ string) {
		bodies := [][]byte{{0, 0xff, '\n'}, {}, nil, []byte("text"), []byte("last")}
		for _, part := range [][][]byte{bodies[:4], bodies[4:]} {
			err := s.Tx(t.Context(), func(tx *store.Tx) error {
				for _, b := range part {
					if err := tx.Emit(t.Context(), store.Message{UID: "u", Subject: "s", Body: b}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		all := must(s.Pending(t.Context(), 0))(t)
		var ids []int64
		for i, m := range all {
			ids = append(ids, m.ID)
			if string(m.Body) != string(bodies[i]) {
				t.Errorf("message %d has body %q, want %q", i, m.Body, bodies[i])
			}
		}
		if len(all) != len(bodies) {
			t.Fatalf("%d pending, want %d", len(all), len(bodies))
		}
		if first := must(s.Pending(t.Context(), 2))(t); len(first) != 2 || first[0].ID != ids[0] || first[1].ID != ids[1] {
			t.Errorf("first two = %v, want %v", first, ids[:2])
		}
		wantErr(t, "Delivered", s.Delivered(t.Context(), append(ids[1:], 1<<40)), nil)
		if left := must(s.Pending(t.Context(), 10))(t); len(left) != 1 || left[0].ID != ids[0] {
			t.Errorf("left = %v, want %d", left, ids[0])
		}
		wantErr(t, "Delivered of nothing", s.Delivered(t.Context(), nil), nil)
		wantErr(t, "Delivered", s.Delivered(t.Context(), ids[:1]), nil)
		wantErr(t, "Tx", s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Emit(t.Context(), store.Message{Subject: "s"}) }), nil)
		if got := must(s.Pending(t.Context(), 10))(t); len(got) != 1 || slices.Contains(ids, got[0].ID) {
			t.Errorf("next message = %v, want an id not among %v", got, ids)
		}
	},

	"what waits too long, or behind too many, goes": func(t *testing.T, s *store.Store, _ string) {
		wantErr(t, "Tx", s.Tx(t.Context(), func(tx *store.Tx) error {
			for n := range 10 {
				m := store.Message{Subject: "s", Created: t0.Add(time.Duration(n) * time.Second)}
				if err := tx.Emit(t.Context(), m); err != nil {
					return err
				}
			}
			return nil
		}), nil)
		for _, tt := range []struct {
			before     time.Duration
			most       int64
			gone, left int
		}{{0, 10, 0, 10}, {2 * time.Second, 10, 2, 8}, {0, 3, 5, 3}, {time.Hour, 3, 3, 0}, {time.Hour, 3, 0, 0}} {
			gone := must(s.Undeliverable(t.Context(), t0.Add(tt.before), tt.most))(t)
			if left := must(s.Pending(t.Context(), 100))(t); int(gone) != tt.gone || len(left) != tt.left {
				t.Errorf("Undeliverable(%v, %d) = %d and leaves %d, want %d and %d", tt.before, tt.most, gone, len(left), tt.gone, tt.left)
			}
		}
	},

	"any number is marked delivered at once": func(t *testing.T, s *store.Store, _ string) {
		ids := make([]int64, 1700)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		wantErr(t, "Delivered", s.Delivered(t.Context(), ids), nil)
	},

	"a message without subject, or too large, is refused": func(t *testing.T, s *store.Store, _ string) {
		for name, m := range map[string]store.Message{
			"no subject": {Body: []byte("b")}, "subject with NUL": {Subject: "\x00"},
			"large body": {Subject: live.NewID(3), Body: make([]byte, 1<<20+1)},
		} {
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Emit(t.Context(), m) }); err == nil {
				t.Errorf("Emit with %s succeeded", name)
			}
		}
	},
}
