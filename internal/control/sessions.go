package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// GetStreamSession returns a session of a channel, which may be deleted since: the one
// named, or the newest.
func (c *Control) GetStreamSession(ctx context.Context, in *ivsapi.GetStreamSessionRequest) (*ivsapi.GetStreamSessionResponse, error) {
	caller := restjson.CallerFrom(ctx)
	channel, err := owned(caller, in.ChannelArn, live.TypeChannel)
	if err != nil {
		return nil, err
	}
	var s live.Session
	if in.StreamId != nil {
		s, err = c.store.Session(ctx, channel.Account, channel.Region, *in.StreamId)
	} else {
		s, err = c.store.LatestSession(ctx, channel)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && s.Channel != channel:
		return nil, live.Errorf(live.NotFound, "Channel: %s has no such stream session", channel)
	case err != nil:
		return nil, fmt.Errorf("control: %w", err)
	}
	events, err := c.store.Events(ctx, s.ID)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	out := &ivsapi.StreamSession{
		StreamId: &s.ID, StartTime: startOf(s), EndTime: endOf(s), Channel: c.wireChannel(caller, s.Snapshot),
		TruncatedEvents: make([]ivsapi.StreamEvent, len(events)),
	}
	out.Channel.Srt.Passphrase = nil // a secret that history has no use for
	if s.Recording != nil {
		out.RecordingConfiguration = wireRecording(*s.Recording)
	}
	out.IngestConfiguration, out.IngestConfigurations = wireIngest(s.Ingest)
	for i, e := range events {
		out.TruncatedEvents[i] = ivsapi.StreamEvent{Name: &e.Name, Type: &e.Type, EventTime: &e.Time}
		if e.Code != "" {
			out.TruncatedEvents[i].Code = &e.Code
		}
	}
	return &ivsapi.GetStreamSessionResponse{StreamSession: out}, nil
}

// startOf is when the channel went live. A session that never came so far, or not yet,
// has the time of its creation.
func startOf(s live.Session) *time.Time {
	if s.Started.IsZero() {
		return &s.Created
	}
	return &s.Started
}

// endOf is nil while the session runs.
func endOf(s live.Session) *time.Time {
	if s.Ended.IsZero() {
		return nil
	}
	return &s.Ended
}

// wireIngest shows what the encoder announced: the first track of each kind in the
// deprecated form, the only one with avcProfile and avcLevel, and all in the other
// (low-latency.md 3.5). Before anything is known there is neither.
func wireIngest(in live.Ingest) (*ivsapi.IngestConfiguration, *ivsapi.IngestConfigurations) {
	if len(in.Video) == 0 && len(in.Audio) == 0 {
		return nil, nil
	}
	first := &ivsapi.IngestConfiguration{}
	every := &ivsapi.IngestConfigurations{
		VideoConfigurations: make([]ivsapi.VideoConfiguration, len(in.Video)),
		AudioConfigurations: make([]ivsapi.AudioConfiguration, len(in.Audio)),
	}
	for i, v := range in.Video {
		every.VideoConfigurations[i] = ivsapi.VideoConfiguration{
			AvcProfile: new(""), AvcLevel: new(""), Codec: &v.Codec, Encoder: &v.Encoder, Profile: &v.Profile, Level: &v.Level,
			TargetBitrate: &v.BitRate, TargetFramerate: &v.FrameRate, VideoWidth: &v.Width, VideoHeight: &v.Height, Track: track(i),
		}
	}
	for i, a := range in.Audio {
		every.AudioConfigurations[i] = ivsapi.AudioConfiguration{
			Codec: &a.Codec, TargetBitrate: &a.BitRate, SampleRate: &a.SampleRate, Channels: &a.Channels, Track: track(i),
		}
	}
	if len(in.Video) > 0 {
		v := every.VideoConfigurations[0]
		v.AvcProfile, v.AvcLevel = v.Profile, v.Level
		first.Video = &v
	}
	if len(in.Audio) > 0 {
		first.Audio = &every.AudioConfigurations[0]
	}
	return first, every
}

func track(i int) *string { return new("Track" + strconv.Itoa(i)) }

// ListStreamSessions lists the sessions of a channel, which may be deleted since, newest
// first.
func (c *Control) ListStreamSessions(ctx context.Context, in *ivsapi.ListStreamSessionsRequest) (*ivsapi.ListStreamSessionsResponse, error) {
	caller := restjson.CallerFrom(ctx)
	channel, err := owned(caller, in.ChannelArn, live.TypeChannel)
	if err != nil {
		return nil, err
	}
	pq := query{"ListStreamSessions", caller.Account, caller.Region, channel.ID}
	after, err := c.pages.after(pq, in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := limitOf(in.MaxResults, maxPage)
	sessions, err := c.store.ListSessions(ctx, channel, after, limit+1)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if len(sessions) == 0 && after == "" {
		if _, err := get(ctx, c.store, channel); err != nil {
			return nil, err
		}
	}
	out := &ivsapi.ListStreamSessionsResponse{}
	sessions, out.NextToken = page(sessions, limit, func(s live.Session) string { return s.ID },
		func(after string) string { return c.pages.token(pq, after) })
	out.StreamSessions = make([]ivsapi.StreamSessionSummary, len(sessions))
	for i, s := range sessions {
		out.StreamSessions[i] = ivsapi.StreamSessionSummary{
			StreamId: &s.ID, StartTime: startOf(s), EndTime: endOf(s), HasErrorEvent: &s.Failed,
		}
	}
	return out, nil
}
