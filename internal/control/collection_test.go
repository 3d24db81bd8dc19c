package control

import (
	"context"
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

// oneOfEach makes a resource of each type with the tags and returns their ARNs by type.
func oneOfEach(t *testing.T, f fixture, tags map[string]string) map[string]string {
	t.Helper()
	ch, err := f.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteStreamKey(f.ctx, &ivsapi.DeleteStreamKeyRequest{Arn: *ch.StreamKey.Arn}); err != nil {
		t.Fatal(err)
	}
	sk, err := f.CreateStreamKey(f.ctx, &ivsapi.CreateStreamKeyRequest{ChannelArn: *ch.Channel.Arn, Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	pk, err := f.ImportPlaybackKeyPair(f.ctx, &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: newPublicKey(t, elliptic.P384()), Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	rc := into("archive")
	rc.Tags = tags
	return map[string]string{
		live.TypeChannel:                   *ch.Channel.Arn,
		live.TypeStreamKey:                 *sk.StreamKey.Arn,
		live.TypePlaybackKey:               *pk.KeyPair.Arn,
		live.TypeRecordingConfiguration:    f.recording(t, rc).Arn,
		live.TypePlaybackRestrictionPolicy: f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{Tags: tags}).Arn,
		live.TypeAdConfiguration:           f.ads(t, ivsapi.CreateAdConfigurationRequest{Tags: tags}).Arn,
	}
}

func TestEveryTypeHasTags(t *testing.T) {
	f := newFixture(t)
	given := map[string]string{"a": "1", "b": "2"}
	for typ, arn := range oneOfEach(t, f, given) {
		t.Run(typ, func(t *testing.T) {
			tags := func() map[string]string {
				t.Helper()
				out, err := f.ListTagsForResource(f.ctx, &ivsapi.ListTagsForResourceRequest{ResourceArn: arn})
				if err != nil {
					t.Fatal(err)
				}
				return out.Tags
			}
			if d := cmp.Diff(given, tags()); d != "" {
				t.Errorf("tags at create: -want +got\n%s", d)
			}
			if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: arn, Tags: map[string]string{"b": "3", "c": ""}}); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time there is nothing left to remove
				if _, err := f.UntagResource(f.ctx, &ivsapi.UntagResourceRequest{ResourceArn: arn, TagKeys: []string{"a"}}); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(map[string]string{"b": "3", "c": ""}, tags()); d != "" {
				t.Errorf("tags: -want +got\n%s", d)
			}
			if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: arn, Tags: map[string]string{"AWS:x": ""}}); !errors.Is(err, live.Invalid) {
				t.Errorf("a reserved tag: %v, want invalid", err)
			}
			absent := arn[:len(arn)-12] + "AAAAAAAAAAAA"
			if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: absent, Tags: given}); !errors.Is(err, live.NotFound) {
				t.Errorf("tags of none: %v, want not found", err)
			}
		})
	}
}

