package node

import (
	"context"
	"time"

	"github.com/sluice-live/sluice/internal/control"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/quota"
	"github.com/sluice-live/sluice/internal/restjson"
)

// resourceLimits is what p says of resources, in the words of package control, in which
// 0 would be a default.
func resourceLimits(p quota.Profile) control.Limits {
	of := func(l quota.Limit) int {
		if l == quota.None {
			return -1
		}
		return int(l)
	}
	return control.Limits{
		Channels:                of(p.IVS.Channels),
		StreamKeys:              of(p.IVS.StreamKeysPerChannel),
		RecordingConfigurations: of(p.IVS.RecordingConfigurations),
		PlaybackKeys:            of(p.IVS.PlaybackKeys),
		RestrictionPolicies:     of(p.IVS.RestrictionPolicies),
		AdConfigurations:        of(p.IVS.AdConfigurations),
		Tags:                    of(p.IVS.TagsPerResource),
		MetadataBytes:           of(p.IVS.MetadataBytes),
	}
}

// ingestLimits is what encoders may send to a channel, nil for anything.
func (n *node) ingestLimits() func(live.Channel, bool) meter.Limits {
	if n.cfg.IngestLimits == "off" {
		return nil
	}
	return meter.LimitsOf
}

// throttle refuses requests over the rates of p. It stands behind authorization: what
// nobody may do costs no token.
func throttle(p quota.Profile, now func() time.Time) restjson.Step {
	t := quota.NewThrottle(p)
	return func(_ context.Context, c *restjson.Call) error {
		q := quota.Call{Account: c.Caller.Account, Region: c.Caller.Region, Service: c.Service, Operation: c.Operation.Name}
		if in, ok := c.Request.(*ivsapi.PutMetadataRequest); ok {
			q.Channel = in.ChannelArn
		}
		limit, ok := t.Take(now(), q)
		if ok {
			return nil
		}
		return &live.Error{
			Kind:   live.Throttled,
			Detail: "Rate exceeded: " + limit.String() + " " + q.Operation + " requests a second are allowed",
			Err:    &restjson.Detail{Limit: int64(limit)},
		}
	}
}
