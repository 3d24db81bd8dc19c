package control

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

// vector is the test vector of low-latency.md 1.3.
const (
	vector = `-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE8oztcJ4vTFbiYNSzb/oeWrF9N1N1Ix6M
BYNGBVl03iQRVvS+UOsH8Frebi6bYUQGi4SWqDs5blglHhLvYvUgGHUlZl927+HU
b52uLW0hYkOaLVq/A0duuxI3cZsS82xe
-----END PUBLIC KEY-----
`
	vectorFingerprint = "5a:92:46:1e:2b:c6:ee:80:e6:e1:e6:c7:c8:a6:84:ac"
)

func pemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newPublicKey(t testing.TB, curve elliptic.Curve) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, k.Public())
}

func TestImportPlaybackKeyPair(t *testing.T) {
	f := newFixture(t)
	out, err := f.ImportPlaybackKeyPair(f.ctx, &ivsapi.ImportPlaybackKeyPairRequest{
		PublicKeyMaterial: vector, Name: new("viewers"), Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &ivsapi.PlaybackKeyPair{
		Arn: out.KeyPair.Arn, Name: new("viewers"), Fingerprint: new(vectorFingerprint), Tags: map[string]string{"a": "b"},
	}
	if d := cmp.Diff(want, out.KeyPair); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	got, err := f.GetPlaybackKeyPair(f.ctx, &ivsapi.GetPlaybackKeyPairRequest{Arn: *out.KeyPair.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.KeyPair); d != "" {
		t.Errorf("GetPlaybackKeyPair: -want +got\n%s", d)
	}
	list, err := f.ListPlaybackKeyPairs(f.ctx, &ivsapi.ListPlaybackKeyPairsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	summary := []ivsapi.PlaybackKeyPairSummary{{Arn: want.Arn, Name: want.Name, Tags: want.Tags}}
	if d := cmp.Diff(summary, list.KeyPairs); d != "" {
		t.Errorf("ListPlaybackKeyPairs: -want +got\n%s", d)
	}
}

func TestPlaybackKeyRules(t *testing.T) {
	secret, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	block, _ := pem.Decode([]byte(vector))
	offCurve := append([]byte(nil), block.Bytes...)
	offCurve[len(offCurve)-1] ^= 1
	encode := func(b pem.Block) string { return string(pem.EncodeToMemory(&b)) }
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"P-384":                        {vector, true},
		"with CRLF":                    {strings.ReplaceAll(vector, "\n", "\r\n"), true},
		"without the last newline":     {strings.TrimSpace(vector), true},
		"blanks around it":             {"\n\t " + vector + "\n\n", true},
		"nothing":                      {"", false},
		"not PEM":                      {"ssh-rsa AAAA", false},
		"no PEM, only the DER's text":  {"MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE8oztcJ4vTFbiYNSz", false},
		"P-256":                        {newPublicKey(t, elliptic.P256()), false},
		"P-521":                        {newPublicKey(t, elliptic.P521()), false},
		"RSA":                          {pemOf(t, rsaKey.Public()), false},
		"Ed25519":                      {pemOf(t, edKey), false},
		"a private key":                {encode(pem.Block{Type: "PRIVATE KEY", Bytes: private}), false},
		"a private key as public one":  {encode(pem.Block{Type: "PUBLIC KEY", Bytes: private}), false},
		"another type":                 {strings.ReplaceAll(vector, "PUBLIC KEY", "EC PUBLIC KEY"), false},
		"two keys":                     {vector + vector, false},
		"text before it":               {"# key\n" + vector, false},
		"text after it":                {vector + "# key", false},
		"a private key before it":      {encode(pem.Block{Type: "PRIVATE KEY", Bytes: private}) + vector, false},
		"headers":                      {encode(pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"a": "b"}, Bytes: block.Bytes}), false},
		"a point off the curve":        {encode(pem.Block{Type: "PUBLIC KEY", Bytes: offCurve}), false},
		"DER that is cut":              {encode(pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes[:100]}), false},
		"DER with more behind":         {encode(pem.Block{Type: "PUBLIC KEY", Bytes: append(block.Bytes[:len(block.Bytes):len(block.Bytes)], 0)}), false},
		"an empty block":               {encode(pem.Block{Type: "PUBLIC KEY"}), false},
		"more text than any key needs": {strings.Repeat(" ", maxKeyText) + vector, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := f.ImportPlaybackKeyPair(f.ctx, &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: tt.text})
			if tt.ok && (err != nil || *out.KeyPair.Fingerprint != vectorFingerprint) || !tt.ok && !errors.Is(err, live.Invalid) {
				t.Errorf("ImportPlaybackKeyPair = %+v, %v; want ok %t", out, err, tt.ok)
			}
			if e, ok := errors.AsType[*live.Error](err); ok && len(e.Detail) > 200 {
				t.Errorf("the caller is told %d bytes", len(e.Detail))
			}
			if err == nil {
				if _, err := f.DeletePlaybackKeyPair(f.ctx, &ivsapi.DeletePlaybackKeyPairRequest{Arn: *out.KeyPair.Arn}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestPlaybackKeysAreThreeDifferentOnes(t *testing.T) {
	f := newFixture(t)
	add := func(text string) (string, error) {
		out, err := f.ImportPlaybackKeyPair(f.ctx, &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: text})
		if err != nil {
			return "", err
		}
		return *out.KeyPair.Arn, nil
	}
	first, err := add(vector)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add("\n" + vector); !errors.Is(err, live.Conflict) {
		t.Errorf("the same key again: %v, want conflict", err)
	}
	for range 2 {
		if _, err := add(newPublicKey(t, elliptic.P384())); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := add(newPublicKey(t, elliptic.P384())); !errors.Is(err, live.Quota) {
		t.Errorf("a fourth key: %v, want quota", err)
	}
	for name, ctx := range map[string]struct{ account, region string }{
		"in another region": {"111122223333", "eu-west-1"}, "in another account": {"444455556666", "us-west-2"},
	} {
		in := &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: vector}
		if _, err := f.ImportPlaybackKeyPair(as(t.Context(), ctx.account, ctx.region), in); err != nil {
			t.Errorf("the same key %s: %v", name, err)
		}
	}
	if _, err := f.DeletePlaybackKeyPair(f.ctx, &ivsapi.DeletePlaybackKeyPairRequest{Arn: first}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeletePlaybackKeyPair(f.ctx, &ivsapi.DeletePlaybackKeyPairRequest{Arn: first}); !errors.Is(err, live.NotFound) {
		t.Errorf("second delete: %v, want not found", err)
	}
	again, err := add(vector)
	if err != nil || again == first {
		t.Errorf("the key after its deletion: %s, %v; want a new ARN", again, err)
	}
}

// Whatever is accepted is a P-384 key, of the one form that parses to itself.
func FuzzParsePublicKey(f *testing.F) {
	f.Add(vector)
	f.Add("")
	f.Add(newPublicKey(f, elliptic.P256()))
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		der, err := parsePublicKey(text)
		if err != nil {
			if !errors.Is(err, live.Invalid) {
				t.Errorf("error %v is not Invalid", err)
			}
			return
		}
		again, err := parsePublicKey(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		if err != nil || string(again) != string(der) || len(der) != 120 {
			t.Errorf("%s parses to %x, %v; not to itself, %x", fmt.Sprintf("%.300q", text), again, err, der)
		}
	})
}
