package config

import (
	"bytes"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

var equate = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()}

// file writes a configuration file and returns its name.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoadOrder(t *testing.T) {
	f := file(t, "http: 127.0.0.1:1\nrtmp: \"\"\nhls-part: 100ms\n")
	other := file(t, "http: 127.0.0.1:9\n")
	for name, tt := range map[string]struct {
		args, env []string
		want      func(*Config)
	}{
		"nothing gives the defaults":     {want: func(*Config) {}},
		"the file over the defaults":     {args: []string{"--config", f}, want: func(c *Config) { c.HTTP, c.RTMP, c.HLSPart = "127.0.0.1:1", "", 100*time.Millisecond }},
		"the file by environment":        {env: []string{"SLUICE_CONFIG=" + f}, want: func(c *Config) { c.HTTP, c.RTMP, c.HLSPart = "127.0.0.1:1", "", 100*time.Millisecond }},
		"--config over SLUICE_CONFIG":    {args: []string{"--config=" + other}, env: []string{"SLUICE_CONFIG=" + f}, want: func(c *Config) { c.HTTP = "127.0.0.1:9" }},
		"the environment over the file":  {args: []string{"--config", other}, env: []string{"SLUICE_HTTP=127.0.0.1:2"}, want: func(c *Config) { c.HTTP = "127.0.0.1:2" }},
		"flags over the environment":     {args: []string{"--http=127.0.0.1:3"}, env: []string{"SLUICE_HTTP=127.0.0.1:2"}, want: func(c *Config) { c.HTTP = "127.0.0.1:3" }},
		"--config may come last":         {args: []string{"--rtmps", "", "--config", other}, want: func(c *Config) { c.HTTP, c.RTMPS = "127.0.0.1:9", "" }},
		"an empty variable is a value":   {env: []string{"SLUICE_RTMP="}, want: func(c *Config) { c.RTMP = "" }},
		"a bool needs no value":          {args: []string{"--demo"}, want: func(c *Config) { c.Demo = true }},
		"a bool can be turned off again": {args: []string{"--demo=false"}, env: []string{"SLUICE_DEMO=true"}, want: func(*Config) {}},
		"variables that are not ours":    {env: []string{"HOME=/root", "SLUICE=x", "sluice_http=:1", "broken"}, want: func(*Config) {}},
		"variables that are not keys":    {env: []string{"SLUICE_ACCESS_KEY_ID=a", "SLUICE_SECRET_ACCESS_KEY=b", "SLUICE_TEST_REQUIRE_S3=1"}, want: func(*Config) {}},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := Default()
			if err != nil {
				t.Fatal(err)
			}
			tt.want(&want)
			got, err := Load(tt.args, tt.env)
			if err != nil {
				t.Fatalf("Load(%q, %q): %v", tt.args, tt.env, err)
			}
			if d := cmp.Diff(want, got, equate); d != "" {
				t.Errorf("Load(%q, %q): -want +got\n%s", tt.args, tt.env, d)
			}
		})
	}
}

