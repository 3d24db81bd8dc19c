package node

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/control"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/quota"
	"github.com/sluice-live/sluice/internal/restjson"
)

// No limit must not turn into a default of package control.
func TestResourceLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		profile quota.Profile
		want    control.Limits
	}{
		"aws": {quota.AWS(), control.Limits{
			Channels: 5000, StreamKeys: 1, RecordingConfigurations: 20, PlaybackKeys: 3, RestrictionPolicies: 3, AdConfigurations: 20, Tags: 50, MetadataBytes: 1024,
		}},
		"self-hosted": {quota.SelfHosted(), control.Limits{
			Channels: -1, StreamKeys: 1, RecordingConfigurations: -1, PlaybackKeys: 3, RestrictionPolicies: -1, AdConfigurations: -1, Tags: 50, MetadataBytes: 1024,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, resourceLimits(tt.profile)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestThrottleStep(t *testing.T) {
	now := time.Unix(1000, 0)
	step := throttle(quota.AWS(), func() time.Time { return now })
	call := func(op string, in any) error {
		return step(t.Context(), &restjson.Call{
			Service: "ivs", Operation: &restjson.Operation{Name: op}, Request: in,
			Caller: restjson.Caller{Account: "111122223333", Region: "us-west-2"},
		})
	}
	for range 5 {
		if err := call("CreateChannel", &ivsapi.CreateChannelRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	err := call("CreateChannel", &ivsapi.CreateChannelRequest{})
	d, ok := errors.AsType[*restjson.Detail](err)
	if !errors.Is(err, live.Throttled) || !ok || d.Limit != 5 {
		t.Errorf("the sixth in a second: %v, want it throttled at 5", err)
	}
	// The limit of a channel is that of its ARN.
	metadata := func(arn string) error { return call("PutMetadata", &ivsapi.PutMetadataRequest{ChannelArn: arn}) }
	for range 5 {
		if err := metadata("a"); err != nil {
			t.Fatal(err)
		}
	}
	if metadata("a") == nil || metadata("b") != nil {
		t.Error("want the sixth PutMetadata for one channel throttled, and none for another")
	}
	now = now.Add(time.Second)
	if err := call("CreateChannel", &ivsapi.CreateChannelRequest{}); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
