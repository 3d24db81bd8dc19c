package restjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// An Operation describes one operation of a model.
type Operation struct {
	Name       string // "CreateChannel"
	Method     string
	Path       string // "/CreateChannel", "/tags/{resourceArn}"
	Status     int    // of success
	ReadOnly   bool   // changes nothing
	Idempotent bool   // the model says so
	Input      string // shape names; Output may be ""
	Output     string
	Errors     []string // the exceptions the model lists, sorted
}

// An ErrorShape is an exception of a model.
type ErrorShape struct {
	Status  int
	Members []string // of its body
}

// A Service is everything the Gateway needs of one API. Generated code builds it.
type Service struct {
	Name          string // in credential scopes and ARNs: "ivs"
	MessageMember string // where the model keeps an exception's text
	Errors        map[string]ErrorShape
	Methods       []Method
}

// A Method binds an operation to what it does. The zero Handler is an operation whose
// behaviour is not there yet: it answers as an unknown one.
type Method struct {
	Operation *Operation
	Handler   Handler
}

// A Request is the input of an operation before it has types.
type Request struct {
	Label string     // the decoded {label} of the path
	Query url.Values // the decoded query
	body  *Decoder
	read  bool
}

// Body is the decoder of the body; an operation without body members never asks.
func (r *Request) Body() *Decoder {
	r.read = true
	return r.body
}

// Need is Decoder.Need for members that are not in the body.
func (r *Request) Need(present bool, name string) { r.body.Need(present, name) }

// A Response is the output of an operation.
type Response interface {
	Encode(*Encoder) // writes one object
}

// A headerSetter is a Response with members that travel as headers.
type headerSetter interface{ SetHeaders(http.Header) }

// A Handler decodes, validates and carries out one operation.
type Handler struct {
	decode func(*Request) (any, error)
	invoke func(context.Context, any) (Response, error) // nil Response: no body
}

// input is what generated request types have.
type input[T any] interface {
	*T
	Decode(*Request)
	Validate(*Checker)
}

// output is what generated response types have.
type output[T any] interface {
	*T
	Response
}

// Handle makes a Handler of f; a nil f gives the zero Handler.
func Handle[I any, PI input[I], O any, PO output[O]](f func(context.Context, *I) (*O, error)) Handler {
	if f == nil {
		return Handler{}
	}
	return Handler{
		decode: decode[I, PI],
		invoke: func(ctx context.Context, in any) (Response, error) {
			out, err := f(ctx, in.(*I))
			if err != nil {
				return nil, err
			}
			if out == nil {
				return nil, errors.New("restjson: the handler returned neither a response nor an error")
			}
			return PO(out), nil
		},
	}
}

// HandleEmpty is Handle for an operation whose model has no output.
func HandleEmpty[I any, PI input[I]](f func(context.Context, *I) error) Handler {
	if f == nil {
		return Handler{}
	}
	return Handler{
		decode: decode[I, PI],
		invoke: func(ctx context.Context, in any) (Response, error) { return nil, f(ctx, in.(*I)) },
	}
}

// decode returns a *I that keeps every constraint of the model.
func decode[I any, PI input[I]](r *Request) (any, error) {
	v := PI(new(I))
	v.Decode(r)
	if err := r.body.finish(r.read); err != nil {
		return nil, err
	}
	var c Checker
	v.Validate(&c)
	if err := c.Err(); err != nil {
		return nil, err
	}
	return (*I)(v), nil
}

// routes finds methods by request. A path is literal, or literal and one label that
// takes the rest.
type routes struct {
	exact  map[string]*Method // by method and path: "POST /CreateChannel"
	prefix map[string]*Method // by method and literal part: "GET /tags/"
}

func newRoutes(s *Service) (routes, error) {
	r := routes{exact: map[string]*Method{}, prefix: map[string]*Method{}}
	for i := range s.Methods {
		m := &s.Methods[i]
		table, key := r.exact, m.Operation.Method+" "+m.Operation.Path
		if at := strings.IndexByte(key, '{'); at >= 0 {
			table, key = r.prefix, key[:at]
		}
		if table[key] != nil {
			return r, fmt.Errorf("restjson: %s has two operations at %s", s.Name, key)
		}
		table[key] = m
	}
	return r, nil
}

// find returns the method for a request line and the decoded label of its path.
// It reads the path as it was sent: a label may hold an encoded slash (an ARN does).
// A label that was not encoded is taken too, slashes and all.
func (r routes) find(method, escaped string) (m *Method, label string, ok bool) {
	if m, ok = r.exact[method+" "+escaped]; ok {
		return m, "", true
	}
	cut := strings.IndexByte(strings.TrimPrefix(escaped, "/"), '/')
	if cut < 0 {
		return nil, "", false
	}
	m, ok = r.prefix[method+" "+escaped[:cut+2]]
	label, err := url.PathUnescape(escaped[cut+2:])
	if !ok || err != nil || label == "" {
		return nil, "", false
	}
	return m, label, true
}