// Each error names the key, the value or the place, and the rule.
func TestLoadRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		env  []string
		file string
		want []string // parts of the error
	}{
		"an unknown flag":                {args: []string{"--hls", ":9000"}, want: []string{"--hls"}},
		"an argument":                    {args: []string{"serve"}, want: []string{"serve"}},
		"an unknown variable":            {env: []string{"SLUICE_TRS=:9000", "SLUICE_HTPT=:1"}, want: []string{"SLUICE_HTPT, SLUICE_TRS"}},
		"an unknown key":                 {file: "http: :1\nhttps: :9000\n", want: []string{"line 2", `unknown key "https"`}},
		"a nested key":                   {file: "hls: {part: 1s}\n", want: []string{"line 1", `unknown key "hls"`}},
		"the flag of the file in it":     {file: "config: x\n", want: []string{`unknown key "config"`}},
		"a key twice":                    {file: "http: :1\nhttp: :2\n", want: []string{"already defined"}},
		"a key without value":            {file: "rtmp:\n", want: []string{"rtmp", "no value"}},
		"a mapping for a value":          {file: "roles: {a: b}\n", want: []string{"roles", "plain value"}},
		"a list in a list":               {file: "roles: [[media]]\n", want: []string{"roles", "plain values"}},
		"a file that is no mapping":      {file: "- http\n", want: []string{"sluice.yaml"}},
		"a file that is not there":       {args: []string{"--config", "/nonexistent/x.yaml"}, want: []string{"/nonexistent/x.yaml"}},
		"a huge file":                    {file: strings.Repeat("# \n", maxFileBytes/3+1), want: []string{"larger than"}},
		"a bad duration, told where":     {file: "\nhls-part: fast\n", want: []string{"--hls-part", "sluice.yaml:2", "fast"}},
		"a bad variable, told which":     {env: []string{"SLUICE_MAX_PUBLISHERS=many"}, want: []string{"--max-publishers", "SLUICE_MAX_PUBLISHERS", "many"}},
		"no data directory":              {args: []string{"--data-dir="}, want: []string{"data-dir", `""`}},
		"no HTTP":                        {args: []string{"--http="}, want: []string{"http", "host:port"}},
		"a port without colon":           {args: []string{"--http=8080"}, want: []string{"http", `"8080"`, "host:port"}},
		"a port too high":                {args: []string{"--rtmp=:70000"}, want: []string{"rtmp", `":70000"`}},
		"a port by name":                 {args: []string{"--rtmps=:https"}, want: []string{"rtmps", `":https"`}},
		"half a certificate":             {args: []string{"--tls-key=k.pem"}, want: []string{"tls-cert", "both or neither"}},
		"a public URL without scheme":    {args: []string{"--public-url=example.com"}, want: []string{"public-url", `"example.com"`, "http(s)://"}},
		"a public URL with a query":      {args: []string{"--public-url=http://example.com?x"}, want: []string{"public-url"}},
		"an RTMP URL that is RTMPS":      {args: []string{"--rtmp-url=rtmps://h/app"}, want: []string{"rtmp-url", "rtmp://host[:port]/app"}},
		"an RTMPS URL with a key":        {args: []string{"--rtmps-url=rtmps://h/app/hunter2"}, want: []string{"rtmps-url", "rtmps://host[:port]/app"}},
		"a country's header that is two": {args: []string{"--country-header=a b", "--trusted-proxies=::1"}, want: []string{"country-header", `"a b"`}},
		"a country from just anybody":    {args: []string{"--country-header=CF-IPCountry"}, want: []string{"country-header", "trusted-proxies"}},
		"an account of 11 digits":        {args: []string{"--account=12345678901"}, want: []string{"account", `"12345678901"`, "12 digits"}},
		"a region in upper case":         {args: []string{"--region=US-WEST"}, want: []string{"region", `"US-WEST"`}},
		"a store that is not Postgres":   {args: []string{"--store=mysql://h/x"}, want: []string{"store", "mysql://h/x", "postgres://"}},
		"a bus that is not NATS":         {args: []string{"--bus=nats://a,http://b"}, want: []string{"bus", "nats://"}},
		"an empty place in the bus":      {args: []string{"--bus=nats://a,,b"}, want: []string{"bus"}},
		"a blob that is not S3":          {args: []string{"--blob=gs://b"}, want: []string{"blob", "gs://b"}},
		"no quotas":                      {args: []string{"--quotas="}, want: []string{"quotas", "self-hosted, aws or a file"}},
		"no audit, not even off":         {args: []string{"--audit="}, want: []string{"audit", "on, off or a directory"}},
		"an audit file too small":        {args: []string{"--audit-max-size=65535"}, want: []string{"audit-max-size", "65535", "64KiB to 16GiB"}},
		"an audit size of no unit":       {args: []string{"--audit-max-size=10MB"}, want: []string{"audit-max-size", "10MB", "KiB"}},
		"one audit file":                 {args: []string{"--audit-max-files=1"}, want: []string{"audit-max-files", "2 to"}},
		"a role that is not there yet":   {args: []string{"--roles=control,chat"}, want: []string{"roles", `"chat"`, "control, media, edge"}},
		"all next to another role":       {args: []string{"--roles=all,media"}, want: []string{"roles", `"all"`}},
		"no role":                        {args: []string{"--roles="}, want: []string{"roles"}},
		"a node name with a dot":         {args: []string{"--node=a.b"}, want: []string{"node", `"a.b"`}},
		"limits nobody knows":            {args: []string{"--ingest-limits=aws"}, want: []string{"ingest-limits", `"aws"`, "ivs or off"}},
		"too few channels with metrics":  {args: []string{"--metric-channels=-1"}, want: []string{"metric-channels", "0 to 100000"}},
		"a part too short":               {args: []string{"--hls-part=99ms"}, want: []string{"hls-part", `"99ms"`, "100ms to 2s"}},
		"a part too long":                {args: []string{"--hls-part=2001ms"}, want: []string{"hls-part", "100ms to 2s"}},
		"a window too short":             {args: []string{"--hls-window=5s"}, want: []string{"hls-window", `"5s"`}},
		"an edge without memory":         {args: []string{"--edge-cache=1KiB"}, want: []string{"edge-cache", `"1KiB"`, "1MiB to 1024GiB"}},
		"media kept too long":            {args: []string{"--hls-keep=11m"}, want: []string{"hls-keep", `"11m0s"`, "1s to 10m"}},
		"less than no viewers":           {args: []string{"--max-viewer-connections=-1"}, want: []string{"max-viewer-connections", `"-1"`, "0 to 1048576"}},
		"less than no bandwidth":         {args: []string{"--max-viewer-bandwidth=-1"}, want: []string{"max-viewer-bandwidth", `"-1"`, "0 to 1048576"}},
		"an unknown playback form":       {args: []string{"--playback-url-form=long"}, want: []string{"playback-url-form", `"long"`}},
		"a proxy that is no network":     {args: []string{"--trusted-proxies=10.0.0.0/8,proxy"}, want: []string{"trusted-proxies", `"proxy"`}},
		"no time to drain":               {args: []string{"--drain-timeout=0s"}, want: []string{"drain-timeout", `"0s"`}},
		"a level between levels":         {args: []string{"--log-level=INFO+1"}, want: []string{"log-level", `"INFO+1"`}},
		"an unknown log format":          {args: []string{"--log-format=xml"}, want: []string{"log-format", `"xml"`}},
		"no publisher":                   {args: []string{"--max-publishers=0"}, want: []string{"max-publishers", `"0"`, "1 to"}},
		"two rules at once, both named":  {args: []string{"--node=a b", "--region=?"}, want: []string{"node", "region"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := tt.args
			if tt.file != "" {
				args = append(args, "--config", file(t, tt.file))
			}
			_, err := Load(args, tt.env)
			if err == nil {
				t.Fatalf("Load(%q, %q) took it", args, tt.env)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("Load(%q, %q) = %q, want %q in it", args, tt.env, err, w)
				}
			}
		})
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	for _, arg := range []string{
		"--store=mysql://u:hunter2@h/x", "--store=postgres://u:hunter2/@h:x/y", "--bus=nats://hunter2@a,http://b",
		"--blob=gs://b?secret=hunter2", "--public-url=https://u:hunter2@h",
	} {
		if _, err := Load([]string{arg}, nil); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Load(%q) = %v, want an error without the password", arg, err)
		}
	}
}

