package restjson

import "net/http"

// A Record is everything about one answered request, for whoever must be able to tell
// later who did what. Its secrets are of the types Secret and SecretMap.
type Record struct {
	Outcome         // Took is not known yet
	Caller   Caller // the zero Caller until the signature is checked
	Message  string // what the client is told of an error
	ReadOnly bool   // the operation changes nothing
	Request  any    // a pointer to the operation's request type; nil when it was not valid
	Response any    // a pointer to its response type; nil for an error, and for what only reads

	// HTTP is the request itself: where it came from, and what it calls itself.
	HTTP *http.Request
}

// record hands over the request before its answer is sent. A request that failed before
// its operation was known is recorded as the one that its path names: an attempt without
// a valid signature is an attempt at something.
func (x *exchange) record(r *http.Request, res Result, message string) {
	if x.cfg.Record == nil {
		return
	}
	rec := Record{
		Outcome: x.out, Caller: x.caller, Message: message, ReadOnly: res.ReadOnly,
		Request: res.Request, Response: res.Response, HTTP: r,
	}
	if rec.Operation == "" && x.foreign == nil {
		if s, op := x.named(r); op != nil {
			rec.Service, rec.Operation, rec.ReadOnly = s, op.Name, op.ReadOnly
		}
	}
	x.cfg.Record(rec)
}

// named finds the operation that the request line names: of the service that the
// signature claims, or else of the first that has it.
func (x *exchange) named(r *http.Request) (service string, op *Operation) {
	names := make([]string, 0, 4)
	if x.out.Service != "" {
		names = append(names, x.out.Service)
	} else {
		for _, s := range x.cfg.Services {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if m, _, ok := x.services[name].routes.find(r.Method, r.URL.EscapedPath()); ok {
			return name, m.Operation
		}
	}
	return "", nil
}
