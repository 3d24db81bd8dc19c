package sigv4

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	reference "github.com/aws/smithy-go/aws-http-auth/sigv4"
	v4 "github.com/aws/smithy-go/aws-http-auth/v4"
)

// The SDK's own signer is the reference: both must come to the same header.
func TestSignAsTheSDKDoes(t *testing.T) {
	s := Signer{AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "us-west-2", Service: "ivs"}
	ref := reference.New(func(o *v4.SignerOptions) { o.AddPayloadHashHeader = true })
	body := []byte(`{"name":"a"}`)
	sum := sha256.Sum256(body)
	for name, at := range map[string]time.Time{
		"first day":          time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC),
		"key of another day": time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		"not in UTC":         time.Date(2026, 11, 21, 1, 0, 0, 0, time.FixedZone("", 7200)),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:8080/CreateChannel", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = -1 // else the reference also signs the length
			err = ref.SignRequest(&reference.SignRequestInput{
				Request: r, PayloadHash: sum[:], Service: s.Service, Region: s.Region, Time: at,
				Credentials: credentials.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := s.Sign(http.MethodPost, "127.0.0.1:8080", "/CreateChannel", body, at)
			want := Signature{r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Content-Sha256"), r.Header.Get("Authorization")}
			if got != want {
				t.Errorf("Sign:\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	s := Signer{AccessKey: "AKIDEXAMPLE", SecretKey: "secret", Region: "us-west-2", Service: "ivs"}
	body := []byte(`{"arn":"arn:aws:ivs:us-west-2:123456789012:channel/abcdefABCDEF"}`)
	now := time.Unix(1700000000, 0)
	b.ReportAllocs()
	for b.Loop() {
		s.Sign("POST", "127.0.0.1:8080", "/GetChannel", body, now)
	}
}