func TestLoadValues(t *testing.T) {
	got, err := Load([]string{"--config", file(t, `
data-dir: "/var/lib/sluice"
account: 012345670123
region: eu-west-1
roles: [media]
trusted-proxies: [10.1.2.3/8, "::1", 192.0.2.7]
bus: nats://a:4222,b,tls://c
public-url: https://live.example.com/x//
log-level: debug
demo: yes
`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	want.DataDir, want.Account, want.Region = "/var/lib/sluice", "012345670123", "eu-west-1"
	want.Roles = Roles{Media}
	want.TrustedProxies = CIDRs{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.7/32")}
	want.Bus, want.PublicURL, want.LogLevel, want.Demo = "nats://a:4222,b,tls://c", "https://live.example.com/x", slog.LevelDebug, true
	if d := cmp.Diff(want, got, equate); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if got.Roles.Has(Control) || !got.Roles.Has(Media) {
		t.Errorf("Roles %v: Has(control) = %t, Has(media) = %t", got.Roles, got.Roles.Has(Control), got.Roles.Has(Media))
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "65536": 64 << 10, "64KiB": 64 << 10, "3MiB": 3 << 20, "16GiB": 16 << 30, " 2 MiB ": 2 << 20, "1025": 1025,
	} {
		var b, again Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("UnmarshalText(%q) = %d, %v, want %d", text, b, err, want)
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q prints as %q, which reads as %d, %v", text, b, again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1MB", "1mib", "9000000000GiB", "99999999999999999999"} {
		if err := new(Bytes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText took %q", text)
		}
	}
	if s := Bytes(3 << 20).String(); s != "3MiB" {
		t.Errorf("3 MiB prints as %q", s)
	}
}

func TestAuditDir(t *testing.T) {
	for audit, want := range map[string]string{"on": filepath.Join("d", "audit"), "off": "", "/var/log/sluice": "/var/log/sluice", "./off": "./off"} {
		if got := (&Config{DataDir: "d", Audit: audit}).AuditDir(); got != want {
			t.Errorf("AuditDir of %q is %q, want %q", audit, got, want)
		}
	}
}

// What Print writes for the defaults is what a new user reads and edits.
func TestPrintDefaults(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Print(&b, c); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/default.yaml"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("Print: -want +got\n%s", d)
	}
}

func TestPrintLoadsBack(t *testing.T) {
	for name, args := range map[string][]string{
		"defaults": nil,
		"every key": {
			"--data-dir=a \"b\" \\ ü", "--http=[::1]:0", "--tls-cert=c", "--tls-key=k", "--rtmp=", "--rtmps=h:1", "--srt=h:2", "--srt-latency=200ms",
			"--webrtc=h:3", "--webrtc-tcp=h:4", "--webrtc-addresses=192.0.2.1,2001:db8::1",
			"--public-url=https://h/p", "--rtmp-url=rtmp://h/app", "--rtmps-url=rtmps://h:443/app", "--trusted-proxies=10.0.0.0/8,::1", "--geoip=g", "--country-header=X-C", "--max-connections=7", "--max-viewer-connections=5", "--max-viewer-bandwidth=900", "--max-publishers=9",
			"--account=000000000000", "--region=x", "--policy-dir=p", "--store=postgres://h/d?sslmode=disable&x=<1>", "--store-cache=1MiB", "--bus=nats://a,b", "--blob=s3://b?region=x",
			"--quotas=aws", "--ingest-limits=off", "--metric-channels=0", "--audit=off", "--audit-max-size=100KiB", "--audit-max-files=3", "--roles=media", "--node=n-1", "--origin-url=http://h:1", "--hls-part=333ms", "--hls-window=1m30s", "--hls-keep=20s", "--edge-cache=2MiB", "--playback-url-form=short", "--transcode=vaapi", "--transcode-capacity=7", "--transcode-on-view",
			"--ready-file=# no: comment", "--demo", "--drain-timeout=3s", "--log-level=warn", "--log-format=text",
		},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := Load(args, nil)
			if err != nil {
				t.Fatal(err)
			}
			if args != nil {
				defaults, err := Default()
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range unchanged(t, defaults, want) {
					t.Errorf("the test leaves %s at its default", key)
				}
			}
			var b bytes.Buffer
			if err := Print(&b, want); err != nil {
				t.Fatal(err)
			}
			got, err := Load([]string{"--config", file(t, b.String())}, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, &b)
			}
			if d := cmp.Diff(want, got, equate); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// unchanged lists the keys that print alike in a and b.
func unchanged(t *testing.T, a, b Config) (same []string) {
	t.Helper()
	pa, err := parser(&Flags{Config: a})
	if err != nil {
		t.Fatal(err)
	}
	pb, err := parser(&Flags{Config: b})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range pa.Model.Flags {
		if f.Name != "config" && cmp.Equal(f.Target.Interface(), pb.Model.Flags[i].Target.Interface(), equate) {
			same = append(same, f.Name)
		}
	}
	return same
}

func TestEveryKeyHasADoc(t *testing.T) {
	p, err := parser(&Flags{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Model.Flags {
		if len(f.Help) < 20 || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: doc %q: want a sentence", f.Name, f.Help)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p@h/d":                       "postgres://u:xxxxx@h/d",
		"postgres://u:p,w@h/d":                     "postgres://u:xxxxx@h/d",
		"postgres://u:p?w@h/d":                     "postgres://u:xxxxx@h/d",
		"postgres://u:p/@w@h/d":                    "postgres://u:xxxxx@h/d",
		"postgres://h/d?user=u&password=p&x=y":     "postgres://h/d?user=u&password=xxxxx&x=y",
		"nats://token@a,nats://u:p@b,c":            "nats://xxxxx@a,nats://u:xxxxx@b,c",
		"nats://u:p@a,u:p@b":                       "nats://u:xxxxx@b",
		"s3://b?endpoint=http://u:p@h&secret_x=y":  "s3://b?endpoint=http://u:xxxxx@h&secret_x=y",
		"s3://b?Session-Token=t&endpoint=http://h": "s3://b?Session-Token=xxxxx&endpoint=http://h",
		"/home/u:p@x":                              "/home/u:p@x",
		"":                                         "",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAdminKey(t *testing.T) {
	id, secret := "AKIA0123456789ABCDEF", "s3cr3t-0123456789/+="
	for name, tt := range map[string]struct {
		env        []string
		id, secret string
		ok         bool
	}{
		"none":               {nil, "", "", true},
		"both":               {[]string{"SLUICE_ACCESS_KEY_ID=" + id, "SLUICE_SECRET_ACCESS_KEY=" + secret}, id, secret, true},
		"only an id":         {[]string{"SLUICE_ACCESS_KEY_ID=" + id}, "", "", false},
		"only a secret":      {[]string{"SLUICE_SECRET_ACCESS_KEY=" + secret}, "", "", false},
		"an id with a slash": {[]string{"SLUICE_ACCESS_KEY_ID=AKIA/0123456789ABCD", "SLUICE_SECRET_ACCESS_KEY=" + secret}, "", "", false},
		"a short secret":     {[]string{"SLUICE_ACCESS_KEY_ID=" + id, "SLUICE_SECRET_ACCESS_KEY=short"}, "", "", false},
		"a blank in it":      {[]string{"SLUICE_ACCESS_KEY_ID=" + id, "SLUICE_SECRET_ACCESS_KEY=" + secret + " x"}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			gotID, gotSecret, err := AdminKey(tt.env)
			if gotID != tt.id || gotSecret != tt.secret || (err == nil) != tt.ok {
				t.Errorf("AdminKey(%q) = %q, %q, %v, want %q, %q, ok=%t", tt.env, gotID, gotSecret, err, tt.id, tt.secret, tt.ok)
			}
			if err != nil && tt.env != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("error %q tells the secret", err)
			}
		})
	}
}

// A command tree that embeds Flags takes the keys before and after the command, and
// validates them.
func TestFlagsInACommandTree(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		http string
		ok   bool
	}{
		"after the command":  {[]string{"serve", "--http=:2"}, ":2", true},
		"before the command": {[]string{"--http=:2", "serve"}, ":2", true},
		"from the resolver":  {[]string{"serve"}, ":1", true},
		"against a rule":     {[]string{"serve", "--http=x"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var cli struct {
				Flags
				Serve struct{} `cmd:""`
			}
			p, err := kong.New(&cli, Resolver([]string{"SLUICE_HTTP=:1"}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Parse(tt.args)
			if (err == nil) != tt.ok || tt.ok && cli.Config.HTTP != tt.http {
				t.Errorf("Parse(%q) = %v with http %q, want %q, ok=%t", tt.args, err, cli.Config.HTTP, tt.http, tt.ok)
			}
		})
	}
}

// No bytes of a file panic, and nothing but known keys comes out of them.
func FuzzFile(f *testing.F) {
	f.Add([]byte("http: :1\nroles: [control, media]\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Add([]byte("rtmp: !!binary aGk=\n"))
	known, err := keys()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := parseFile(b, known)
		for k, v := range values {
			if !slices.Contains(known, k) || v.from == "" {
				t.Errorf("parseFile(%q) gave %q: %+v, %v", b, k, v, err)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	name := filepath.Join(b.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte("http: :1\nroles: [control, media]\nhls-part: 100ms\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	args, env := []string{"--config", name, "--demo"}, []string{"SLUICE_RTMP=:1", "HOME=/x"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(args, env); err != nil {
			b.Fatal(err)
		}
	}
}
