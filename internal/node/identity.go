package node

import (
	"context"
	"net/http"
	"time"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/sigv4"
	"github.com/sluice-live/sluice/internal/sts"
)

// identities finds the secrets of lasting and of temporary keys.
type identities struct {
	keys   *keyring
	tokens *sts.Tokens
}

// get implements sigv4.Keys. The session of a user lasts no longer than the key it was
// made with; that of a role is decided about by the role's policies alone.
func (i identities) get(ctx context.Context, id, token string) (sigv4.Credential, error) {
	if token == "" {
		return i.keys.get(ctx, id)
	}
	c, err := i.tokens.Open(id, token)
	if err != nil {
		return sigv4.Credential{}, err
	}
	cred := sigv4.Credential{
		Secret: c.Secret, SessionToken: token, Expires: time.Unix(c.Expires, 0), Account: c.Account, Principal: c.ARN,
	}
	if c.Session.Role == "" {
		parent, err := i.keys.get(ctx, c.Session.ParentKey)
		if err != nil {
			return sigv4.Credential{}, err
		}
		cred.Admin = parent.Admin
	}
	return cred, nil
}

// authenticator tells who sent a request, and from where.
func (n *node) authenticator(tokens *sts.Tokens) restjson.Authenticator {
	verifier := sigv4.New(identities{newKeyring(n.store), tokens}.get, time.Now)
	return func(r *http.Request, body []byte) (restjson.Caller, error) {
		id, err := verifier.Verify(r, body)
		client := httpserver.Client(r)
		c := restjson.Caller{
			Account: id.Account, Region: id.Region, Service: id.Service,
			AccessKeyID: id.AccessKeyID, Principal: id.Principal, Admin: id.Admin,
			SourceIP: client.RemoteIP, Secure: client.Scheme == "https", UserAgent: r.UserAgent(),
		}
		if err != nil || id.SessionToken == "" {
			return c, err
		}
		session, err := tokens.Open(id.AccessKeyID, id.SessionToken)
		if err == nil {
			c.Session = session.RestSession()
		}
		return c, err
	}
}
