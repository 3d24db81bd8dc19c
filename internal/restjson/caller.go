package restjson

import (
	"context"
	"net/netip"
	"time"
)

// A Caller is who sent a request, and the facts of the request that behaviour needs.
// The Authenticator fills all but the last part, and the Gateway that.
type Caller struct {
	Account     string // 12 digits
	Region      string // of the credential scope
	Service     string // of the credential scope
	AccessKeyID string
	Principal   string   // ARN of whom the key belongs to: a user, or a session of a role
	Session     *Session // of a temporary key; nil for a lasting one
	Admin       bool     // no policy applies

	SourceIP  netip.Addr // invalid when the transport has none
	Secure    bool       // over TLS, at the client's end
	UserAgent string

	RequestID string
	Base      string // scheme://host the client used, for URLs handed out
}

// A Session is what a temporary key was made with. It is not changed.
type Session struct {
	Role       string            // ARN of the role; "" for the session of a user
	Name       string            // of the role's session
	Issued     time.Time         // when it began
	Tags       map[string]string // of the session, over those of its principal
	Policies   []string          // ARNs of policies that limit it
	Policy     string            // one more, as a document; "" for none
	ParentKey  string            // access key id that asked for it
	ParentRole bool              // asked for by a session of a role
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

// Refuse refuses one item of a batch. The batch goes on, and its handler answers err
// for the item: it asks Refused.
func (c *Call) Refuse(item string, err error) {
	if c.refused == nil {
		c.refused = map[string]error{}
	}
	c.refused[item] = err
}

type refusedKey struct{}

// Refused returns why a Step refused an item of the batch that ctx belongs to, or nil.
func Refused(ctx context.Context, item string) error {
	refused, _ := ctx.Value(refusedKey{}).(map[string]error)
	return refused[item]
}
