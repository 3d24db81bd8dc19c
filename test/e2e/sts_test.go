package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

func stsClient(srv *servertest.Server, key aws.Credentials) *sts.Client {
	return sts.New(sts.Options{
		Region: srv.Region, BaseEndpoint: aws.String(srv.Base), Retryer: aws.NopRetryer{},
		Credentials: credentials.StaticCredentialsProvider{Value: key},
	})
}

// temporary is what a client does with the credentials of an answer.
func temporary(c *types.Credentials) aws.Credentials {
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

const (
	trustAccount = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}`
	assumeOps    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::123456789012:role/ops"}}`
)

func stsServer(t *testing.T) (*servertest.Server, func(path, content string)) {
	t.Helper()
	dir, put := policyDir(t, map[string]string{
		"users/ann.json": `{"inline":{"ops":` + assumeOps + `}}`,
		"users/bob.json": `{"policies":["IVSFullAccess"]}`,
		"roles/ops.json": `{"policies":["IVSReadOnlyAccess"],"trust":` + trustAccount + `,"maxSessionDuration":7200}`,
	})
	return servertest.Start(t, func(c *config.Config) { c.PolicyDir = dir }), put
}

func TestSTS(t *testing.T) {
	t.Parallel()
	srv, put := stsServer(t)
	ctx := t.Context()
	annKey := keyOf(t, srv, "ann")
	ann := stsClient(srv, annKey)
	id, err := ann.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *id.Arn != "arn:aws:iam::123456789012:user/ann" || *id.Account != "123456789012" || !strings.HasPrefix(*id.UserId, "AIDA") {
		t.Fatalf("GetCallerIdentity = %+v, %v", id, err)
	}
	lists := func(key aws.Credentials) error {
		_, err := client(srv.Base, srv.Region, key).ListChannels(ctx, &ivs.ListChannelsInput{})
		return err
	}
	if err := lists(annKey); err == nil {
		t.Error("ann may list by herself")
	}
	in := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/ops"), RoleSessionName: aws.String("ann-1")}
	out, err := ann.AssumeRole(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	const session = "arn:aws:sts::123456789012:assumed-role/ops/ann-1"
	if left := time.Until(*out.Credentials.Expiration); *out.AssumedRoleUser.Arn != session || left > time.Hour || left < 59*time.Minute {
		t.Errorf("assumed %s for %v", *out.AssumedRoleUser.Arn, left)
	}
	ops := temporary(out.Credentials)
	if err := lists(ops); err != nil {
		t.Errorf("as ops: %v", err)
	}
	id, err = stsClient(srv, ops).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *id.Arn != session || *id.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("as ops I am %+v, %v", id, err)
	}

	for name, try := range map[string]func() error{
		"1. more than the role may": func() error {
			_, err := client(srv.Base, srv.Region, ops).CreateChannel(ctx, &ivs.CreateChannelInput{})
			return err
		},
		"2. a session policy that widens": func() error {
			wide := *in
			wide.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
			out, err := ann.AssumeRole(ctx, &wide)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client(srv.Base, srv.Region, temporary(out.Credentials)).CreateChannel(ctx, &ivs.CreateChannelInput{})
			return err
		},
		"3. what a session policy forbids": func() error {
			narrow := *in
			narrow.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ivs:GetChannel","Resource":"*"}}`)
			out, err := ann.AssumeRole(ctx, &narrow)
			if err != nil {
				t.Fatal(err)
			}
			return lists(temporary(out.Credentials))
		},
		"4. the role, without a policy for it": func() error {
			_, err := stsClient(srv, keyOf(t, srv, "bob")).AssumeRole(ctx, in)
			return err
		},
		"5. another role": func() error {
			_, err := ann.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/admin"), RoleSessionName: in.RoleSessionName})
			return err
		},
		"6. the role by itself, for longer": func() error {
			_, err := stsClient(srv, ops).AssumeRole(ctx, in)
			return err
		},
		"7. a token for another key": func() error {
			other := annKey
			other.SessionToken = ops.SessionToken
			return lists(other)
		},
		"8. a temporary key without its token": func() error {
			bare := ops
			bare.SessionToken = ""
			return lists(bare)
		},
		"9. a changed token": func() error {
			changed := ops
			changed.SessionToken = "AQ" + strings.Repeat("A", len(ops.SessionToken)-2)
			return lists(changed)
		},
		"10. a longer session than the role's": func() error {
			long := *in
			long.DurationSeconds = aws.Int32(7201)
			_, err := ann.AssumeRole(ctx, &long)
			return err
		},
		"11. a session of a session": func() error {
			_, err := stsClient(srv, ops).GetSessionToken(ctx, &sts.GetSessionTokenInput{})
			return err
		},
		"12. an operation of ivs under a signature for sts": func() error {
			const body = "{}"
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.Base+"/ListChannels", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256([]byte(body))
			if err := v4.NewSigner().SignHTTP(ctx, annKey, req, hex.EncodeToString(sum[:]), "sts", srv.Region, time.Now()); err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			return errors.New(resp.Status)
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: it worked", name)
		}
	}

	// A presigned GetCallerIdentity proves who somebody is to a third party.
	pre, err := sts.NewPresignClient(stsClient(srv, ops)).PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := servertest.Get(t, pre.URL); status != http.StatusOK || !strings.Contains(string(body), session) {
		t.Errorf("presigned: %d %s", status, body)
	}

	// Errors come in the Query protocol's words.
	bad := annKey
	bad.SecretAccessKey += "x"
	for code, key := range map[string]aws.Credentials{"SignatureDoesNotMatch": bad, "InvalidClientTokenId": {AccessKeyID: "AKIANOSUCHKEY", SecretAccessKey: "x"}} {
		_, err := stsClient(srv, key).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if e, ok := asAPIError(err); !ok || e.ErrorCode() != code {
			t.Errorf("%v, want %s", err, code)
		}
	}

	// A session goes by what its role may now.
	put("roles/ops.json", `{"trust":`+trustAccount+`}`)
	servertest.Eventually(t, "the session loses what its role lost", func() bool { return lists(ops) != nil })
}

