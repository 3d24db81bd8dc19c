package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/servertest"
)

// channel makes a private channel without the command, which takes its time.
func (c cli) channel(t *testing.T) (arn string) {
	t.Helper()
	out, err := client(c.srv.Base, c.region, admin(c.srv)).CreateChannel(t.Context(), &ivs.CreateChannelInput{Authorized: true})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Channel.Arn
}

func cliStreamKeys(t *testing.T, c cli) {
	ch := c.channel(t)
	type key struct {
		Arn, ChannelArn, Value string
		Tags                   map[string]string
	}
	var list struct{ StreamKeys []key }
	c.must(t, &list, "list-stream-keys", "--channel-arn", ch)
	if len(list.StreamKeys) != 1 || list.StreamKeys[0].ChannelArn != ch || list.StreamKeys[0].Value != "" {
		t.Fatalf("list-stream-keys printed %+v, want the channel's one without its value", list.StreamKeys)
	}
	c.refused(t, []string{"ServiceQuotaExceededException"}, "create-stream-key", "--channel-arn", ch)
	c.must(t, nil, "delete-stream-key", "--arn", list.StreamKeys[0].Arn)
	var made, got struct{ StreamKey key }
	c.must(t, &made, "create-stream-key", "--channel-arn", ch, "--tags", "who=studio")
	c.must(t, &got, "get-stream-key", "--arn", made.StreamKey.Arn)
	if !reflect.DeepEqual(made, got) || made.StreamKey.Tags["who"] != "studio" || !strings.HasPrefix(made.StreamKey.Value, "sk_") {
		t.Errorf("create-stream-key printed %+v, get-stream-key %+v", made, got)
	}
	var batch struct {
		StreamKeys []key
		Errors     []struct{ Code string }
	}
	c.must(t, &batch, "batch-get-stream-key", "--arns", made.StreamKey.Arn, list.StreamKeys[0].Arn)
	if len(batch.StreamKeys) != 1 || len(batch.Errors) != 1 || batch.Errors[0].Code != "ResourceNotFoundException" {
		t.Errorf("batch-get-stream-key printed %+v", batch)
	}
}

func cliStreams(t *testing.T, c cli) {
	ch := c.channel(t)
	var streams struct{ Streams []any }
	c.must(t, &streams, "list-streams", "--filter-by", "health=HEALTHY")
	if streams.Streams == nil || len(streams.Streams) != 0 {
		t.Errorf("list-streams printed %+v, want an empty list", streams)
	}
	stderr, err := c.run(t, nil, "get-stream", "--channel-arn", ch)
	if want := "An error occurred (ChannelNotBroadcasting) when calling the GetStream operation: Channel: " + ch; err == nil || !strings.Contains(stderr, want) {
		t.Errorf("get-stream: %v, %q, want %q", err, stderr, want)
	}
	c.refused(t, []string{"ChannelNotBroadcasting"}, "stop-stream", "--channel-arn", ch)
	c.refused(t, []string{"ChannelNotBroadcasting"}, "put-metadata", "--channel-arn", ch, "--metadata", "x")
	c.refused(t, []string{"ChannelNotBroadcasting"}, "insert-ad-break", "--channel-arn", ch, "--duration-seconds", "30")

	var sessions struct{ StreamSessions []any }
	c.must(t, &sessions, "list-stream-sessions", "--channel-arn", ch)
	if sessions.StreamSessions == nil || len(sessions.StreamSessions) != 0 {
		t.Errorf("list-stream-sessions printed %+v, want an empty list", sessions)
	}
	c.refused(t, []string{"ResourceNotFoundException"}, "get-stream-session", "--channel-arn", ch)
}

