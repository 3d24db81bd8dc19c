package restjson

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
)

// pong is a response type as the generator would write it.
type pong struct{ Text string }

func (v *pong) Encode(e *Encoder) {
	e.Begin()
	e.Key("text")
	e.Text(v.Text)
	e.End()
}

func (v *pong) SetHeaders(h http.Header) { h.Set("Cache-Control", "private") }

// echo is an operation without a body: a label and a query.
type echo struct {
	Label string
	Keys  []string
}

func (v *echo) Decode(r *Request) {
	v.Label = r.Label
	v.Keys = r.Query["k"]
	r.Need(v.Keys != nil, "k")
}

func (v *echo) Validate(*Checker) {}

// testService has an operation of each form. ping lists two errors, echo many.
func testService(ping func(context.Context, *doc) (*pong, error)) Service {
	return Service{
		Name:          "ivs",
		MessageMember: "exceptionMessage",
		Errors: map[string]ErrorShape{
			"ValidationException": {400, []string{"exceptionMessage"}}, "ConflictException": {409, []string{"exceptionMessage"}},
			"ThrottlingException": {429, []string{"exceptionMessage"}},
		},
		Methods: []Method{
			{&Operation{Name: "Ping", Method: "POST", Path: "/Ping", Status: 200, Errors: []string{"ConflictException", "ValidationException"}}, Handle(ping)},
			{&Operation{Name: "Drop", Method: "POST", Path: "/Drop", Status: 204}, HandleEmpty(func(context.Context, *doc) error { return nil })},
			{&Operation{Name: "Later", Method: "POST", Path: "/Later", Status: 200}, Handle[doc, *doc, pong, *pong](nil)},
			{&Operation{Name: "Echo", Method: "GET", Path: "/echo/{label}", Status: 200}, Handle(func(_ context.Context, in *echo) (*pong, error) {
				return &pong{in.Label + " " + strings.Join(in.Keys, ",")}, nil
			})},
		},
	}
}

func ok(context.Context, *doc) (*pong, error) { return &pong{"pong"}, nil }

func trust(*http.Request, []byte) (Caller, error) {
	return Caller{Account: "1", Region: "us-west-2", Service: "ivs", AccessKeyID: "AK", Principal: "p"}, nil
}

func newGateway(t *testing.T, c Config) *Gateway {
	t.Helper()
	if c.Authenticate == nil {
		c.Authenticate = trust
	}
	if c.Services == nil {
		c.Services = []Service{testService(ok)}
	}
	g, err := NewGateway(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// failing reads like a connection that breaks with err.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestGateway(t *testing.T) {
	post := func(path, body string) *http.Request {
		return httptest.NewRequest("POST", path, strings.NewReader(body))
	}
	chunked := func(n int) *http.Request {
		r := httptest.NewRequest("POST", "/Ping", io.NopCloser(strings.NewReader(`{"name":"`+strings.Repeat("a", n-11)+`"}`)))
		r.ContentLength = -1
		return r
	}
	broken := func(err error) *http.Request {
		r := httptest.NewRequest("POST", "/Ping", failing{err})
		r.ContentLength = 10
		return r
	}
	for name, tt := range map[string]struct {
		req    *http.Request
		status int
		fault  string
		body   string // of a success; otherwise a part of the message
	}{
		"an operation":                           {post("/Ping", `{"name":"a"}`), 200, "", `{"text":"pong"}`},
		"without a body":                         {post("/Ping", ""), 200, "", `{"text":"pong"}`},
		"204 has no body":                        {post("/Drop", "{}"), 204, "", ""},
		"no behaviour yet":                       {post("/Later", "{}"), 404, "UnknownOperationException", "not known"},
		"no such path":                           {post("/Nothing", "{}"), 404, "UnknownOperationException", "not known"},
		"another method":                         {httptest.NewRequest("GET", "/Ping", nil), 404, "UnknownOperationException", "not known"},
		"paths are case-sensitive":               {post("/ping", "{}"), 404, "UnknownOperationException", "not known"},
		"an encoded path is another path":        {post("/P%69ng", "{}"), 404, "UnknownOperationException", "not known"},
		"a slash more is another path":           {post("/Ping/", "{}"), 404, "UnknownOperationException", "not known"},
		"an encoded label":                       {httptest.NewRequest("GET", "/echo/arn%3Aa%2Fb%20c?k=x&k=y%26z", nil), 200, "", `{"text":"arn:a/b c x,y&z"}`},
		"a label that is not encoded":            {httptest.NewRequest("GET", "/echo/arn:a/b?k=x", nil), 200, "", `{"text":"arn:a/b x"}`},
		"an empty label":                         {httptest.NewRequest("GET", "/echo/?k=x", nil), 404, "UnknownOperationException", "not known"},
		"a required query member is missing":     {httptest.NewRequest("GET", "/echo/a", nil), 400, "ValidationException", "'k'"},
		"a body nobody reads may be anything":    {httptest.NewRequest("GET", "/echo/a?k=x", strings.NewReader("<")), 200, "", `{"text":"a x"}`},
		"a malformed query":                      {httptest.NewRequest("GET", "/echo/a?k=x;y", nil), 400, "MalformedHttpRequestException", "query"},
		"a body of the largest size":             {chunked(MaxBody), 200, "", `{"text":"pong"}`},
		"a body over it":                         {chunked(MaxBody + 1), 413, "RequestEntityTooLargeException", "262144"},
		"a body that says it is over it, unread": {post("/Ping", strings.Repeat(" ", MaxBody+1)), 413, "RequestEntityTooLargeException", "262144"},
		"a broken connection":                    {broken(io.ErrUnexpectedEOF), 400, "RequestAbortedException", "after 0 bytes"},
		"a slow connection":                      {broken(os.ErrDeadlineExceeded), 408, "RequestTimeoutException", "too long"},
		"not JSON":                               {post("/Ping", "<xml/>"), 400, "SerializationException", "byte 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var out []Outcome
			g := newGateway(t, Config{Observe: func(_ context.Context, o Outcome) { out = append(out, o) }})
			w := do(g, tt.req)
			if w.Code != tt.status || w.Header().Get("x-amzn-ErrorType") != tt.fault || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("answers %d %q %s\nwant %d %q with %s", w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body, tt.status, tt.fault, tt.body)
			}
			if len(out) != 1 || out[0].Status != tt.status || out[0].ErrorType != tt.fault || (out[0].Err != nil) != (tt.fault != "") || out[0].RequestID != w.Header().Get("x-amzn-RequestId") {
				t.Errorf("observed %+v", out)
			}
			for _, h := range []string{"x-amzn-RequestId", "Access-Control-Allow-Origin", "X-Content-Type-Options"} {
				if w.Header().Get(h) == "" {
					t.Errorf("no %s", h)
				}
			}
		})
	}
}

