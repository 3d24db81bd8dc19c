package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// quiet is a bus on which nobody answers.
type quiet struct{}

func (quiet) Publish(context.Context, string, []byte) error { return nil }

func (quiet) Subscribe(context.Context, string, string, func(context.Context, bus.Msg)) (func(), error) {
	return func() {}, nil
}

func (quiet) Request(context.Context, string, []byte) ([]byte, error) {
	return nil, bus.ErrNoResponders
}

// fixture is a Control over a fresh database, and a caller of its.
type fixture struct {
	*Control
	store  *store.Store
	roster *roster.Roster
	ctx    context.Context //nolint:containedctx // the caller, for the length of one test
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ro := roster.New(quiet{}, time.Now)
	c := New(st, ro, []byte("0123456789abcdef"), Config{Playback: func(a live.ARN) string { return "/play/" + a.ID }})
	return fixture{c, st, ro, as(t.Context(), "111122223333", "us-west-2")}
}

func as(ctx context.Context, account, region string) context.Context {
	return restjson.WithCaller(ctx, restjson.Caller{Account: account, Region: region, Service: "ivs", Base: "http://ivs.test:8080"})
}

func (f fixture) channel(t *testing.T, in ivsapi.CreateChannelRequest) *ivsapi.Channel {
	t.Helper()
	out, err := f.CreateChannel(f.ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Channel
}

func TestCreateChannelDefaults(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{Name: new("lobby")})
	if err != nil {
		t.Fatal(err)
	}
	ch, key := out.Channel, out.StreamKey
	arn, err := live.ParseARN(*ch.Arn)
	if err != nil || arn.Account != "111122223333" || arn.Region != "us-west-2" || len(arn.ID) != 12 {
		t.Fatalf("ARN = %s, %v", *ch.Arn, err)
	}
	if n := len(*ch.Srt.Passphrase); n < 10 || n > 79 {
		t.Errorf("SRT passphrase has %d characters, want 10 to 79", n)
	}
	want := &ivsapi.Channel{
		Arn: ch.Arn, Name: new("lobby"), LatencyMode: new("LOW"), Type: new("STANDARD"), Preset: new(""), ContainerFormat: new("TS"),
		Authorized: new(false), InsecureIngest: new(false), RecordingConfigurationArn: new(""),
		PlaybackRestrictionPolicyArn: new(""), AdConfigurationArn: new(""),
		IngestEndpoint: new("ivs.test"), PlaybackUrl: new("http://ivs.test:8080/play/" + arn.ID),
		Srt:  &ivsapi.Srt{Endpoint: new("ivs.test"), Passphrase: ch.Srt.Passphrase},
		Tags: map[string]string{},
		MultitrackInputConfiguration: &ivsapi.MultitrackInputConfiguration{
			Enabled: new(false), Policy: new("ALLOW"), MaximumResolution: new("FULL_HD"),
		},
	}
	if d := cmp.Diff(want, ch); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	keyARN, err := live.ParseARN(*key.Arn)
	if err != nil || keyARN.Type != "stream-key" || *key.ChannelArn != *ch.Arn {
		t.Errorf("key %s of %s, %v", *key.Arn, *key.ChannelArn, err)
	}
	if v := string(*key.Value); !strings.HasPrefix(v, "sk_us-west-2_"+keyARN.ID+"_") || len(v) != len("sk_us-west-2_")+12+1+30 {
		t.Error("stream key value has not the form sk_<region>_<id>_<30 characters>")
	}
	got, err := f.GetChannel(f.ctx, &ivsapi.GetChannelRequest{Arn: *ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ch, got.Channel); d != "" {
		t.Errorf("GetChannel: -created +got\n%s", d)
	}
}

// The rules between fields, on create and on update alike (low-latency.md 1.6).
func TestChannelRules(t *testing.T) {
	multitrack := func(enabled bool, policy, resolution string) *ivsapi.MultitrackInputConfiguration {
		m := &ivsapi.MultitrackInputConfiguration{Enabled: new(enabled)}
		if policy != "" {
			m.Policy = new(policy)
		}
		if resolution != "" {
			m.MaximumResolution = new(resolution)
		}
		return m
	}
	missingRC := "arn:aws:ivs:us-west-2:111122223333:recording-configuration/AAAAAAAAAAAA"
	for name, tt := range map[string]struct {
		in   ivsapi.CreateChannelRequest
		want live.Kind // "" for success
		show func(*ivsapi.Channel) string
		is   string
	}{
		"an advanced type has a default preset": {in: ivsapi.CreateChannelRequest{Type: new("ADVANCED_HD")}, show: func(c *ivsapi.Channel) string { return *c.Preset }, is: "HIGHER_BANDWIDTH_DELIVERY"},
		"an advanced type takes a preset":       {in: ivsapi.CreateChannelRequest{Type: new("ADVANCED_SD"), Preset: new("CONSTRAINED_BANDWIDTH_DELIVERY")}, show: func(c *ivsapi.Channel) string { return *c.Preset }, is: "CONSTRAINED_BANDWIDTH_DELIVERY"},
		"BASIC takes no preset":                 {in: ivsapi.CreateChannelRequest{Type: new("BASIC"), Preset: new("HIGHER_BANDWIDTH_DELIVERY")}, want: live.Invalid},
		"STANDARD takes no preset":              {in: ivsapi.CreateChannelRequest{Preset: new("HIGHER_BANDWIDTH_DELIVERY")}, want: live.Invalid},
		"multitrack, complete":                  {in: ivsapi.CreateChannelRequest{ContainerFormat: new("FRAGMENTED_MP4"), MultitrackInputConfiguration: multitrack(true, "REQUIRE", "HD")}, show: func(c *ivsapi.Channel) string { return *c.MultitrackInputConfiguration.Policy }, is: "REQUIRE"},
		"multitrack needs fragmented MP4":       {in: ivsapi.CreateChannelRequest{MultitrackInputConfiguration: multitrack(true, "ALLOW", "HD")}, want: live.Invalid},
		"multitrack needs STANDARD":             {in: ivsapi.CreateChannelRequest{Type: new("BASIC"), ContainerFormat: new("FRAGMENTED_MP4"), MultitrackInputConfiguration: multitrack(true, "ALLOW", "HD")}, want: live.Invalid},
		"multitrack needs a policy":             {in: ivsapi.CreateChannelRequest{ContainerFormat: new("FRAGMENTED_MP4"), MultitrackInputConfiguration: multitrack(true, "", "HD")}, want: live.Invalid},
		"multitrack off needs nothing":          {in: ivsapi.CreateChannelRequest{MultitrackInputConfiguration: multitrack(false, "", "")}},
		"a recording configuration must exist":  {in: ivsapi.CreateChannelRequest{RecordingConfigurationArn: &missingRC}, want: live.NotFound},
		"an empty ARN attaches nothing":         {in: ivsapi.CreateChannelRequest{RecordingConfigurationArn: new("")}},
		"an ARN of another type":                {in: ivsapi.CreateChannelRequest{RecordingConfigurationArn: new("arn:aws:ivs:us-west-2:111122223333:channel/AAAAAAAAAAAA")}, want: live.Invalid},
		"a reserved tag":                        {in: ivsapi.CreateChannelRequest{Tags: map[string]string{"aws:x": "y"}}, want: live.Invalid},
		"insecure ingest has no passphrase":     {in: ivsapi.CreateChannelRequest{InsecureIngest: new(true)}, show: func(c *ivsapi.Channel) string { return fmt.Sprint(c.Srt.Passphrase == nil) }, is: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			check := func(call string, ch *ivsapi.Channel, err error) {
				t.Helper()
				if tt.want != "" {
					if !errors.Is(err, tt.want) {
						t.Errorf("%s: error %v, want %s", call, err, tt.want)
					}
					return
				}
				if err != nil {
					t.Fatalf("%s: %v", call, err)
				}
				if tt.show != nil && tt.show(ch) != tt.is {
					t.Errorf("%s: got %q, want %q", call, tt.show(ch), tt.is)
				}
			}
			var ch *ivsapi.Channel
			out, err := f.CreateChannel(f.ctx, &tt.in)
			if err == nil {
				ch = out.Channel
			}
			check("create", ch, err)
			if tt.in.Tags != nil {
				return // an update takes no tags
			}
			plain, ch := f.channel(t, ivsapi.CreateChannelRequest{}), nil
			up, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{
				Arn: *plain.Arn, Type: tt.in.Type, Preset: tt.in.Preset, ContainerFormat: tt.in.ContainerFormat,
				MultitrackInputConfiguration: tt.in.MultitrackInputConfiguration,
				RecordingConfigurationArn:    tt.in.RecordingConfigurationArn, InsecureIngest: tt.in.InsecureIngest,
			})
			if err == nil {
				ch = up.Channel
			}
			check("update", ch, err)
		})
	}
}

