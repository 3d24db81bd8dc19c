package restjson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// MaxBody is the largest request body in bytes. The largest valid input of the
// models, 50 tags of full length, is under half of it.
const MaxBody = 256 << 10

// An Authenticator tells who sent r, whose body is body. On an error it may still
// fill what the request claims (AccessKeyID, Service, Region), for the log only. An
// error with a method Fault() (status int, name, message string) chooses the answer.
type Authenticator func(r *http.Request, body []byte) (Caller, error)

// A Call is one decoded and valid request on its way to its handler.
type Call struct {
	Service   string
	Operation *Operation
	Caller    Caller
	Request   any // a pointer to the operation's generated request type

	refused map[string]error // items of a batch; see Refuse
}

// A Step runs before every handler; the first error answers the request.
type Step func(ctx context.Context, c *Call) error

// An Outcome is what became of one request. Service, Operation and ErrorType are from
// closed sets, fit to label metrics; what is not known yet when a request fails is "".
type Outcome struct {
	Service     string
	Operation   string
	Account     string
	Region      string // claimed, as is the next; proved only when Account is set
	AccessKeyID string
	Principal   string
	RequestID   string
	Status      int
	ErrorType   string // exception name; "" for success
	Err         error  // the whole error, for the log; clients saw only its exception
	Took        time.Duration
}

// Config is what a Gateway is made of. Authenticate and Services are required.
type Config struct {
	Authenticate Authenticator
	Services     []Service
	Foreign      []Foreign
	Steps        []Step                               // policy, throttle: in this order
	Observe      func(ctx context.Context, o Outcome) // called once per request, preflights aside
	Record       func(r Record)                       // called before each answer is sent; nil costs nothing
	RequestID    func(ctx context.Context) string     // nil: a random UUID
	Base         func(r *http.Request) string         // Caller.Base; nil: derived from the request
}

// A Gateway serves signed API requests of all its services.
type Gateway struct {
	cfg      Config
	services map[string]*service
	unknown  Service // words errors while the service is not known
	encoders sync.Pool
	fixed    http.Header // of every answer
}

type service struct {
	Service
	routes  routes
	foreign *Foreign // nil for a service of ours
}

// NewGateway checks c and returns its Gateway.
func NewGateway(c Config) (*Gateway, error) {
	if c.Authenticate == nil {
		return nil, errors.New("restjson: no Authenticator")
	}
	if c.Observe == nil {
		c.Observe = func(context.Context, Outcome) {}
	}
	if c.RequestID == nil {
		c.RequestID = func(context.Context) string { return live.NewUUID() }
	}
	if c.Base == nil {
		c.Base = base
	}
	// exceptionMessage and message together are understood by the SDKs of any service.
	g := &Gateway{cfg: c, services: map[string]*service{}, unknown: Service{MessageMember: "exceptionMessage"}, fixed: fixed()}
	for _, s := range c.Services {
		r, err := newRoutes(&s)
		if err != nil {
			return nil, err
		}
		if g.services[s.Name] != nil {
			return nil, fmt.Errorf("restjson: service %s is given twice", s.Name)
		}
		g.services[s.Name] = &service{Service: s, routes: r}
	}
	for _, f := range c.Foreign {
		if g.services[f.Name] != nil {
			return nil, fmt.Errorf("restjson: service %s is given twice", f.Name)
		}
		s := g.unknown
		s.Name = f.Name
		g.services[f.Name] = &service{Service: s, foreign: &f}
	}
	return g, nil
}

// ServeHTTP answers one request. The order of its steps is the contract: body limit,
// signature, operation, decode and validate, Steps, handler, encode. From the
// operation on, a Foreign service does it all by itself.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	start := time.Now()
	ctx := r.Context()
	x := &exchange{Gateway: g, svc: &g.unknown}
	x.caller.RequestID = g.cfg.RequestID(ctx)
	x.out.RequestID = x.caller.RequestID
	defer func() {
		x.out.Took = time.Since(start)
		g.cfg.Observe(ctx, x.out)
	}()
	g.setHeaders(w.Header(), x.caller.RequestID)
	resp, err := x.run(w, r)
	switch {
	case err != nil:
		x.refuse(w, r, err)
	case x.foreign == nil:
		x.answer(w, r, resp)
	}
}

// An exchange is one request on its way through the Gateway.
type exchange struct {
	*Gateway
	svc     *Service
	foreign *Foreign   // whose request it is, if not a service of ours
	result  Result     // of foreign
	op      *Operation // nil until found
	in      any        // of op; nil until it is decoded and valid
	caller  Caller
	out     Outcome
}

func (x *exchange) run(w http.ResponseWriter, r *http.Request) (resp Response, err error) {
	defer func() {
		// A bug in one operation must cost one request, and its stack must reach the log.
		p := recover()
		if p == nil {
			return
		}
		if e, ok := p.(error); ok && errors.Is(e, http.ErrAbortHandler) {
			panic(p) // a handler's way to break the connection; net/http keeps silent
		}
		err = fmt.Errorf("restjson: panic: %v\n%s", p, debug.Stack())
	}()
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	svc, err := x.authenticate(r, body)
	if err != nil {
		return nil, err
	}
	if svc.foreign != nil {
		return nil, x.serveForeign(w, r, svc.foreign, body)
	}
	m, label, ok := svc.routes.find(r.Method, r.URL.EscapedPath())
	if !ok || m.Handler.decode == nil {
		return nil, &fault{name: "UnknownOperationException", message: "The requested operation is not known to this service."}
	}
	x.op, x.out.Operation = m.Operation, m.Operation.Name
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &fault{name: "MalformedHttpRequestException", message: "The query string is malformed."}
	}
	in, err := m.Handler.decode(&Request{Label: label, Query: query, body: newDecoder(body)})
	if err != nil {
		return nil, err
	}
	x.in = in
	ctx := WithCaller(r.Context(), x.caller)
	call := &Call{Service: svc.Name, Operation: m.Operation, Caller: x.caller, Request: in}
	for _, step := range x.cfg.Steps {
		if err := step(ctx, call); err != nil {
			return nil, err
		}
	}
	if call.refused != nil {
		ctx = context.WithValue(ctx, refusedKey{}, call.refused)
	}
	return m.Handler.invoke(ctx, in)
}

