package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-live/sluice/internal/apigen"
	"github.com/sluice-live/sluice/internal/servertest"
)

// A cli is the real `aws` command with its credentials in the environment.
type cli struct {
	path string
	srv  *servertest.Server
	key  aws.Credentials
	ran  *sync.Map // subcommands of `aws ivs`

	region string
}

// newCLI finds the command, which nobody has to have.
func newCLI(t *testing.T) cli {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skipf("no AWS CLI here: %v", err)
	}
	srv := servertest.Start(t)
	return cli{path, srv, admin(srv), new(sync.Map), srv.Region}
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
	c.ran.Store(args[0], true)
	cmd := exec.CommandContext(t.Context(), c.path, append([]string{"ivs", "--endpoint-url", c.srv.Base, "--output", "json"}, args...)...)
	cmd.Env = awsEnv(c.region, c.key)
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

// refused is run for what has to fail with one of the given exceptions.
func (c cli) refused(t *testing.T, exceptions []string, args ...string) {
	t.Helper()
	stderr, err := c.run(t, nil, args...)
	if err == nil || !slices.ContainsFunc(exceptions, func(e string) bool { return strings.Contains(stderr, "("+e+")") }) {
		t.Errorf("aws ivs %s: %v: %q, want %v", strings.Join(args, " "), err, stderr, exceptions)
	}
}

// Every operation, and what the command does by itself around them.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	stories := map[string]func(*testing.T, cli){
		"channels": cliChannels, "stream keys": cliStreamKeys, "streams": cliStreams, "on air": cliOnAir, "session": cliSession, "recording": cliRecording,
		"playback keys": cliPlaybackKeys, "restriction policies": cliPolicies, "ads": cliAds, "revocations": cliRevocations,
		"input": cliInput, "pages": cliPages, "no signature": cliUnsigned,
	}
	var ended atomic.Int32
	t.Run("stories", func(t *testing.T) { // returns when all have ended
		for name, story := range stories {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				defer ended.Add(1)
				one := c
				one.region = "cli-" + strings.ReplaceAll(name, " ", "-") // each to itself
				story(t, one)
			})
		}
	})
	if int(ended.Load()) < len(stories) {
		return // under -run of one
	}
	m, err := apigen.Load("../../api/ivs.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range m.OperationNames() {
		command := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(op, "$1-$2"))
		if _, ok := c.ran.Load(command); !ok {
			t.Errorf("no story runs aws ivs %s", command)
		}
	}
}

func cliChannels(t *testing.T, c cli) {
	srv := c.srv
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
	if k := made.StreamKey; k.ChannelArn != ch.Arn || !strings.HasPrefix(k.Value, "sk_"+c.region+"_") {
		t.Errorf("create-channel printed the stream key %+v of channel %s", k, ch.Arn)
	}

	second := c.channel(t)
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

	absent := strings.ReplaceAll(absentChannel, "us-west-2", c.region)
	var batch struct {
		Channels []channel
		Errors   []struct{ Arn, Code string }
	}
	c.must(t, &batch, "batch-get-channel", "--arns", ch.Arn, second, absent)
	if len(batch.Channels) != 2 || batch.Channels[0].PlaybackURL != ch.PlaybackURL ||
		len(batch.Errors) != 1 || batch.Errors[0].Arn != absent || batch.Errors[0].Code != "ResourceNotFoundException" {
		t.Errorf("batch-get-channel printed %+v", batch)
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

	var updated struct{ Channel channel }
	c.must(t, &updated, "update-channel", "--arn", ch.Arn, "--latency-mode", "NORMAL")
	if updated.Channel.LatencyMode != "NORMAL" || updated.Channel.Name != ch.Name {
		t.Errorf("update-channel printed %+v", updated.Channel)
	}
	c.must(t, nil, "delete-channel", "--arn", ch.Arn)
	c.refused(t, []string{"ResourceNotFoundException"}, "get-channel", "--arn", ch.Arn)

	c.key.SecretAccessKey = "wrong"
	c.refused(t, []string{"InvalidSignatureException"}, "list-channels")
}
