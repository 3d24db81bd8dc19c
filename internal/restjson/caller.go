package restjson

import "context"

// A Caller is who sent a request, and the facts of the request that behaviour needs.
// The Authenticator fills the first part and the Gateway the rest.
type Caller struct {
	Account     string // 12 digits
	Region      string // of the credential scope
	Service     string // of the credential scope
	AccessKeyID string
	Principal   string // whom the key belongs to
	Admin       bool   // no policy applies

	RequestID string
	Base      string // scheme://host the client used, for URLs handed out
}

type callerKey struct{}

// WithCaller returns ctx with c in it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the Caller of the request that ctx belongs to. The zero Caller,
// which owns nothing, means that it belongs to none.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
