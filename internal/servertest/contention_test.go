package servertest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// TestContention has clients create, change, tag and delete the same resources all at
// once, through the whole server: whatever was acknowledged must be true in the end.
// Package control has the same below HTTP, with more rules and on both databases.
func TestContention(t *testing.T) {
	t.Parallel()
	const clients, rounds = 200, 6
	srv := servertest.Start(t, func(c *config.Config) { c.LogLevel = slog.LevelError })
	c := &crowd{ivs: srv.IVS(), shared: *srv.NewChannel(t).Arn, tags: map[string]string{}, names: map[string]bool{"": true}, made: map[string]bool{}}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for n := range rounds {
				what := r.IntN(6)
				if err := c.act(t, what, fmt.Sprintf("c%d-%d", i, n)); err != nil && !expected(err) {
					t.Errorf("client %d, act %d: %v", i, what, err)
				}
			}
		})
	}
	all.Wait()
	c.check(t)
}

// crowd is what all clients share.
type crowd struct {
	ivs    *ivs.Client
	shared string // a channel that is there from first to last

	mu    sync.Mutex
	tags  map[string]string // acknowledged, of shared; guarded by mu, as all below
	names map[string]bool   // that shared was given
	made  map[string]bool   // channels made and not deleted
}

// expected tells whether a client that is not alone must be ready for err.
func expected(err error) bool {
	_, conflict := errors.AsType[*types.ConflictException](err)
	_, missing := errors.AsType[*types.ResourceNotFoundException](err)
	_, quota := errors.AsType[*types.ServiceQuotaExceededException](err)
	return conflict || missing || quota
}

func (c *crowd) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// act is one thing that a client does. Names are its own.
func (c *crowd) act(t *testing.T, what int, name string) error {
	ctx := t.Context()
	switch what {
	case 0: // a tag that stays; there are more than fit
		return c.tag(t, name)
	case 1: // a tag that goes again, if there was room for it
		if err := c.tag(t, name); err != nil {
			return err
		}
		_, err := c.ivs.UntagResource(ctx, &ivs.UntagResourceInput{ResourceArn: &c.shared, TagKeys: []string{name}})
		if err == nil {
			c.note(func() { delete(c.tags, name) })
		}
		return err
	case 2:
		c.note(func() { c.names[name] = true })
		out, err := c.ivs.UpdateChannel(ctx, &ivs.UpdateChannelInput{Arn: &c.shared, Name: &name})
		if err == nil && *out.Channel.Name != name {
			t.Errorf("UpdateChannel to %s answers %s", name, *out.Channel.Name)
		}
		return err
	case 3: // a reset of the stream key
		list, err := c.ivs.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: &c.shared})
		if err != nil {
			return err
		}
		for _, k := range list.StreamKeys {
			if _, err := c.ivs.DeleteStreamKey(ctx, &ivs.DeleteStreamKeyInput{Arn: k.Arn}); err != nil && !expected(err) {
				return err
			}
		}
		_, err = c.ivs.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: &c.shared})
		return err
	case 4: // a channel more
		out, err := c.ivs.CreateChannel(ctx, &ivs.CreateChannelInput{Name: &name})
		if err == nil {
			c.note(func() { c.made[*out.Channel.Arn] = true })
		}
		return err
	}
	// Somebody's channel less, which others delete too.
	var arn string
	c.note(func() {
		for arn = range c.made {
			break
		}
	})
	if arn == "" {
		return nil
	}
	_, err := c.ivs.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: &arn})
	if err == nil {
		c.note(func() { delete(c.made, arn) })
	}
	return err
}

// tag tags the shared channel; that it is full is no error.
func (c *crowd) tag(t *testing.T, name string) error {
	_, err := c.ivs.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: &c.shared, Tags: map[string]string{name: "v"}})
	if _, full := errors.AsType[*types.ValidationException](err); full {
		return nil
	}
	if err == nil {
		c.note(func() { c.tags[name] = "v" })
	}
	return err
}

func (c *crowd) check(t *testing.T) {
	ctx := t.Context()
	out, err := c.ivs.GetChannel(ctx, &ivs.GetChannelInput{Arn: &c.shared})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(out.Channel.Tags, c.tags) || len(c.tags) == 0 || len(c.tags) > 50 {
		t.Errorf("tags %v, want those that were acknowledged and not taken away: %v", out.Channel.Tags, c.tags)
	}
	if !c.names[*out.Channel.Name] {
		t.Errorf("the channel has the name %s, which nobody gave it", *out.Channel.Name)
	}
	keys, err := c.ivs.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: &c.shared, MaxResults: aws.Int32(50)})
	if err != nil || len(keys.StreamKeys) > 1 {
		t.Errorf("%d stream keys, %v, want one at most", len(keys.StreamKeys), err)
	}
	want := slices.Sorted(maps.Keys(c.made))
	var got []string
	for p := ivs.NewListChannelsPaginator(c.ivs, &ivs.ListChannelsInput{}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range page.Channels {
			if *ch.Arn != c.shared {
				got = append(got, *ch.Arn)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("channels\n%s\nwant those that were made and not deleted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
