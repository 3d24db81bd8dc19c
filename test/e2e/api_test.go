package e2e

import (
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-live/sluice/internal/servertest"
)

// absent names resources that nobody has.
const (
	absentChannel = "arn:aws:ivs:us-west-2:123456789012:channel/AbsentAbsent"
	absentKey     = "arn:aws:ivs:us-west-2:123456789012:stream-key/AbsentAbsent"
	absentConfig  = "arn:aws:ivs:us-west-2:123456789012:recording-configuration/AbsentAbsent"
)

var ignoreSDK = cmpopts.IgnoreUnexported(types.Channel{}, types.ChannelSummary{}, types.StreamKey{}, types.StreamKeySummary{},
	types.Srt{}, types.MultitrackInputConfiguration{}, types.BatchError{})

func TestSDKChannels(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()

	made, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String("lobby"), Tags: map[string]string{"env": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	arn := regexp.MustCompile(`^arn:aws:ivs:us-west-2:123456789012:channel/([0-9A-Za-z]{12})$`)
	id := arn.FindStringSubmatch(*made.Channel.Arn)
	if id == nil {
		t.Fatalf("channel ARN %q, want %s", *made.Channel.Arn, arn)
	}
	want := &types.Channel{
		Arn: made.Channel.Arn, Name: aws.String("lobby"), LatencyMode: types.ChannelLatencyModeLowLatency,
		Type: types.ChannelTypeStandardChannelType, ContainerFormat: types.ContainerFormatTs,
		IngestEndpoint: aws.String("127.0.0.1"), Srt: &types.Srt{Endpoint: aws.String("127.0.0.1"), Passphrase: made.Channel.Srt.Passphrase},
		PlaybackUrl:               aws.String(srv.Base + "/live-video.net/api/video/v1/us-west-2.123456789012.channel." + id[1] + ".m3u8"),
		RecordingConfigurationArn: aws.String(""), PlaybackRestrictionPolicyArn: aws.String(""), AdConfigurationArn: aws.String(""),
		MultitrackInputConfiguration: &types.MultitrackInputConfiguration{
			Policy: types.MultitrackPolicyAllow, MaximumResolution: types.MultitrackMaximumResolutionFullHd,
		},
		Tags: map[string]string{"env": "test"},
	}
	if d := cmp.Diff(want, made.Channel, ignoreSDK); d != "" {
		t.Errorf("a new channel (-want +got):\n%s", d)
	}
	if p := aws.ToString(made.Channel.Srt.Passphrase); len(p) != 69 {
		t.Errorf("SRT passphrase of %d characters, want 69", len(p))
	}
	key := regexp.MustCompile(`^sk_us-west-2_[0-9A-Za-z]{12}_[0-9A-Za-z]{30}$`)
	if k := made.StreamKey; !key.MatchString(*k.Value) || *k.ChannelArn != *made.Channel.Arn || !strings.Contains(*k.Arn, ":stream-key/") {
		t.Errorf("stream key %q of %s, channel %s, want one of this channel like %s", *k.Value, *k.Arn, *k.ChannelArn, key)
	}

	got, err := c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: made.Channel.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(made.Channel, got.Channel, ignoreSDK); d != "" {
		t.Errorf("GetChannel differs from CreateChannel:\n%s", d)
	}

	// What is not given stays; what a type implies follows it.
	updated, err := c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{
		Arn: made.Channel.Arn, Type: types.ChannelTypeAdvancedHDChannelType, LatencyMode: types.ChannelLatencyModeNormalLatency,
	})
	if err != nil {
		t.Fatal(err)
	}
	want.Type, want.LatencyMode, want.Preset = types.ChannelTypeAdvancedHDChannelType, types.ChannelLatencyModeNormalLatency, types.TranscodePresetHigherBandwidthTranscodePreset
	if d := cmp.Diff(want, updated.Channel, ignoreSDK); d != "" {
		t.Errorf("after UpdateChannel (-want +got):\n%s", d)
	}
	updated, err = c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: made.Channel.Arn, Type: types.ChannelTypeBasicChannelType})
	if err != nil {
		t.Fatal(err)
	}
	if updated.Channel.Preset != "" {
		t.Errorf("preset of a BASIC channel is %q, want none", updated.Channel.Preset)
	}

	batch, err := c.BatchGetChannel(t.Context(), &ivs.BatchGetChannelInput{Arns: []string{absentChannel, *made.Channel.Arn}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]types.Channel{*updated.Channel}, batch.Channels, ignoreSDK); d != "" {
		t.Errorf("BatchGetChannel (-want +got):\n%s", d)
	}
	missing := []types.BatchError{{Arn: aws.String(absentChannel), Code: aws.String("ResourceNotFoundException")}}
	if d := cmp.Diff(missing, batch.Errors, ignoreSDK, cmpopts.IgnoreFields(types.BatchError{}, "Message")); d != "" {
		t.Errorf("errors of BatchGetChannel (-want +got):\n%s", d)
	}

	if _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: made.Channel.Arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: made.Channel.Arn})
	wantErr[*types.ResourceNotFoundException](t, "GetChannel after DeleteChannel", err, 404)
	_, err = c.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: made.StreamKey.Arn})
	wantErr[*types.ResourceNotFoundException](t, "GetStreamKey after DeleteChannel", err, 404)
	_, err = c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: made.Channel.Arn})
	wantErr[*types.ResourceNotFoundException](t, "DeleteChannel again", err, 404)
}