// What belongs to somebody else is not there, and what is of another type is no such ARN.
func TestEveryTypeIsItsOwners(t *testing.T) {
	f := newFixture(t)
	arns := oneOfEach(t, f, nil)
	for name, op := range map[string]struct {
		typ  string
		call func(ctx context.Context, arn string) error
	}{
		"GetRecordingConfiguration": {live.TypeRecordingConfiguration, func(ctx context.Context, arn string) error {
			_, err := f.GetRecordingConfiguration(ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: arn})
			return err
		}},
		"DeleteRecordingConfiguration": {live.TypeRecordingConfiguration, func(ctx context.Context, arn string) error {
			return f.DeleteRecordingConfiguration(ctx, &ivsapi.DeleteRecordingConfigurationRequest{Arn: arn})
		}},
		"GetPlaybackKeyPair": {live.TypePlaybackKey, func(ctx context.Context, arn string) error {
			_, err := f.GetPlaybackKeyPair(ctx, &ivsapi.GetPlaybackKeyPairRequest{Arn: arn})
			return err
		}},
		"DeletePlaybackKeyPair": {live.TypePlaybackKey, func(ctx context.Context, arn string) error {
			_, err := f.DeletePlaybackKeyPair(ctx, &ivsapi.DeletePlaybackKeyPairRequest{Arn: arn})
			return err
		}},
		"GetPlaybackRestrictionPolicy": {live.TypePlaybackRestrictionPolicy, func(ctx context.Context, arn string) error {
			_, err := f.GetPlaybackRestrictionPolicy(ctx, &ivsapi.GetPlaybackRestrictionPolicyRequest{Arn: arn})
			return err
		}},
		"UpdatePlaybackRestrictionPolicy": {live.TypePlaybackRestrictionPolicy, func(ctx context.Context, arn string) error {
			_, err := f.UpdatePlaybackRestrictionPolicy(ctx, &ivsapi.UpdatePlaybackRestrictionPolicyRequest{Arn: arn})
			return err
		}},
		"DeletePlaybackRestrictionPolicy": {live.TypePlaybackRestrictionPolicy, func(ctx context.Context, arn string) error {
			return f.DeletePlaybackRestrictionPolicy(ctx, &ivsapi.DeletePlaybackRestrictionPolicyRequest{Arn: arn})
		}},
		"GetAdConfiguration": {live.TypeAdConfiguration, func(ctx context.Context, arn string) error {
			_, err := f.GetAdConfiguration(ctx, &ivsapi.GetAdConfigurationRequest{Arn: arn})
			return err
		}},
		"UpdateAdConfiguration": {live.TypeAdConfiguration, func(ctx context.Context, arn string) error {
			_, err := f.UpdateAdConfiguration(ctx, &ivsapi.UpdateAdConfigurationRequest{Arn: arn})
			return err
		}},
		"DeleteAdConfiguration": {live.TypeAdConfiguration, func(ctx context.Context, arn string) error {
			return f.DeleteAdConfiguration(ctx, &ivsapi.DeleteAdConfigurationRequest{Arn: arn})
		}},
		"an attachment": {live.TypeAdConfiguration, func(ctx context.Context, arn string) error {
			_, err := f.CreateChannel(ctx, &ivsapi.CreateChannelRequest{AdConfigurationArn: &arn})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for who, ctx := range map[string]context.Context{
				"another account": as(t.Context(), "444455556666", "us-west-2"),
				"another region":  as(t.Context(), "111122223333", "eu-west-1"),
			} {
				if err := op.call(ctx, arns[op.typ]); !errors.Is(err, live.NotFound) {
					t.Errorf("%s: %v, want not found", who, err)
				}
			}
			if err := op.call(f.ctx, arns[live.TypeStreamKey]); !errors.Is(err, live.Invalid) {
				t.Errorf("a stream key's ARN: %v, want invalid", err)
			}
		})
	}
	for name, list := range map[string]func(context.Context) (int, error){
		"ListRecordingConfigurations": func(ctx context.Context) (int, error) {
			out, err := f.ListRecordingConfigurations(ctx, &ivsapi.ListRecordingConfigurationsRequest{})
			return len(out.RecordingConfigurations), err
		},
		"ListPlaybackKeyPairs": func(ctx context.Context) (int, error) {
			out, err := f.ListPlaybackKeyPairs(ctx, &ivsapi.ListPlaybackKeyPairsRequest{})
			return len(out.KeyPairs), err
		},
		"ListPlaybackRestrictionPolicies": func(ctx context.Context) (int, error) {
			out, err := f.ListPlaybackRestrictionPolicies(ctx, &ivsapi.ListPlaybackRestrictionPoliciesRequest{})
			return len(out.PlaybackRestrictionPolicies), err
		},
		"ListAdConfigurations": func(ctx context.Context) (int, error) {
			out, err := f.ListAdConfigurations(ctx, &ivsapi.ListAdConfigurationsRequest{})
			return len(out.AdConfigurations), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for account, want := range map[string]int{"111122223333": 1, "444455556666": 0} {
				if n, err := list(as(t.Context(), account, "us-west-2")); n != want || err != nil {
					t.Errorf("account %s lists %d, %v; want %d", account, n, err, want)
				}
			}
		})
	}
}

