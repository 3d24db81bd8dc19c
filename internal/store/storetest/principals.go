package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/store"
)

func user(name, account string) store.Principal {
	return store.Principal{ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account, Body: []byte(`{"policies":[]}`), Created: t0}
}

var principalTests = map[string]func(*testing.T, *store.Store, string){
	"a principal is read back as it was created, until it is deleted": func(t *testing.T, s *store.Store, _ string) {
		want := user("ann", "123456789012")
		wantErr(t, "CreatePrincipal", s.CreatePrincipal(t.Context(), want), nil)
		wantErr(t, "second CreatePrincipal", s.CreatePrincipal(t.Context(), want), store.ErrExists)
		if diff := cmp.Diff(want, must(s.Principal(t.Context(), want.ARN))(t)); diff != "" {
			t.Errorf("Principal (-want +got):\n%s", diff)
		}
		wantErr(t, "DeletePrincipal", s.DeletePrincipal(t.Context(), want.ARN), nil)
		wantErr(t, "second DeletePrincipal", s.DeletePrincipal(t.Context(), want.ARN), store.ErrNotFound)
		for _, arn := range []string{want.ARN, "", "\x00", "\xff"} {
			_, err := s.Principal(t.Context(), arn)
			wantErr(t, fmt.Sprintf("Principal(%q)", arn), err, store.ErrNotFound)
			wantErr(t, fmt.Sprintf("DeletePrincipal(%q)", arn), s.DeletePrincipal(t.Context(), arn), store.ErrNotFound)
		}
	},

	"its keys go with it, and no other's": func(t *testing.T, s *store.Store, _ string) {
		ann, bob := user("ann", "123456789012"), user("bob", "123456789012")
		for id, p := range map[string]store.Principal{"AKIA1": ann, "AKIA2": ann, "AKIA3": bob} {
			k := accessKey(id, p.Account)
			k.Principal = p.ARN
			wantErr(t, "CreateAccessKey", s.CreateAccessKey(t.Context(), k), nil)
		}
		wantErr(t, "CreatePrincipal", s.CreatePrincipal(t.Context(), ann), nil)
		wantErr(t, "DeletePrincipal", s.DeletePrincipal(t.Context(), ann.ARN), nil)
		left := must(s.ListAccessKeys(t.Context(), "", "", 10))(t)
		if len(left) != 1 || left[0].ID != "AKIA3" {
			t.Errorf("left are %v, want bob's", left)
		}
		wantErr(t, "DeletePrincipal of keys alone", s.DeletePrincipal(t.Context(), bob.ARN), nil)
	},

	"a change sees what is there, and happens or does not": func(t *testing.T, s *store.Store, _ string) {
		ann := user("ann", "123456789012")
		same := func(b []byte) ([]byte, error) { return b, nil }
		wantErr(t, "ChangePrincipal of nobody", s.ChangePrincipal(t.Context(), ann.ARN, same), store.ErrNotFound)
		wantErr(t, "ChangePrincipal of no text", s.ChangePrincipal(t.Context(), "\x00", same), store.ErrNotFound)
		wantErr(t, "CreatePrincipal", s.CreatePrincipal(t.Context(), ann), nil)
		no := errors.New("no")
		wantErr(t, "ChangePrincipal that fails", s.ChangePrincipal(t.Context(), ann.ARN, func([]byte) ([]byte, error) { return []byte("1"), no }), no)
		if err := s.ChangePrincipal(t.Context(), ann.ARN, func([]byte) ([]byte, error) { return []byte("{"), nil }); err == nil {
			t.Error("a body that is not JSON was taken")
		}
		wantErr(t, "ChangePrincipal", s.ChangePrincipal(t.Context(), ann.ARN, func(b []byte) ([]byte, error) {
			return append(append([]byte("["), b...), ']'), nil
		}), nil)
		if got := must(s.Principal(t.Context(), ann.ARN))(t); string(got.Body) != `[{"policies":[]}]` {
			t.Errorf("body is %s", got.Body)
		}
	},

	"an incomplete principal is refused": func(t *testing.T, s *store.Store, _ string) {
		for name, change := range map[string]func(*store.Principal){
			"no ARN":      func(p *store.Principal) { p.ARN = "" },
			"no text":     func(p *store.Principal) { p.ARN = "\x00" },
			"no account":  func(p *store.Principal) { p.Account = "" },
			"no body":     func(p *store.Principal) { p.Body = nil },
			"a long body": func(p *store.Principal) { p.Body = text(make([]byte, 1<<20)) },
		} {
			p := user("ann", "123456789012")
			change(&p)
			if err := s.CreatePrincipal(t.Context(), p); err == nil {
				t.Errorf("a principal with %s was created", name)
			}
		}
	},

	"an account's principals are listed page by page": func(t *testing.T, s *store.Store, _ string) {
		for _, name := range []string{"b", "A", "c"} {
			wantErr(t, "CreatePrincipal", s.CreatePrincipal(t.Context(), user(name, "111111111111")), nil)
		}
		wantErr(t, "CreatePrincipal", s.CreatePrincipal(t.Context(), user("d", "222222222222")), nil)
		for page := 1; page <= 4; page++ {
			var got []string
			for after := ""; ; {
				all := must(s.ListPrincipals(t.Context(), "111111111111", after, page))(t)
				for _, p := range all {
					after = p.ARN
					got = append(got, p.ARN[len(p.ARN)-1:])
				}
				if len(all) < page {
					break
				}
			}
			if want := []string{"A", "b", "c"}; !slices.Equal(got, want) {
				t.Errorf("pages of %d: %q, want %q", page, got, want)
			}
		}
	},
}
