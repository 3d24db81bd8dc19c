package restjson

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-live/sluice/internal/live"
)

// wire is the whole mapping from kinds to exceptions. Each kind has the exceptions
// that say it, best first: an operation gets the first one that its model lists or
// that any operation may answer (common), because SDKs give a type only to listed
// errors. Every operation lists ValidationException, so that each row has an end.
// TestWireIsTotal fails when a Kind is missing.
var wire = map[live.Kind][]string{
	live.Invalid:     {"ValidationException"},
	live.Denied:      {"AccessDeniedException"},
	live.NotFound:    {"ResourceNotFoundException", "ValidationException"},
	live.NotLive:     {"ChannelNotBroadcasting", "ResourceNotFoundException", "ConflictException", "ValidationException"},
	live.Conflict:    {"ConflictException", "ValidationException"},
	live.Quota:       {"ServiceQuotaExceededException", "ValidationException"},
	live.Throttled:   {"ThrottlingException"},
	live.Unavailable: {"StreamUnavailable", "ServiceUnavailable"},
	live.Unsupported: {"ValidationException"}, // ingest only; here for completeness
}

// ErrorName is the exception that says k best: the code of an error inside a batch,
// where no operation's list applies.
func ErrorName(k live.Kind) string { return wire[k][0] }

// common has the errors of the front end, which any operation may answer though no
// model lists them, and their statuses (low-latency.md 1.2; chat.md 1.7). The names
// that AWS documents only for signatures are from its SigV4 troubleshooting pages.
var common = map[string]int{
	"AccessDeniedException":               403,
	"ExpiredTokenException":               403,
	"IncompleteSignature":                 403,
	"InternalServerException":             500,
	"InvalidSignatureException":           403,
	"MalformedHttpRequestException":       400,
	"MissingAuthenticationTokenException": 403,
	"RequestAbortedException":             400,
	"RequestEntityTooLargeException":      413,
	"RequestTimeoutException":             408,
	"SerializationException":              400,
	"ServiceUnavailable":                  503,
	"ThrottlingException":                 400, // 429 where the model lists it
	"UnknownOperationException":           404,
	"UnrecognizedClientException":         403,
	"ValidationException":                 400,
}

// internal is all a client learns of an error that nobody meant for it.
const internal = "The service met an internal error. The request id identifies it in the log."

// A Detail is what some exceptions of ivschat carry beside their message. A handler
// returns it as the cause of a *live.Error.
type Detail struct {
	ResourceID   string
	ResourceType string
	Limit        int64
}

func (d *Detail) Error() string { return d.ResourceType + " " + d.ResourceID }

// A fault is an error that knows its exception.
type fault struct {
	name    string
	status  int // 0: look it up
	message string
	reason  string // ivschat's ValidationExceptionReason; "" is OTHER
	fields  []field
	detail  Detail
}

type field struct{ name, message string }

func (f *fault) Error() string { return f.name + ": " + f.message }

// A faulter is an error of another package that knows its exception, such as those of
// package sigv4. Its name must be listed by the operation or be common.
type faulter interface {
	error
	Fault() (status int, name, message string)
}

// resolve picks what op, which may be nil, answers for err.
func (s *Service) resolve(ctx context.Context, op *Operation, err error) fault {
	if f, ok := errors.AsType[*fault](err); ok {
		out := *f
		out.status, _ = s.allowed(op, f.name)
		return out
	}
	if f, ok := errors.AsType[faulter](err); ok {
		status, name, message := f.Fault()
		if _, ok := s.allowed(op, name); ok {
			return fault{name: name, status: status, message: message}
		}
	}
	if e, ok := errors.AsType[*live.Error](err); ok {
		for _, name := range wire[e.Kind] {
			if status, ok := s.allowed(op, name); ok {
				f := fault{name: name, status: status, message: e.Detail}
				if d, ok := errors.AsType[*Detail](err); ok {
					f.detail = *d
				}
				return f
			}
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return fault{name: "RequestAbortedException", status: 400, message: "The client went away."}
	}
	return fault{name: "InternalServerException", status: 500, message: internal}
}

// allowed tells whether op may answer the exception name, and with which status.
func (s *Service) allowed(op *Operation, name string) (status int, ok bool) {
	if op != nil && slices.Contains(op.Errors, name) {
		return s.Errors[name].Status, true
	}
	status, ok = common[name]
	return status, ok
}

// body is the JSON of f. A modelled exception has the members its shape has; message
// is always there, since that is where botocore looks (low-latency.md 1.2).
func (s *Service) body(f fault) []byte {
	shape, modelled := s.Errors[f.name]
	has := func(member string) bool { return modelled && slices.Contains(shape.Members, member) }
	var e Encoder
	e.Begin()
	if s.MessageMember != "message" {
		e.Key(s.MessageMember)
		e.Text(f.message)
	}
	e.Key("message")
	e.Text(f.message)
	if has("reason") {
		e.Key("reason")
		e.Text(orElse(f.reason, "OTHER"))
	}
	if has("fieldList") && f.fields != nil {
		e.Key("fieldList")
		WriteList(&e, f.fields, func(e *Encoder, p *field) {
			e.Begin()
			e.Key("name")
			e.Text(p.name)
			e.Key("message")
			e.Text(p.message)
			e.End()
		})
	}
	if has("resourceId") {
		e.Key("resourceId")
		e.Text(f.detail.ResourceID)
	}
	if has("resourceType") {
		e.Key("resourceType")
		e.Text(orElse(f.detail.ResourceType, "ROOM")) // the enum's only value
	}
	if has("limit") {
		e.Key("limit")
		e.Int(f.detail.Limit)
	}
	e.End()
	return e.buf
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
