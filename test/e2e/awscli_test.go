package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-live/sluice/internal/servertest"
)

// A cli is the real `aws` command with its credentials in the environment.
type cli struct {
	path string
	srv  *servertest.Server
	key  aws.Credentials
}

// awsEnv is our environment with nothing of AWS in it but a caller and a region.
func awsEnv(region string, key aws.Credentials) []string {
	return append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "AWS_") }),
		"AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "NO_PROXY=127.0.0.1")
}

// run runs `aws ivs` and reads its answer into out, which may be nil; on failure it
// returns what the command said.
func (c cli) run(t *testing.T, out any, args ...string) (stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.path, append([]string{"ivs", "--endpoint-url", c.srv.Base, "--output", "json"}, args...)...)
	cmd.Env = awsEnv(c.srv.Region, c.key)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	if err != nil || out == nil {
		return e.String(), err
	}
	if err := json.Unmarshal(o.Bytes(), out); err != nil {
		t.Fatalf("aws ivs %s printed %q: %v", strings.Join(args, " "), o.String(), err)
	}
	return "", nil
}

// must is run for what has to succeed.
func (c cli) must(t *testing.T, out any, args ...string) {
	t.Helper()
	if stderr, err := c.run(t, out, args...); err != nil {
		t.Fatalf("aws ivs %s: %v: %s", strings.Join(args, " "), err, stderr)
	}
}

func TestAWSCLI(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skipf("no AWS CLI here: %v", err)
	}
	srv := servertest.Start(t)
	c := cli{path, srv, admin(srv)}

	type channel struct {
		Arn, Name, Type, LatencyMode, PlaybackURL, IngestEndpoint string
		Tags                                                      map[string]string
	}
	var made struct {
		Channel   channel
		StreamKey struct{ Arn, ChannelArn, Value string }
	}
	c.must(t, &made, "create-channel", "--name", "from-cli", "--type", "BASIC", "--tags", "env=test,team=video")
	ch := made.Channel
	if ch.Name != "from-cli" || ch.Type != "BASIC" || ch.LatencyMode != "LOW" || ch.Tags["team"] != "video" ||
		!strings.HasPrefix(ch.PlaybackURL, srv.Base+"/") || ch.IngestEndpoint != "127.0.0.1" {
		t.Errorf("create-channel printed %+v", ch)
	}
	if k := made.StreamKey; k.ChannelArn != ch.Arn || !strings.HasPrefix(k.Value, "sk_"+srv.Region+"_") {
		t.Errorf("create-channel printed the stream key %+v of channel %s", k, ch.Arn)
	}

	second := srv.NewChannel(t)
	for name, args := range map[string][]string{
		"all":                   {"list-channels"},
		"all, a channel a page": {"list-channels", "--page-size", "1"},
	} {
		var list struct{ Channels []channel }
		c.must(t, &list, args...)
		if len(list.Channels) != 2 {
			t.Errorf("list-channels, %s: %d channels, want 2", name, len(list.Channels))
		}
	}
	var list struct{ Channels []channel }
	c.must(t, &list, "list-channels", "--filter-by-name", "from-cli")
	if len(list.Channels) != 1 || list.Channels[0].Arn != ch.Arn {
		t.Errorf("list-channels by name printed %+v, want %s", list.Channels, ch.Arn)
	}

	var batch struct {
		Channels []channel
		Errors   []struct{ Arn, Code string }
	}
	c.must(t, &batch, "batch-get-channel", "--arns", ch.Arn, *second.Arn, absentChannel)
	if len(batch.Channels) != 2 || batch.Channels[0].PlaybackURL != ch.PlaybackURL ||
		len(batch.Errors) != 1 || batch.Errors[0].Arn != absentChannel || batch.Errors[0].Code != "ResourceNotFoundException" {
		t.Errorf("batch-get-channel printed %+v", batch)
	}

	var streams struct{ Streams []any }
	c.must(t, &streams, "list-streams")
	if streams.Streams == nil || len(streams.Streams) != 0 {
		t.Errorf("list-streams printed %+v, want an empty list", streams)
	}
	stderr, err := c.run(t, nil, "get-stream", "--channel-arn", ch.Arn)
	if want := "An error occurred (ChannelNotBroadcasting) when calling the GetStream operation: Channel: " + ch.Arn; err == nil || !strings.Contains(stderr, want) {
		t.Errorf("get-stream: %v, %q, want %q", err, stderr, want)
	}

	c.must(t, nil, "tag-resource", "--resource-arn", ch.Arn, "--tags", "team=live,cost:center=a b/7")
	var tags struct{ Tags map[string]string }
	c.must(t, &tags, "list-tags-for-resource", "--resource-arn", ch.Arn)
	if len(tags.Tags) != 3 || tags.Tags["team"] != "live" || tags.Tags["cost:center"] != "a b/7" || tags.Tags["env"] != "test" {
		t.Errorf("list-tags-for-resource printed %v", tags.Tags)
	}
	c.must(t, nil, "untag-resource", "--resource-arn", ch.Arn, "--tag-keys", "team", "cost:center")
	tags.Tags = nil
	c.must(t, &tags, "list-tags-for-resource", "--resource-arn", ch.Arn)
	if len(tags.Tags) != 1 || tags.Tags["env"] != "test" {
		t.Errorf("after untag-resource: %v, want only env", tags.Tags)
	}

	c.must(t, nil, "delete-channel", "--arn", ch.Arn)
	stderr, err = c.run(t, nil, "get-channel", "--arn", ch.Arn)
	if err == nil || !strings.Contains(stderr, "(ResourceNotFoundException)") {
		t.Errorf("get-channel after delete-channel: %v, %q", err, stderr)
	}

	c.key.SecretAccessKey = "wrong"
	stderr, err = c.run(t, nil, "list-channels")
	if err == nil || !strings.Contains(stderr, "(InvalidSignatureException)") {
		t.Errorf("list-channels with a wrong secret: %v, %q", err, stderr)
	}
}