func TestResponseHeaders(t *testing.T) {
	w := do(newGateway(t, Config{RequestID: func(context.Context) string { return "id-1" }}), httptest.NewRequest("POST", "/Ping", nil))
	h := w.Header()
	if h.Get("x-amzn-RequestId") != "id-1" || h.Get("Content-Length") != "15" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	if h.Get("Cache-Control") != "private" {
		t.Errorf("a response's own header loses to the default: %v", h)
	}
}

// Whatever stands in front of the handler ends the request there, in order.
func TestPipeline(t *testing.T) {
	for name, tt := range map[string]struct {
		auth, first, second error
		want                string // what ran
		fault               string
	}{
		"all pass":           {nil, nil, nil, "first second handler", ""},
		"no signature":       {live.Errorf(live.Denied, "no"), nil, nil, "", "AccessDeniedException"},
		"denied":             {nil, live.Errorf(live.Denied, "no"), nil, "first", "AccessDeniedException"},
		"throttled":          {nil, nil, live.Errorf(live.Throttled, "no"), "first second", "ThrottlingException"},
		"our own failure":    {errors.New("store: down"), nil, nil, "", "InternalServerException"},
		"a failure in steps": {nil, errors.New("store: down"), nil, "first", "InternalServerException"},
	} {
		t.Run(name, func(t *testing.T) {
			var ran []string
			step := func(name string, err error) Step {
				return func(ctx context.Context, c *Call) error {
					ran = append(ran, name)
					if in, ok := c.Request.(*doc); !ok || *in.Name != "n" || c.Operation.Name != "Ping" || c.Service != "ivs" || c.Caller != CallerFrom(ctx) {
						t.Errorf("step sees %+v", c)
					}
					return err
				}
			}
			g := newGateway(t, Config{
				Authenticate: func(r *http.Request, body []byte) (Caller, error) {
					c, _ := trust(r, body)
					return c, tt.auth
				},
				Services: []Service{testService(func(ctx context.Context, in *doc) (*pong, error) {
					ran = append(ran, "handler")
					if c := CallerFrom(ctx); c.Account != "1" || c.RequestID == "" || c.Base != "http://example.com" {
						t.Errorf("handler sees caller %+v", c)
					}
					return &pong{}, nil
				})},
				Steps: []Step{step("first", tt.first), step("second", tt.second)},
			})
			w := do(g, httptest.NewRequest("POST", "/Ping", strings.NewReader(`{"name":"n"}`)))
			if got := strings.Join(ran, " "); got != tt.want || w.Header().Get("x-amzn-ErrorType") != tt.fault {
				t.Errorf("ran %q and answered %q, want %q and %q", got, w.Header().Get("x-amzn-ErrorType"), tt.want, tt.fault)
			}
		})
	}
}

