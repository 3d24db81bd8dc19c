package control

import (
	"cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

func (c *Control) playbackURL(caller restjson.Caller, channel live.ARN) string {
	return c.base(caller) + c.cfg.Playback(channel)
}

// wireChannel is a channel as the API shows it to this caller. Its members point into ch,
// which is a copy of its own.
func (c *Control) wireChannel(caller restjson.Caller, ch live.Channel) *ivsapi.Channel {
	endpoint := c.host(c.base(caller))
	srt := &ivsapi.Srt{Endpoint: &endpoint}
	if !ch.InsecureIngest {
		srt.Passphrase = new(restjson.Secret(ch.SRTPassphrase))
	}
	var mt live.Multitrack
	if ch.Multitrack != nil {
		mt = *ch.Multitrack
	}
	// What IVS echoes of a channel that never set them.
	mt.Policy, mt.MaximumResolution = cmp.Or(mt.Policy, "ALLOW"), cmp.Or(mt.MaximumResolution, "FULL_HD")
	if ch.Tags == nil {
		ch.Tags = map[string]string{} // the wire always shows tags
	}
	return &ivsapi.Channel{
		Arn: new(ch.ARN.String()), Name: &ch.Name, LatencyMode: &ch.LatencyMode, Type: &ch.Type,
		Preset: &ch.Preset, ContainerFormat: &ch.ContainerFormat,
		Authorized: &ch.Authorized, InsecureIngest: &ch.InsecureIngest,
		RecordingConfigurationArn:    &ch.RecordingConfiguration,
		PlaybackRestrictionPolicyArn: &ch.PlaybackRestrictionPolicy,
		AdConfigurationArn:           &ch.AdConfiguration,
		IngestEndpoint:               &endpoint, PlaybackUrl: new(c.playbackURL(caller, ch.ARN)), Srt: srt,
		MultitrackInputConfiguration: &ivsapi.MultitrackInputConfiguration{
			Enabled: &mt.Enabled, Policy: &mt.Policy, MaximumResolution: &mt.MaximumResolution,
		},
		Tags: ch.Tags,
	}
}

// summaryOf is a channel as a list shows it.
func summaryOf(r store.Row) (ivsapi.ChannelSummary, error) {
	ch, err := store.ChannelOf(r)
	if err != nil {
		return ivsapi.ChannelSummary{}, err
	}
	return ivsapi.ChannelSummary{
		Arn: new(ch.ARN.String()), Name: &ch.Name, LatencyMode: &ch.LatencyMode, Type: &ch.Type,
		Preset: &ch.Preset, Authorized: &ch.Authorized, InsecureIngest: &ch.InsecureIngest,
		RecordingConfigurationArn:    &ch.RecordingConfiguration,
		PlaybackRestrictionPolicyArn: &ch.PlaybackRestrictionPolicy,
		AdConfigurationArn:           &ch.AdConfiguration, Tags: ch.Tags, // never nil in a row
	}, nil
}

func wireKey(k live.StreamKey) *ivsapi.StreamKey {
	return &ivsapi.StreamKey{
		Arn: new(k.ARN.String()), ChannelArn: new(k.Channel.String()), Value: new(restjson.Secret(k.Value)), Tags: tagsOf(k.Tags),
	}
}