func TestSDKListChannels(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	all := map[string]bool{}
	for i := range 5 {
		ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Name = aws.String("name-" + strconv.Itoa(i%2)) })
		all[*ch.Arn] = true
	}
	arns := func(list []types.ChannelSummary) map[string]bool {
		set := map[string]bool{}
		for _, ch := range list {
			set[*ch.Arn] = true
		}
		return set
	}
	items := func(o *ivs.ListChannelsOutput) []types.ChannelSummary { return o.Channels }

	list, n := pages(t, ivs.NewListChannelsPaginator(c, &ivs.ListChannelsInput{MaxResults: aws.Int32(2)}), items)
	if n != 3 || len(list) != 5 || !maps.Equal(arns(list), all) {
		t.Errorf("5 channels by 2 a page: %d pages with %d channels, of them %d different", n, len(list), len(arns(list)))
	}
	list, n = pages(t, ivs.NewListChannelsPaginator(c, &ivs.ListChannelsInput{FilterByName: aws.String("name-0"), MaxResults: aws.Int32(2)}), items)
	if n != 2 || len(list) != 3 || slices.ContainsFunc(list, func(ch types.ChannelSummary) bool { return *ch.Name != "name-0" }) {
		t.Errorf("3 channels named name-0 by 2 a page: %d pages with %d channels", n, len(list))
	}
	for name, in := range map[string]*ivs.ListChannelsInput{
		"a name is matched as a whole":  {FilterByName: aws.String("name")},
		"recording configuration":       {FilterByRecordingConfigurationArn: aws.String(absentConfig)},
		"playback restriction policy":   {FilterByPlaybackRestrictionPolicyArn: aws.String(strings.Replace(absentConfig, "recording-configuration", "playback-restriction-policy", 1))},
		"ad configuration":              {FilterByAdConfigurationArn: aws.String(strings.Replace(absentConfig, "recording-configuration", "ad-configuration", 1))},
		"a name that no channel can be": {FilterByName: aws.String("Name-0")},
	} {
		if out, err := c.ListChannels(t.Context(), in); err != nil || len(out.Channels) != 0 || out.NextToken != nil {
			t.Errorf("filter by %s: %v, %v, want no channel", name, out, err)
		}
	}

	_, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{FilterByName: aws.String("a"), FilterByRecordingConfigurationArn: aws.String(absentConfig)})
	wantErr[*types.ConflictException](t, "ListChannels by two filters", err, 409)

	page, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]*ivs.ListChannelsInput{
		"the token of a list without filter": {NextToken: page.NextToken, FilterByName: aws.String("name-0")},
		"a token nobody made":                {NextToken: aws.String("bm90aGluZw")},
		"pages of 0":                         {MaxResults: aws.Int32(0)},
		"pages of 101":                       {MaxResults: aws.Int32(101)},
	} {
		_, err := c.ListChannels(t.Context(), in)
		wantErr[*types.ValidationException](t, "ListChannels with "+name, err, 400)
	}
}

