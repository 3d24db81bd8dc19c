package control

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// CreateRecordingConfiguration makes a configuration in state CREATING. Run checks its
// bucket and makes it ACTIVE or CREATE_FAILED.
func (c *Control) CreateRecordingConfiguration(ctx context.Context, in *ivsapi.CreateRecordingConfigurationRequest) (*ivsapi.CreateRecordingConfigurationResponse, error) {
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	rc := live.RecordingConfiguration{
		ARN:   c.newARN(restjson.CallerFrom(ctx), live.TypeRecordingConfiguration),
		State: live.RecordingCreating, Tags: maps.Clone(in.Tags), Created: c.now().UTC(),
	}
	set(&rc.Name, in.Name)
	if s := in.RecordingReconnectWindowSeconds; s != nil {
		rc.ReconnectWindow = time.Duration(*s) * time.Second
	}
	var err error
	if rc.Bucket, err = bucketOf(in.DestinationConfiguration); err != nil {
		return nil, err
	}
	rc.Thumbnails = thumbnailsOf(in.ThumbnailConfiguration)
	if rc.Renditions, err = renditionsOf(in.RenditionConfiguration); err != nil {
		return nil, err
	}
	row, err := store.RowOfRecordingConfiguration(rc)
	if err != nil {
		return nil, err
	}
	if err := c.insert(ctx, row, c.cfg.Limits.RecordingConfigurations); err != nil {
		return nil, err
	}
	c.wake()
	return &ivsapi.CreateRecordingConfigurationResponse{RecordingConfiguration: wireRecording(rc)}, nil
}

// bucketOf checks what the model's pattern leaves open of S3's rules for bucket names.
func bucketOf(d ivsapi.DestinationConfiguration) (string, error) {
	if d.S3 == nil {
		return "", live.Errorf(live.Invalid, "destinationConfiguration needs s3")
	}
	name := d.S3.BucketName
	_, err := netip.ParseAddr(name)
	if strings.Trim(name, ".-") != name || strings.Contains(name, "..") || err == nil {
		return "", live.Errorf(live.Invalid, "bucketName must begin and end with a letter or digit, and be no IP address")
	}
	return name, nil
}

// defaultInterval is the time between two thumbnails (low-latency.md 1.6).
const defaultInterval = 60 * time.Second

// thumbnailsOf fills in what is absent. With recordingMode DISABLED the other fields
// mean nothing; they are kept as they were given, so that tools see no difference.
func thumbnailsOf(in *ivsapi.ThumbnailConfiguration) live.Thumbnails {
	if in == nil {
		in = &ivsapi.ThumbnailConfiguration{}
	}
	t := live.Thumbnails{Mode: live.ThumbnailsInterval}
	set(&t.Mode, in.RecordingMode)
	set(&t.Resolution, in.Resolution)
	if s := in.TargetIntervalSeconds; s != nil {
		t.Interval = time.Duration(*s) * time.Second
	}
	t.Storage = unique(in.Storage)
	if t.Mode == live.ThumbnailsInterval {
		if t.Interval == 0 {
			t.Interval = defaultInterval
		}
		if len(t.Storage) == 0 {
			t.Storage = []string{live.StorageSequential}
		}
	}
	return t
}

// renditionsOf fills in what is absent. Renditions without CUSTOM mean nothing, as on IVS.
func renditionsOf(in *ivsapi.RenditionConfiguration) (live.Renditions, error) {
	r := live.Renditions{Selection: live.RenditionsAll}
	if in != nil {
		set(&r.Selection, in.RenditionSelection)
		r.Classes = unique(in.Renditions)
	}
	if r.Selection == live.RenditionsCustom && len(r.Classes) == 0 {
		return r, live.Errorf(live.Invalid, "renditionSelection %s requires renditions", live.RenditionsCustom)
	}
	return r, nil
}

// unique is list in its order without repetitions; the models let a list of an enum be
// of any length.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// GetRecordingConfiguration returns one configuration.
func (c *Control) GetRecordingConfiguration(ctx context.Context, in *ivsapi.GetRecordingConfigurationRequest) (*ivsapi.GetRecordingConfigurationResponse, error) {
	row, err := c.row(ctx, c.store, in.Arn, live.TypeRecordingConfiguration)
	if err != nil {
		return nil, err
	}
	rc, err := store.RecordingConfigurationOf(row)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetRecordingConfigurationResponse{RecordingConfiguration: wireRecording(rc)}, nil
}

// ListRecordingConfigurations lists the caller's configurations in this region.
func (c *Control) ListRecordingConfigurations(ctx context.Context, in *ivsapi.ListRecordingConfigurationsRequest) (*ivsapi.ListRecordingConfigurationsResponse, error) {
	rows, next, err := c.list(ctx, "ListRecordingConfigurations", live.TypeRecordingConfiguration, in.MaxResults, in.NextToken, maxPage)
	if err != nil {
		return nil, err
	}
	list, err := read(rows, func(row store.Row) (ivsapi.RecordingConfigurationSummary, error) {
		rc, err := store.RecordingConfigurationOf(row)
		return ivsapi.RecordingConfigurationSummary{
			Arn: rc.ARN.String(), Name: &rc.Name, State: rc.State, DestinationConfiguration: wireBucket(rc), Tags: tagsOf(rc.Tags),
		}, err
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.ListRecordingConfigurationsResponse{RecordingConfigurations: list, NextToken: next}, nil
}

// DeleteRecordingConfiguration removes a configuration that no channel uses, in
// whatever state. What was recorded stays.
func (c *Control) DeleteRecordingConfiguration(ctx context.Context, in *ivsapi.DeleteRecordingConfigurationRequest) error {
	return c.removeUnused(ctx, in.Arn, live.TypeRecordingConfiguration)
}

func wireBucket(rc live.RecordingConfiguration) ivsapi.DestinationConfiguration {
	return ivsapi.DestinationConfiguration{S3: &ivsapi.S3DestinationConfiguration{BucketName: rc.Bucket}}
}

func wireRecording(rc live.RecordingConfiguration) *ivsapi.RecordingConfiguration {
	t := &ivsapi.ThumbnailConfiguration{RecordingMode: &rc.Thumbnails.Mode, Storage: rc.Thumbnails.Storage}
	if rc.Thumbnails.Resolution != "" {
		t.Resolution = &rc.Thumbnails.Resolution
	}
	if rc.Thumbnails.Interval != 0 {
		t.TargetIntervalSeconds = new(int64(rc.Thumbnails.Interval / time.Second))
	}
	return &ivsapi.RecordingConfiguration{
		Arn: rc.ARN.String(), Name: &rc.Name, State: rc.State, DestinationConfiguration: wireBucket(rc),
		RecordingReconnectWindowSeconds: new(int32(rc.ReconnectWindow / time.Second)),
		RenditionConfiguration: &ivsapi.RenditionConfiguration{
			RenditionSelection: &rc.Renditions.Selection, Renditions: rc.Renditions.Classes,
		},
		ThumbnailConfiguration: t, Tags: tagsOf(rc.Tags),
	}
}
