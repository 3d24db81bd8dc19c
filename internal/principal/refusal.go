package principal

import (
	"fmt"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
)

// Refusal words a decision other than iam.Allowed as AWS does: who may not do what to
// which resource, by what kind of policy, and nothing about anybody else.
func Refusal(c restjson.Caller, d iam.Decision, by iam.Source, action, resource string) *live.Error {
	why := fmt.Sprintf("because no %s allows the %s action", by, action)
	if d == iam.Denied {
		article := "a"
		if by == iam.ByIdentity {
			article = "an"
		}
		why = fmt.Sprintf("with an explicit deny in %s %s", article, by)
	}
	return live.Errorf(live.Denied, "User: %s is not authorized to perform: %s on resource: %s %s", c.Principal, action, resource, why)
}
