package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/store"
)

// openStore opens the database of a data directory, whether a server runs on it or not.
func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(dir, "sluice.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// newKey adds an administrator's access key of an account to a running server's database.
func newKey(t testing.TB, st *store.Store, account string) aws.Credentials {
	t.Helper()
	k, err := node.NewAccessKey(account, "tester", time.Now())
	if err == nil {
		k.Admin = true
		err = st.CreateAccessKey(t.Context(), k)
	}
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}
}

// client is a stock SDK client of another caller than servertest's.
func client(base, region string, c aws.Credentials) *ivs.Client {
	return ivs.New(ivs.Options{
		Region: region, BaseEndpoint: &base, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	})
}

// admin is the administrator's key of a server.
func admin(s *servertest.Server) aws.Credentials {
	return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
}

// A call is an API request made by hand. Zero means the default named on each field.
type call struct {
	method  string // "" means POST
	path    string // as on the wire: escaped
	query   string
	body    []byte
	service string    // of the signature's scope; "" means ivs
	region  string    // of the signature's scope; "" means the server's
	time    time.Time // of the signature; zero means now
}

// sign makes the request, signed by the SDK's own signer.
func (c call) sign(t testing.TB, s *servertest.Server, creds aws.Credentials) *http.Request {
	t.Helper()
	sum := sha256.Sum256(c.body)
	return c.signHash(t, s, creds, hex.EncodeToString(sum[:]), c.request(t, s))
}

// signAs is sign with something else than the hash of the body, which it states.
func (c call) signAs(t testing.TB, s *servertest.Server, creds aws.Credentials, hash string) *http.Request {
	t.Helper()
	req := c.request(t, s)
	req.Header.Set("X-Amz-Content-Sha256", hash)
	return c.signHash(t, s, creds, hash, req)
}

func (c call) signHash(t testing.TB, s *servertest.Server, creds aws.Credentials, hash string, req *http.Request) *http.Request {
	t.Helper()
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hash, c.scope(), cmp.Or(c.region, s.Region), c.when()); err != nil {
		t.Fatal(err)
	}
	return req
}

// presign makes a request that carries its signature in the query.
func (c call) presign(t testing.TB, s *servertest.Server, creds aws.Credentials) *http.Request {
	t.Helper()
	sum := sha256.Sum256(c.body)
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, c.request(t, s), hex.EncodeToString(sum[:]), c.scope(), cmp.Or(c.region, s.Region), c.when())
	if err != nil {
		t.Fatal(err)
	}
	req := c.request(t, s)
	if req.URL, err = url.Parse(signed); err != nil {
		t.Fatal(err)
	}
	return req
}

// request makes the request without a signature.
func (c call) request(t testing.TB, s *servertest.Server) *http.Request {
	t.Helper()
	method, u := c.method, s.Base+c.path
	if method == "" {
		method = http.MethodPost
	}
	if c.query != "" {
		u += "?" + c.query
	}
	req, err := http.NewRequestWithContext(t.Context(), method, u, bytes.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (c call) scope() string {
	if c.service == "" {
		return "ivs"
	}
	return c.service
}

func (c call) when() time.Time {
	if c.time.IsZero() {
		return time.Now()
	}
	return c.time
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends req as it is.
func send(t testing.TB, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

// exception is the name of the error in the header.
func (a answer) exception() string { return a.header.Get("x-amzn-ErrorType") }

// message is the text of the error, where botocore looks for it.
func (a answer) message() string {
	var b struct{ Message string }
	_ = json.Unmarshal(a.body, &b) // no JSON has no message
	return b.Message
}

// wireOf returns the status and header of the HTTP response that an SDK error came with.
func wireOf(t testing.TB, err error) (status int, header http.Header) {
	t.Helper()
	re, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok {
		t.Fatalf("%v carries no response", err)
	}
	return re.HTTPStatusCode(), re.Response.Header
}

// wantErr asks that err is the SDK's own type for an exception of the model, with the
// status that the model gives it.
func wantErr[E error](t testing.TB, what string, err error, status int) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		var want E
		t.Errorf("%s = %v, want a %T", what, err, want)
		return
	}
	if got, _ := wireOf(t, err); got != status {
		t.Errorf("%s: status %d, want %d", what, got, status)
	}
}

// pages collects what a paginator of the SDK yields.
func pages[P interface {
	HasMorePages() bool
	NextPage(ctx context.Context, opts ...func(*ivs.Options)) (*O, error)
}, O, T any](t testing.TB, p P, items func(*O) []T) (all []T, n int) {
	t.Helper()
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, n = append(all, items(out)...), n+1
	}
	return all, n
}

// keep stores the HTTP response of an SDK call.
func keep(raw **smithyhttp.Response) middleware.DeserializeMiddleware {
	return middleware.DeserializeMiddlewareFunc("keep", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, m, err := next.HandleDeserialize(ctx, in)
		*raw, _ = out.RawResponse.(*smithyhttp.Response)
		return out, m, err
	})
}

// asAPIError is an SDK error as any service's.
func asAPIError(err error) (smithy.APIError, bool) { return errors.AsType[smithy.APIError](err) }
