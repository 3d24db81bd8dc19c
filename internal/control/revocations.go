package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// revocation is what a call asks for, once the channel is seen to be private: the
// viewers of a public one have no sessions that could be told apart.
func (c *Control) revocation(ctx context.Context, r store.Reader, channel, viewer string, version *int32) (live.Revocation, error) {
	ch, _, err := c.channel(ctx, r, restjson.CallerFrom(ctx), channel)
	switch {
	case err != nil:
		return live.Revocation{}, err
	case !ch.Authorized:
		return live.Revocation{}, live.Errorf(live.Invalid, "Channel: %s is not private: its viewers have no sessions to revoke", ch.ARN)
	case !store.Storable(viewer):
		return live.Revocation{}, live.Errorf(live.Invalid, "viewerId must not contain U+0000")
	}
	x := live.Revocation{Channel: ch.ARN, Viewer: viewer, Time: c.now()}
	if version != nil {
		x.Version = int64(*version)
	}
	return x, nil
}

// StartViewerSessionRevocation ends a viewer's sessions on a private channel, up to a
// version. It returns when the revocation is durable; nodes hear of it at once.
func (c *Control) StartViewerSessionRevocation(ctx context.Context, in *ivsapi.StartViewerSessionRevocationRequest) (*ivsapi.StartViewerSessionRevocationResponse, error) {
	var x live.Revocation
	err := c.store.Tx(ctx, func(tx *store.Tx) (err error) {
		x, err = c.revocation(ctx, tx, in.ChannelArn, in.ViewerId, in.ViewerSessionVersionsLessThanOrEqualTo)
		if err != nil {
			return err
		}
		return tx.Revoke(ctx, x)
	})
	if err != nil {
		return nil, err
	}
	c.tellRevoked(ctx, []live.Revocation{x})
	return &ivsapi.StartViewerSessionRevocationResponse{}, nil
}

// BatchStartViewerSessionRevocation does the same for many viewers, and says of each
// that it cannot revoke why. The others are revoked together.
func (c *Control) BatchStartViewerSessionRevocation(ctx context.Context, in *ivsapi.BatchStartViewerSessionRevocationRequest) (*ivsapi.BatchStartViewerSessionRevocationResponse, error) {
	var (
		done   []live.Revocation
		failed []ivsapi.BatchStartViewerSessionRevocationError
	)
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		done, failed = nil, []ivsapi.BatchStartViewerSessionRevocationError{}
		for _, v := range in.ViewerSessions {
			x, err := c.revocation(ctx, tx, v.ChannelArn, v.ViewerId, v.ViewerSessionVersionsLessThanOrEqualTo)
			if refused := restjson.Refused(ctx, v.ChannelArn); refused != nil {
				err = refused
			}
			if err == nil {
				err = tx.Revoke(ctx, x)
				done = append(done, x)
			}
			e, ok := errors.AsType[*live.Error](err)
			if err != nil && !ok {
				return fmt.Errorf("control: %w", err)
			}
			if ok {
				code, message := revocationError(restjson.CallerFrom(ctx), v.ChannelArn, e)
				failed = append(failed, ivsapi.BatchStartViewerSessionRevocationError{
					ChannelArn: v.ChannelArn, ViewerId: v.ViewerId, Code: &code, Message: &message,
				})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(done) > 0 {
		c.tellRevoked(ctx, done)
	}
	return &ivsapi.BatchStartViewerSessionRevocationResponse{Errors: failed}, nil
}

// revocationError is how a batch says what is wrong with one of its entries: with a
// status, unlike the other batches (low-latency.md 16 #3). Whose channel it is not learns
// nothing about it.
func revocationError(caller restjson.Caller, channel string, e *live.Error) (code, message string) {
	a, err := live.ParseARN(channel)
	switch {
	case err == nil && (a.Account != caller.Account || a.Region != caller.Region), e.Kind == live.Denied:
		return "403", "not authorized"
	case e.Kind == live.NotFound:
		return "404", e.Detail
	}
	return "400", e.Detail
}

// tellRevoked spreads word. A message that is lost is no error: who lets viewers in finds
// the revocation in the store.
func (c *Control) tellRevoked(ctx context.Context, all []live.Revocation) {
	if err := c.roster.Revoke(ctx, all); err != nil {
		c.log.Warn("nodes not told of revocations", "count", len(all), "err", err)
	}
}
