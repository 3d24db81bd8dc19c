package control

import (
	"context"
	"fmt"
	"maps"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

func (c *Control) newKey(caller restjson.Caller, channel live.ARN, tags map[string]string) live.StreamKey {
	arn := c.newARN(caller, live.TypeStreamKey)
	return live.StreamKey{ARN: arn, Channel: channel, Value: live.NewStreamKeyValue(arn.Region, arn.ID), Tags: maps.Clone(tags)}
}

func insertKey(ctx context.Context, tx *store.Tx, k live.StreamKey) error {
	row, err := store.RowOfStreamKey(k)
	if err != nil {
		return err
	}
	return tx.Insert(ctx, row)
}

// keysOf asks for the stream keys of a channel.
func keysOf(channel live.ARN, after string, limit int) store.Query {
	return store.Query{
		Service: live.ServiceIVS, Type: live.TypeStreamKey, Account: channel.Account, Region: channel.Region,
		Parent: channel, After: after, Limit: limit,
	}
}

// CreateStreamKey makes the channel's key; a channel that has one must lose it first.
func (c *Control) CreateStreamKey(ctx context.Context, in *ivsapi.CreateStreamKeyRequest) (*ivsapi.CreateStreamKeyResponse, error) {
	caller := restjson.CallerFrom(ctx)
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	var key live.StreamKey
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		ch, _, err := c.channel(ctx, tx, caller, in.ChannelArn)
		if err != nil {
			return err
		}
		if err := room(ctx, tx, keysOf(ch.ARN, "", 0), c.cfg.Limits.StreamKeys); err != nil {
			return err
		}
		key = c.newKey(caller, ch.ARN, in.Tags)
		return insertKey(ctx, tx, key)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.CreateStreamKeyResponse{StreamKey: wireKey(key)}, nil
}

// GetStreamKey returns one key, its value included.
func (c *Control) GetStreamKey(ctx context.Context, in *ivsapi.GetStreamKeyRequest) (*ivsapi.GetStreamKeyResponse, error) {
	a, err := owned(restjson.CallerFrom(ctx), in.Arn, live.TypeStreamKey)
	if err != nil {
		return nil, err
	}
	row, err := get(ctx, c.store, a)
	if err != nil {
		return nil, err
	}
	k, err := store.StreamKeyOf(row)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetStreamKeyResponse{StreamKey: wireKey(k)}, nil
}

// BatchGetStreamKey returns the keys it can, and an error for each other ARN.
func (c *Control) BatchGetStreamKey(ctx context.Context, in *ivsapi.BatchGetStreamKeyRequest) (*ivsapi.BatchGetStreamKeyResponse, error) {
	out := &ivsapi.BatchGetStreamKeyResponse{StreamKeys: []ivsapi.StreamKey{}, Errors: []ivsapi.BatchError{}}
	err := c.batch(ctx, restjson.CallerFrom(ctx), in.Arns, live.TypeStreamKey, func(row store.Row) error {
		k, err := store.StreamKeyOf(row)
		if err == nil {
			out.StreamKeys = append(out.StreamKeys, *wireKey(k))
		}
		return err
	}, &out.Errors)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListStreamKeys lists a channel's keys without their values.
func (c *Control) ListStreamKeys(ctx context.Context, in *ivsapi.ListStreamKeysRequest) (*ivsapi.ListStreamKeysResponse, error) {
	caller := restjson.CallerFrom(ctx)
	ch, _, err := c.channel(ctx, c.store, caller, in.ChannelArn)
	if err != nil {
		return nil, err
	}
	pq := query{"ListStreamKeys", caller.Account, caller.Region, ch.ARN.ID}
	after, err := c.pages.after(pq, in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := limitOf(in.MaxResults, 1) // the documented default
	rows, err := c.store.List(ctx, keysOf(ch.ARN, after, limit+1))
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	out := &ivsapi.ListStreamKeysResponse{StreamKeys: make([]ivsapi.StreamKeySummary, 0, len(rows))}
	rows, out.NextToken = page(rows, limit, func(r store.Row) string { return r.ARN.ID },
		func(after string) string { return c.pages.token(pq, after) })
	for _, row := range rows {
		out.StreamKeys = append(out.StreamKeys, ivsapi.StreamKeySummary{
			Arn: new(row.ARN.String()), ChannelArn: new(row.Parent.String()), Tags: tagsOf(row.Tags),
		})
	}
	return out, nil
}

// DeleteStreamKey removes a key. It starts no stream any more; one that runs goes on.
func (c *Control) DeleteStreamKey(ctx context.Context, in *ivsapi.DeleteStreamKeyRequest) error {
	a, err := owned(restjson.CallerFrom(ctx), in.Arn, live.TypeStreamKey)
	if err != nil {
		return err
	}
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := get(ctx, tx, a); err != nil {
			return err
		}
		return tx.Delete(ctx, a)
	})
}