// A scope's service is claimed by a stranger: only registered ones may become a label.
func TestUnknownService(t *testing.T) {
	var out Outcome
	g := newGateway(t, Config{
		Authenticate: func(*http.Request, []byte) (Caller, error) { return Caller{Account: "1", Service: "iam"}, nil },
		Observe:      func(_ context.Context, o Outcome) { out = o },
	})
	w := do(g, httptest.NewRequest("POST", "/Ping", nil))
	if w.Code != 403 || out.ErrorType != "InvalidSignatureException" || out.Service != "" || !strings.Contains(w.Body.String(), "'iam'") {
		t.Errorf("answers %d %s; observed %+v", w.Code, w.Body, out)
	}
}

func TestInternalErrorsStayInside(t *testing.T) {
	for name, f := range map[string]func(context.Context, *doc) (*pong, error){
		"an error":  func(context.Context, *doc) (*pong, error) { return nil, errors.New("dial tcp 10.0.0.1: secret") },
		"a panic":   func(context.Context, *doc) (*pong, error) { panic("secret") },
		"a nothing": func(context.Context, *doc) (*pong, error) { return nil, nil },
		"the cause of a kind": func(context.Context, *doc) (*pong, error) {
			return nil, &live.Error{Kind: live.Conflict, Detail: "busy", Err: errors.New("secret")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out Outcome
			w := do(newGateway(t, Config{Services: []Service{testService(f)}, Observe: func(_ context.Context, o Outcome) { out = o }}), httptest.NewRequest("POST", "/Ping", nil))
			if w.Code < 400 || strings.Contains(w.Body.String(), "secret") || strings.Contains(fmt.Sprint(w.Header()), "secret") {
				t.Errorf("answers %d %s", w.Code, w.Body)
			}
			if name != "a nothing" && !strings.Contains(out.Err.Error(), "secret") {
				t.Errorf("the log gets %v", out.Err)
			}
		})
	}
}

func TestAbortHandlerPassesThrough(t *testing.T) {
	defer func() {
		if p, ok := recover().(error); !ok || !errors.Is(p, http.ErrAbortHandler) {
			t.Errorf("panic %v, want http.ErrAbortHandler", p)
		}
	}()
	do(newGateway(t, Config{Services: []Service{testService(func(context.Context, *doc) (*pong, error) { panic(http.ErrAbortHandler) })}}), httptest.NewRequest("POST", "/Ping", nil))
}

func TestPreflight(t *testing.T) {
	observed := 0
	g := newGateway(t, Config{Observe: func(context.Context, Outcome) { observed++ }})
	r := httptest.NewRequest("OPTIONS", "/CreateChannel", nil)
	r.Header.Set("Origin", "https://console.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-amz-date")
	w := do(g, r)
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "authorization,content-type,x-amz-date" ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE") || observed != 0 {
		t.Errorf("answers %d %v", w.Code, h)
	}
	r.Header.Set("Access-Control-Request-Headers", "a\r\nSet-Cookie: x")
	if got := do(g, r).Header().Get("Access-Control-Allow-Headers"); got != "" {
		t.Errorf("echoes %q", got)
	}
}

func TestBase(t *testing.T) {
	for host, want := range map[string]string{
		"localhost:8080": "http://localhost:8080", "[::1]:80": "http://[::1]:80", "ivs.example": "http://ivs.example",
		"": "", `a"b`: "", "a/b": "", "a b": "", strings.Repeat("a", 300): "",
	} {
		if got := base(&http.Request{Host: host}); got != want {
			t.Errorf("base of %q = %q, want %q", host, got, want)
		}
	}
	if got := base(&http.Request{Host: "h", TLS: &tls.ConnectionState{}}); got != "https://h" {
		t.Errorf("over TLS: %q", got)
	}
}

