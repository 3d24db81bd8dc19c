package restjson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
)

// A service of another protocol is let in, refused and observed like any other, and
// words everything itself.
func TestForeign(t *testing.T) {
	signed := func(err error) Authenticator {
		return func(*http.Request, []byte) (Caller, error) {
			return Caller{Account: "1", Service: "sts", AccessKeyID: "AK", Principal: "p"}, err
		}
	}
	for name, tt := range map[string]struct {
		auth  Authenticator
		serve func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error)
		body  string // of the request
		want  string // status and body
		out   string // operation, status, error
	}{
		"a request": {
			auth: signed(nil), body: "Action=Who",
			serve: func(ctx context.Context, w http.ResponseWriter, _ *http.Request, body []byte) (Result, error) {
				c := CallerFrom(ctx)
				_, _ = fmt.Fprintf(w, "<%s %s %t>", body, c.Account, c.RequestID != "" && c.Base != "")
				return Result{Operation: "Who", Status: 200}, nil
			},
			want: "200 <Action=Who 1 true>", out: "sts Who 200 ",
		},
		"an error of its own": {
			auth: signed(nil),
			serve: func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error) {
				return Result{Operation: "Who"}, live.Errorf(live.Denied, "no")
			},
			want: "403 <AccessDeniedException: no>", out: "sts Who 403 AccessDeniedException",
		},
		"an exception that only it knows": {
			auth: signed(nil),
			serve: func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error) {
				return Result{Operation: "Who"}, foreign{"PackedPolicyTooLarge"}
			},
			want: "403 <PackedPolicyTooLarge: f>", out: "sts Who 403 PackedPolicyTooLarge",
		},
		"an error of ours": {
			auth: signed(nil),
			serve: func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error) {
				return Result{}, errors.New("secret")
			},
			want: "500 <InternalServerException: " + internal + ">", out: "sts  500 InternalServerException",
		},
		"a panic": {
			auth: signed(nil),
			serve: func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error) {
				panic("secret")
			},
			want: "500 <InternalServerException: " + internal + ">", out: "sts  500 InternalServerException",
		},
		"no behaviour":    {auth: signed(nil), want: "500 <InternalServerException: " + internal + ">", out: "sts  500 InternalServerException"},
		"a bad signature": {auth: signed(foreign{"InvalidSignatureException"}), want: "403 <InvalidSignatureException: f>", out: "sts  403 InvalidSignatureException"},
		"too long a body": {auth: signed(nil), body: strings.Repeat(" ", MaxBody+1), want: `413 {"exceptionMessage"`, out: "  413 RequestEntityTooLargeException"},
	} {
		t.Run(name, func(t *testing.T) {
			var out Outcome
			g := newGateway(t, Config{
				Authenticate: tt.auth,
				Observe:      func(_ context.Context, o Outcome) { out = o },
				Foreign: []Foreign{{Name: "sts", Serve: tt.serve, Refuse: func(w http.ResponseWriter, id string, f Fault) Result {
					if id == "" {
						t.Error("no request id")
					}
					w.WriteHeader(f.Status)
					_, _ = io.WriteString(w, "<"+f.Name+": "+f.Message+">")
					return Result{Status: f.Status, ErrorType: f.Name}
				}}},
			})
			w := do(g, httptest.NewRequest("POST", "/", strings.NewReader(tt.body)))
			if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, tt.want) {
				t.Errorf("answers %s, want %s", got, tt.want)
			}
			if got := fmt.Sprintf("%s %s %d %s", out.Service, out.Operation, out.Status, out.ErrorType); got != tt.out || out.RequestID == "" {
				t.Errorf("observed %q, want %q", got, tt.out)
			}
		})
	}
	if _, err := NewGateway(Config{Authenticate: trust, Services: []Service{testService(ok)}, Foreign: []Foreign{{Name: "ivs"}}}); err == nil {
		t.Error("a foreign service took the name of another")
	}
}

// A step can refuse items of a batch, and only what it refused is refused.
func TestRefuse(t *testing.T) {
	var got []error
	g := newGateway(t, Config{
		Services: []Service{testService(func(ctx context.Context, _ *doc) (*pong, error) {
			got = []error{Refused(ctx, "a"), Refused(ctx, "b")}
			return &pong{}, nil
		})},
		Steps: []Step{func(_ context.Context, c *Call) error {
			c.Refuse("a", live.Denied)
			return nil
		}},
	})
	do(g, httptest.NewRequest("POST", "/Ping", nil))
	if len(got) != 2 || !errors.Is(got[0], live.Denied) || got[1] != nil {
		t.Errorf("refused %v", got)
	}
	if err := Refused(t.Context(), "a"); err != nil {
		t.Errorf("without a step: %v", err)
	}
}
