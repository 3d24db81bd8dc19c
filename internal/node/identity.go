package node

import (
	"net/http"
	"time"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/sigv4"
)

// authenticator tells who sent a request, and from where.
func (n *node) authenticator() restjson.Authenticator {
	verifier := sigv4.New(newKeyring(n.store).get, time.Now)
	return func(r *http.Request, body []byte) (restjson.Caller, error) {
		id, err := verifier.Verify(r, body)
		client := httpserver.Client(r)
		return restjson.Caller{
			Account: id.Account, Region: id.Region, Service: id.Service,
			AccessKeyID: id.AccessKeyID, Principal: id.Principal, Admin: id.Admin,
			SourceIP: client.RemoteIP, Secure: client.Scheme == "https", UserAgent: r.UserAgent(),
		}, err
	}
}