func TestSDKRefusesChannels(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	for name, in := range map[string]*ivs.CreateChannelInput{
		"a name with a space":              {Name: aws.String("two words")},
		"a name of 129 characters":         {Name: aws.String(strings.Repeat("n", 129))},
		"a type there is not":              {Type: "GOLD"},
		"a preset on STANDARD":             {Preset: types.TranscodePresetConstrainedBandwidthTranscodePreset},
		"multitrack in MPEG-TS":            {MultitrackInputConfiguration: &types.MultitrackInputConfiguration{Enabled: true, Policy: types.MultitrackPolicyAllow, MaximumResolution: types.MultitrackMaximumResolutionHd}},
		"a tag key of AWS":                 {Tags: map[string]string{"aws:stack": "x"}},
		"51 tags":                          {Tags: manyTags(51)},
		"an ARN that is none":              {RecordingConfigurationArn: aws.String("recording")},
		"an ARN of another kind of thing":  {RecordingConfigurationArn: aws.String(absentChannel)},
		"a tag value with a character 0x7": {Tags: map[string]string{"k": "\a"}},
	} {
		_, err := c.CreateChannel(t.Context(), in)
		wantErr[*types.ValidationException](t, "CreateChannel with "+name, err, 400)
	}
	_, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{RecordingConfigurationArn: aws.String(absentConfig)})
	wantErr[*types.ResourceNotFoundException](t, "CreateChannel with a recording configuration that is not there", err, 404)
	if out, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{}); err != nil || len(out.Channels) != 0 {
		t.Errorf("after refusals only: %d channels, %v, want none", len(out.Channels), err)
	}
}

func manyTags(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags["key"+strconv.Itoa(i)] = "v"
	}
	return tags
}

func TestSDKStreamKeys(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t)

	_, err := c.CreateStreamKey(t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
	wantErr[*types.ServiceQuotaExceededException](t, "CreateStreamKey on a channel that has one", err, 402)

	list, n := pages(t, ivs.NewListStreamKeysPaginator(c, &ivs.ListStreamKeysInput{ChannelArn: ch.Arn, MaxResults: aws.Int32(50)}),
		func(o *ivs.ListStreamKeysOutput) []types.StreamKeySummary { return o.StreamKeys })
	if n != 1 || len(list) != 1 || *list[0].ChannelArn != *ch.Arn {
		t.Fatalf("ListStreamKeys: %d pages, %+v, want the channel's one key", n, list)
	}
	if _, err := c.DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: list[0].Arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: list[0].Arn})
	wantErr[*types.ResourceNotFoundException](t, "GetStreamKey after DeleteStreamKey", err, 404)

	made, err := c.CreateStreamKey(t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn, Tags: map[string]string{"who": "studio"}})
	if err != nil {
		t.Fatal(err)
	}
	if *made.StreamKey.Value == ch.Key || made.StreamKey.Tags["who"] != "studio" {
		t.Errorf("CreateStreamKey = %+v, want another value and the tags", made.StreamKey)
	}
	got, err := c.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: made.StreamKey.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(made.StreamKey, got.StreamKey, ignoreSDK); d != "" {
		t.Errorf("GetStreamKey differs from CreateStreamKey:\n%s", d)
	}
	batch, err := c.BatchGetStreamKey(t.Context(), &ivs.BatchGetStreamKeyInput{Arns: []string{*made.StreamKey.Arn, absentKey}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]types.StreamKey{*made.StreamKey}, batch.StreamKeys, ignoreSDK); d != "" {
		t.Errorf("BatchGetStreamKey (-want +got):\n%s", d)
	}
	if len(batch.Errors) != 1 || *batch.Errors[0].Arn != absentKey || *batch.Errors[0].Code != "ResourceNotFoundException" {
		t.Errorf("errors of BatchGetStreamKey: %+v, want one for %s", batch.Errors, absentKey)
	}
	_, err = c.CreateStreamKey(t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: aws.String(absentChannel)})
	wantErr[*types.ResourceNotFoundException](t, "CreateStreamKey on no channel", err, 404)
	_, err = c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: aws.String(absentChannel)})
	wantErr[*types.ResourceNotFoundException](t, "ListStreamKeys of no channel", err, 404)
}

