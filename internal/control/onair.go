package control

import (
	"context"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/roster"
)

// sendTime bounds how long a call waits for the owner of a stream, which answers from
// memory.
const sendTime = 3 * time.Second

// PutMetadata puts a text into the media of the channel's stream. It returns when the
// text has its place, a moment before viewers can have it.
func (c *Control) PutMetadata(ctx context.Context, in *ivsapi.PutMetadataRequest) error {
	if most := c.cfg.Limits.MetadataBytes; most > 0 && len(in.Metadata) > most {
		return live.Errorf(live.Invalid, "metadata must not be longer than %d bytes in UTF-8, and has %d", most, len(in.Metadata))
	}
	return c.send(ctx, sendTime, in.ChannelArn, roster.Command{Op: roster.OpMetadata, Metadata: string(in.Metadata)})
}

// InsertAdBreak begins an ad break in the channel's stream.
func (c *Control) InsertAdBreak(ctx context.Context, in *ivsapi.InsertAdBreakRequest) (*ivsapi.InsertAdBreakResponse, error) {
	id := live.NewID(roster.AdBreakIDLen)
	err := c.send(ctx, sendTime, in.ChannelArn, roster.Command{
		Op: roster.OpAdBreak, AdBreak: roster.AdBreak{ID: id, Duration: time.Duration(in.DurationSeconds) * time.Second},
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.InsertAdBreakResponse{AdBreakId: &id}, nil
}

// send hands a command to the owner of one of the caller's channels, and waits for its
// answer for at most d.
func (c *Control) send(ctx context.Context, d time.Duration, channel string, cmd roster.Command) error {
	ch, _, err := c.channel(ctx, c.store, restjson.CallerFrom(ctx), channel)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return c.roster.Send(ctx, ch.ARN, cmd)
}
