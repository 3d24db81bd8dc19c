package control

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

const tailor = "arn:aws:mediatailor:us-west-2:111122223333:playbackConfiguration/"

func tailors(names ...string) []ivsapi.MediaTailorPlaybackConfiguration {
	var list []ivsapi.MediaTailorPlaybackConfiguration
	for _, n := range names {
		list = append(list, ivsapi.MediaTailorPlaybackConfiguration{PlaybackConfigurationArn: new(tailor + n)})
	}
	return list
}

func (f fixture) ads(t *testing.T, in ivsapi.CreateAdConfigurationRequest) ivsapi.AdConfiguration {
	t.Helper()
	if in.MediaTailorPlaybackConfigurations == nil {
		in.MediaTailorPlaybackConfigurations = tailors("a")
	}
	out, err := f.CreateAdConfiguration(f.ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.AdConfiguration
}

func TestAdConfigurationDefaults(t *testing.T) {
	f := newFixture(t)
	got := f.ads(t, ivsapi.CreateAdConfigurationRequest{MediaTailorPlaybackConfigurations: tailors("a", "b")})
	want := ivsapi.AdConfiguration{
		Arn: got.Arn, Name: new(""), MediaTailorPlaybackConfigurations: tailors("a", "b"),
		PostRollConfiguration: &ivsapi.PostRollConfiguration{Enabled: false, DurationSeconds: 15}, Tags: map[string]string{},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	out, err := f.GetAdConfiguration(f.ctx, &ivsapi.GetAdConfigurationRequest{Arn: got.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, out.AdConfiguration); d != "" {
		t.Errorf("GetAdConfiguration: -want +got\n%s", d)
	}
	list, err := f.ListAdConfigurations(f.ctx, &ivsapi.ListAdConfigurationsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]ivsapi.AdConfigurationSummary{ivsapi.AdConfigurationSummary(want)}, list.AdConfigurations); d != "" {
		t.Errorf("ListAdConfigurations: -want +got\n%s", d)
	}
}

func TestAdConfigurationRules(t *testing.T) {
	f := newFixture(t)
	for name, list := range map[string][]ivsapi.MediaTailorPlaybackConfiguration{
		"no ARN":             {{}},
		"an empty ARN":       {{PlaybackConfigurationArn: new("")}},
		"a second without":   append(tailors("a"), ivsapi.MediaTailorPlaybackConfiguration{}),
		"of another account": {{PlaybackConfigurationArn: new("arn:aws:mediatailor:us-west-2:444455556666:playbackConfiguration/a")}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.CreateAdConfiguration(f.ctx, &ivsapi.CreateAdConfigurationRequest{MediaTailorPlaybackConfigurations: list}); !errors.Is(err, live.Invalid) {
				t.Errorf("create: %v, want invalid", err)
			}
			arn := f.ads(t, ivsapi.CreateAdConfigurationRequest{}).Arn
			if _, err := f.UpdateAdConfiguration(f.ctx, &ivsapi.UpdateAdConfigurationRequest{Arn: arn, MediaTailorPlaybackConfigurations: list}); !errors.Is(err, live.Invalid) {
				t.Errorf("update: %v, want invalid", err)
			}
		})
	}
	elsewhere := []ivsapi.MediaTailorPlaybackConfiguration{{PlaybackConfigurationArn: new("arn:aws:mediatailor:eu-west-1:111122223333:playbackConfiguration/a")}}
	if _, err := f.CreateAdConfiguration(f.ctx, &ivsapi.CreateAdConfigurationRequest{MediaTailorPlaybackConfigurations: elsewhere}); err != nil {
		t.Errorf("MediaTailor in another region: %v", err)
	}
}

func TestUpdateAdConfigurationLeavesWhatIsAbsent(t *testing.T) {
	f := newFixture(t)
	want := f.ads(t, ivsapi.CreateAdConfigurationRequest{
		Name: new("a"), MediaTailorPlaybackConfigurations: tailors("a", "b"), Tags: map[string]string{"k": "v"},
		PostRollConfiguration: &ivsapi.PostRollConfiguration{Enabled: true, DurationSeconds: 300},
	})
	update := func(in ivsapi.UpdateAdConfigurationRequest) {
		t.Helper()
		in.Arn = want.Arn
		out, err := f.UpdateAdConfiguration(f.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, out.AdConfiguration); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	}
	update(ivsapi.UpdateAdConfigurationRequest{})
	want.MediaTailorPlaybackConfigurations = tailors("c")
	update(ivsapi.UpdateAdConfigurationRequest{MediaTailorPlaybackConfigurations: tailors("c")})
	want.Name, want.PostRollConfiguration = new("b"), &ivsapi.PostRollConfiguration{DurationSeconds: 1}
	update(ivsapi.UpdateAdConfigurationRequest{Name: new("b"), PostRollConfiguration: want.PostRollConfiguration})
}

func TestDeleteAdConfiguration(t *testing.T) {
	f := newFixture(t)
	a := f.ads(t, ivsapi.CreateAdConfigurationRequest{})
	if _, err := f.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{AdConfigurationArn: &a.Arn, ContainerFormat: new("FRAGMENTED_MP4")}); !errors.Is(err, live.Invalid) {
		t.Errorf("ads in fragmented MP4: %v, want invalid", err)
	}
	ch := f.channel(t, ivsapi.CreateChannelRequest{AdConfigurationArn: &a.Arn})
	if _, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, ContainerFormat: new("FRAGMENTED_MP4")}); !errors.Is(err, live.Invalid) {
		t.Errorf("fragmented MP4 with ads: %v, want invalid", err)
	}
	if err := f.DeleteAdConfiguration(f.ctx, &ivsapi.DeleteAdConfigurationRequest{Arn: a.Arn}); !errors.Is(err, live.Conflict) {
		t.Errorf("delete while attached: %v, want conflict", err)
	}
	if _, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, AdConfigurationArn: new(""), ContainerFormat: new("FRAGMENTED_MP4")}); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteAdConfiguration(f.ctx, &ivsapi.DeleteAdConfigurationRequest{Arn: a.Arn}); err != nil {
		t.Errorf("delete: %v", err)
	}
}