func TestSDKStreamsOfAnIdleChannel(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t)
	_, err := c.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
	wantErr[*types.ChannelNotBroadcasting](t, "GetStream", err, 404)
	_, err = c.StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn})
	wantErr[*types.ChannelNotBroadcasting](t, "StopStream", err, 404)
	_, err = c.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: aws.String(absentChannel)})
	wantErr[*types.ResourceNotFoundException](t, "GetStream of no channel", err, 404)
	_, err = c.StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: aws.String(absentChannel)})
	wantErr[*types.ResourceNotFoundException](t, "StopStream of no channel", err, 404)
	for _, filter := range []*types.StreamFilters{nil, {}, {Health: types.StreamHealthStreamHealthy}} {
		if out, err := c.ListStreams(t.Context(), &ivs.ListStreamsInput{FilterBy: filter}); err != nil || out.Streams == nil || len(out.Streams) != 0 {
			t.Errorf("ListStreams by %+v = %+v, %v, want an empty list", filter, out, err)
		}
	}
	_, err = c.ListStreams(t.Context(), &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: "FINE"}})
	wantErr[*types.ValidationException](t, "ListStreams by a health there is not", err, 400)
}

func TestSDKTags(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t)
	keys, err := c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	for kind, arn := range map[string]*string{"a channel": ch.Arn, "a stream key": keys.StreamKeys[0].Arn} {
		want := func(when string, want map[string]string) {
			t.Helper()
			out, err := c.ListTagsForResource(t.Context(), &ivs.ListTagsForResourceInput{ResourceArn: arn})
			if err != nil || !maps.Equal(out.Tags, want) {
				t.Errorf("tags of %s %s: %v, %v, want %v", kind, when, out, err, want)
			}
		}
		tag := func(tags map[string]string) {
			t.Helper()
			if _, err := c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: arn, Tags: tags}); err != nil {
				t.Errorf("tag %s with %v: %v", kind, tags, err)
			}
		}
		want("at first", map[string]string{})
		tag(map[string]string{"team:a": "1", "team-b": "2", "Größe / 大": "x=y @ +1", "empty": ""})
		tag(map[string]string{"team-b": "3"})
		want("after two TagResource", map[string]string{"team:a": "1", "team-b": "3", "Größe / 大": "x=y @ +1", "empty": ""})
		_, err := c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: arn, Tags: manyTags(47)})
		wantErr[*types.ValidationException](t, "TagResource past 50 tags", err, 400)
		if _, err := c.UntagResource(t.Context(), &ivs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team:a", "Größe / 大", "not there"}}); err != nil {
			t.Errorf("untag %s: %v", kind, err)
		}
		want("after UntagResource", map[string]string{"team-b": "3", "empty": ""})
	}
	_, err = c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: aws.String(absentChannel), Tags: map[string]string{"a": "b"}})
	wantErr[*types.ResourceNotFoundException](t, "TagResource of nothing", err, 404)
	_, err = c.ListTagsForResource(t.Context(), &ivs.ListTagsForResourceInput{ResourceArn: aws.String("nonsense")})
	wantErr[*types.ValidationException](t, "ListTagsForResource of nonsense", err, 400)
}

