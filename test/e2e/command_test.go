package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/servertest"
)

func TestReadyFile(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir, "--account", "210987654321", "--region", "eu-central-1")
	info, err := os.Stat(srv.readyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ready file: %v, %v, want mode 0600: it has a secret", info, err)
	}
	b, err := os.ReadFile(srv.readyFile)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	want := []string{"accessKeyId", "account", "chat", "http", "pid", "region", "rtmp", "rtmps", "secretAccessKey", "srt", "webrtc"}
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("ready file has %v, want %v", keys, want)
	}
	if got["account"] != "210987654321" || got["region"] != "eu-central-1" || got["pid"] != float64(srv.cmd.Process.Pid) {
		t.Errorf("ready file says account %v, region %v, pid %v", got["account"], got["region"], got["pid"])
	}
	for _, name := range []string{"http", "rtmp", "rtmps", "srt", "webrtc"} {
		if addr, _ := got[name].(string); !regexp.MustCompile(`^127\.0\.0\.1:[1-9][0-9]*$`).MatchString(addr) {
			t.Errorf("ready file says %s %q, want the real port", name, addr)
		}
	}
	if status, _, _ := servertest.Get(t, srv.Base+"/readyz"); status != 200 {
		t.Errorf("/readyz answers %d when the ready file is there", status)
	}

	ch, err := srv.IVS().CreateChannel(t.Context(), &ivs.CreateChannelInput{})
	if err != nil || !strings.HasPrefix(*ch.Channel.Arn, "arn:aws:ivs:eu-central-1:210987654321:channel/") {
		t.Errorf("a channel by the key of the ready file: %+v, %v", ch, err)
	}
	// The first start's credentials are in a file that the AWS tools read, and the
	// second start keeps them.
	file := filepath.Join(dir, "credentials")
	creds, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(creds), "aws_access_key_id = "+srv.AccessKeyID+"\n") {
		t.Errorf("credentials file: %v, want it to name %s", err, srv.AccessKeyID)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials file: %v, %v, want mode 0600", info, err)
	}
	first := admin(&srv.Server)
	if err := srv.terminate(); err != nil {
		t.Fatal(err)
	}
	if again := serve(t, dir, "--account", "210987654321"); admin(&again.Server) != first {
		t.Errorf("the second start has another administrator key, %s after %s", again.AccessKeyID, first.AccessKeyID)
	}
}

func TestDataDirHasOneServer(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)
	_, stderr, err := run(t, "serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--rtmp", "", "--rtmps", "", "--srt", "", "--webrtc", "")
	if err == nil || !strings.Contains(stderr, "in use by another sluice") {
		t.Errorf("a second server on the same data directory: %v, %q, want it refused", err, stderr)
	}
	if _, err := srv.IVS().ListChannels(t.Context(), &ivs.ListChannelsInput{}); err != nil {
		t.Errorf("and the first one: %v", err)
	}
}

func TestKeysCommand(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)
	stdout, stderr, err := run(t, "keys", "create", "--user", "robot", "--policy", "IVSReadOnlyAccess", "--data-dir", dir)
	m := regexp.MustCompile(`^AWS_ACCESS_KEY_ID=(AKIA[A-Z0-9]{16})\nAWS_SECRET_ACCESS_KEY=(\S{40})\n$`).FindStringSubmatch(stdout)
	if err != nil || m == nil {
		t.Fatalf("keys create: %v, %q, %q", err, stdout, stderr)
	}
	key := aws.Credentials{AccessKeyID: m[1], SecretAccessKey: m[2]}
	c := client(srv.Base, srv.Region, key)
	if _, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{}); err != nil {
		t.Errorf("with the new key, without a restart: %v", err)
	}

	list := func() string {
		t.Helper()
		out, stderr, err := run(t, "keys", "list", "--data-dir", dir)
		if err != nil || strings.Contains(out, key.SecretAccessKey) || strings.Contains(out, srv.SecretAccessKey) {
			t.Errorf("keys list: %v, %q, secrets shown or an error", err, stderr)
		}
		return out
	}
	if out := list(); !strings.Contains(out, key.AccessKeyID) || !strings.Contains(out, "user/robot") || !strings.Contains(out, srv.AccessKeyID) {
		t.Errorf("keys list printed %q, want both keys", out)
	}
	if _, stderr, err := run(t, "keys", "delete", key.AccessKeyID, "--data-dir", dir); err != nil {
		t.Fatalf("keys delete: %v, %q", err, stderr)
	}
	if out := list(); strings.Contains(out, key.AccessKeyID) || !strings.Contains(out, srv.AccessKeyID) {
		t.Errorf("keys list after the delete printed %q", out)
	}
	servertest.Eventually(t, "the deleted key is refused", func() bool {
		_, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
		e, ok := asAPIError(err)
		return ok && e.ErrorCode() == "UnrecognizedClientException"
	})
	if _, stderr, err := run(t, "keys", "delete", key.AccessKeyID, "--data-dir", dir); err == nil || !strings.Contains(stderr, "not found") {
		t.Errorf("keys delete again: %v, %q, want an error", err, stderr)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	for name, tt := range map[string]struct {
		args   []string
		stdout string // regular expression
		stderr string // part of it; "" means success
	}{
		"version":                {[]string{"version"}, `^sluice \S+\n$`, ""},
		"help":                   {[]string{"--help"}, `(?s)serve.*config.*keys.*migrate.*version`, ""},
		"no command is help":     {nil, `(?s)serve.*migrate`, ""},
		"migrate a new database": {[]string{"migrate", "--data-dir", filepath.Join(dir, "new")}, `^schema version ([0-9]+) of ([0-9]+)\n$`, ""},
		"config, defaults":       {[]string{"config"}, `(?m)^rtmp: "?:1935"?$`, ""},
		"config, a flag":         {[]string{"config", "--hls-part", "100ms"}, `(?m)^hls-part: "?100ms"?$`, ""},
		"config, bad value":      {[]string{"config", "--hls-part", "1h"}, `^$`, "hls-part"},
		"an unknown flag":        {[]string{"serve", "--sparkle"}, ``, "--sparkle"},
		"an unknown command":     {[]string{"shine"}, ``, "shine"},
		"a taken port":           {[]string{"serve", "--data-dir", filepath.Join(dir, "port"), "--http", "256.0.0.1:1"}, `^$`, "256.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := run(t, tt.args...)
			if (err == nil) != (tt.stderr == "") || !strings.Contains(stderr, tt.stderr) || !regexp.MustCompile(tt.stdout).MatchString(stdout) {
				t.Errorf("sluice %s: %v\nstdout %q, want %s\nstderr %q, want %q", strings.Join(tt.args, " "), err, stdout, tt.stdout, stderr, tt.stderr)
			}
		})
	}
	t.Run("an unknown environment key fails", func(t *testing.T) {
		cmd := sluice(t.Context(), t, "config")
		cmd.Env = append(cmd.Env, "SLUICE_SPARKLE=1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "SLUICE_SPARKLE") {
			t.Errorf("sluice config: %v, %q, want it to name the key", err, out)
		}
	})
	t.Run("migrate says the same twice", func(t *testing.T) {
		args := []string{"migrate", "--data-dir", filepath.Join(dir, "twice")}
		first, _, err := run(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := run(t, args...); err != nil || again != first {
			t.Errorf("migrate again: %v, %q after %q", err, again, first)
		}
	})
}