func TestUpdateChannelLeavesWhatIsAbsent(t *testing.T) {
	f := newFixture(t)
	ch := f.channel(t, ivsapi.CreateChannelRequest{Name: new("a"), Type: new("ADVANCED_HD"), Tags: map[string]string{"k": "v"}, Authorized: new(true)})
	out, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, Type: new("STANDARD")})
	if err != nil {
		t.Fatal(err)
	}
	want := *ch
	want.Type, want.Preset = new("STANDARD"), new("") // a preset goes with the advanced type
	if d := cmp.Diff(&want, out.Channel); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestLiveChannelMayNotChange(t *testing.T) {
	f := newFixture(t)
	ch := f.channel(t, ivsapi.CreateChannelRequest{})
	lease, err := f.store.Acquire(t.Context(), *ch.Arn, "a-node", "", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, Name: new("x")}); !errors.Is(err, live.Conflict) {
		t.Errorf("UpdateChannel while live: %v, want conflict", err)
	}
	if err := f.DeleteChannel(f.ctx, &ivsapi.DeleteChannelRequest{Arn: *ch.Arn}); !errors.Is(err, live.Conflict) {
		t.Errorf("DeleteChannel while live: %v, want conflict", err)
	}
	if err := f.store.Release(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteChannel(f.ctx, &ivsapi.DeleteChannelRequest{Arn: *ch.Arn}); err != nil {
		t.Errorf("DeleteChannel after the stream: %v", err)
	}
	if _, err := f.GetChannel(f.ctx, &ivsapi.GetChannelRequest{Arn: *ch.Arn}); !errors.Is(err, live.NotFound) {
		t.Errorf("GetChannel after delete: %v, want not found", err)
	}
}

