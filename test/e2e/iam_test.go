package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// policyDir writes a policy directory and returns a writer of its files.
func policyDir(t *testing.T, files map[string]string) (dir string, put func(path, content string)) {
	t.Helper()
	dir = t.TempDir()
	put = func(path, content string) {
		t.Helper()
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range files {
		put(path, content)
	}
	return dir, put
}

// keyOf makes a key for a user with the command, and for what follows args.
func keyOf(t *testing.T, srv *servertest.Server, user string, args ...string) aws.Credentials {
	t.Helper()
	stdout, stderr, err := run(t, append([]string{"keys", "create", "--user", user, "--data-dir", srv.Dir}, args...)...)
	m := regexp.MustCompile(`^AWS_ACCESS_KEY_ID=(\S+)\nAWS_SECRET_ACCESS_KEY=(\S+)\n$`).FindStringSubmatch(stdout)
	if err != nil || m == nil {
		t.Fatalf("keys create: %v, %q, %q", err, stdout, stderr)
	}
	return aws.Credentials{AccessKeyID: m[1], SecretAccessKey: m[2]}
}

// wantDenied fails t unless err is AWS's refusal of action on resource to principal.
func wantDenied(t *testing.T, what string, err error, principal, action, resource string) {
	t.Helper()
	e, ok := asAPIError(err)
	want := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", principal, action, resource)
	if !ok || e.ErrorCode() != "AccessDeniedException" {
		t.Errorf("%s: %v, want AccessDeniedException: %s", what, err, want)
		return
	}
	message := e.ErrorMessage()
	if modelled, ok := errors.AsType[*types.AccessDeniedException](err); ok {
		message = aws.ToString(modelled.ExceptionMessage)
	}
	if !strings.HasPrefix(message, want) {
		t.Errorf("%s: %q, want %q", what, message, want)
	}
}

// owners may do everything to what carries their name, and make more of it.
const owners = `{"Version":"2012-10-17","Statement":[
 {"Sid":"Own","Effect":"Allow","Action":"ivs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}}},
 {"Sid":"Make","Effect":"Allow","Action":["ivs:CreateChannel","ivs:TagResource"],"Resource":"*","Condition":{
   "StringEquals":{"aws:RequestTag/Owner":"${aws:username}"},"Null":{"aws:ResourceTag/Owner":"true"}}},
 {"Sid":"Keep","Effect":"Deny","Action":"ivs:UntagResource","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"Owner"}}}]}`

func TestPolicies(t *testing.T) {
	t.Parallel()
	dir, put := policyDir(t, map[string]string{
		"policies/owners.json": owners,
		"users/ann.json":       `{"policies":["owners"]}`,
	})
	srv := servertest.Start(t, func(c *config.Config) { c.PolicyDir = dir })
	ctx := t.Context()
	const ann = "arn:aws:iam::123456789012:user/ann"
	c := client(srv.Base, srv.Region, keyOf(t, srv, "ann"))
	channels := "arn:aws:ivs:us-west-2:123456789012:channel/*"
	other := *srv.NewChannel(t).Arn

	_, err := c.ListChannels(ctx, &ivs.ListChannelsInput{})
	wantDenied(t, "a list", err, ann, "ivs:ListChannels", channels)
	_, err = c.GetChannel(ctx, &ivs.GetChannelInput{Arn: &other})
	wantDenied(t, "another's channel", err, ann, "ivs:GetChannel", other)
	_, err = c.CreateChannel(ctx, &ivs.CreateChannelInput{})
	wantDenied(t, "a channel without owner", err, ann, "ivs:CreateChannel", channels)
	_, err = c.CreateChannel(ctx, &ivs.CreateChannelInput{Tags: map[string]string{"Owner": "bob"}})
	wantDenied(t, "a channel of another owner", err, ann, "ivs:CreateChannel", channels)
	_, err = c.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: &other, Tags: map[string]string{"owner": "ann"}})
	if err != nil {
		t.Errorf("a channel that nobody owns: %v", err)
	}
	out, err := c.CreateChannel(ctx, &ivs.CreateChannelInput{Tags: map[string]string{"Owner": "ann"}})
	if err != nil {
		t.Fatalf("an own channel: %v", err)
	}
	own := *out.Channel.Arn
	_, err = c.UntagResource(ctx, &ivs.UntagResourceInput{ResourceArn: &own, TagKeys: []string{"Owner"}})
	wantDenied(t, "the owner's tag", err, ann, "ivs:UntagResource", own+" with an explicit deny in an identity-based policy")
	_, err = c.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: &own})
	wantDenied(t, "a channel whose key is not owned", err, ann, "ivs:DeleteChannel", *out.StreamKey.Arn)

	bobs := *srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Tags = map[string]string{"Owner": "bob"} }).Arn
	batch, err := c.BatchGetChannel(ctx, &ivs.BatchGetChannelInput{Arns: []string{own, bobs}})
	if err != nil || len(batch.Channels) != 1 || *batch.Channels[0].Arn != own || len(batch.Errors) != 1 ||
		*batch.Errors[0].Arn != bobs || *batch.Errors[0].Code != "AccessDeniedException" {
		t.Errorf("a batch: %+v, %v", batch, err)
	}

	// What the files say holds without a restart, as long as it is good.
	put("users/ann.json", `{"policies":["IVSReadOnlyAccess"]}`)
	servertest.Eventually(t, "a new policy allows the list", func() bool {
		_, err := c.ListChannels(ctx, &ivs.ListChannelsInput{})
		return err == nil
	})
	put("users/ann.json", `{"policies":["IVSReadOnlyAcces`)
	put("users/bob.json", `{}`)
	servertest.Eventually(t, "the metrics tell of the broken file", func() bool {
		_, _, body := servertest.Get(t, srv.Base+"/metrics")
		return strings.Contains(string(body), "\nsluice_policy_files_invalid 1\n")
	})
	if _, err := c.ListChannels(ctx, &ivs.ListChannelsInput{}); err != nil {
		t.Errorf("a broken file took effect: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "users/ann.json")); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "a user without a file may nothing", func() bool {
		_, err := c.ListChannels(ctx, &ivs.ListChannelsInput{})
		e, ok := asAPIError(err)
		return ok && e.ErrorCode() == "AccessDeniedException"
	})
}

