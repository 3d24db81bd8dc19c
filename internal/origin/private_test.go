package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

func private(c *live.Channel) { c.Authorized = true }

// newKey makes a key pair of P-384.
func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// importKey makes the public half of a key one of the channel's account and region, each
// changed by with.
func (s *site) importKey(t testing.TB, k *ecdsa.PrivateKey, with ...func(*live.ARN)) live.ARN {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	arn := live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: live.TypePlaybackKey, ID: live.NewID(12)}
	for _, f := range with {
		f(&arn)
	}
	row, err := store.RowOfPlaybackKey(live.PlaybackKey{ARN: arn, SPKI: spki, Created: time.Now()})
	if err == nil {
		err = s.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), row) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return arn
}

// A draft is a token as a test wants it, right or wrong.
type draft struct {
	key             *ecdsa.PrivateKey
	header, payload string // JSON
	sign            func(text string) []byte
}

func (d draft) token(t testing.TB) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(d.header)) + "." + b64([]byte(d.payload))
	if d.sign == nil {
		d.sign = func(text string) []byte { return signES384(t, d.key, text) }
	}
	return text + "." + b64(d.sign(text))
}

func signES384(t testing.TB, k *ecdsa.PrivateKey, text string) []byte {
	t.Helper()
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 96)
	r.FillBytes(sig[:48])
	s.FillBytes(sig[48:])
	return sig
}

func signES256(t testing.TB, text string) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig
}

const es384 = `{"alg":"ES384","typ":"JWT"}`

// claims are those of a token that is good for e for five minutes, changed by with, which
// are names and values in turn; a nil value takes a claim away.
func claims(t testing.TB, e *encoder, with ...any) string {
	t.Helper()
	m := map[string]any{"aws:channel-arn": e.arn.String(), "exp": time.Now().Add(5 * time.Minute).Unix()}
	for i := 0; i < len(with); i += 2 {
		if with[i+1] == nil {
			delete(m, with[i].(string))
		} else {
			m[with[i].(string)] = with[i+1]
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// token is one that is good for e, changed as claims are.
func token(t testing.TB, k *ecdsa.PrivateKey, e *encoder, with ...any) string {
	t.Helper()
	return draft{key: k, header: es384, payload: claims(t, e, with...)}.token(t)
}

// play asks for the multivariant playlist with a token.
func (s *site) play(e *encoder, token string, header ...string) *httptest.ResponseRecorder {
	return s.get(e.playback()+"?token="+token, header...)
}

// directory is where a multivariant playlist leads to: the directory of its one rendition.
func directory(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	m, err := hls.ParseMultivariant(w.Body.Bytes())
	if err != nil || len(m.Variants) != 1 {
		t.Fatalf("%d %s: %v, want one variant", w.Code, w.Body, err)
	}
	dir, ok := strings.CutSuffix(m.Variants[0].URI, "index.m3u8")
	if !ok {
		t.Fatalf("the variant is at %s", m.Variants[0].URI)
	}
	return dir
}

// revoke revokes a viewer's sessions in the store, as the API does.
func (s *site) revoke(t testing.TB, e *encoder, viewer string, version int64) {
	t.Helper()
	x := live.Revocation{Channel: e.arn, Viewer: viewer, Version: version, Time: time.Now()}
	if err := s.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Revoke(t.Context(), x) }); err != nil {
		t.Fatal(err)
	}
}
