package sigv4

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// What a Verifier remembers of a key is good for nothing else.
func TestDerivedKeys(t *testing.T) {
	secret, now := testSecret, signTime
	v := New(func(context.Context, string, string) (Credential, error) { return Credential{Secret: secret}, nil }, func() time.Time { return now })
	r := signed(t, testKey, "", "/", "{}", nil)
	accepts := func(r *http.Request) bool {
		_, err := v.Verify(r, []byte("{}"))
		return err == nil
	}
	forged := signed(t, testKey, "", "/", "{}", nil)
	forged.Header.Set("Authorization", r.Header.Get("Authorization")[:len(r.Header.Get("Authorization"))-4]+"0000")
	if accepts(forged) || len(v.derived) != 0 {
		t.Errorf("a wrong signature is accepted, or leaves %d keys", len(v.derived))
	}
	for range 2 {
		if !accepts(r) || accepts(forged) || len(v.derived) != 1 {
			t.Fatalf("the right signature is refused, a wrong one accepted, or there are %d keys, want 1", len(v.derived))
		}
	}
	if secret = "another"; accepts(r) {
		t.Error("the signature of a secret that is no longer the key's is accepted")
	}
	secret = testSecret
	if now = signTime.Add(maxSkew + time.Second); accepts(r) {
		t.Error("an old signature is accepted")
	}
	for i := range 2 * maxDerived {
		v.remember(origin{secret: fmt.Sprint(i)}, nil)
	}
	if n := len(v.derived); n > maxDerived {
		t.Errorf("%d keys are remembered, want at most %d", n, maxDerived)
	}
}