func TestNewGatewayRefuses(t *testing.T) {
	s := testService(ok)
	twice := s
	twice.Methods = slices.Concat(s.Methods, s.Methods[:1])
	for name, c := range map[string]Config{
		"no authenticator":                 {Services: []Service{s}},
		"a service twice":                  {Authenticate: trust, Services: []Service{s, s}},
		"two operations of a request line": {Authenticate: trust, Services: []Service{twice}},
	} {
		if _, err := NewGateway(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWireIsTotal(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(wire)), slices.Sorted(slices.Values(live.Kinds())); !slices.Equal(got, want) {
		t.Errorf("wire has the kinds %v, live has %v", got, want)
	}
	for kind, names := range wire {
		// The last name must be one that any operation may answer.
		if last := names[len(names)-1]; common[last] == 0 {
			t.Errorf("%s ends in %s, which an operation may not list", kind, last)
		}
	}
}

func TestResolve(t *testing.T) {
	s := testService(ok)
	ping := s.Methods[0].Operation
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		op   *Operation
		err  error
		want string
	}{
		"a listed exception":                       {t.Context(), ping, live.Errorf(live.Conflict, "d"), "409 ConflictException d"},
		"an unlisted one falls to the next":        {t.Context(), ping, live.Errorf(live.NotLive, "d"), "409 ConflictException d"},
		"and in the end to ValidationException":    {t.Context(), ping, live.Errorf(live.Quota, "d"), "400 ValidationException d"},
		"throttling that is not listed":            {t.Context(), ping, live.Errorf(live.Throttled, "d"), "400 ThrottlingException d"},
		"throttling that is":                       {t.Context(), &Operation{Errors: []string{"ThrottlingException"}}, live.Errorf(live.Throttled, "d"), "429 ThrottlingException d"},
		"no operation yet":                         {t.Context(), nil, live.Errorf(live.Unavailable, "d"), "503 ServiceUnavailable d"},
		"a wrapped kind":                           {t.Context(), ping, fmt.Errorf("x: %w", live.Errorf(live.Invalid, "d")), "400 ValidationException d"},
		"another package's exception":              {t.Context(), ping, foreign{"UnrecognizedClientException"}, "403 UnrecognizedClientException f"},
		"one that nobody may answer":               {t.Context(), ping, foreign{"NoSuchBucket"}, "500 InternalServerException " + internal},
		"a client that left":                       {gone, ping, fmt.Errorf("store: %w", context.Canceled), "400 RequestAbortedException The client went away."},
		"a cancel that was not the client's":       {t.Context(), ping, context.Canceled, "500 InternalServerException " + internal},
		"a kind beside a cancel is what it says":   {gone, ping, errors.Join(live.Errorf(live.Conflict, "d"), context.Canceled), "409 ConflictException d"},
		"an unknown error, whatever it is called,": {t.Context(), ping, errors.New("ConflictException"), "500 InternalServerException " + internal},
	} {
		t.Run(name, func(t *testing.T) {
			f := s.resolve(tt.ctx, tt.op, tt.err)
			if got := fmt.Sprintf("%d %s %s", f.status, f.name, f.message); got != tt.want {
				t.Errorf("%v becomes %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}

type foreign struct{ name string }

func (f foreign) Error() string                { return f.name }
func (f foreign) Fault() (int, string, string) { return 403, f.name, "f" }

func TestSecretsDoNotPrint(t *testing.T) {
	const secret = "sk_us-west-2_x_y"
	v := struct {
		A Secret
		B *Secret
		C SecretMap
	}{secret, new(Secret(secret)), SecretMap{secret: secret}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", v.A, "b", v.B, "c", v.C, "v", v)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", v.A, "b", v.B, "c", v.C, "v", v)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, verb+verb+verb+verb, v, v.A, *v.B, v.C)
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("a secret is printed:\n%s", log.String())
	}
}

// What a message repeats is bounded however bad the input is.
func TestValidationMessageIsBounded(t *testing.T) {
	var c Checker
	r := &TextRule{Max: 1}
	for range 1000 {
		c.Text("name", strings.Repeat("é", 1000), r)
	}
	c.Text("secret", "geheim", &TextRule{Max: 1, Secret: true})
	err, _ := errors.AsType[*fault](c.Err())
	if len(err.message) > 4000 || len(err.fields) != maxProblems || !strings.HasPrefix(err.message, "1001 validation errors detected: ") || strings.Contains(err.message, "geheim") {
		t.Errorf("%d bytes, %d fields: %.200s", len(err.message), len(err.fields), err.message)
	}
	c = Checker{}
	c.Text("secret", "geheim", &TextRule{Max: 1, Secret: true})
	if msg := c.Err().Error(); strings.Contains(msg, "geheim") || !strings.Contains(msg, "'secret'") {
		t.Errorf("a secret's message is %q", msg)
	}
}
