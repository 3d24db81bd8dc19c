package control

import (
	"context"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/roster"
)

func notLive(channel live.ARN) error {
	return live.Errorf(live.NotLive, "Channel: %s is not broadcasting", channel)
}

// GetStream returns the channel's live stream.
func (c *Control) GetStream(ctx context.Context, in *ivsapi.GetStreamRequest) (*ivsapi.GetStreamResponse, error) {
	caller := restjson.CallerFrom(ctx)
	ch, _, err := c.channel(ctx, c.store, caller, in.ChannelArn)
	if err != nil {
		return nil, err
	}
	s, ok := c.roster.Get(ch.ARN)
	if !ok {
		return nil, notLive(ch.ARN)
	}
	return &ivsapi.GetStreamResponse{Stream: &ivsapi.Stream{
		ChannelArn: new(ch.ARN.String()), StreamId: &s.Stream, PlaybackUrl: new(c.playbackURL(caller, ch.ARN)),
		StartTime: &s.Started, State: new(stateLive), Health: new(string(s.Health)), ViewerCount: &s.Viewers,
	}}, nil
}

// stateLive is the only state that is ever shown (low-latency.md 10).
const stateLive = "LIVE"

// ListStreams lists the live streams of the caller in this region.
func (c *Control) ListStreams(ctx context.Context, in *ivsapi.ListStreamsRequest) (*ivsapi.ListStreamsResponse, error) {
	caller := restjson.CallerFrom(ctx)
	var health live.Health
	if in.FilterBy != nil && in.FilterBy.Health != nil {
		health = live.Health(*in.FilterBy.Health)
	}
	pq := query{"ListStreams", caller.Account, caller.Region, string(health)}
	after, err := c.pages.after(pq, in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := limitOf(in.MaxResults, 100)
	states := c.roster.List(caller.Account, caller.Region, health, after, limit+1)
	out := &ivsapi.ListStreamsResponse{Streams: make([]ivsapi.StreamSummary, 0, len(states))}
	states, out.NextToken = page(states, limit, func(s live.State) string { return s.Channel.ID },
		func(after string) string { return c.pages.token(pq, after) })
	for _, s := range states {
		out.Streams = append(out.Streams, ivsapi.StreamSummary{
			ChannelArn: new(s.Channel.String()), StreamId: new(s.Stream), StartTime: new(s.Started),
			State: new(stateLive), Health: new(string(s.Health)), ViewerCount: new(s.Viewers),
		})
	}
	return out, nil
}

// stopTime bounds how long StopStream waits for the owner to end the stream.
const stopTime = 8 * time.Second

// StopStream disconnects the channel's encoder. When it returns, the stream has ended.
func (c *Control) StopStream(ctx context.Context, in *ivsapi.StopStreamRequest) (*ivsapi.StopStreamResponse, error) {
	if err := c.send(ctx, stopTime, in.ChannelArn, roster.Command{Op: roster.OpStop}); err != nil {
		return nil, err
	}
	return &ivsapi.StopStreamResponse{}, nil
}
