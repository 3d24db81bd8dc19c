package restjson

import (
	"context"
	"errors"
	"net/http"
)

// A Foreign is a service of another protocol at the same address. The Gateway reads the
// body, checks the signature, guards against panics and observes, as for its own
// services; the words of requests and answers are the Foreign's.
type Foreign struct {
	Name string // in credential scopes

	// Serve answers a request that is signed; CallerFrom tells by whom. Its Result is
	// what it answered. With an error it has written nothing, and Refuse words it.
	Serve func(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) (Result, error)

	// Refuse answers a request that failed. f is the restJson1 exception that says it.
	Refuse func(w http.ResponseWriter, requestID string, f Fault) Result
}

// A Result is what a Foreign answered. Operation and ErrorType are from closed sets.
type Result struct {
	Operation string // "" when it was not understood
	Status    int
	ErrorType string // "" for success

	// For Config.Record only: structures whose fields bear the wire's names but for the
	// first letter, and whose secrets are of the types Secret and SecretMap.
	ReadOnly bool // the operation changes nothing
	Request  any
	Response any
}

// A Fault is an exception of the front end or of a Step.
type Fault struct {
	Status  int
	Name    string
	Message string
}

// serveForeign answers a signed request of f.
func (x *exchange) serveForeign(w http.ResponseWriter, r *http.Request, f *Foreign, body []byte) error {
	if f.Serve == nil {
		return errors.New("restjson: " + f.Name + " has no behaviour")
	}
	res, err := f.Serve(WithCaller(r.Context(), x.caller), w, r, body)
	x.result = res
	x.out.Operation, x.out.Status, x.out.ErrorType = res.Operation, res.Status, res.ErrorType
	if err == nil {
		x.record(r, res, "")
	}
	return err
}