// authenticate fills the caller and returns the service its signature is for.
func (x *exchange) authenticate(r *http.Request, body []byte) (*service, error) {
	c, err := x.cfg.Authenticate(r, body)
	x.out.AccessKeyID, x.out.Region = c.AccessKeyID, c.Region
	svc := x.services[c.Service]
	if svc != nil {
		x.svc, x.foreign, x.out.Service = &svc.Service, svc.foreign, svc.Name
	}
	if err != nil {
		return nil, err
	}
	x.out.Account, x.out.Principal = c.Account, c.Principal
	c.RequestID, c.Base = x.caller.RequestID, x.cfg.Base(r)
	x.caller = c
	if svc == nil {
		return nil, &fault{name: "InvalidSignatureException", message: fmt.Sprintf("Credential should be scoped to a service of this endpoint, not to '%s'.", clip(c.Service))}
	}
	return svc, nil
}

// answer writes success.
func (x *exchange) answer(w http.ResponseWriter, r *http.Request, resp Response) {
	x.out.Status = x.op.Status
	res := Result{ReadOnly: x.op.ReadOnly, Request: x.in}
	if resp != nil && !x.op.ReadOnly {
		res.Response = resp
	}
	x.record(r, res, "")
	if resp == nil || x.op.Status == http.StatusNoContent {
		w.WriteHeader(x.op.Status)
		return
	}
	if h, ok := resp.(headerSetter); ok {
		h.SetHeaders(w.Header())
	}
	e := x.encoder()
	defer x.reuse(e)
	resp.Encode(e)
	send(w, x.op.Status, e.buf)
}

// encoder returns an empty Encoder, which reuse takes back.
func (g *Gateway) encoder() *Encoder {
	if e, ok := g.encoders.Get().(*Encoder); ok {
		return e
	}
	return NewEncoder(4 << 10)
}

// maxReused bounds the memory of an Encoder that is kept: a page of 100 channels.
const maxReused = 64 << 10

func (g *Gateway) reuse(e *Encoder) {
	if cap(e.buf) <= maxReused {
		e.buf = e.buf[:0]
		g.encoders.Put(e)
	}
}

// refuse writes an error.
func (x *exchange) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := x.svc.resolve(r.Context(), x.op, err)
	x.out.Status, x.out.ErrorType, x.out.Err = f.status, f.name, err
	if x.foreign != nil && x.foreign.Refuse != nil {
		if own, ok := errors.AsType[faulter](err); ok { // listed or not: the service knows its own
			f.status, f.name, f.message = own.Fault()
		}
		res := x.foreign.Refuse(w, x.out.RequestID, Fault{f.status, f.name, f.message})
		x.out.Status, x.out.ErrorType = res.Status, res.ErrorType
		x.record(r, x.result, f.message)
		return
	}
	x.record(r, Result{ReadOnly: x.op != nil && x.op.ReadOnly, Request: x.in}, f.message)
	w.Header().Set("x-amzn-ErrorType", f.name)
	send(w, f.status, x.svc.body(f))
}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a failed write has no reader left
}

// readBody reads at most MaxBody. One that says to be larger is refused unread.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := &fault{name: "RequestEntityTooLargeException", message: fmt.Sprintf("The request body is larger than %d bytes.", MaxBody)}
	if r.ContentLength > MaxBody {
		return nil, tooLarge
	}
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	var body []byte
	if r.ContentLength > 0 {
		body = make([]byte, r.ContentLength)
		n, err := io.ReadFull(r.Body, body)
		if err == nil {
			return body, nil
		}
		return nil, aborted(err, n)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	if err != nil {
		return nil, aborted(err, len(body))
	}
	return body, nil
}

// aborted words an error of reading the body after n bytes.
func aborted(err error, n int) error {
	if ne, ok := errors.AsType[net.Error](err); errors.Is(err, os.ErrDeadlineExceeded) || (ok && ne.Timeout()) {
		return &fault{name: "RequestTimeoutException", message: "The request body took too long to arrive."}
	}
	return &fault{name: "RequestAbortedException", message: fmt.Sprintf("The request body ended after %d bytes.", n)}
}

// base derives scheme://host from what the client asked; a host that no URL could
// carry gives "".
func base(r *http.Request) string {
	const maxHost = 253 + len(":65535")
	ok := func(c rune) bool {
		return c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' || c == '%' ||
			'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	if r.Host == "" || len(r.Host) > maxHost || strings.IndexFunc(r.Host, func(c rune) bool { return !ok(c) }) >= 0 {
		return ""
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Operations lists the operations of s, and whether each has a behaviour.
func (s *Service) Operations() (all []*Operation, missing []string) {
	for i := range s.Methods {
		m := &s.Methods[i]
		all = append(all, m.Operation)
		if m.Handler.decode == nil {
			missing = append(missing, m.Operation.Name)
		}
	}
	slices.Sort(missing)
	return all, missing
}
