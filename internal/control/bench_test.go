package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/pgtest"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

func BenchmarkSQLite(b *testing.B) { benchmark(b, storetest.SQLite(b)) }

func BenchmarkPostgres(b *testing.B) { benchmark(b, storetest.Open(b, pgtest.Start(b).Database(b))) }

// benchmark measures reads and writes of an account with 100,000 channels, of which 1,000
// have the same name and 1,000 the same recording configuration.
func benchmark(b *testing.B, st *store.Store) {
	const channels = 100_000
	c := New(st, roster.New(quiet{}, time.Now), []byte("0123456789abcdef"), Config{Playback: func(a live.ARN) string { return "/play/" + a.ID }})
	ctx := as(b.Context(), "111122223333", "us-west-2")
	rc := live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: live.TypeRecordingConfiguration, ID: "Lm5NpQ2sTv9X"}
	one := fill(b, ctx, c, channels, rc)

	list := func(b *testing.B, in ivsapi.ListChannelsRequest) {
		b.ReportAllocs()
		for b.Loop() {
			out, err := c.ListChannels(ctx, &in)
			if err != nil || len(out.Channels) != 100 {
				b.Fatal(len(out.Channels), err)
			}
		}
	}
	b.Run("ListChannels/100of100000", func(b *testing.B) { list(b, ivsapi.ListChannelsRequest{}) })
	b.Run("ListChannels/lastPageOf100000", func(b *testing.B) {
		q := query{Op: "ListChannels", Account: "111122223333", Region: "us-west-2"}
		list(b, ivsapi.ListChannelsRequest{NextToken: new(c.pages.token(q, channelID(channels-101)))})
	})
	b.Run("ListChannels/byName", func(b *testing.B) { list(b, ivsapi.ListChannelsRequest{FilterByName: new("name7")}) })
	b.Run("ListChannels/byRecordingConfiguration", func(b *testing.B) {
		list(b, ivsapi.ListChannelsRequest{FilterByRecordingConfigurationArn: new(rc.String())})
	})
	b.Run("GetChannel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.GetChannel(ctx, &ivsapi.GetChannelRequest{Arn: one}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("UpdateChannel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.UpdateChannel(ctx, &ivsapi.UpdateChannelRequest{Arn: one, Name: new("other")}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("CreateChannel", func(b *testing.B) { // last: it adds to what the others read
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.CreateChannel(ctx, &ivsapi.CreateChannelRequest{Name: new("new")}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func channelID(n int) string { return fmt.Sprintf("%012d", n) }

// fill adds n channels with their stream keys and returns the ARN of one of them.
func fill(b *testing.B, ctx context.Context, c *Control, n int, rc live.ARN) string {
	b.Helper()
	var arn live.ARN
	for from := 0; from < n; from += 1000 {
		err := c.store.Tx(ctx, func(tx *store.Tx) error {
			for i := from; i < from+1000; i++ {
				arn = rc
				arn.Type, arn.ID = live.TypeChannel, channelID(i)
				ch := live.Channel{
					ARN: arn, Name: fmt.Sprint("name", i%100), LatencyMode: live.LatencyLow, Type: live.TypeStandard,
					ContainerFormat: live.ContainerTS, SRTPassphrase: "passphrase", Created: t0,
				}
				if i%100 == 50 {
					ch.RecordingConfiguration = rc.String()
				}
				row, err := store.RowOfChannel(ch)
				if err != nil {
					return err
				}
				if err := tx.Insert(ctx, row); err != nil {
					return err
				}
				key := arn
				key.Type = live.TypeStreamKey
				if err := insertKey(ctx, tx, live.StreamKey{ARN: key, Channel: arn, Value: live.NewStreamKeyValue(key.Region, key.ID)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return arn.String()
}
