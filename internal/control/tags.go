package control

import (
	"context"
	"maps"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// taggable parses the ARN of any resource of the caller's.
func taggable(caller restjson.Caller, arn string) (live.ARN, error) {
	a, err := live.ParseARN(arn)
	if err != nil {
		return live.ARN{}, err
	}
	return owned(caller, arn, a.Type)
}

// ListTagsForResource returns a resource's tags.
func (c *Control) ListTagsForResource(ctx context.Context, in *ivsapi.ListTagsForResourceRequest) (*ivsapi.ListTagsForResourceResponse, error) {
	a, err := taggable(restjson.CallerFrom(ctx), in.ResourceArn)
	if err != nil {
		return nil, err
	}
	row, err := get(ctx, c.store, a)
	if err != nil {
		return nil, err
	}
	return &ivsapi.ListTagsForResourceResponse{Tags: tagsOf(row.Tags)}, nil
}

// TagResource adds tags, or gives those that are there a new value.
func (c *Control) TagResource(ctx context.Context, in *ivsapi.TagResourceRequest) (*ivsapi.TagResourceResponse, error) {
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	err := c.retag(ctx, in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
	if err != nil {
		return nil, err
	}
	return &ivsapi.TagResourceResponse{}, nil
}

// UntagResource removes tags; those that are not there are no error.
func (c *Control) UntagResource(ctx context.Context, in *ivsapi.UntagResourceRequest) (*ivsapi.UntagResourceResponse, error) {
	err := c.retag(ctx, in.ResourceArn, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.UntagResourceResponse{}, nil
}

func (c *Control) retag(ctx context.Context, arn string, change func(map[string]string)) error {
	a, err := taggable(restjson.CallerFrom(ctx), arn)
	if err != nil {
		return err
	}
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := get(ctx, tx, a)
		if err != nil {
			return err
		}
		row.Tags = tagsOf(row.Tags)
		change(row.Tags)
		if err := c.checkTags(row.Tags); err != nil {
			return err
		}
		return tx.Update(ctx, row)
	})
}

// tagsOf is a copy that is never nil: the wire always shows tags.
func tagsOf(tags map[string]string) map[string]string {
	out := make(map[string]string, len(tags))
	maps.Copy(out, tags)
	return out
}
