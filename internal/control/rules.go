package control

import (
	"context"
	"strings"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// apply puts the given settings into ch and checks the rules between fields
// (low-latency.md 1.6).
func apply(ch *live.Channel, s settings) error {
	set(&ch.Name, s.name)
	set(&ch.LatencyMode, s.latencyMode)
	set(&ch.Type, s.typ)
	set(&ch.ContainerFormat, s.container)
	set(&ch.Authorized, s.authorized)
	set(&ch.InsecureIngest, s.insecureIngest)
	set(&ch.RecordingConfiguration, s.recording)
	set(&ch.PlaybackRestrictionPolicy, s.policy)
	set(&ch.AdConfiguration, s.ads)
	if m := s.multitrack; m != nil {
		mt := live.Multitrack{}
		if ch.Multitrack != nil {
			mt = *ch.Multitrack
		}
		set(&mt.Enabled, m.Enabled)
		set(&mt.Policy, m.Policy)
		set(&mt.MaximumResolution, m.MaximumResolution)
		ch.Multitrack = &mt
	}
	advanced := ch.Type == live.TypeAdvancedHD || ch.Type == live.TypeAdvancedSD
	switch {
	case s.preset != nil && *s.preset != "" && !advanced:
		return live.Errorf(live.Invalid, "preset is only allowed for channel types %s and %s", live.TypeAdvancedSD, live.TypeAdvancedHD)
	case s.preset != nil && *s.preset != "":
		ch.Preset = *s.preset
	case !advanced:
		ch.Preset = ""
	case ch.Preset == "":
		ch.Preset = live.PresetHigher
	}
	if m := ch.Multitrack; m != nil && m.Enabled {
		switch {
		case ch.Type != live.TypeStandard:
			return live.Errorf(live.Invalid, "multitrack input requires channel type %s", live.TypeStandard)
		case ch.ContainerFormat != live.ContainerMP4:
			return live.Errorf(live.Invalid, "multitrack input requires container format %s", live.ContainerMP4)
		case m.Policy == "" || m.MaximumResolution == "":
			return live.Errorf(live.Invalid, "multitrack input requires policy and maximumResolution")
		}
	}
	if ch.AdConfiguration != "" && ch.ContainerFormat == live.ContainerMP4 {
		return live.Errorf(live.Invalid, "an ad configuration cannot be used with container format %s", live.ContainerMP4)
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// checkReferences makes sure that what a channel names exists and is the caller's.
func checkReferences(ctx context.Context, r store.Reader, caller restjson.Caller, ch live.Channel) error {
	for _, ref := range []struct{ arn, typ string }{
		{ch.RecordingConfiguration, live.TypeRecordingConfiguration},
		{ch.PlaybackRestrictionPolicy, live.TypePlaybackRestrictionPolicy},
		{ch.AdConfiguration, live.TypeAdConfiguration},
	} {
		if ref.arn == "" {
			continue
		}
		a, err := owned(caller, ref.arn, ref.typ)
		if err != nil {
			return err
		}
		if _, err := get(ctx, r, a); err != nil {
			return err
		}
	}
	return nil
}

// checkTags checks what the model cannot say: the reserved prefix and the count.
func (c *Control) checkTags(tags map[string]string) error {
	if most := c.cfg.Limits.Tags; len(tags) > most {
		return live.Errorf(live.Invalid, "a resource may have %d tags, not %d", most, len(tags))
	}
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return live.Errorf(live.Invalid, "tag keys must not start with aws:")
		}
	}
	return nil
}