// wireHeaders is what every answer of the API carries, for browsers (low-latency.md 1.2).
var wireHeaders = map[string]string{
	"Access-Control-Allow-Origin":   "*",
	"Access-Control-Expose-Headers": "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date",
	"Cache-Control":                 "no-store, no-cache",
	"Content-Security-Policy":       "default-src 'self'; upgrade-insecure-requests;",
	"Strict-Transport-Security":     "max-age=47304000; includeSubDomains",
	"X-Content-Type-Options":        "nosniff",
	"X-Frame-Options":               "SAMEORIGIN",
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func checkWireHeaders(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range wireHeaders {
		if got := h.Get(name); got != want {
			t.Errorf("%s: header %s is %q, want %q", what, name, got, want)
		}
	}
	if id := h.Get("x-amzn-RequestId"); !uuid.MatchString(id) {
		t.Errorf("%s: x-amzn-RequestId is %q, want a UUID", what, id)
	}
}

func TestSDKErrorsAreWhole(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	_, err := c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String(absentChannel)})
	nf, ok := errors.AsType[*types.ResourceNotFoundException](err)
	if !ok {
		t.Fatalf("GetChannel = %v, want ResourceNotFoundException", err)
	}
	for member, got := range map[string]*string{
		"Access-Control-Allow-Origin": nf.AccessControlAllowOrigin, "Access-Control-Expose-Headers": nf.AccessControlExposeHeaders,
		"Cache-Control": nf.CacheControl, "Content-Security-Policy": nf.ContentSecurityPolicy,
		"Strict-Transport-Security": nf.StrictTransportSecurity, "X-Content-Type-Options": nf.XContentTypeOptions, "X-Frame-Options": nf.XFrameOptions,
	} {
		if aws.ToString(got) != wireHeaders[member] {
			t.Errorf("member for %s is %q, want %q", member, aws.ToString(got), wireHeaders[member])
		}
	}
	if aws.ToString(nf.XAmznErrorType) != "ResourceNotFoundException" {
		t.Errorf("XAmznErrorType is %q", aws.ToString(nf.XAmznErrorType))
	}
	if m := aws.ToString(nf.ExceptionMessage); !strings.Contains(m, absentChannel) || m != nf.ErrorMessage() && nf.Message != nil {
		t.Errorf("ExceptionMessage %q and message %q, want both to name the channel", m, nf.ErrorMessage())
	}
	re, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || !uuid.MatchString(re.ServiceRequestID()) {
		t.Errorf("%v does not tell the request id", err)
	}
	_, header := wireOf(t, err)
	checkWireHeaders(t, "GetChannel's error", header)

	var raw *smithyhttp.Response
	out, err := c.BatchGetChannel(t.Context(), &ivs.BatchGetChannelInput{Arns: []string{absentChannel}}, func(o *ivs.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Deserialize.Add(keep(&raw), middleware.After) })
	})
	if err != nil || len(out.Errors) != 1 {
		t.Fatalf("BatchGetChannel = %+v, %v", out, err)
	}
	checkWireHeaders(t, "BatchGetChannel", raw.Header)
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	req := call{method: http.MethodOptions, path: "/CreateChannel"}.request(t, srv)
	req.Header.Set("Origin", "https://console.example.com")
	req.Header.Set("Access-Control-Request-Method", "POST")
	req.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-amz-date")
	a := send(t, req)
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" ||
		a.header.Get("Access-Control-Allow-Headers") != "authorization,content-type,x-amz-date" {
		t.Errorf("preflight: %d %v, want 204 that allows what was asked for", a.status, a.header)
	}
}