// What is for a stream that is live.
func cliOnAir(t *testing.T, c cli) {
	var made struct {
		Channel   struct{ Arn, PlaybackURL string }
		StreamKey struct{ Value string }
	}
	var ads struct{ AdConfiguration struct{ Arn string } }
	c.must(t, &ads, "create-ad-configuration", "--media-tailor-playback-configurations",
		"playbackConfigurationArn=arn:aws:mediatailor:"+c.region+":"+c.srv.Account+":playbackConfiguration/one")
	c.must(t, &made, "create-channel", "--insecure-ingest", "--ad-configuration-arn", ads.AdConfiguration.Arn)
	broadcast(t, "rtmp://"+c.srv.RTMP+"/app/"+made.StreamKey.Value)
	servertest.Eventually(t, "the channel plays", func() bool {
		status, _, _ := servertest.Get(t, made.Channel.PlaybackURL)
		return status == http.StatusOK
	})
	c.must(t, nil, "put-metadata", "--channel-arn", made.Channel.Arn, "--metadata", `{"from":"cli"}`)
	var br struct{ AdBreakID string }
	c.must(t, &br, "insert-ad-break", "--channel-arn", made.Channel.Arn, "--duration-seconds", "300")
	c.refused(t, []string{"ConflictException"}, "insert-ad-break", "--channel-arn", made.Channel.Arn, "--duration-seconds", "1")
	m := playlistNow(t, variantURL(t, made.Channel.PlaybackURL))
	if len(br.AdBreakID) != 12 || len(m.DateRanges) != 1 || m.DateRanges[0].AdBreak != br.AdBreakID {
		t.Errorf("insert-ad-break printed %q, the playlist tells of %+v", br.AdBreakID, m.DateRanges)
	}
	c.must(t, nil, "stop-stream", "--channel-arn", made.Channel.Arn)
}

func cliRecording(t *testing.T, c cli) {
	type recording struct {
		Arn, State               string
		DestinationConfiguration struct{ S3 struct{ BucketName string } }
		ThumbnailConfiguration   struct{ Storage []string }
	}
	var made, got struct{ RecordingConfiguration recording }
	c.must(t, &made, "create-recording-configuration", "--destination-configuration", "s3={bucketName=from-cli}",
		"--thumbnail-configuration", "recordingMode=INTERVAL,targetIntervalSeconds=5,storage=LATEST,SEQUENTIAL")
	if r := made.RecordingConfiguration; r.State != "CREATING" || r.DestinationConfiguration.S3.BucketName != "from-cli" || len(r.ThumbnailConfiguration.Storage) != 2 {
		t.Errorf("create-recording-configuration printed %+v", r)
	}
	arn := made.RecordingConfiguration.Arn
	servertest.Eventually(t, "the recording configuration is active", func() bool {
		c.must(t, &got, "get-recording-configuration", "--arn", arn)
		return got.RecordingConfiguration.State == "ACTIVE"
	})
	var list struct{ RecordingConfigurations []recording }
	c.must(t, &list, "list-recording-configurations")
	if len(list.RecordingConfigurations) != 1 || list.RecordingConfigurations[0].Arn != arn {
		t.Errorf("list-recording-configurations printed %+v", list)
	}
	c.must(t, nil, "delete-recording-configuration", "--arn", arn)
	c.refused(t, []string{"ResourceNotFoundException"}, "get-recording-configuration", "--arn", arn)
}

func cliPlaybackKeys(t *testing.T, c cli) {
	type pair struct{ Arn, Name, Fingerprint string }
	material := newPublicKey(t)
	var made, got struct{ KeyPair pair }
	c.must(t, &made, "import-playback-key-pair", "--public-key-material", material, "--name", "from-cli")
	c.must(t, &got, "get-playback-key-pair", "--arn", made.KeyPair.Arn)
	if made != got || made.KeyPair.Name != "from-cli" || len(made.KeyPair.Fingerprint) != 47 {
		t.Errorf("import-playback-key-pair printed %+v, get-playback-key-pair %+v", made, got)
	}
	c.refused(t, []string{"ConflictException"}, "import-playback-key-pair", "--public-key-material", material)
	var list struct{ KeyPairs []pair }
	c.must(t, &list, "list-playback-key-pairs")
	if want := (pair{Arn: made.KeyPair.Arn, Name: "from-cli"}); len(list.KeyPairs) != 1 || list.KeyPairs[0] != want {
		t.Errorf("list-playback-key-pairs printed %+v, want %+v", list.KeyPairs, want)
	}
	c.must(t, nil, "delete-playback-key-pair", "--arn", made.KeyPair.Arn)
}

