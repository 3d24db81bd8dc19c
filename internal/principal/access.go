package principal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
)

// Access is what a caller may, and what policies may ask about it.
type Access struct {
	iam.Permissions
	Context *iam.Context // of the request, as far as it is known before its operation
	Admin   bool         // no policy applies, and Context is empty
	Issuer  string       // ARN of the principal whose policies apply: a session's role
}

// Access returns what the caller of a request may. A caller whose principal is gone
// may nothing, which is no error.
func (d *Directory) Access(ctx context.Context, c restjson.Caller) (*Access, error) {
	a := &Access{Admin: c.Admin, Issuer: Issuer(c)}
	limited := c.Session != nil && (c.Session.Policy != "" || len(c.Session.Policies) > 0)
	if a.Admin && !limited {
		a.Context = &iam.Context{}
		return a, nil
	}
	p, err := d.Find(ctx, a.Issuer)
	if errors.Is(err, live.NotFound) {
		p = &Principal{ARN: a.Issuer, Account: c.Account}
	} else if err != nil {
		return nil, err
	}
	a.Identity = p.Policies
	a.Context = d.facts(c, p)
	if limited {
		a.Limited = true
		if a.Session, err = d.SessionPolicies(c.Session); err != nil {
			// Its policies were good when it began. What is gone now may have been a denial.
			d.log.Warn("a session may do nothing: a policy that limits it is gone", "session", c.Principal, "err", err)
			a.Identity, a.Session = nil, nil
		}
		if a.Admin { // limited, an administrator is one by policy
			a.Admin, a.Identity = false, []*iam.Policy{d.book.Load().policies[administrator]}
		}
	}
	return a, nil
}

const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"

// Issuer is the ARN of the principal whose policies say what c may.
func Issuer(c restjson.Caller) string {
	if c.Session != nil && c.Session.Role != "" {
		return c.Session.Role
	}
	return c.Principal
}

// UserID is the aws:userid of a caller.
func UserID(c restjson.Caller) string {
	if c.Session != nil && c.Session.Role != "" {
		return uniqueID(c.Session.Role, Role) + ":" + c.Session.Name
	}
	return uniqueID(c.Principal, User)
}

// facts are the condition keys that hold for every operation of a request.
func (d *Directory) facts(c restjson.Caller, p *Principal) *iam.Context {
	x := &iam.Context{}
	now := d.now().UTC()
	x.Set("aws:currenttime", now.Format(time.RFC3339))
	x.Set("aws:epochtime", strconv.FormatInt(now.Unix(), 10))
	x.Set("aws:securetransport", strconv.FormatBool(c.Secure))
	x.Set("aws:requestedregion", c.Region)
	x.Set("aws:viaawsservice", "false")
	x.Set("aws:principalisawsservice", "false")
	x.Set("aws:principalarn", p.ARN)
	x.Set("aws:principalaccount", c.Account)
	x.Set("aws:userid", UserID(c))
	if c.SourceIP.IsValid() {
		x.Set("aws:sourceip", c.SourceIP.Unmap().WithZone("").String())
	}
	if c.UserAgent != "" {
		x.Set("aws:useragent", c.UserAgent)
	}
	if c.Session == nil || c.Session.Role == "" {
		x.Set("aws:principaltype", "User")
		if _, name, ok := strings.Cut(c.Principal, ":user/"); ok {
			x.Set("aws:username", name)
		}
	} else {
		x.Set("aws:principaltype", "AssumedRole")
	}
	var over map[string]string
	if s := c.Session; s != nil {
		x.Set("aws:tokenissuetime", s.Issued.UTC().Format(time.RFC3339))
		x.Set("aws:multifactorauthpresent", "false") // absent for lasting keys, as on AWS
		over = s.Tags
		x.SetTags("aws:principaltag", over)
	}
	for k, v := range p.Tags {
		if !hasFold(over, k) {
			x.Set("aws:principaltag/"+k, v)
		}
	}
	return x
}

func hasFold(tags map[string]string, key string) bool {
	for k := range tags {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

// SessionPolicies compiles the policies that limit a session, or says which is wrong.
func (d *Directory) SessionPolicies(s *restjson.Session) ([]*iam.Policy, error) {
	b := d.book.Load()
	var all []*iam.Policy
	for _, arn := range s.Policies {
		p := b.policies[arn]
		if p == nil {
			return nil, fmt.Errorf("principal: there is no policy %s", arn)
		}
		all = append(all, p)
	}
	if s.Policy == "" {
		return all, nil
	}
	p, err := d.compiled(s.Policy)
	if err != nil {
		return nil, err
	}
	return append(all, p), nil
}

// maxTexts bounds the session policies that are kept compiled.
const maxTexts = 1000

// compiled is iam.Parse that remembers: a session sends its policy with every request.
func (d *Directory) compiled(doc string) (*iam.Policy, error) {
	d.mu.Lock()
	p := d.texts[doc]
	d.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := iam.Parse([]byte(doc))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.texts) >= maxTexts {
		clear(d.texts)
	}
	d.texts[doc] = p
	return p, nil
}

func encode(s Spec) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	return b, nil
}