func TestListsHavePages(t *testing.T) {
	f := newFixture(t)
	var want []string
	for range 5 {
		want = append(want, f.recording(t, into("archive")).Arn)
	}
	slices.Sort(want)
	for _, size := range []int32{1, 2, 5, 100} {
		var got []string
		in := &ivsapi.ListRecordingConfigurationsRequest{MaxResults: &size}
		for {
			out, err := f.ListRecordingConfigurations(f.ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, rc := range out.RecordingConfigurations {
				got = append(got, rc.Arn)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
			if _, err := f.ListAdConfigurations(f.ctx, &ivsapi.ListAdConfigurationsRequest{NextToken: out.NextToken}); !errors.Is(err, live.Invalid) {
				t.Errorf("a token in another list: %v, want invalid", err)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d: -want +got\n%s", size, d)
		}
	}
}

func TestListChannelsByWhatIsAttached(t *testing.T) {
	f := newFixture(t)
	arns := oneOfEach(t, f, nil)
	with := *f.channel(t, ivsapi.CreateChannelRequest{
		RecordingConfigurationArn:    new(arns[live.TypeRecordingConfiguration]),
		PlaybackRestrictionPolicyArn: new(arns[live.TypePlaybackRestrictionPolicy]),
		AdConfigurationArn:           new(arns[live.TypeAdConfiguration]),
	}).Arn
	absent := strings.Replace(with, with[len(with)-12:], "AAAAAAAAAAAA", 1)
	for name, tt := range map[string]struct {
		in   ivsapi.ListChannelsRequest
		want int
	}{
		"recording configuration":    {ivsapi.ListChannelsRequest{FilterByRecordingConfigurationArn: new(arns[live.TypeRecordingConfiguration])}, 1},
		"restriction policy":         {ivsapi.ListChannelsRequest{FilterByPlaybackRestrictionPolicyArn: new(arns[live.TypePlaybackRestrictionPolicy])}, 1},
		"ad configuration":           {ivsapi.ListChannelsRequest{FilterByAdConfigurationArn: new(arns[live.TypeAdConfiguration])}, 1},
		"what nobody has":            {ivsapi.ListChannelsRequest{FilterByAdConfigurationArn: new(strings.Replace(absent, ":channel/", ":ad-configuration/", 1))}, 0},
		"an empty ARN restricts not": {ivsapi.ListChannelsRequest{FilterByAdConfigurationArn: new("")}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := f.ListChannels(f.ctx, &tt.in)
			if err != nil || len(out.Channels) != tt.want || tt.want == 1 && *out.Channels[0].Arn != with {
				t.Errorf("ListChannels = %d channels, %v; want %d", len(out.Channels), err, tt.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	c := New(f.store, f.roster, nil, Config{Playback: f.cfg.Playback, Limits: Limits{
		Channels: 2, StreamKeys: 2, RecordingConfigurations: 2, PlaybackKeys: -1, RestrictionPolicies: 2, AdConfigurations: 2,
	}})
	channel := ""
	for name, tt := range map[string]struct {
		create func() error
		limit  int // 0 for none
	}{
		"channels": {func() error {
			out, err := c.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{})
			if err == nil {
				channel = *out.Channel.Arn
			}
			return err
		}, 2},
		"recording configurations": {func() error { in := into("archive"); _, err := c.CreateRecordingConfiguration(f.ctx, &in); return err }, 2},
		"playback keys": {func() error {
			_, err := c.ImportPlaybackKeyPair(f.ctx, &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: newPublicKey(t, elliptic.P384())})
			return err
		}, 0},
		"restriction policies": {func() error {
			_, err := c.CreatePlaybackRestrictionPolicy(f.ctx, &ivsapi.CreatePlaybackRestrictionPolicyRequest{})
			return err
		}, 2},
		"ad configurations": {func() error {
			_, err := c.CreateAdConfiguration(f.ctx, &ivsapi.CreateAdConfigurationRequest{MediaTailorPlaybackConfigurations: tailors("a")})
			return err
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= 5; n++ {
				err := tt.create()
				if full := tt.limit > 0 && n > tt.limit; full != errors.Is(err, live.Quota) || !full && err != nil {
					t.Errorf("create %d: %v, limit %d", n, err, tt.limit)
				}
			}
		})
	}
	t.Run("stream keys", func(t *testing.T) {
		for n := 2; n <= 4; n++ { // a channel is made with its first
			_, err := c.CreateStreamKey(f.ctx, &ivsapi.CreateStreamKeyRequest{ChannelArn: channel})
			if (n > 2) != errors.Is(err, live.Quota) || n == 2 && err != nil {
				t.Errorf("key %d: %v, limit 2", n, err)
			}
		}
	})
}
