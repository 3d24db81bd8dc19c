package control

import (
	"context"
	"errors"
	"maps"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// restrict puts the given settings into p and checks them; nil is absent.
func restrict(p *live.RestrictionPolicy, name *string, countries, origins []string, strict *bool) error {
	set(&p.Name, name)
	set(&p.Strict, strict)
	if countries != nil {
		p.Countries = countries
	}
	if origins != nil {
		p.Origins = origins
	}
	return errors.Join(checkCountries(p.Countries), checkOrigins(p.Origins))
}

// CreatePlaybackRestrictionPolicy makes a policy.
func (c *Control) CreatePlaybackRestrictionPolicy(ctx context.Context, in *ivsapi.CreatePlaybackRestrictionPolicyRequest) (*ivsapi.CreatePlaybackRestrictionPolicyResponse, error) {
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	p := live.RestrictionPolicy{
		ARN:  c.newARN(restjson.CallerFrom(ctx), live.TypePlaybackRestrictionPolicy),
		Tags: maps.Clone(in.Tags), Created: c.now().UTC(),
	}
	if err := restrict(&p, in.Name, in.AllowedCountries, in.AllowedOrigins, in.EnableStrictOriginEnforcement); err != nil {
		return nil, err
	}
	row, err := store.RowOfRestrictionPolicy(p)
	if err != nil {
		return nil, err
	}
	if err := c.insert(ctx, row, c.cfg.Limits.RestrictionPolicies); err != nil {
		return nil, err
	}
	return &ivsapi.CreatePlaybackRestrictionPolicyResponse{PlaybackRestrictionPolicy: wirePolicy(p)}, nil
}

// GetPlaybackRestrictionPolicy returns one policy.
func (c *Control) GetPlaybackRestrictionPolicy(ctx context.Context, in *ivsapi.GetPlaybackRestrictionPolicyRequest) (*ivsapi.GetPlaybackRestrictionPolicyResponse, error) {
	row, err := c.row(ctx, c.store, in.Arn, live.TypePlaybackRestrictionPolicy)
	if err != nil {
		return nil, err
	}
	p, err := store.RestrictionPolicyOf(row)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetPlaybackRestrictionPolicyResponse{PlaybackRestrictionPolicy: wirePolicy(p)}, nil
}

// UpdatePlaybackRestrictionPolicy changes a policy, for streams that start later. What is
// absent stays; an empty list allows everything.
func (c *Control) UpdatePlaybackRestrictionPolicy(ctx context.Context, in *ivsapi.UpdatePlaybackRestrictionPolicyRequest) (*ivsapi.UpdatePlaybackRestrictionPolicyResponse, error) {
	var p live.RestrictionPolicy
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := c.row(ctx, tx, in.Arn, live.TypePlaybackRestrictionPolicy)
		if err != nil {
			return err
		}
		if p, err = store.RestrictionPolicyOf(row); err != nil {
			return err
		}
		if err := restrict(&p, in.Name, in.AllowedCountries, in.AllowedOrigins, in.EnableStrictOriginEnforcement); err != nil {
			return err
		}
		changed, err := store.RowOfRestrictionPolicy(p)
		if err != nil {
			return err
		}
		changed.Version = row.Version
		return tx.Update(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.UpdatePlaybackRestrictionPolicyResponse{PlaybackRestrictionPolicy: wirePolicy(p)}, nil
}

// ListPlaybackRestrictionPolicies lists the caller's policies in this region, one a page
// unless more are asked for: the documented default.
func (c *Control) ListPlaybackRestrictionPolicies(ctx context.Context, in *ivsapi.ListPlaybackRestrictionPoliciesRequest) (*ivsapi.ListPlaybackRestrictionPoliciesResponse, error) {
	rows, next, err := c.list(ctx, "ListPlaybackRestrictionPolicies", live.TypePlaybackRestrictionPolicy, in.MaxResults, in.NextToken, 1)
	if err != nil {
		return nil, err
	}
	list, err := read(rows, func(row store.Row) (ivsapi.PlaybackRestrictionPolicySummary, error) {
		p, err := store.RestrictionPolicyOf(row)
		return ivsapi.PlaybackRestrictionPolicySummary(*wirePolicy(p)), err
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.ListPlaybackRestrictionPoliciesResponse{PlaybackRestrictionPolicies: list, NextToken: next}, nil
}

// DeletePlaybackRestrictionPolicy removes a policy that no channel uses.
func (c *Control) DeletePlaybackRestrictionPolicy(ctx context.Context, in *ivsapi.DeletePlaybackRestrictionPolicyRequest) error {
	return c.removeUnused(ctx, in.Arn, live.TypePlaybackRestrictionPolicy)
}

func wirePolicy(p live.RestrictionPolicy) *ivsapi.PlaybackRestrictionPolicy {
	return &ivsapi.PlaybackRestrictionPolicy{
		Arn: p.ARN.String(), Name: &p.Name, AllowedCountries: listOf(p.Countries), AllowedOrigins: listOf(p.Origins),
		EnableStrictOriginEnforcement: &p.Strict, Tags: tagsOf(p.Tags),
	}
}

// listOf is list, which the wire always shows, also when it is empty.
func listOf(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
