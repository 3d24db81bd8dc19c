package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// atOnce makes n calls in parallel and returns how many succeeded, and the other errors.
func atOnce(n int, call func() error) (passed int, failed []error) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex // guards the results
	)
	for range n {
		wg.Go(func() {
			err := call()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				passed++
			} else {
				failed = append(failed, err)
			}
		})
	}
	wg.Wait()
	return passed, failed
}

func quotas(name string) func(*config.Config) {
	return func(c *config.Config) { c.Quotas = name }
}

func TestThrottlingAsOnAWS(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t, quotas("aws"))
	c := srv.IVS()

	// The model of CreateChannel has no ThrottlingException, so it is a common error.
	passed, failed := atOnce(40, func() error {
		_, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
		return err
	})
	if passed < 5 || len(failed) == 0 {
		t.Fatalf("%d of 40 calls pass, want the 5 of a second and what a slow machine lets in after that", passed)
	}
	for _, err := range failed {
		e, ok := asAPIError(err)
		if !ok || e.ErrorCode() != "ThrottlingException" || !strings.Contains(e.ErrorMessage(), "5 CreateChannel requests a second") {
			t.Fatalf("a call too many: %v", err)
		}
		if status, _ := wireOf(t, err); status != http.StatusBadRequest {
			t.Fatalf("a call too many answers %d, want 400", status)
		}
	}
	list, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(list.Channels) != passed {
		t.Errorf("%d channels, %v, want one of each of the %d calls that passed", len(list.Channels), err, passed)
	}

	// That of this one has, so the SDK gives the error its type.
	_, failed = atOnce(20, func() error {
		_, err := c.BatchStartViewerSessionRevocation(t.Context(), &ivs.BatchStartViewerSessionRevocationInput{
			ViewerSessions: []types.BatchStartViewerSessionRevocationViewerSession{{ChannelArn: list.Channels[0].Arn, ViewerId: aws.String("v")}},
		})
		return err
	})
	if len(failed) == 0 {
		t.Fatal("20 calls at once pass a limit of 2 a second")
	}
	wantErr[*types.ThrottlingException](t, "a call too many", failed[0], http.StatusTooManyRequests)
}

