package iam

// A Decision is what policies say about a request.
type Decision int

// The decisions. An explicit deny beats every allow; without either nothing is allowed.
const (
	Undecided Decision = iota // no statement applies: an implicit deny
	Allowed
	Denied // a Deny statement applies
)

func (d Decision) String() string {
	return [...]string{"undecided", "allowed", "denied"}[d]
}

// A Request is one question: may the principal of Context do Action to Resource?
type Request struct {
	Action   string // "ivs:CreateChannel"
	Resource string // an ARN, or * for an action that has none
	Context  *Context
}

// Evaluate decides about r by the union of policies.
func Evaluate(policies []*Policy, r *Request) Decision {
	d := Undecided
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if d == Allowed && s.effect == Allowed || !s.applies(r) {
				continue
			}
			if s.effect == Denied {
				return Denied
			}
			d = Allowed
		}
	}
	return d
}

// Permissions are all the policies that bear on one caller.
type Permissions struct {
	Identity []*Policy // of the principal
	Session  []*Policy // handed over when the session began
	Limited  bool      // Session limits Identity; without it there is no session policy
}

// A Source names the kind of policy that decided, in the words of AWS's messages.
type Source string

// The sources of a decision.
const (
	ByIdentity Source = "identity-based policy"
	BySession  Source = "session policy"
)

// Evaluate decides about r: identity policies must allow it, session policies as well
// where there are any, and none may deny it. The Source is that of a refusal.
func (p *Permissions) Evaluate(r *Request) (Decision, Source) {
	identity := Evaluate(p.Identity, r)
	if !p.Limited || identity == Denied {
		return identity, ByIdentity
	}
	session := Evaluate(p.Session, r)
	if session == Denied || identity == Allowed {
		return session, BySession
	}
	return identity, ByIdentity
}

// Asks tells whether some decision depends on a condition key that starts with prefix,
// which is in lower case: whoever fills a Context can leave the others out.
func (p *Permissions) Asks(prefix string) bool {
	for _, list := range [2][]*Policy{p.Identity, p.Session} {
		for _, policy := range list {
			if policy.asks(prefix) {
				return true
			}
		}
	}
	return false
}