func TestOthersSeeNothing(t *testing.T) {
	f := newFixture(t)
	ch := f.channel(t, ivsapi.CreateChannelRequest{})
	for name, ctx := range map[string]context.Context{
		"another account": as(t.Context(), "444455556666", "us-west-2"),
		"another region":  as(t.Context(), "111122223333", "eu-west-1"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.GetChannel(ctx, &ivsapi.GetChannelRequest{Arn: *ch.Arn}); !errors.Is(err, live.NotFound) {
				t.Errorf("GetChannel: %v, want not found", err)
			}
			if _, err := f.TagResource(ctx, &ivsapi.TagResourceRequest{ResourceArn: *ch.Arn, Tags: map[string]string{"a": "b"}}); !errors.Is(err, live.NotFound) {
				t.Errorf("TagResource: %v, want not found", err)
			}
			out, err := f.ListChannels(ctx, &ivsapi.ListChannelsRequest{})
			if err != nil || len(out.Channels) != 0 {
				t.Errorf("ListChannels = %d channels, %v; want none", len(out.Channels), err)
			}
			batch, err := f.BatchGetChannel(ctx, &ivsapi.BatchGetChannelRequest{Arns: []string{*ch.Arn}})
			if err != nil || len(batch.Channels) != 0 || len(batch.Errors) != 1 || *batch.Errors[0].Code != "ResourceNotFoundException" {
				t.Errorf("BatchGetChannel = %+v, %v; want one ResourceNotFoundException", batch, err)
			}
		})
	}
}