func TestDefaultProfileDoesNotThrottle(t *testing.T) {
	t.Parallel()
	c := servertest.Start(t).IVS()
	if _, failed := atOnce(40, func() error {
		_, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
		return err
	}); len(failed) != 0 {
		t.Errorf("%d of 40 calls fail: %v", len(failed), failed[0])
	}
	for range 25 { // AWS allows 20
		if _, err := c.CreateRecordingConfiguration(t.Context(), &ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String("bucket")}},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuotasOfAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "quotas.yaml")
	if err := os.WriteFile(file, []byte("ivs:\n  channels: 3\n  concurrent-streams: 1\n  tags-per-resource: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := servertest.Start(t, quotas(file))
	c := srv.IVS()
	first, second := srv.NewChannel(t), srv.NewChannel(t)

	// Nobody can take a place that another call has taken in the same moment.
	passed, failed := atOnce(10, func() error {
		_, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{})
		return err
	})
	if passed != 1 {
		t.Fatalf("%d of 10 calls found the one place that was left", passed)
	}
	for _, err := range failed {
		wantErr[*types.ServiceQuotaExceededException](t, "a channel too many", err, http.StatusPaymentRequired)
		if e, ok := errors.AsType[*types.ServiceQuotaExceededException](err); ok && !strings.Contains(aws.ToString(e.ExceptionMessage), "limit of 3 channel") {
			t.Errorf("a channel too many: %q, want it to say which limit", aws.ToString(e.ExceptionMessage))
		}
	}
	list, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
	if err != nil || len(list.Channels) != 3 {
		t.Fatalf("%d channels, %v, want 3", len(list.Channels), err)
	}
	_, err = c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: first.Arn, Tags: map[string]string{"a": "1", "b": "2"}})
	wantErr[*types.ValidationException](t, "a tag too many", err, http.StatusBadRequest)

	// An account and region of its own has places of its own.
	elsewhere := client(srv.Base, "eu-west-1", admin(srv))
	if _, err := elsewhere.CreateChannel(t.Context(), &ivs.CreateChannelInput{}); err != nil {
		t.Errorf("in another region: %v", err)
	}

	enc := broadcast(t, srv.RTMPURL(first))
	srv.WaitLive(t, first)
	if s := refused(t, srv.RTMPURL(second)); !strings.Contains(s.Error(), "Concurrent Broadcasts") {
		t.Errorf("an encoder too many is refused with %v", s)
	}
	enc.finish()
	servertest.Eventually(t, "the second encoder may come", func() bool {
		conn, err := dial(t, srv.RTMPURL(second))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	// And a place that is given back can be taken.
	if _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: firstOther(list.Channels, first, second)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateChannel(t.Context(), &ivs.CreateChannelInput{}); err != nil {
		t.Errorf("after a channel is deleted: %v", err)
	}
}

// firstOther is the ARN of a channel that is none of these.
func firstOther(all []types.ChannelSummary, these ...servertest.Channel) *string {
	i := slices.IndexFunc(all, func(s types.ChannelSummary) bool {
		return !slices.ContainsFunc(these, func(c servertest.Channel) bool { return *c.Arn == *s.Arn })
	})
	return all[i].Arn
}

func TestQuotasCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "quotas.yaml")
	stdout, stderr, err := run(t, "quotas", "--quotas", "aws")
	if err != nil || !strings.Contains(stdout, "    CreateChannel: 5\n") || !strings.Contains(stdout, "  channels: 5000\n") {
		t.Fatalf("quotas: %v, %q, %q", err, stdout, stderr)
	}
	if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, stderr, err := run(t, "quotas", "--quotas", file); err != nil || again != stdout {
		t.Errorf("what quotas prints is read back as something else: %v, %q", err, stderr)
	}
	if err := os.WriteFile(file, []byte("ivs: {channles: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"quotas"}, {"serve", "--data-dir", dataDir(t)}} {
		if _, stderr, err := run(t, append(args, "--quotas", file)...); err == nil || !strings.Contains(stderr, "channles") {
			t.Errorf("%s with an unknown key: %v, %q", args[0], err, stderr)
		}
	}
}

// A record is what these tests read of an audit record.
type record struct {
	EventTime         string
	EventSource       string
	EventName         string
	AwsRegion         string
	SourceIPAddress   string
	UserAgent         string
	ErrorCode         string
	ErrorMessage      string
	ReadOnly          bool
	RequestID         string
	RequestParameters map[string]any
	ResponseElements  map[string]any
	UserIdentity      struct{ Type, Arn, AccountID, AccessKeyID, UserName, PrincipalID string }
}

// audit runs `sluice audit --json` and returns the records, newest first.
func audit(t testing.TB, dir string, args ...string) (all []record, text string) {
	t.Helper()
	stdout, stderr, err := run(t, append([]string{"audit", "--data-dir", dir, "--json", "--limit", "0"}, args...)...)
	if err != nil || stderr != "" {
		t.Fatalf("audit %q: %v, %q", args, err, stderr)
	}
	for line := range strings.Lines(stdout) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		all = append(all, r)
	}
	return all, stdout
}

