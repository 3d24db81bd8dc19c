package restjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
)

// Every request is recorded once, before its answer is on the way, as the operation it
// is or, without a valid signature, as the one it names.
func TestRecord(t *testing.T) {
	refusing := func(service string) Authenticator {
		return func(*http.Request, []byte) (Caller, error) {
			return Caller{Service: service, AccessKeyID: "AK"}, foreign{"InvalidSignatureException"}
		}
	}
	post := func(path, body string) *http.Request {
		return httptest.NewRequest("POST", path, strings.NewReader(body))
	}
	denied := func(context.Context, *doc) (*pong, error) {
		return nil, &live.Error{Kind: live.Conflict, Detail: "busy", Err: errors.New("secret")}
	}
	for name, tt := range map[string]struct {
		req  *http.Request
		auth Authenticator
		ping func(context.Context, *doc) (*pong, error)
		want string // service, operation, account, key, status, error: message; request, response
	}{
		"a success":                    {req: post("/Ping", `{"name":"a"}`), want: "ivs Ping 1 AK 200 : *restjson.doc *restjson.pong"},
		"a success without output":     {req: post("/Drop", "{}"), want: "ivs Drop 1 AK 204 : *restjson.doc <nil>"},
		"what only reads":              {req: httptest.NewRequest("GET", "/echo/a?k=b", nil), want: "ivs Echo 1 AK 200 : *restjson.echo <nil> read"},
		"an error":                     {req: post("/Ping", "{}"), ping: denied, want: "ivs Ping 1 AK 409 ConflictException: busy *restjson.doc <nil>"},
		"a bug":                        {req: post("/Ping", "{}"), ping: func(context.Context, *doc) (*pong, error) { panic("secret") }, want: "ivs Ping 1 AK 500 InternalServerException: " + internal + " *restjson.doc <nil>"},
		"an input that is not valid":   {req: post("/Ping", "<"), want: "ivs Ping 1 AK 400 SerializationException: "},
		"an operation nobody knows":    {req: post("/Nothing", "{}"), want: "ivs  1 AK 404 UnknownOperationException: The"},
		"a bad signature":              {req: post("/Ping", "{}"), auth: refusing("ivs"), want: "ivs Ping  AK 403 InvalidSignatureException: f <nil> <nil>"},
		"a signature without services": {req: post("/Ping", "{}"), auth: refusing(""), want: "ivs Ping  AK 403 InvalidSignatureException: f <nil> <nil>"},
		"a signature for another":      {req: post("/Ping", "{}"), auth: refusing("chat"), want: "chat   AK 403"},
		"a stranger at a wrong door":   {req: post("/wp-login", ""), auth: refusing(""), want: "   AK 403"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.ping == nil {
				tt.ping = ok
			}
			if tt.auth == nil {
				tt.auth = trust
			}
			w := httptest.NewRecorder()
			var got []string
			svc := testService(tt.ping)
			svc.Methods[3].Operation.ReadOnly = true
			g := newGateway(t, Config{
				Authenticate: tt.auth,
				Services:     []Service{svc, {Name: "chat"}},
				Record: func(r Record) {
					if w.Body.Len() != 0 || r.HTTP == nil || r.HTTP.URL.Path != tt.req.URL.Path || r.RequestID == "" {
						t.Errorf("recorded late, or without its request: %+v", r)
					}
					read := ""
					if r.ReadOnly {
						read = " read"
					}
					got = append(got, fmt.Sprintf("%s %s %s %s %d %s: %s %T %T%s", r.Service, r.Operation, r.Account, r.AccessKeyID,
						r.Status, r.ErrorType, r.Message, r.Request, r.Response, read))
				},
			})
			g.ServeHTTP(w, tt.req)
			if len(got) != 1 || !strings.HasPrefix(strings.ReplaceAll(got[0], ":  ", ": "), tt.want) {
				t.Errorf("recorded %q, want %q", got, tt.want)
			}
		})
	}
}

// A service of another protocol says itself what its request and answer were.
func TestRecordForeign(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"a success": {nil, "sts Who 200 : in out"},
		"an error":  {live.Errorf(live.Denied, "no"), "sts Who 403 AccessDeniedException: no in <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			g := newGateway(t, Config{
				Authenticate: func(*http.Request, []byte) (Caller, error) { return Caller{Account: "1", Service: "sts"}, nil },
				Record: func(r Record) {
					got = fmt.Sprintf("%s %s %d %s: %s %v %v", r.Service, r.Operation, r.Status, r.ErrorType, r.Message, r.Request, r.Response)
				},
				Foreign: []Foreign{{
					Name: "sts",
					Serve: func(context.Context, http.ResponseWriter, *http.Request, []byte) (Result, error) {
						res := Result{Operation: "Who", Status: 200, Request: "in"}
						if tt.err == nil {
							res.Response = "out"
						}
						return res, tt.err
					},
					Refuse: func(_ http.ResponseWriter, _ string, f Fault) Result {
						return Result{Status: f.Status, ErrorType: f.Name}
					},
				}},
			})
			do(g, httptest.NewRequest("POST", "/", nil))
			if got = strings.ReplaceAll(got, ":  ", ": "); got != tt.want {
				t.Errorf("recorded %q, want %q", got, tt.want)
			}
		})
	}
}