func TestListChannelsPages(t *testing.T) {
	f := newFixture(t)
	want := map[string]bool{}
	for i := range 7 {
		want[*f.channel(t, ivsapi.CreateChannelRequest{Name: new(fmt.Sprint("n", i%2))}).Arn] = true
	}
	list := func(name *string, size int32) (got []string) {
		t.Helper()
		in := &ivsapi.ListChannelsRequest{FilterByName: name, MaxResults: &size}
		for {
			out, err := f.ListChannels(f.ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Channels {
				got = append(got, *c.Arn)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return got
			}
			if len(out.Channels) != int(size) {
				t.Errorf("a page that is not the last has %d channels, want %d", len(out.Channels), size)
			}
		}
	}
	for _, size := range []int32{1, 2, 7, 100} {
		got := list(nil, size)
		seen := map[string]bool{}
		for _, a := range got {
			seen[a] = true
		}
		if len(got) != 7 || len(seen) != 7 || !cmp.Equal(seen, want) {
			t.Errorf("pages of %d list %d channels, %d different; want 7", size, len(got), len(seen))
		}
	}
	if n0, n1 := list(new("n0"), 3), list(new("n1"), 3); len(n0) != 4 || len(n1) != 3 {
		t.Errorf("filterByName lists %d and %d, want 4 and 3", len(n0), len(n1))
	}
	if got := list(new("n"), 3); len(got) != 0 {
		t.Errorf("filterByName matches a prefix: %d channels", len(got))
	}
}

func TestPageTokens(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		f.channel(t, ivsapi.CreateChannelRequest{Name: new("n")})
	}
	out, err := f.ListChannels(f.ctx, &ivsapi.ListChannelsRequest{MaxResults: new(int32(1))})
	if err != nil || out.NextToken == nil {
		t.Fatal(out, err)
	}
	good := *out.NextToken
	for name, tt := range map[string]struct {
		ctx context.Context
		in  ivsapi.ListChannelsRequest
	}{
		"garbage":            {f.ctx, ivsapi.ListChannelsRequest{NextToken: new("AAAA")}},
		"not base64":         {f.ctx, ivsapi.ListChannelsRequest{NextToken: new("====")}},
		"changed":            {f.ctx, ivsapi.ListChannelsRequest{NextToken: new(good[:len(good)-3] + "AAA")}},
		"of another filter":  {f.ctx, ivsapi.ListChannelsRequest{NextToken: &good, FilterByName: new("n")}},
		"of another account": {as(t.Context(), "444455556666", "us-west-2"), ivsapi.ListChannelsRequest{NextToken: &good}},
		"of another region":  {as(t.Context(), "111122223333", "eu-west-1"), ivsapi.ListChannelsRequest{NextToken: &good}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.ListChannels(tt.ctx, &tt.in); !errors.Is(err, live.Invalid) {
				t.Errorf("error %v, want invalid", err)
			}
		})
	}
}

func TestListChannelsTakesOneFilter(t *testing.T) {
	f := newFixture(t)
	_, err := f.ListChannels(f.ctx, &ivsapi.ListChannelsRequest{FilterByName: new("a"), FilterByRecordingConfigurationArn: new("")})
	if !errors.Is(err, live.Conflict) {
		t.Errorf("two filters: %v, want conflict", err)
	}
}