func TestAuditTellsWhoDidWhat(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ctx := t.Context()
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Name, in.InsecureIngest = aws.String("lobby"), false })
	keys, err := c.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: keys.StreamKeys[0].Arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: aws.String(absentChannel)})
	wantErr[*types.ResourceNotFoundException](t, "DeleteChannel", err, http.StatusNotFound)
	send(t, call{path: "/DeleteChannel", body: []byte(`{"arn":"` + *ch.Arn + `"}`)}.request(t, srv))
	wrong := admin(srv)
	wrong.SecretAccessKey = "wrong-wrong-wrong-wrong"
	send(t, call{path: "/CreateChannel", body: []byte(`{}`)}.sign(t, srv, wrong))
	send(t, call{method: "GET", path: "/wp-login.php"}.request(t, srv))
	sts := send(t, call{method: "GET", path: "/", query: "Action=GetSessionToken&Version=2011-06-15", service: "sts"}.sign(t, srv, admin(srv)))
	secret := regexp.MustCompile(`<SecretAccessKey>(.+)</SecretAccessKey>`).FindSubmatch(sts.body)
	token := regexp.MustCompile(`<SessionToken>(.+)</SessionToken>`).FindSubmatch(sts.body)
	if secret == nil || token == nil {
		t.Fatalf("GetSessionToken answers %d %s", sts.status, sts.body)
	}

	// What is not written before the answer is there a moment later.
	var (
		all  []record
		text string
	)
	want := []string{"GetSessionToken", "CreateChannel", "DeleteChannel", "DeleteChannel", "GetStreamKey", "ListStreamKeys", "CreateChannel"}
	servertest.Eventually(t, "all records are there", func() bool {
		all, text = audit(t, srv.Dir)
		return len(all) >= len(want)
	})
	var events []string
	for _, r := range all {
		events = append(events, r.EventName)
		if r.RequestID == "" || r.SourceIPAddress != "127.0.0.1" || r.UserAgent == "" || r.EventTime == "" {
			t.Errorf("a record without its circumstances: %+v", r)
		}
	}
	slices.Sort(events)
	slices.Sort(want)
	if !slices.Equal(events, want) {
		t.Fatalf("records of %q, want %q", events, want)
	}
	for what, secret := range map[string]string{
		"the stream key": ch.Key, "the SRT passphrase": aws.ToString(ch.Srt.Passphrase), "the secret key": srv.SecretAccessKey,
		"a session's secret key": string(secret[1]), "a session's token": string(token[1]),
	} {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the log tells %s", what)
		}
	}

	one := func(args ...string) record {
		t.Helper()
		list, _ := audit(t, srv.Dir, args...)
		if len(list) != 1 {
			t.Fatalf("audit %q finds %d records, want one: %+v", args, len(list), list)
		}
		return list[0]
	}
	created := one("--event", "CreateChannel", "--user", "administrator")
	u := created.UserIdentity
	if u.Type != "IAMUser" || u.Arn != "arn:aws:iam::123456789012:user/administrator" || u.AccountID != "123456789012" ||
		u.AccessKeyID != srv.AccessKeyID || !strings.HasPrefix(u.PrincipalID, "AIDA") {
		t.Errorf("CreateChannel was by %+v", u)
	}
	if created.EventSource != "ivs.amazonaws.com" || created.AwsRegion != srv.Region || created.ReadOnly || created.ErrorCode != "" ||
		created.RequestParameters["name"] != "lobby" || !strings.Contains(created.UserAgent, "aws-sdk-go-v2") {
		t.Errorf("CreateChannel is told as %+v", created)
	}
	key, _ := created.ResponseElements["streamKey"].(map[string]any)
	if made, _ := created.ResponseElements["channel"].(map[string]any); made["arn"] != *ch.Arn || key["value"] != "HIDDEN_DUE_TO_SECURITY_REASONS" || key["arn"] != *keys.StreamKeys[0].Arn {
		t.Errorf("CreateChannel answered %+v", created.ResponseElements)
	}
	if r := one("--event", "GetStreamKey"); !r.ReadOnly || r.ResponseElements != nil || r.RequestParameters["arn"] != *keys.StreamKeys[0].Arn {
		t.Errorf("GetStreamKey is told as %+v", r)
	}
	if r := one("--resource", absentChannel); r.ErrorCode != "ResourceNotFoundException" || r.ErrorMessage == "" || r.EventName != "DeleteChannel" {
		t.Errorf("a failed DeleteChannel is told as %+v", r)
	}
	if r := one("--error", "MissingAuthenticationTokenException"); r.UserIdentity.Type != "Unknown" || r.EventName != "DeleteChannel" || r.RequestParameters != nil {
		t.Errorf("an unsigned DeleteChannel is told as %+v", r)
	}
	if r := one("--error", "InvalidSignatureException"); r.UserIdentity.Type != "Unknown" || r.UserIdentity.AccessKeyID != srv.AccessKeyID || r.UserIdentity.Arn != "" {
		t.Errorf("a badly signed CreateChannel is told as %+v", r)
	}
	if r := one("--event", "GetSessionToken"); r.EventSource != "sts.amazonaws.com" {
		t.Errorf("GetSessionToken is told as %+v", r)
	}
	if list, _ := audit(t, srv.Dir, "--error", "any"); len(list) != 3 {
		t.Errorf("%d failed calls, want 3", len(list))
	}
	if list, _ := audit(t, srv.Dir, "--since", "1h", "--until", "2026-01-01"); len(list) != 0 {
		t.Errorf("%d calls in a span that ends before it begins", len(list))
	}

	stdout, _, err := run(t, "audit", "--data-dir", srv.Dir, "--limit", "1", "--event", "GetStreamKey")
	if err != nil || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, *keys.StreamKeys[0].Arn) || !strings.Contains(stdout, "administrator") {
		t.Errorf("as a table: %v, %q", err, stdout)
	}
	if _, stderr, err := run(t, "audit", "--data-dir", srv.Dir, "--since", "yesterday"); err == nil || !strings.Contains(stderr, `"yesterday" is no time`) {
		t.Errorf("a bad --since: %v, %q", err, stderr)
	}
}

func TestAuditCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t, func(c *config.Config) { c.Audit = "off" })
	srv.NewChannel(t)
	if _, err := os.Stat(filepath.Join(srv.Dir, "audit")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is off, and there: %v", err)
	}
	if _, stderr, err := run(t, "audit", "--data-dir", srv.Dir, "--audit", "off"); err == nil || !strings.Contains(stderr, "off") {
		t.Errorf("sluice audit: %v, %q, want it to say that there is no log", err, stderr)
	}
}

// kill -9 at any instant leaves a record of every write that was acknowledged.
func TestAuditSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir, "--audit-max-size", "64KiB", "--audit-max-files", "1000")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards arns
		arns []string
		acks atomic.Int64
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 8 {
		wg.Go(func() {
			c := srv.IVS()
			for {
				out, err := c.CreateChannel(ctx, &ivs.CreateChannelInput{})
				if err != nil {
					return // the server is dead
				}
				mu.Lock()
				arns = append(arns, *out.Channel.Arn)
				mu.Unlock()
				acks.Add(1)
			}
		})
	}
	servertest.Eventually(t, "writes are acknowledged", func() bool { return acks.Load() >= 300 })
	srv.kill(t)
	wg.Wait()

	all, text := audit(t, dir, "--event", "CreateChannel")
	for _, arn := range arns {
		if !strings.Contains(text, `"`+arn+`"`) {
			t.Errorf("%s was acknowledged, and no record tells of it", arn)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit", "calls-*.jsonl"))
	if err != nil || len(files) < 2 {
		t.Errorf("files %v, %v, want the log to have gone on in a second one", files, err)
	}
	t.Logf("%d writes acknowledged, %d records in %d files", len(arns), len(all), len(files))

	// The next start goes on where this one ended.
	again := serve(t, dir)
	ch := again.NewChannel(t)
	if _, text := audit(t, dir, "--resource", *ch.Arn); strings.Count(text, "\n") != 1 {
		t.Errorf("after the next start the log has %q of a new channel", text)
	}
}
