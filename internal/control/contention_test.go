package control

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/pgtest"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

// Clients make, change, tag and delete the same resources all at once: on SQLite, of one
// node, on PostgreSQL, of two. Whatever they are answered must be true, and so must the
// rules.
const (
	clients = 200
	rounds  = 4 // of each client
)

func TestContentionSQLite(t *testing.T) {
	contend(t, storetest.SQLite(t))
}

func TestContentionPostgres(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	contend(t, storetest.Open(t, url), storetest.Open(t, url))
}

// A crowd is what all clients of contend share.
type crowd struct {
	nodes    []*Control
	ctx      context.Context //nolint:containedctx // the caller, for the length of one test
	channels []string        // that are there from first to last
	keys     []string        // public keys, more than may be imported

	mu      sync.Mutex
	tagged  map[string]string // tag key -> channel; guarded by mu, as the next two
	configs []string          // recording configurations made, some of them deleted
	made    []string          // channels made and not deleted by their client
}

func contend(t *testing.T, stores ...*store.Store) {
	c := &crowd{ctx: as(t.Context(), "111122223333", "us-west-2"), tagged: map[string]string{}}
	for _, st := range stores {
		c.nodes = append(c.nodes, New(st, roster.New(quiet{}, time.Now), []byte("0123456789abcdef"), Config{
			Playback: func(a live.ARN) string { return "/play/" + a.ID }, Buckets: &shelf{}, CreateBuckets: true,
		}))
	}
	for range 2 {
		out, err := c.nodes[0].CreateChannel(c.ctx, &ivsapi.CreateChannelRequest{})
		if err != nil {
			t.Fatal(err)
		}
		c.channels = append(c.channels, *out.Channel.Arn)
	}
	for range 5 {
		c.keys = append(c.keys, newPublicKey(t, elliptic.P384()))
	}
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() { c.client(t, i) })
	}
	running.Wait()
	c.check(t)
}

// refused are answers that a client which is not alone must be ready for.
func refused(err error) bool {
	return errors.Is(err, live.Conflict) || errors.Is(err, live.NotFound) || errors.Is(err, live.Quota)
}

func (c *crowd) client(t *testing.T, i int) {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	for n := range rounds {
		node := c.nodes[r.IntN(len(c.nodes))]
		channel := c.channels[r.IntN(len(c.channels))]
		what := r.IntN(9)
		if err := c.act(node, what, channel, fmt.Sprintf("c%d-%d", i, n), r); err != nil && !refused(err) {
			t.Errorf("client %d, act %d: %v", i, what, err)
		}
	}
}

// act is one thing that a client does.
func (c *crowd) act(node *Control, what int, channel, name string, r *rand.Rand) error {
	switch what {
	case 0, 8: // a tag of one's own, which stays; there are more than fit
		_, err := node.TagResource(c.ctx, &ivsapi.TagResourceRequest{ResourceArn: channel, Tags: map[string]string{name: "v"}})
		if err == nil {
			c.note(func() { c.tagged[name] = channel })
		} else if errors.Is(err, live.Invalid) {
			return nil
		}
		return err
	case 1: // reset of the stream key
		list, err := node.ListStreamKeys(c.ctx, &ivsapi.ListStreamKeysRequest{ChannelArn: channel})
		if err != nil {
			return err
		}
		for _, k := range list.StreamKeys {
			if err := node.DeleteStreamKey(c.ctx, &ivsapi.DeleteStreamKeyRequest{Arn: *k.Arn}); err != nil && !refused(err) {
				return err
			}
		}
		_, err = node.CreateStreamKey(c.ctx, &ivsapi.CreateStreamKeyRequest{ChannelArn: channel})
		return err
	case 2: // a public key that others import too
		_, err := node.ImportPlaybackKeyPair(c.ctx, &ivsapi.ImportPlaybackKeyPairRequest{PublicKeyMaterial: c.keys[r.IntN(len(c.keys))]})
		return err
	case 3: // one key less, or one policy more
		list, err := node.ListPlaybackKeyPairs(c.ctx, &ivsapi.ListPlaybackKeyPairsRequest{})
		if err == nil && len(list.KeyPairs) > 0 {
			_, err = node.DeletePlaybackKeyPair(c.ctx, &ivsapi.DeletePlaybackKeyPairRequest{Arn: *list.KeyPairs[0].Arn})
		}
		if err != nil && !refused(err) {
			return err
		}
		_, err = node.CreatePlaybackRestrictionPolicy(c.ctx, &ivsapi.CreatePlaybackRestrictionPolicyRequest{})
		return err
	case 4: // a recording configuration, for a channel that may be gone with it
		in := into("archive")
		out, err := node.CreateRecordingConfiguration(c.ctx, &in)
		if err == nil {
			c.note(func() { c.configs = append(c.configs, out.RecordingConfiguration.Arn) })
			_, err = node.UpdateChannel(c.ctx, &ivsapi.UpdateChannelRequest{Arn: channel, RecordingConfigurationArn: &out.RecordingConfiguration.Arn})
		}
		return err
	case 5: // deletion of somebody's configuration
		if arn := c.anyConfig(r); arn != "" {
			return node.DeleteRecordingConfiguration(c.ctx, &ivsapi.DeleteRecordingConfigurationRequest{Arn: arn})
		}
		return nil
	case 6: // a channel with somebody's configuration
		arn := c.anyConfig(r)
		out, err := node.CreateChannel(c.ctx, &ivsapi.CreateChannelRequest{RecordingConfigurationArn: &arn})
		if err != nil {
			return err
		}
		if r.IntN(2) == 0 {
			return node.DeleteChannel(c.ctx, &ivsapi.DeleteChannelRequest{Arn: *out.Channel.Arn})
		}
		c.note(func() { c.made = append(c.made, *out.Channel.Arn) })
		return nil
	default: // the background work of a node
		return node.settle(c.ctx)
	}
}