func TestStreamKeys(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ch, first := *out.Channel.Arn, out.StreamKey
	if _, err := f.CreateStreamKey(f.ctx, &ivsapi.CreateStreamKeyRequest{ChannelArn: ch}); !errors.Is(err, live.Quota) {
		t.Errorf("second key: %v, want quota", err)
	}
	got, err := f.GetStreamKey(f.ctx, &ivsapi.GetStreamKeyRequest{Arn: *first.Arn})
	if err != nil || *got.StreamKey.Value != *first.Value {
		t.Errorf("GetStreamKey gives another value, or %v", err)
	}
	list, err := f.ListStreamKeys(f.ctx, &ivsapi.ListStreamKeysRequest{ChannelArn: ch})
	if err != nil || len(list.StreamKeys) != 1 || *list.StreamKeys[0].Arn != *first.Arn || list.NextToken != nil {
		t.Errorf("ListStreamKeys = %+v, %v", list, err)
	}
	if err := f.DeleteStreamKey(f.ctx, &ivsapi.DeleteStreamKeyRequest{Arn: *first.Arn}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.ByLookup(t.Context(), "ivs", "stream-key", live.StreamKeyLookup(string(*first.Value))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted key is still found: %v", err)
	}
	second, err := f.CreateStreamKey(f.ctx, &ivsapi.CreateStreamKeyRequest{ChannelArn: ch, Tags: map[string]string{"a": "b"}})
	if err != nil || *second.StreamKey.Value == *first.Value || second.StreamKey.Tags["a"] != "b" {
		t.Fatalf("key after reset: %v", err)
	}
	batch, err := f.BatchGetStreamKey(f.ctx, &ivsapi.BatchGetStreamKeyRequest{Arns: []string{*first.Arn, *second.StreamKey.Arn, "nonsense"}})
	if err != nil || len(batch.StreamKeys) != 1 || len(batch.Errors) != 2 ||
		*batch.Errors[0].Code != "ResourceNotFoundException" || *batch.Errors[1].Code != "ValidationException" {
		t.Errorf("BatchGetStreamKey = %+v, %v", batch, err)
	}
	if err := f.DeleteChannel(f.ctx, &ivsapi.DeleteChannelRequest{Arn: ch}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.GetStreamKey(f.ctx, &ivsapi.GetStreamKeyRequest{Arn: *second.StreamKey.Arn}); !errors.Is(err, live.NotFound) {
		t.Errorf("key of a deleted channel: %v, want not found", err)
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	arn := *f.channel(t, ivsapi.CreateChannelRequest{Tags: map[string]string{"a": "1", "b": "2"}}).Arn
	if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: arn, Tags: map[string]string{"b": "3", "c": ""}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UntagResource(f.ctx, &ivsapi.UntagResourceRequest{ResourceArn: arn, TagKeys: []string{"a", "never there"}}); err != nil {
		t.Fatal(err)
	}
	out, err := f.ListTagsForResource(f.ctx, &ivsapi.ListTagsForResourceRequest{ResourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"b": "3", "c": ""}, out.Tags); d != "" {
		t.Errorf("tags: -want +got\n%s", d)
	}
	many := map[string]string{}
	for i := range 49 {
		many[fmt.Sprint("k", i)] = "v"
	}
	if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: arn, Tags: many}); !errors.Is(err, live.Invalid) {
		t.Errorf("51 tags: %v, want invalid", err)
	}
}

func TestStreams(t *testing.T) {
	f := newFixture(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	if _, err := f.GetStream(f.ctx, &ivsapi.GetStreamRequest{ChannelArn: ch}); !errors.Is(err, live.NotLive) {
		t.Errorf("GetStream of an idle channel: %v, want not live", err)
	}
	if _, err := f.StopStream(f.ctx, &ivsapi.StopStreamRequest{ChannelArn: ch}); !errors.Is(err, live.NotLive) {
		t.Errorf("StopStream of an idle channel: %v, want not live", err)
	}
	arn, _ := live.ParseARN(ch)
	started := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	if err := f.roster.Announce(t.Context(), roster.Entry{State: live.State{
		Channel: arn, Stream: "st-1Ab2Cd3Ef4Gh5Ij6Kl7Mn8O", Started: started, Health: live.Starving, Viewers: 7,
	}}); err != nil {
		t.Fatal(err)
	}
	out, err := f.GetStream(f.ctx, &ivsapi.GetStreamRequest{ChannelArn: ch})
	if err != nil {
		t.Fatal(err)
	}
	want := &ivsapi.Stream{
		ChannelArn: &ch, StreamId: new("st-1Ab2Cd3Ef4Gh5Ij6Kl7Mn8O"), StartTime: &started, State: new("LIVE"),
		Health: new("STARVING"), ViewerCount: new(int64(7)), PlaybackUrl: new("http://ivs.test:8080/play/" + arn.ID),
	}
	if d := cmp.Diff(want, out.Stream); d != "" {
		t.Errorf("GetStream: -want +got\n%s", d)
	}
	for health, n := range map[string]int{"": 1, "STARVING": 1, "HEALTHY": 0} {
		in := &ivsapi.ListStreamsRequest{}
		if health != "" {
			in.FilterBy = &ivsapi.StreamFilters{Health: &health}
		}
		list, err := f.ListStreams(f.ctx, in)
		if err != nil || len(list.Streams) != n {
			t.Errorf("ListStreams(%q) = %d streams, %v; want %d", health, len(list.Streams), err, n)
		}
	}
}
