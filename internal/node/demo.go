package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/sluice-live/sluice/internal/demo"
	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/watch"
)

// demoName is the channel that --demo publishes to. It is made once and kept, so that
// its playback URL survives restarts.
const demoName = "demo"

// openDemo finds the demo's channel and its key, or makes them, as a client would.
func (n *node) openDemo(ctx context.Context) (key string, err error) {
	ctx = restjson.WithCaller(ctx, restjson.Caller{
		Account: n.cfg.Account, Region: n.cfg.Region, Service: live.ServiceIVS, Admin: true, Base: n.ready.Base,
	})
	var channel, keyARN string
	list, err := n.control.ListChannels(ctx, &ivsapi.ListChannelsRequest{FilterByName: new(demoName)})
	if err != nil {
		return "", err
	}
	if len(list.Channels) == 0 {
		out, err := n.control.CreateChannel(ctx, &ivsapi.CreateChannelRequest{
			Name: new(demoName), InsecureIngest: new(true), // it is published on this machine
		})
		if err != nil {
			return "", err
		}
		channel, keyARN = *out.Channel.Arn, *out.StreamKey.Arn
	} else {
		channel = *list.Channels[0].Arn
		keys, err := n.control.ListStreamKeys(ctx, &ivsapi.ListStreamKeysRequest{ChannelArn: channel})
		if err != nil {
			return "", err
		}
		if len(keys.StreamKeys) == 0 {
			return "", errors.New("node: the demo channel has no stream key: create one or delete the channel")
		}
		keyARN = *keys.StreamKeys[0].Arn
	}
	arn, err := live.ParseARN(channel)
	if err != nil {
		return "", err
	}
	n.demoChannel = arn.ID
	n.ready.Watch = n.ready.Base + watch.Prefix + arn.ID
	out, err := n.control.GetStreamKey(ctx, &ivsapi.GetStreamKeyRequest{Arn: keyARN})
	if err != nil {
		return "", err
	}
	return string(*out.StreamKey.Value), nil
}

// demo adds the demo's source to the services.
func (n *node) demo(ctx context.Context) error {
	if n.ready.RTMP == "" {
		return errors.New("node: --demo needs an RTMP listener (--rtmp)")
	}
	key, err := n.openDemo(ctx)
	if err != nil {
		return err
	}
	target := (&url.URL{Scheme: "rtmp", Host: reachable(n.rtmp[0].Addr()), Path: "/app/" + key}).String()
	n.add("demo", func(ctx context.Context) error {
		err := demo.Run(ctx, n.log, demo.Config{Publish: func(ctx context.Context, flv io.Reader) error {
			return publish(ctx, target, flv)
		}})
		if errors.Is(err, ffmpeg.ErrMissing) { // the server is of use without its demo
			n.log.Error("the demo channel stays dark", "err", err)
			<-ctx.Done()
			return nil
		}
		return err
	})
	return nil
}

// publish sends an FLV stream to an RTMP URL until either ends.
func publish(ctx context.Context, target string, flv io.Reader) error {
	r, err := rtmp.NewFileReader(flv)
	if err != nil {
		return err
	}
	c, err := rtmp.Dial(ctx, target, rtmp.ClientConfig{})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = c.Abort() })()
	for {
		tag, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c.Close()
		}
		if err == nil {
			err = send(c, tag)
		}
		if err != nil {
			return errors.Join(err, c.Abort())
		}
	}
}

func send(c *rtmp.Client, t rtmp.FileTag) error {
	switch t.Type {
	case rtmp.TypeVideo:
		return c.WriteVideo(t.Timestamp, t.Body)
	case rtmp.TypeAudio:
		return c.WriteAudio(t.Timestamp, t.Body)
	case rtmp.TypeData:
		o, ok, err := rtmp.ParseMetadata(rtmp.Message{Type: t.Type, Payload: t.Body})
		if err != nil {
			return fmt.Errorf("node: FLV data tag: %w", err)
		}
		if ok {
			return c.WriteMetadata(o)
		}
	}
	return nil
}
