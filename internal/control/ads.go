package control

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// defaultPostRoll is the length of a post-roll that is off (low-latency.md 1.5).
const defaultPostRoll = 15 * time.Second

// advertise puts the given settings into a and checks them; nil is absent. Whether a
// playback configuration exists only AWS could tell.
func advertise(a *live.AdConfiguration, name *string, tailors []ivsapi.MediaTailorPlaybackConfiguration, post *ivsapi.PostRollConfiguration) error {
	set(&a.Name, name)
	if post != nil {
		a.PostRoll = live.PostRoll{Enabled: post.Enabled, Duration: time.Duration(post.DurationSeconds) * time.Second}
	}
	if tailors == nil {
		return nil
	}
	a.MediaTailor = make([]string, 0, len(tailors))
	for i, t := range tailors {
		if t.PlaybackConfigurationArn == nil || *t.PlaybackConfigurationArn == "" {
			return live.Errorf(live.Invalid, "mediaTailorPlaybackConfigurations[%d] needs playbackConfigurationArn", i)
		}
		arn := *t.PlaybackConfigurationArn
		// The model's pattern says that there are enough parts.
		if p := strings.Split(arn, ":"); len(p) < 5 || p[4] != a.ARN.Account {
			return live.Errorf(live.Invalid, "mediaTailorPlaybackConfigurations[%d] is of another account", i)
		}
		a.MediaTailor = append(a.MediaTailor, arn)
	}
	return nil
}

// CreateAdConfiguration makes an ad configuration.
func (c *Control) CreateAdConfiguration(ctx context.Context, in *ivsapi.CreateAdConfigurationRequest) (*ivsapi.CreateAdConfigurationResponse, error) {
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	a := live.AdConfiguration{
		ARN:      c.newARN(restjson.CallerFrom(ctx), live.TypeAdConfiguration),
		PostRoll: live.PostRoll{Duration: defaultPostRoll}, Tags: maps.Clone(in.Tags), Created: c.now().UTC(),
	}
	if err := advertise(&a, in.Name, in.MediaTailorPlaybackConfigurations, in.PostRollConfiguration); err != nil {
		return nil, err
	}
	row, err := store.RowOfAdConfiguration(a)
	if err != nil {
		return nil, err
	}
	if err := c.insert(ctx, row, c.cfg.Limits.AdConfigurations); err != nil {
		return nil, err
	}
	return &ivsapi.CreateAdConfigurationResponse{AdConfiguration: wireAds(a)}, nil
}

// GetAdConfiguration returns one ad configuration.
func (c *Control) GetAdConfiguration(ctx context.Context, in *ivsapi.GetAdConfigurationRequest) (*ivsapi.GetAdConfigurationResponse, error) {
	row, err := c.row(ctx, c.store, in.Arn, live.TypeAdConfiguration)
	if err != nil {
		return nil, err
	}
	a, err := store.AdConfigurationOf(row)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetAdConfigurationResponse{AdConfiguration: new(wireAds(a))}, nil
}

// UpdateAdConfiguration changes an ad configuration. What is absent stays.
func (c *Control) UpdateAdConfiguration(ctx context.Context, in *ivsapi.UpdateAdConfigurationRequest) (*ivsapi.UpdateAdConfigurationResponse, error) {
	var a live.AdConfiguration
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := c.row(ctx, tx, in.Arn, live.TypeAdConfiguration)
		if err != nil {
			return err
		}
		if a, err = store.AdConfigurationOf(row); err != nil {
			return err
		}
		if err := advertise(&a, in.Name, in.MediaTailorPlaybackConfigurations, in.PostRollConfiguration); err != nil {
			return err
		}
		changed, err := store.RowOfAdConfiguration(a)
		if err != nil {
			return err
		}
		changed.Version = row.Version
		return tx.Update(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.UpdateAdConfigurationResponse{AdConfiguration: wireAds(a)}, nil
}

// ListAdConfigurations lists the caller's ad configurations in this region.
func (c *Control) ListAdConfigurations(ctx context.Context, in *ivsapi.ListAdConfigurationsRequest) (*ivsapi.ListAdConfigurationsResponse, error) {
	rows, next, err := c.list(ctx, "ListAdConfigurations", live.TypeAdConfiguration, in.MaxResults, in.NextToken, maxPage)
	if err != nil {
		return nil, err
	}
	list, err := read(rows, func(row store.Row) (ivsapi.AdConfigurationSummary, error) {
		a, err := store.AdConfigurationOf(row)
		return ivsapi.AdConfigurationSummary(wireAds(a)), err
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.ListAdConfigurationsResponse{AdConfigurations: list, NextToken: next}, nil
}

// DeleteAdConfiguration removes an ad configuration that no channel uses.
func (c *Control) DeleteAdConfiguration(ctx context.Context, in *ivsapi.DeleteAdConfigurationRequest) error {
	return c.removeUnused(ctx, in.Arn, live.TypeAdConfiguration)
}

func wireAds(a live.AdConfiguration) ivsapi.AdConfiguration {
	tailors := make([]ivsapi.MediaTailorPlaybackConfiguration, len(a.MediaTailor))
	for i, arn := range a.MediaTailor {
		tailors[i].PlaybackConfigurationArn = new(arn)
	}
	return ivsapi.AdConfiguration{
		Arn: a.ARN.String(), Name: &a.Name, MediaTailorPlaybackConfigurations: tailors, Tags: tagsOf(a.Tags),
		PostRollConfiguration: &ivsapi.PostRollConfiguration{
			Enabled: a.PostRoll.Enabled, DurationSeconds: int32(a.PostRoll.Duration / time.Second),
		},
	}
}