func cliPolicies(t *testing.T, c cli) {
	type policy struct {
		Arn, Name                        string
		AllowedCountries, AllowedOrigins []string
		EnableStrictOriginEnforcement    bool
	}
	var made, got struct{ PlaybackRestrictionPolicy policy }
	c.must(t, &made, "create-playback-restriction-policy", "--allowed-countries", "DE", "FR", "--enable-strict-origin-enforcement")
	// A URL as an argument of its own would be fetched by the command.
	c.must(t, &got, "update-playback-restriction-policy", "--arn", made.PlaybackRestrictionPolicy.Arn, "--name", "from-cli",
		"--cli-input-json", `{"allowedOrigins":["https://a.example"]}`)
	want := made.PlaybackRestrictionPolicy
	want.AllowedOrigins, want.Name = []string{"https://a.example"}, "from-cli"
	if !reflect.DeepEqual(got.PlaybackRestrictionPolicy, want) || len(want.AllowedCountries) != 2 || !want.EnableStrictOriginEnforcement {
		t.Errorf("update-playback-restriction-policy printed %+v, want %+v", got, want)
	}
	c.must(t, &got, "get-playback-restriction-policy", "--arn", want.Arn)
	if !reflect.DeepEqual(got.PlaybackRestrictionPolicy, want) {
		t.Errorf("get-playback-restriction-policy printed %+v, want %+v", got, want)
	}
	var list struct{ PlaybackRestrictionPolicies []policy }
	c.must(t, &list, "list-playback-restriction-policies")
	if len(list.PlaybackRestrictionPolicies) != 1 {
		t.Errorf("list-playback-restriction-policies printed %+v", list)
	}
	c.must(t, nil, "delete-playback-restriction-policy", "--arn", want.Arn)
}

func cliAds(t *testing.T, c cli) {
	type ads struct {
		Arn, Name                         string
		MediaTailorPlaybackConfigurations []struct{ PlaybackConfigurationArn string }
	}
	tailor := "arn:aws:mediatailor:" + c.region + ":" + c.srv.Account + ":playbackConfiguration/one"
	var made, got struct{ AdConfiguration ads }
	c.must(t, &made, "create-ad-configuration", "--media-tailor-playback-configurations", "playbackConfigurationArn="+tailor)
	arn := made.AdConfiguration.Arn
	c.must(t, &got, "get-ad-configuration", "--arn", arn)
	if !reflect.DeepEqual(made, got) || len(got.AdConfiguration.MediaTailorPlaybackConfigurations) != 1 {
		t.Errorf("create-ad-configuration printed %+v, get-ad-configuration %+v", made, got)
	}
	// Newer than many a CLI.
	if stderr, err := c.run(t, nil, "update-ad-configuration", "--arn", arn, "--name", "from-cli"); err != nil && !strings.Contains(stderr, "Invalid choice") {
		t.Errorf("update-ad-configuration: %v: %s", err, stderr)
	}
	var list struct{ AdConfigurations []ads }
	c.must(t, &list, "list-ad-configurations")
	if len(list.AdConfigurations) != 1 || list.AdConfigurations[0].Arn != arn {
		t.Errorf("list-ad-configurations printed %+v", list)
	}
	c.must(t, nil, "delete-ad-configuration", "--arn", arn)
}

func cliRevocations(t *testing.T, c cli) {
	ch := c.channel(t)
	absent := strings.ReplaceAll(absentChannel, "us-west-2", c.region)
	c.must(t, nil, "start-viewer-session-revocation", "--channel-arn", ch, "--viewer-id", "ines", "--viewer-session-versions-less-than-or-equal-to", "3")
	var batch struct {
		Errors []struct{ ChannelArn, ViewerID, Code string }
	}
	c.must(t, &batch, "batch-start-viewer-session-revocation", "--viewer-sessions", "channelArn="+ch+",viewerId=ines", "channelArn="+absent+",viewerId=otto")
	if len(batch.Errors) != 1 || batch.Errors[0].ViewerID != "otto" || batch.Errors[0].Code != "404" {
		t.Errorf("batch-start-viewer-session-revocation printed %+v", batch)
	}
}