func TestSessionTokens(t *testing.T) {
	t.Parallel()
	srv, _ := stsServer(t)
	ctx := t.Context()
	key := keyOf(t, srv, "bob")
	out, err := stsClient(srv, key).GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	session := temporary(out.Credentials)
	create := func() error {
		_, err := client(srv.Base, srv.Region, session).CreateChannel(ctx, &ivs.CreateChannelInput{})
		return err
	}
	if err := create(); err != nil {
		t.Errorf("with a session token: %v", err)
	}
	id, err := stsClient(srv, session).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *id.Arn != "arn:aws:iam::123456789012:user/bob" {
		t.Errorf("a user's session is %+v, %v", id, err)
	}
	if _, stderr, err := run(t, "keys", "delete", key.AccessKeyID, "--data-dir", srv.Dir); err != nil {
		t.Fatalf("keys delete: %v, %s", err, stderr)
	}
	servertest.Eventually(t, "the session ends with its key", func() bool {
		e, ok := asAPIError(create())
		return ok && e.ErrorCode() == "UnrecognizedClientException"
	})
}

// The AWS CLI assumes a role by its own configuration, as people use it.
func TestSTSByCLI(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skipf("no AWS CLI here: %v", err)
	}
	srv, _ := stsServer(t)
	key := keyOf(t, srv, "ann")
	cfg := filepath.Join(t.TempDir(), "config")
	text := "[profile ann]\naws_access_key_id = " + key.AccessKeyID + "\naws_secret_access_key = " + key.SecretAccessKey +
		"\n[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/ops\nsource_profile = ann\nrole_session_name = cli\n"
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(out any, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"--output", "json"}, args...)...)
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "AWS_") }),
			"AWS_CONFIG_FILE="+cfg, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_ENDPOINT_URL="+srv.Base, "AWS_DEFAULT_REGION="+srv.Region,
			"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "NO_PROXY=127.0.0.1", "HOME="+t.TempDir())
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); err != nil {
			t.Fatalf("aws %s: %v: %s", strings.Join(args, " "), err, e.String())
		}
		if err := json.Unmarshal(o.Bytes(), out); err != nil {
			t.Fatalf("aws %s printed %q: %v", strings.Join(args, " "), o.String(), err)
		}
	}
	var id struct{ Arn, Account string }
	must(&id, "sts", "get-caller-identity", "--profile", "ann")
	if id.Arn != "arn:aws:iam::123456789012:user/ann" || id.Account != "123456789012" {
		t.Errorf("ann is %+v", id)
	}
	must(&id, "sts", "get-caller-identity", "--profile", "ops")
	if id.Arn != "arn:aws:sts::123456789012:assumed-role/ops/cli" {
		t.Errorf("ops is %+v", id)
	}
	var list struct{ Channels []any }
	must(&list, "ivs", "list-channels", "--profile", "ops")
	var session struct {
		Credentials struct{ AccessKeyID, SessionToken string }
	}
	must(&session, "sts", "get-session-token", "--profile", "ann", "--duration-seconds", "900")
	if !strings.HasPrefix(session.Credentials.AccessKeyID, "ASIA") || session.Credentials.SessionToken == "" {
		t.Error("get-session-token gives no temporary key")
	}
}