func (c *crowd) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *crowd) anyConfig(r *rand.Rand) (arn string) {
	c.note(func() {
		if len(c.configs) > 0 {
			arn = c.configs[r.IntN(len(c.configs))]
		}
	})
	return arn
}

// check looks at what is left.
func (c *crowd) check(t *testing.T) {
	node := c.nodes[0]
	st := node.store
	rows := func(typ string) []store.Row {
		t.Helper()
		all, err := st.List(t.Context(), store.Query{Service: "ivs", Type: typ, Account: "111122223333", Region: "us-west-2", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	channels := map[string]store.Row{}
	for _, row := range rows(live.TypeChannel) {
		channels[row.ARN.String()] = row
	}
	want := slices.Sorted(slices.Values(slices.Concat(c.channels, c.made)))
	if got := slices.Sorted(maps.Keys(channels)); !slices.Equal(got, want) {
		t.Errorf("%d channels are left, want %d: those that were made and not deleted", len(got), len(want))
	}
	keys := map[string]int{}
	for _, row := range rows(live.TypeStreamKey) {
		keys[row.Parent.String()]++
	}
	for channel, n := range keys {
		if _, ok := channels[channel]; n > 1 || !ok {
			t.Errorf("%s has %d stream keys, and exists: %t", channel, n, ok)
		}
	}
	for name, channel := range c.tagged {
		if channels[channel].Tags[name] != "v" {
			t.Errorf("tag %s of %s was acknowledged and is gone", name, channel)
		}
	}
	for _, channel := range c.channels {
		if n := len(channels[channel].Tags); n == 0 || n > 50 {
			t.Errorf("%s has %d tags", channel, n)
		}
	}
	prints := map[string]bool{}
	for _, row := range rows(live.TypePlaybackKey) {
		k, err := store.PlaybackKeyOf(row)
		if err != nil {
			t.Fatal(err)
		}
		prints[k.Fingerprint] = true
	}
	if n := len(rows(live.TypePlaybackKey)); n > 3 || n != len(prints) {
		t.Errorf("%d playback keys are left, %d of them different; want at most 3", n, len(prints))
	}
	if n := len(rows(live.TypePlaybackRestrictionPolicy)); n != 3 {
		t.Errorf("%d policies are left, want as many as there may be", n)
	}
	for arn, row := range channels {
		ch, err := store.ChannelOf(row)
		if err != nil {
			t.Fatal(err)
		}
		if ch.RecordingConfiguration == "" {
			continue
		}
		if _, err := node.GetRecordingConfiguration(c.ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: ch.RecordingConfiguration}); err != nil {
			t.Errorf("%s has a recording configuration that is not there: %v", arn, err)
		}
	}
	if err := node.settle(t.Context()); err != nil {
		t.Error(err)
	}
	for _, row := range rows(live.TypeRecordingConfiguration) {
		if rc, err := store.RecordingConfigurationOf(row); err != nil || rc.State != live.RecordingActive {
			t.Errorf("%s is %s, %v; want settled", row.ARN, rc.State, err)
		}
	}
}