// Input from a file, in the form of the skeleton that the command prints; output with
// the members of the skeleton that it prints of that.
func cliInput(t *testing.T, c cli) {
	skeleton := func(what string, args ...string) (o map[string]any) {
		t.Helper()
		c.must(t, &o, append(args, "--generate-cli-skeleton", what)...)
		return o
	}
	in := skeleton("input", "create-channel")
	in["name"], in["type"], in["preset"], in["tags"] = "from-file", "ADVANCED_SD", "CONSTRAINED_BANDWIDTH_DELIVERY", map[string]string{"env": "test"}
	in["insecureIngest"], in["latencyMode"], in["containerFormat"] = false, "NORMAL", "TS"
	in["multitrackInputConfiguration"] = map[string]any{"enabled": false, "policy": "ALLOW", "maximumResolution": "HD"}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "channel.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	c.must(t, &out, "create-channel", "--cli-input-json", "file://"+file, "--name", "from-flag")
	ch, _ := out["channel"].(map[string]any)
	if ch["name"] != "from-flag" || ch["type"] != "ADVANCED_SD" || ch["preset"] != "CONSTRAINED_BANDWIDTH_DELIVERY" || ch["latencyMode"] != "NORMAL" {
		t.Errorf("create-channel from a file printed %v", ch)
	}
	want := skeleton("output", "create-channel")
	for _, tags := range []map[string]any{want["channel"].(map[string]any), ch, want["streamKey"].(map[string]any), out["streamKey"].(map[string]any)} {
		delete(tags, "tags") // a map's keys are its own
	}
	if got, want := members("", out), members("", want); !slices.Equal(got, want) {
		t.Errorf("create-channel prints %v\nits skeleton has   %v", got, want)
	}
}

// members lists the paths of an object, in order.
func members(at string, o map[string]any) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if in, ok := o[name].(map[string]any); ok {
			all = append(all, members(at+name+".", in)...)
			continue
		}
		all = append(all, at+name)
	}
	return all
}

func cliPages(t *testing.T, c cli) {
	const channels = 120
	sdk := client(c.srv.Base, c.region, admin(c.srv))
	for i := range channels {
		if _, err := sdk.CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String(fmt.Sprintf("page-%03d", i))}); err != nil {
			t.Fatal(err)
		}
	}
	type list struct {
		Channels  []struct{ Arn string }
		NextToken string
	}
	seen := func(lists ...list) (n int) {
		arns := map[string]bool{}
		for _, l := range lists {
			for _, ch := range l.Channels {
				arns[ch.Arn] = true
			}
		}
		return len(arns)
	}
	for name, tt := range map[string]struct {
		args []string
		want int
		more bool // a token is printed
	}{
		"all":                     {nil, channels, false},
		"all, 50 a page":          {[]string{"--page-size", "50"}, channels, false},
		"one page":                {[]string{"--no-paginate"}, 100, true},
		"one page of seven":       {[]string{"--no-paginate", "--max-results", "7"}, 7, true},
		"110, which is two pages": {[]string{"--max-items", "110"}, 110, true},
	} {
		var l list
		c.must(t, &l, append([]string{"list-channels"}, tt.args...)...)
		if len(l.Channels) != tt.want || seen(l) != tt.want || (l.NextToken != "") != tt.more {
			t.Errorf("list-channels, %s: %d channels, %d different, token %q, want %d", name, len(l.Channels), seen(l), l.NextToken, tt.want)
		}
	}
	var first, rest list
	c.must(t, &first, "list-channels", "--max-items", "45", "--page-size", "20")
	c.must(t, &rest, "list-channels", "--starting-token", first.NextToken)
	if len(first.Channels) != 45 || len(rest.Channels) != channels-45 || seen(first, rest) != channels {
		t.Errorf("45 channels and the rest: %d and %d, %d different", len(first.Channels), len(rest.Channels), seen(first, rest))
	}
}

func cliUnsigned(t *testing.T, c cli) {
	c.refused(t, []string{"MissingAuthenticationTokenException"}, "list-channels", "--no-sign-request")
	c.refused(t, []string{"MissingAuthenticationTokenException"}, "create-channel", "--no-sign-request")
	var l struct{ Channels []any }
	c.must(t, &l, "list-channels")
	if len(l.Channels) != 0 {
		t.Errorf("an unsigned create-channel made %v", l.Channels)
	}
}
