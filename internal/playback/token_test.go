package playback

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
)

// The vector of low-latency.md 1.3.
const (
	vectorKey = `-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE8oztcJ4vTFbiYNSzb/oeWrF9N1N1Ix6M
BYNGBVl03iQRVvS+UOsH8Frebi6bYUQGi4SWqDs5blglHhLvYvUgGHUlZl927+HU
b52uLW0hYkOaLVq/A0duuxI3cZsS82xe
-----END PUBLIC KEY-----
`
	vectorToken = "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJhd3M6Y2hhbm5lbC1hcm4iOiJhcm46YXdzOml2czp1cy13ZXN0LTI6MTExMTIyMjIzMzMzOmNoYW5uZWwvS3EzWnRCN3hXbTJQIiwiYXdzOmFjY2Vzcy1jb250cm9sLWFsbG93LW9yaWdpbiI6Imh0dHBzOi8vd2F0Y2guZXhhbXBsZS5vcmciLCJhd3M6c3RyaWN0LW9yaWdpbi1lbmZvcmNlbWVudCI6ZmFsc2UsImV4cCI6NDEwMjQ0NDgwMH0.VkoF-EjhVcBp2OqDov_SxNWxlAmSAr-8_LtIZxymvk0mrqpTZ72RnsVV1Q67vLdTKcTVm4UJTLucNJDlgTQ0xMqfol3yAzb7MtIqXPAuMKramYQVrnpX9YVC1PnCFvs_"
)

var vectorChannel = live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: "channel", ID: "Kq3ZtB7xWm2P"}

func vectorKeys(t testing.TB) func() ([]*ecdsa.PublicKey, error) {
	t.Helper()
	block, _ := pem.Decode([]byte(vectorKey))
	k, err := parsePublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return func() ([]*ecdsa.PublicKey, error) { return []*ecdsa.PublicKey{k}, nil }
}

func generate(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVector(t *testing.T) {
	got, err := newVerifier(DefaultTokenBytes).verify(vectorToken, vectorChannel, time.Now(), vectorKeys(t))
	want := Claims{Channel: vectorChannel, Expires: 4102444800, Origins: []string{"https://watch.example.org"}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v, -want +got\n%s", err, d)
	}
}

// What Sign says, verify reads; and Sign makes no token that could not be used.
func TestSign(t *testing.T) {
	now, key := time.Unix(1_800_000_000, 0), generate(t)
	soon := now.Add(time.Minute).Unix()
	for name, tt := range map[string]struct {
		claims Claims
		ok     bool
	}{
		"the least": {Claims{Expires: soon}, true},
		"all": {Claims{
			Expires: soon, NotBefore: 1, Origins: []string{"https://a.example", "https://*.b.example"}, Strict: true,
			SingleUse: "3f2504e0-4f89-41d3-9a0c-0305e82c3301", Viewer: "ann", Version: -7, MaxResolution: HD,
			Ads: Ads{OptOut: true, PlayerParams: map[string]string{"a": "b"}, ConfigName: "c", Reporting: ReportClient},
		}, true},
		"no end":                     {Claims{}, false},
		"a viewer for an hour":       {Claims{Expires: now.Add(time.Hour).Unix(), Viewer: "ann"}, false},
		"a viewer with a long name":  {Claims{Expires: soon, Viewer: strings.Repeat("a", 41)}, false},
		"an unknown resolution":      {Claims{Expires: soon, MaxResolution: "8K"}, false},
		"a use of what is no UUID":   {Claims{Expires: soon, SingleUse: "once"}, false},
		"more than a token may have": {Claims{Expires: soon, Origins: []string{strings.Repeat("a", 2000)}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tt.claims.Channel = vectorChannel
			token, err := Sign(key, tt.claims, now)
			if (err == nil) != tt.ok {
				t.Fatalf("Sign: %v, want ok=%t", err, tt.ok)
			}
			if !tt.ok {
				return
			}
			got, err := newVerifier(DefaultTokenBytes).verify(token, vectorChannel, now, func() ([]*ecdsa.PublicKey, error) {
				return []*ecdsa.PublicKey{&generate(t).PublicKey, &key.PublicKey}, nil
			})
			if d := cmp.Diff(tt.claims, got); err != nil || d != "" {
				t.Errorf("%v, -want +got\n%s", err, d)
			}
		})
	}
	if _, err := Sign(key, Claims{Channel: live.ARN{Service: "ivs", Region: "a", Account: "1", Type: "stream-key", ID: "x"}, Expires: soon}, now); err == nil {
		t.Error("a token for a stream key")
	}
}

// Keys are asked for when all that costs little is done.
func TestKeysComeLast(t *testing.T) {
	v, asked := newVerifier(DefaultTokenBytes), 0
	fault := errors.New("store: away")
	keys := func() ([]*ecdsa.PublicKey, error) { asked++; return nil, fault }
	if _, err := v.verify(vectorToken, vectorChannel, time.Now(), keys); !errors.Is(err, fault) || asked != 1 {
		t.Errorf("%v after asking %d times, want the fault after one", err, asked)
	}
	other := vectorChannel
	other.ID = "another"
	for token, channel := range map[string]live.ARN{"": vectorChannel, "a.b.c": vectorChannel, vectorToken: other} {
		_, err := v.verify(token, channel, time.Now(), keys)
		if _, ok := errors.AsType[*Refusal](err); !ok || asked != 1 {
			t.Errorf("%v after asking %d times, want a refusal without asking", err, asked)
		}
	}
	if _, err := v.verify(vectorToken, vectorChannel, time.Unix(4102444800, 0), keys); asked != 1 || reasonOf(err) != Expired {
		t.Errorf("%v, asked %d times, want that it is expired", err, asked)
	}
	none := func() ([]*ecdsa.PublicKey, error) { return nil, nil }
	if _, err := v.verify(vectorToken, vectorChannel, time.Now(), none); reasonOf(err) != BadSignature {
		t.Errorf("without a key: %v", err)
	}
}

func reasonOf(err error) Reason {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}

func TestParsePrivateKey(t *testing.T) {
	key := generate(t)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(r)
	if err != nil {
		t.Fatal(err)
	}
	block := func(typ string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}) }
	for name, tt := range map[string]struct {
		text []byte
		ok   bool
	}{
		"SEC 1":                    {block("EC PRIVATE KEY", sec1), true},
		"PKCS #8":                  {block("PRIVATE KEY", pkcs8), true},
		"after its curve":          {append(block("EC PARAMETERS", []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22}), block("EC PRIVATE KEY", sec1)...), true},
		"with text around":         {append([]byte("my key\n"), block("PRIVATE KEY", pkcs8)...), true},
		"of P-256":                 {block("EC PRIVATE KEY", small), false},
		"of RSA":                   {block("PRIVATE KEY", other), false},
		"the public half":          {[]byte(vectorKey), false},
		"not a key in its clothes": {block("PRIVATE KEY", []byte("x")), false},
		"nothing":                  {nil, false},
		"DER":                      {pkcs8, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePrivateKey(tt.text)
			if (err == nil) != tt.ok || tt.ok && !got.Equal(key) {
				t.Errorf("%v, want ok=%t", err, tt.ok)
			}
		})
	}
}

