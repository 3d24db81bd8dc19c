package node

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store/storetest"
	"github.com/sluice-live/sluice/internal/sts"
)

// A temporary key is what its token says, and a user's dies with the key it came from.
func TestIdentities(t *testing.T) {
	st := storetest.SQLite(t)
	tokens, err := sts.NewTokens(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	keys := newKeyring(st)
	keys.now = func() time.Time { return clock }
	ids := identities{keys, tokens}
	parent, err := newAdminKey("111122223333")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.CreateAccessKey(t.Context(), parent); err != nil {
		t.Fatal(err)
	}
	if c, err := ids.get(t.Context(), parent.ID, ""); err != nil || c.Secret != parent.Secret || !c.Admin || c.SessionToken != "" {
		t.Errorf("a lasting key: %v", err)
	}

	seal := func(c sts.Credential) string {
		t.Helper()
		token, err := tokens.Seal(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	user := sts.Credential{ID: "ASIA1", Secret: "s1", Account: "111122223333", ARN: parent.Principal, Expires: 1_800_000_000}
	user.Session.ParentKey = parent.ID
	role := sts.Credential{ID: "ASIA2", Secret: "s2", Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/ops/s"}
	role.Session.Role, role.Session.ParentKey = "arn:aws:iam::111122223333:role/ops", parent.ID
	userToken, roleToken := seal(user), seal(role)

	c, err := ids.get(t.Context(), "ASIA1", userToken)
	if err != nil || c.Secret != "s1" || c.SessionToken != userToken || c.Expires.Unix() != user.Expires || !c.Admin || c.Principal != parent.Principal {
		t.Errorf("a user's session: %v", err)
	}
	c, err = ids.get(t.Context(), "ASIA2", roleToken)
	if err != nil || c.Secret != "s2" || c.Admin || c.Principal != role.ARN {
		t.Errorf("a role's session: %v, administrator %t", err, c.Admin)
	}
	for name, pair := range map[string][2]string{
		"a token of another key":             {"ASIA1", roleToken},
		"a temporary key without its token":  {"ASIA1", ""},
		"a lasting key with a token":         {parent.ID, userToken},
		"a token that is none":               {"ASIA1", "x"},
		"a lasting key that is not there":    {"AKIANONE", ""},
		"a lasting key with a token of none": {parent.ID, "x"},
	} {
		if _, err := ids.get(t.Context(), pair[0], pair[1]); !errors.Is(err, live.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := st.DeleteAccessKey(t.Context(), parent.ID); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(keyTTL)
	if _, err := ids.get(t.Context(), "ASIA1", userToken); !errors.Is(err, live.NotFound) {
		t.Errorf("a session of a key that is gone: %v", err)
	}
	if _, err := ids.get(t.Context(), "ASIA2", roleToken); err != nil {
		t.Errorf("a role's session needs no key: %v", err)
	}
}
