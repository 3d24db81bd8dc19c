package control

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
)

// accesses is what authorization needs of package principal.
type accesses interface {
	Access(ctx context.Context, c restjson.Caller) (*principal.Access, error)
}

// Authorize returns the Step that lets a call through if the caller's policies allow
// it on everything it is about. Of a batch it refuses the items they do not allow.
func (c *Control) Authorize(who accesses) restjson.Step {
	rules := map[string]map[string]rule{live.ServiceIVS: ivsRules(), serviceChat: chatRules()}
	return func(ctx context.Context, call *restjson.Call) error {
		access, err := who.Access(ctx, call.Caller)
		if err != nil {
			return fmt.Errorf("control: authorize: %w", err)
		}
		if access.Admin {
			return nil
		}
		r, ok := rules[call.Service][call.Operation.Name]
		if !ok {
			return fmt.Errorf("control: authorize: no rule for %s:%s", call.Service, call.Operation.Name)
		}
		return c.authorize(ctx, call, access, r)
	}
}

// authorize asks the policies about each resource of a call.
func (c *Control) authorize(ctx context.Context, call *restjson.Call, access *principal.Access, r rule) error {
	caller, action := call.Caller, call.Service+":"+call.Operation.Name
	facts := access.Context.Child()
	var tags map[string]string
	if r.tags != nil {
		tags = r.tags(call.Request)
		facts.SetTags("aws:requesttag", tags)
		facts.SetAll("aws:tagkeys", slices.Sorted(maps.Keys(tags)))
	}
	if r.tagKeys != nil {
		facts.SetAll("aws:tagkeys", r.tagKeys(call.Request))
	}
	for _, typ := range r.kinds {
		if err := decide(caller, access, facts, action, kindOf(call, typ)); err != nil {
			return err
		}
	}
	if r.tagged != "" && len(tags) > 0 {
		if err := decide(caller, access, facts, call.Service+":TagResource", kindOf(call, r.tagged)); err != nil {
			return err
		}
	}
	if r.noResource {
		return decide(caller, access, facts, action, "*")
	}
	if r.named == nil {
		return nil
	}
	named, err := c.resources(ctx, caller, r, call.Request)
	if err != nil {
		return err
	}
	tagsOf, err := c.resourceTags(ctx, caller, access, named)
	if err != nil {
		return err
	}
	for _, arn := range named {
		about := facts.Child()
		about.SetTags("aws:resourcetag", tagsOf[arn])
		switch err := decide(caller, access, about, action, arn); {
		case err == nil:
		case r.batch:
			call.Refuse(arn, err)
		default:
			return err
		}
	}
	return nil
}

// kindOf stands for any resource of a type: the one that a call creates has no ARN yet,
// and what a list will hold is not known before.
func kindOf(call *restjson.Call, typ string) string {
	return "arn:aws:" + call.Service + ":" + call.Caller.Region + ":" + call.Caller.Account + ":" + typ + "/*"
}

// resources are the ARNs that a call is about: those it names and, where it takes the
// channel's stream keys along, these too.
func (c *Control) resources(ctx context.Context, caller restjson.Caller, r rule, in any) ([]string, error) {
	named := r.named(in)
	if !r.keys {
		return named, nil
	}
	all := slices.Clone(named)
	for _, s := range named {
		channel, err := owned(caller, s, live.TypeChannel)
		if err != nil {
			continue // the operation will say so
		}
		keys, err := c.store.List(ctx, keysOf(channel, "", 0))
		if err != nil {
			return nil, fmt.Errorf("control: authorize: %w", err)
		}
		for _, k := range keys {
			all = append(all, k.ARN.String())
		}
	}
	return all, nil
}

// resourceTags reads the tags of the caller's resources, if a policy asks for any.
func (c *Control) resourceTags(ctx context.Context, caller restjson.Caller, access *principal.Access, named []string) (map[string]map[string]string, error) {
	if !access.Asks("aws:resourcetag/") {
		return nil, nil
	}
	arns := make([]live.ARN, 0, len(named))
	for _, s := range named {
		if a, err := live.ParseARN(s); err == nil && a.Account == caller.Account && a.Region == caller.Region {
			arns = append(arns, a)
		}
	}
	rows, err := c.store.GetMany(ctx, arns)
	if err != nil {
		return nil, fmt.Errorf("control: authorize: %w", err)
	}
	tags := make(map[string]map[string]string, len(rows))
	for a, row := range rows {
		tags[a.String()] = row.Tags
	}
	return tags, nil
}

// decide returns nil, or the refusal that tells the caller what it may not, in AWS's
// words. It never tells who may.
func decide(caller restjson.Caller, access *principal.Access, facts *iam.Context, action, resource string) error {
	decision, by := access.Evaluate(&iam.Request{Action: action, Resource: resource, Context: facts})
	if decision == iam.Allowed {
		return nil
	}
	return principal.Refusal(caller, decision, by, action, resource)
}
