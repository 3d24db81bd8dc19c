package control

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// settings are the fields that CreateChannel and UpdateChannel share; nil is absent.
type settings struct {
	name, latencyMode, typ, preset, container *string
	authorized, insecureIngest                *bool
	recording, policy, ads                    *string
	multitrack                                *ivsapi.MultitrackInputConfiguration
}

// CreateChannel makes a channel and its one stream key.
func (c *Control) CreateChannel(ctx context.Context, in *ivsapi.CreateChannelRequest) (*ivsapi.CreateChannelResponse, error) {
	caller := restjson.CallerFrom(ctx)
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	ch := live.Channel{
		ARN:         c.newARN(caller, live.TypeChannel),
		LatencyMode: live.LatencyLow, Type: live.TypeStandard, ContainerFormat: live.ContainerTS,
		SRTPassphrase: live.NewSRTPassphrase(), Tags: maps.Clone(in.Tags), Created: c.now().UTC(),
	}
	if err := apply(&ch, settings{
		name: in.Name, latencyMode: in.LatencyMode, typ: in.Type, preset: in.Preset, container: in.ContainerFormat,
		authorized: in.Authorized, insecureIngest: in.InsecureIngest,
		recording: in.RecordingConfigurationArn, policy: in.PlaybackRestrictionPolicyArn, ads: in.AdConfigurationArn,
		multitrack: in.MultitrackInputConfiguration,
	}); err != nil {
		return nil, err
	}
	key := c.newKey(caller, ch.ARN, nil)
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		if err := room(ctx, tx, all(caller, live.TypeChannel), c.cfg.Limits.Channels); err != nil {
			return err
		}
		if err := checkReferences(ctx, tx, caller, ch); err != nil {
			return err
		}
		row, err := store.RowOfChannel(ch)
		if err != nil {
			return err
		}
		if err := tx.Insert(ctx, row); err != nil {
			return err
		}
		return insertKey(ctx, tx, key)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.CreateChannelResponse{Channel: c.wireChannel(caller, ch), StreamKey: wireKey(key)}, nil
}

// GetChannel returns one channel.
func (c *Control) GetChannel(ctx context.Context, in *ivsapi.GetChannelRequest) (*ivsapi.GetChannelResponse, error) {
	caller := restjson.CallerFrom(ctx)
	ch, _, err := c.channel(ctx, c.store, caller, in.Arn)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetChannelResponse{Channel: c.wireChannel(caller, ch)}, nil
}

// channel reads a channel of the caller's by ARN text.
func (c *Control) channel(ctx context.Context, r store.Reader, caller restjson.Caller, arn string) (live.Channel, store.Row, error) {
	a, err := owned(caller, arn, live.TypeChannel)
	if err != nil {
		return live.Channel{}, store.Row{}, err
	}
	row, err := get(ctx, r, a)
	if err != nil {
		return live.Channel{}, row, err
	}
	ch, err := store.Made(row, store.ChannelOf)
	return ch, row, err
}