func TestUsersCommand(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	must := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := run(t, append(args, "--data-dir", srv.Dir)...)
		if err != nil {
			t.Fatalf("%s: %v, %s", args, err, stderr)
		}
		return stdout
	}
	stdout, stderr, err := run(t, "keys", "create", "--user", "eve", "--data-dir", srv.Dir)
	if err != nil || !strings.Contains(stderr, "may do nothing yet") || !strings.Contains(stdout, "AKIA") {
		t.Errorf("a key without a policy: %v, %q, %q", err, stdout, stderr)
	}
	c := client(srv.Base, srv.Region, keyOf(t, srv, "dan", "--policy", "IVSReadOnlyAccess"))
	list := func() error {
		_, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
		return err
	}
	if err := list(); err != nil {
		t.Errorf("with a policy: %v", err)
	}
	if out := must("users", "list"); !strings.Contains(out, "user/dan") || !strings.Contains(out, "policy/IVSReadOnlyAccess") || !strings.Contains(out, "user/eve") {
		t.Errorf("users list printed %q", out)
	}
	must("users", "detach", "dan", "IVSReadOnlyAccess")
	servertest.Eventually(t, "a detached policy allows nothing", func() bool { return list() != nil })
	doc := filepath.Join(t.TempDir(), "lists.json")
	if err := os.WriteFile(doc, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ivs:List*","Resource":"*"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	must("users", "attach", "dan", doc)
	servertest.Eventually(t, "an inline policy allows", func() bool { return list() == nil })
	for _, args := range [][]string{
		{"users", "attach", "dan", "NoSuchPolicy"},
		{"users", "detach", "dan", "IVSFullAccess"},
		{"users", "detach", "nobody", "IVSFullAccess"},
		{"users", "delete", "nobody"},
		{"keys", "create", "--user", "a/b"},
		{"keys", "create", "--user", "x", "--policy", "arn:aws:s3:::b"},
	} {
		if _, _, err := run(t, append(args, "--data-dir", srv.Dir)...); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	must("users", "delete", "dan")
	servertest.Eventually(t, "a deleted user's key is refused", func() bool {
		e, ok := asAPIError(list())
		return ok && e.ErrorCode() == "UnrecognizedClientException"
	})
}