// A token that is taken says what its signer said; whatever else comes, the answer is a
// refusal of bounded size. What a token says survives being signed again.
func FuzzVerify(f *testing.F) {
	now, key := time.Unix(1_800_000_000, 0), generate(f)
	pub := func() ([]*ecdsa.PublicKey, error) { return []*ecdsa.PublicKey{&key.PublicKey}, nil }
	for _, header := range []string{`{"alg":"ES384","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"ES384","crit":["b64"],"b64":false}`, `{"alg":"ES384","alg":"none"}`, `[]`} {
		for _, payload := range []string{
			`{"aws:channel-arn":"` + vectorChannel.String() + `","exp":1800000060,"aws:viewer-id":"ann","aws:viewer-session-version":"7"}`,
			`{"aws:channel-arn":"` + vectorChannel.String() + `","exp":1e300,"aws:access-control-allow-origin":"https://*.a.example,*","aws:strict-origin-enforcement":true}`,
			`{"aws:channel-arn":"` + vectorChannel.String() + `","exp":1800000060.5,"aws:ads-player-params":{"a":"b"},"aws:ads-reporting-mode":"CLIENT","aws:maximum-resolution":"SD"}`,
			`{"exp":1,"exp":2}`, `null`, `{"a":{"a":{}}}`,
		} {
			f.Add([]byte(header), []byte(payload), true)
		}
	}
	f.Add([]byte(vectorToken), []byte{}, false)
	v := newVerifier(DefaultTokenBytes)
	f.Fuzz(func(t *testing.T, header, payload []byte, signed bool) {
		token := string(header)
		if signed {
			token = sign(t, key, header, payload)
		}
		c, err := v.verify(token, vectorChannel, now, pub)
		if err != nil {
			if reasonOf(err) == "" || len(err.Error()) > 300 {
				t.Errorf("%v is no refusal, or a long one", err)
			}
			return
		}
		if !signed {
			t.Fatalf("taken without our signature: %q", token)
		}
		again, err := Sign(key, c, now)
		if err != nil { // it can be longer when it is written again
			return
		}
		if got, err := v.verify(again, vectorChannel, now, pub); err != nil || !cmp.Equal(c, got) {
			t.Errorf("%v: %s", err, cmp.Diff(c, got))
		}
		if len(c.Viewer) > 4*maxViewer || c.Viewer != "" && c.Expires > now.Add(maxBound+skew).Unix() || bytes.ContainsRune([]byte(c.Viewer), 0) {
			t.Errorf("claims %+v break the rules", c)
		}
	})
}

// BenchmarkVerify is the whole of a token: parsing, claims, and the signature, which is
// nearly all of it, by the first key and by the last of three.
func BenchmarkVerify(b *testing.B) {
	now, key := time.Unix(1_800_000_000, 0), generate(b)
	token, err := Sign(key, Claims{Channel: vectorChannel, Expires: now.Add(time.Minute).Unix(), Viewer: "ann", Origins: []string{"https://a.example"}}, now)
	if err != nil {
		b.Fatal(err)
	}
	v := newVerifier(DefaultTokenBytes)
	for name, keys := range map[string][]*ecdsa.PublicKey{
		"the first key": {&key.PublicKey}, "the third key": {&generate(b).PublicKey, &generate(b).PublicKey, &key.PublicKey},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.verify(token, vectorChannel, now, func() ([]*ecdsa.PublicKey, error) { return keys, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