// BatchGetChannel returns the channels it can, and an error for each other ARN.
func (c *Control) BatchGetChannel(ctx context.Context, in *ivsapi.BatchGetChannelRequest) (*ivsapi.BatchGetChannelResponse, error) {
	caller := restjson.CallerFrom(ctx)
	out := &ivsapi.BatchGetChannelResponse{Channels: []ivsapi.Channel{}, Errors: []ivsapi.BatchError{}}
	err := c.batch(ctx, caller, in.Arns, live.TypeChannel, func(row store.Row) error {
		ch, err := store.ChannelOf(row)
		if err == nil {
			out.Channels = append(out.Channels, *c.wireChannel(caller, ch))
		}
		return err
	}, &out.Errors)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// item is owned for one entry of a batch, which policies may refuse by itself.
func item(ctx context.Context, caller restjson.Caller, arn, typ string) (live.ARN, error) {
	if err := restjson.Refused(ctx, arn); err != nil {
		return live.ARN{}, err
	}
	return owned(caller, arn, typ)
}

// batch reads many rows of one type in one query; each ARN that is not there or not
// the caller's becomes one error (low-latency.md 16 #3: its code is the exception's name).
func (c *Control) batch(ctx context.Context, caller restjson.Caller, arns []string, typ string, add func(store.Row) error, errs *[]ivsapi.BatchError) error {
	want := make([]live.ARN, 0, len(arns))
	for _, s := range arns {
		if a, err := item(ctx, caller, s, typ); err == nil {
			want = append(want, a)
		}
	}
	rows, err := c.store.GetMany(ctx, want)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	for _, s := range arns {
		a, err := item(ctx, caller, s, typ)
		if row, ok := rows[a]; err == nil && ok {
			if err := add(row); err != nil {
				return err
			}
			continue
		} else if err == nil {
			err = missing(a)
		}
		e, ok := errors.AsType[*live.Error](err)
		if !ok {
			return err
		}
		*errs = append(*errs, ivsapi.BatchError{Arn: new(s), Code: new(restjson.ErrorName(e.Kind)), Message: new(e.Detail)})
	}
	return nil
}

// UpdateChannel changes a channel that is not live. What is absent stays; an empty
// ARN detaches.
func (c *Control) UpdateChannel(ctx context.Context, in *ivsapi.UpdateChannelRequest) (*ivsapi.UpdateChannelResponse, error) {
	caller := restjson.CallerFrom(ctx)
	ch, _, err := c.channel(ctx, c.store, caller, in.Arn)
	if err != nil {
		return nil, err
	}
	err = c.hold(ctx, ch.ARN, func() error {
		return c.store.Tx(ctx, func(tx *store.Tx) error {
			var row store.Row
			if ch, row, err = c.channel(ctx, tx, caller, in.Arn); err != nil {
				return err
			}
			if err := apply(&ch, settings{
				name: in.Name, latencyMode: in.LatencyMode, typ: in.Type, preset: in.Preset, container: in.ContainerFormat,
				authorized: in.Authorized, insecureIngest: in.InsecureIngest,
				recording: in.RecordingConfigurationArn, policy: in.PlaybackRestrictionPolicyArn, ads: in.AdConfigurationArn,
				multitrack: in.MultitrackInputConfiguration,
			}); err != nil {
				return err
			}
			if err := checkReferences(ctx, tx, caller, ch); err != nil {
				return err
			}
			changed, err := store.RowOfChannel(ch)
			if err != nil {
				return err
			}
			changed.Version = row.Version
			return tx.Update(ctx, changed)
		})
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.UpdateChannelResponse{Channel: c.wireChannel(caller, ch)}, nil
}

// DeleteChannel removes a channel that is not live, and its stream key. The history
// of its sessions stays.
func (c *Control) DeleteChannel(ctx context.Context, in *ivsapi.DeleteChannelRequest) error {
	caller := restjson.CallerFrom(ctx)
	ch, _, err := c.channel(ctx, c.store, caller, in.Arn)
	if err != nil {
		return err
	}
	return c.hold(ctx, ch.ARN, func() error {
		return c.store.Tx(ctx, func(tx *store.Tx) error {
			if _, _, err := c.channel(ctx, tx, caller, in.Arn); err != nil {
				return err
			}
			return tx.Delete(ctx, ch.ARN) // the stream key goes with it
		})
	})
}

// ListChannels lists the caller's channels in this region, by one filter at most.
func (c *Control) ListChannels(ctx context.Context, in *ivsapi.ListChannelsRequest) (*ivsapi.ListChannelsResponse, error) {
	caller := restjson.CallerFrom(ctx)
	q := store.Query{Service: live.ServiceIVS, Type: live.TypeChannel, Account: caller.Account, Region: caller.Region}
	filter, filters := "", 0
	if in.FilterByName != nil {
		q.Name, filter, filters = in.FilterByName, "name="+*in.FilterByName, filters+1
	}
	for rel, arn := range map[string]*string{
		store.LinkRecording: in.FilterByRecordingConfigurationArn,
		store.LinkPolicy:    in.FilterByPlaybackRestrictionPolicyArn,
		store.LinkAds:       in.FilterByAdConfigurationArn,
	} {
		if arn == nil {
			continue
		}
		filters++
		if *arn != "" { // an empty one, which the model allows, restricts nothing
			q.LinkRel, q.LinkTo, filter = rel, *arn, rel+"="+*arn
		}
	}
	if filters > 1 {
		return nil, live.Errorf(live.Conflict, "only one filter may be given")
	}
	pq := query{"ListChannels", caller.Account, caller.Region, filter}
	var err error
	if q.After, err = c.pages.after(pq, in.NextToken); err != nil {
		return nil, err
	}
	limit := limitOf(in.MaxResults, 100)
	q.Limit = limit + 1
	rows, err := c.store.List(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return store.MadeOfPage(rows, func(rows []store.Row) (*ivsapi.ListChannelsResponse, error) {
		var out ivsapi.ListChannelsResponse
		rows, out.NextToken = page(rows, limit, func(r store.Row) string { return r.ARN.ID },
			func(after string) string { return c.pages.token(pq, after) })
		if out.Channels, err = read(rows, summaryOf); err != nil {
			return nil, err
		}
		return out.Encoded(), nil
	})
}

// limitOf is the page size: what the caller asked, which validation has bounded, or def.
func limitOf(asked *int32, def int) int {
	if asked == nil {
		return def
	}
	return int(*asked)
}

func (c *Control) newARN(caller restjson.Caller, typ string) live.ARN {
	return live.ARN{Service: live.ServiceIVS, Region: caller.Region, Account: caller.Account, Type: typ, ID: live.NewResourceID(c.now())}
}
