package principal

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

const (
	account = "111122223333"
	annARN  = "arn:aws:iam::111122223333:user/ann"
	opsARN  = "arn:aws:iam::111122223333:role/ops"
	channel = "arn:aws:ivs:us-west-2:111122223333:channel/a"

	allowGet = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ivs:Get*","Resource":"*"}]}`
	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	trustAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`
)

// files is a policy directory in a test: content by path.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for path, content := range f {
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, f files) (*Directory, *store.Store, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	f.write(t, dir)
	st := storetest.SQLite(t)
	var log bytes.Buffer
	d, err := Open(slog.New(slog.NewTextHandler(&log, nil)), st, prometheus.NewRegistry(), Config{Dir: dir, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	return d, st, &log
}

// may asks what a caller may do to channel.
func may(t *testing.T, d *Directory, c restjson.Caller, action string) iam.Decision {
	t.Helper()
	a, err := d.Access(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if a.Admin {
		return iam.Allowed
	}
	got, _ := a.Evaluate(&iam.Request{Action: action, Resource: channel, Context: a.Context})
	return got
}

func ann() restjson.Caller { return restjson.Caller{Account: account, Principal: annARN} }

func TestFilesSayWhoMayWhat(t *testing.T) {
	d, _, _ := open(t, files{
		"policies/readers.json": allowGet,
		"policies/.hidden.json": "{",
		"README.md":             "about",
		"users/README.md":       "about",
		"users/ann.json":        `{"tags":{"Team":"red"},"policies":["readers"],"inline":{"stop":{"Statement":{"Effect":"Allow","Action":"ivs:StopStream","Resource":"*"}}}}`,
		"users/bob.json":        `{"policies":["arn:aws:iam::aws:policy/IVSFullAccess","IVSReadOnlyAccess"]}`,
		"roles/ops.json":        `{"trust":` + trustAll + `,"policies":["arn:aws:iam::111122223333:policy/readers"],"maxSessionDuration":7200}`,
	})
	bob := restjson.Caller{Account: account, Principal: "arn:aws:iam::111122223333:user/bob"}
	ops := restjson.Caller{Account: account, Principal: "arn:aws:sts::111122223333:assumed-role/ops/s", Session: &restjson.Session{Role: opsARN, Name: "s"}}
	for name, tt := range map[string]struct {
		caller restjson.Caller
		action string
		want   iam.Decision
	}{
		"an attached policy":            {ann(), "ivs:GetChannel", iam.Allowed},
		"an inline policy":              {ann(), "ivs:StopStream", iam.Allowed},
		"neither":                       {ann(), "ivs:DeleteChannel", iam.Undecided},
		"a built-in policy":             {bob, "ivs:DeleteChannel", iam.Allowed},
		"a role's session":              {ops, "ivs:GetChannel", iam.Allowed},
		"a role's session, no more":     {ops, "ivs:StopStream", iam.Undecided},
		"a user who is not there":       {restjson.Caller{Account: account, Principal: annARN + "e"}, "ivs:GetChannel", iam.Undecided},
		"an administrator's key":        {restjson.Caller{Account: account, Principal: annARN, Admin: true}, "ivs:DeleteChannel", iam.Allowed},
		"a user of the same name there": {restjson.Caller{Account: "999999999999", Principal: "arn:aws:iam::999999999999:user/ann"}, "ivs:GetChannel", iam.Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			if got := may(t, d, tt.caller, tt.action); got != tt.want {
				t.Errorf("%s may %s: %v, want %v", tt.caller.Principal, tt.action, got, tt.want)
			}
		})
	}
	p, err := d.Find(t.Context(), opsARN)
	if err != nil || p.MaxSession != 2*time.Hour || p.Trust == nil || !strings.HasPrefix(p.ID, "AROA") || len(p.ID) != 21 {
		t.Errorf("role %+v, %v", p, err)
	}
}

func TestSessionLimits(t *testing.T) {
	d, _, log := open(t, files{"policies/readers.json": allowGet, "users/ann.json": `{"policies":["IVSFullAccess"]}`})
	for name, tt := range map[string]struct {
		session restjson.Session
		admin   bool
		action  string
		want    iam.Decision
	}{
		"no policies, no limit":          {restjson.Session{}, false, "ivs:StopStream", iam.Allowed},
		"a document limits":              {restjson.Session{Policy: allowGet}, false, "ivs:StopStream", iam.Undecided},
		"a document lets through":        {restjson.Session{Policy: allowGet}, false, "ivs:GetChannel", iam.Allowed},
		"a document adds nothing":        {restjson.Session{Policy: allowAll}, false, "sts:AssumeRole", iam.Undecided},
		"an ARN limits":                  {restjson.Session{Policies: []string{"arn:aws:iam::111122223333:policy/readers"}}, false, "ivs:StopStream", iam.Undecided},
		"an administrator is limited":    {restjson.Session{Policy: allowGet}, true, "ivs:StopStream", iam.Undecided},
		"an administrator, within":       {restjson.Session{Policy: allowGet}, true, "ivs:GetChannel", iam.Allowed},
		"a policy that is gone":          {restjson.Session{Policies: []string{"arn:aws:iam::111122223333:policy/gone"}}, false, "ivs:GetChannel", iam.Undecided},
		"the same for an administrator":  {restjson.Session{Policies: []string{"arn:aws:iam::111122223333:policy/gone"}}, true, "ivs:GetChannel", iam.Undecided},
		"a document that is none (ever)": {restjson.Session{Policy: "{"}, false, "ivs:GetChannel", iam.Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			c := ann()
			c.Session, c.Admin = &tt.session, tt.admin
			if got := may(t, d, c, tt.action); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	if !strings.Contains(log.String(), "a session may do nothing") {
		t.Errorf("log: %s", log)
	}
}

func TestFacts(t *testing.T) {
	d, _, _ := open(t, files{"users/ann.json": `{"tags":{"Team":"red","Level":"1"}}`})
	holds := func(t *testing.T, c restjson.Caller, cond string) bool {
		t.Helper()
		p, err := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{` + cond + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		a, err := d.Access(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return iam.Evaluate([]*iam.Policy{p}, &iam.Request{Action: "a:b", Resource: "*", Context: a.Context}) == iam.Allowed
	}
	user := ann()
	user.Region, user.Secure, user.UserAgent = "us-west-2", true, "aws-cli"
	session := user
	session.Principal = "arn:aws:sts::111122223333:assumed-role/ops/s"
	session.Session = &restjson.Session{Role: opsARN, Name: "s", Issued: time.Unix(1_700_000_000, 0), Tags: map[string]string{"Team": "blue"}}
	own := user
	own.Session = &restjson.Session{Issued: time.Unix(1_700_000_000, 0), Tags: map[string]string{"team": "blue"}}
	for name, tt := range map[string]struct {
		caller restjson.Caller
		cond   string
		want   bool
	}{
		"username":                  {user, `"StringEquals":{"aws:username":"ann"}`, true},
		"a role has none":           {session, `"Null":{"aws:username":"true"}`, true},
		"principal":                 {user, `"ArnEquals":{"aws:PrincipalArn":"` + annARN + `"}`, true},
		"a session's is its role":   {session, `"ArnEquals":{"aws:PrincipalArn":"` + opsARN + `"}`, true},
		"account":                   {user, `"StringEquals":{"aws:PrincipalAccount":"111122223333"}`, true},
		"type of a user":            {user, `"StringEquals":{"aws:PrincipalType":"User"}`, true},
		"type of a session":         {session, `"StringEquals":{"aws:PrincipalType":"AssumedRole"}`, true},
		"userid":                    {user, `"StringLike":{"aws:userid":"AIDA?????????????????"}`, true},
		"userid of a session":       {session, `"StringLike":{"aws:userid":"AROA?????????????????:s"}`, true},
		"tag":                       {user, `"StringEquals":{"aws:PrincipalTag/Team":"red"}`, true},
		"a session's tag wins":      {own, `"StringEquals":{"aws:PrincipalTag/Team":"blue"}`, true},
		"and leaves the others":     {own, `"StringEquals":{"aws:PrincipalTag/Level":"1"}`, true},
		"secure":                    {user, `"Bool":{"aws:SecureTransport":"true"}`, true},
		"region":                    {user, `"StringEquals":{"aws:RequestedRegion":"us-west-2"}`, true},
		"user agent":                {user, `"StringLike":{"aws:UserAgent":"aws-*"}`, true},
		"time":                      {user, `"DateGreaterThan":{"aws:CurrentTime":"2000-01-01"},"NumericGreaterThan":{"aws:EpochTime":1}`, true},
		"no token without a token":  {user, `"Null":{"aws:TokenIssueTime":"true","aws:MultiFactorAuthPresent":"true"}`, true},
		"a token's time":            {session, `"DateEquals":{"aws:TokenIssueTime":"1700000000"}`, true},
		"no MFA in a token":         {session, `"Bool":{"aws:MultiFactorAuthPresent":"false"}`, true},
		"no address when unknown":   {user, `"Null":{"aws:SourceIp":"true"}`, true},
		"nothing is an AWS service": {user, `"Bool":{"aws:ViaAWSService":"true"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := holds(t, tt.caller, tt.cond); got != tt.want {
				t.Errorf("%s holds: %t, want %t", tt.cond, got, tt.want)
			}
		})
	}
}

// Every way a file can be wrong keeps a server from starting.
func TestOpenRefuses(t *testing.T) {
	many := strings.Repeat(`"IVSFullAccess",`, maxAttached) + `"IVSFullAccess"`
	for name, tt := range map[string]struct {
		files files
		err   string
	}{
		"no JSON":                       {files{"users/ann.json": "{"}, "users/ann.json"},
		"an unknown member":             {files{"users/ann.json": `{"policy":[]}`}, `unknown field "policy"`},
		"something after it":            {files{"users/ann.json": `{} {}`}, "something follows"},
		"a name IAM does not take":      {files{"users/a b.json": `{}`}, "is not a name"},
		"a policy that is not there":    {files{"users/ann.json": `{"policies":["readers"]}`}, "there is no policy arn:aws:iam::111122223333:policy/readers"},
		"a policy of another account":   {files{"users/ann.json": `{"policies":["arn:aws:iam::999999999999:policy/x"]}`}, "of this account"},
		"a policy that is invalid":      {files{"policies/x.json": `{}`}, "policies/x.json: iam: policy: it has no Statement"},
		"a built-in policy's name":      {files{"policies/IVSFullAccess.json": allowAll}, "name of a built-in"},
		"an inline policy that is none": {files{"users/ann.json": `{"inline":{"x":{}}}`}, "inline policy x"},
		"too many policies":             {files{"users/ann.json": `{"policies":[` + many + `]}`}, "more than"},
		"a tag of AWS":                  {files{"users/ann.json": `{"tags":{"AWS:x":"1"}}`}, "prefix aws: of tag keys"},
		"two tags of one name":          {files{"users/ann.json": `{"tags":{"a":"1","A":"2"}}`}, "ignore case"},
		"a tag with a wildcard":         {files{"users/ann.json": `{"tags":{"a":"*"}}`}, "is not a tag"},
		"trust for a user":              {files{"users/ann.json": `{"trust":` + trustAll + `}`}, "are for roles"},
		"a role without trust":          {files{"roles/ops.json": `{}`}, "needs trust"},
		"a trust policy that is none":   {files{"roles/ops.json": `{"trust":` + allowAll + `}`}, "no Resource"},
		"a session of a day":            {files{"roles/ops.json": `{"trust":` + trustAll + `,"maxSessionDuration":86400}`}, "3600 to 43200"},
		"too long a file":               {files{"users/ann.json": strings.Repeat(" ", maxSpec+1)}, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.files.write(t, dir)
			_, err := Open(slog.New(slog.DiscardHandler), storetest.SQLite(t), prometheus.NewRegistry(), Config{Dir: dir, Account: account})
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
		})
	}
	_, err := Open(slog.New(slog.DiscardHandler), storetest.SQLite(t), prometheus.NewRegistry(), Config{Dir: filepath.Join(t.TempDir(), "none"), Account: account})
	if err == nil {
		t.Error("a directory that is not there was opened")
	}
}

// A change takes effect, one that is wrong does not, and either is said.
func TestReload(t *testing.T) {
	d, _, log := open(t, files{
		"policies/readers.json": allowGet,
		"users/ann.json":        `{"policies":["readers"]}`,
		"users/bob.json":        `{}`,
	})
	step := func(name string, change func(), action string, want iam.Decision, says string) {
		t.Helper()
		log.Reset()
		change()
		if err := d.reload(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := may(t, d, ann(), action); got != want {
			t.Errorf("%s: %s is %v, want %v", name, action, got, want)
		}
		if !strings.Contains(log.String(), says) || says == "" && log.Len() > 0 {
			t.Errorf("%s: log %q, want %q", name, log, says)
		}
	}
	put := func(path, content string) func() {
		return func() { files{path: content}.write(t, d.cfg.Dir) }
	}
	drop := func(path string) func() {
		return func() {
			if err := os.Remove(filepath.Join(d.cfg.Dir, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	step("nothing changes", func() {}, "ivs:GetChannel", iam.Allowed, "")
	step("a policy grows", put("policies/readers.json", allowAll), "ivs:StopStream", iam.Allowed, "the policy directory changed")
	step("a policy breaks", put("policies/readers.json", "{"), "ivs:StopStream", iam.Allowed, "what it said before stays in force")
	if n := len(d.book.Load().problems); n != 1 {
		t.Errorf("%d problems, want 1", n)
	}
	step("it stays broken", func() {}, "ivs:StopStream", iam.Allowed, "")
	step("another file changes meanwhile", put("users/cyd.json", "{}"), "ivs:StopStream", iam.Allowed, "the policy directory changed")
	step("it is repaired", put("policies/readers.json", allowGet), "ivs:StopStream", iam.Undecided, "valid again")
	step("a policy goes that is in use", drop("policies/readers.json"), "ivs:GetChannel", iam.Allowed, "there is no policy")
	step("it is detached", put("users/ann.json", `{"policies":["IVSReadOnlyAccess"]}`), "ivs:ListStreams", iam.Allowed, "valid again")
	step("a file of the same size", put("users/ann.json", `{"policies":["IVSReadOnlyAccesz"]}`), "ivs:ListStreams", iam.Allowed, "there is no policy")
	step("and back", put("users/ann.json", `{"policies":["IVSReadOnlyAccess"]}`), "ivs:ListStreams", iam.Allowed, "valid again")
	step("the user goes", drop("users/ann.json"), "ivs:ListStreams", iam.Undecided, "changed")
	if err := os.RemoveAll(d.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := d.reload(); err == nil {
		t.Error("a directory that is gone is no error")
	}
	if _, err := d.Find(t.Context(), "arn:aws:iam::111122223333:user/bob"); err != nil {
		t.Errorf("and took its users along: %v", err)
	}
}

func TestRunFollowsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	files{"users/ann.json": `{}`}.write(t, dir)
	st := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(slog.New(slog.DiscardHandler), st, prometheus.NewRegistry(), Config{Dir: dir, Account: account})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = d.Run(t.Context()) }()
		files{"users/ann.json": `{"policies":["IVSReadOnlyAccess"]}`}.write(t, dir)
		time.Sleep(pollEvery + time.Millisecond) // of the bubble: it takes no time
		synctest.Wait()
		if p, err := d.Find(t.Context(), annARN); err != nil || len(p.Policies) != 1 {
			t.Errorf("after a second: %+v, %v", p, err)
		}
	})
}

func TestStoredPrincipals(t *testing.T) {
	d, st, log := open(t, files{"policies/readers.json": allowGet, "users/bob.json": `{}`})
	clock := time.Now()
	d.now = func() time.Time { return clock }
	attach := func(refs ...string) func(*Spec) error {
		return func(s *Spec) error { s.Policies = append(s.Policies, refs...); return nil }
	}
	if err := d.Change(t.Context(), account, "ann", false, attach("readers")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a user who is not there: %v", err)
	}
	if err := d.Change(t.Context(), account, "ann", true, attach("readers", "readers")); err != nil {
		t.Fatal(err)
	}
	if got := may(t, d, ann(), "ivs:GetChannel"); got != iam.Allowed {
		t.Errorf("a stored user: %v", got)
	}
	if err := d.Change(t.Context(), account, "ann", true, attach("IVSFullAccess")); err != nil {
		t.Fatal(err)
	}
	if got := may(t, d, ann(), "ivs:StopStream"); got != iam.Allowed {
		t.Errorf("after a change: %v", got)
	}
	// What another process changes is seen after a while.
	if err := st.ChangePrincipal(t.Context(), annARN, func([]byte) ([]byte, error) { return []byte(`{}`), nil }); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(ttl)
	if got := may(t, d, ann(), "ivs:StopStream"); got != iam.Undecided {
		t.Errorf("a second after another's change: %v", got)
	}
	if err := d.Change(t.Context(), account, "ann", true, attach("readers", "IVSFullAccess")); err != nil {
		t.Fatal(err)
	}
	row, err := st.Principal(t.Context(), annARN)
	if want := `{"policies":["arn:aws:iam::111122223333:policy/readers","arn:aws:iam::aws:policy/IVSFullAccess"]}`; err != nil || string(row.Body) != want {
		t.Errorf("stored %s, %v; want %s", row.Body, err, want)
	}
	for name, change := range map[string]func() error{
		"a policy that is not there": func() error { return d.Change(t.Context(), account, "ann", true, attach("gone")) },
		"a name that is none":        func() error { return d.Change(t.Context(), account, "a/b", true, attach()) },
		"a user of the directory":    func() error { return d.Change(t.Context(), account, "bob", true, attach("readers")) },
		"trust": func() error {
			return d.Change(t.Context(), account, "ann", true, func(s *Spec) error { s.Trust = json.RawMessage(trustAll); return nil })
		},
	} {
		if err := change(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}

	all, invalid, err := d.All(t.Context(), account)
	if err != nil || len(all) != 2 || all[0].ARN != annARN || len(invalid) != 0 {
		t.Errorf("All = %v, %v, %v", all, invalid, err)
	}

	// A policy that is gone takes everything: it may have been a denial.
	if err := os.Remove(filepath.Join(d.cfg.Dir, "policies/readers.json")); err != nil {
		t.Fatal(err)
	}
	if err := d.reload(); err != nil {
		t.Fatal(err)
	}
	if got := may(t, d, ann(), "ivs:StopStream"); got != iam.Undecided || !strings.Contains(log.String(), "it may do nothing") {
		t.Errorf("with a policy gone: %v, log %s", got, log)
	}
	if _, invalid, err := d.All(t.Context(), account); err != nil || invalid[annARN] == nil {
		t.Errorf("All = %v, %v", invalid, err)
	}

	// A file hides a stored user.
	files{"users/ann.json": `{"policies":["IVSReadOnlyAccess"]}`}.write(t, d.cfg.Dir)
	if err := d.reload(); err != nil {
		t.Fatal(err)
	}
	if got := may(t, d, ann(), "ivs:StopStream"); got != iam.Undecided {
		t.Errorf("beside a file: %v", got)
	}
	if got := may(t, d, ann(), "ivs:ListStreams"); got != iam.Allowed {
		t.Errorf("by the file: %v", got)
	}
	if _, err := d.Find(t.Context(), annARN+"x"); !errors.Is(err, live.NotFound) {
		t.Errorf("nobody: %v", err)
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(`{"tags":{"a":"b"},"policies":["IVSFullAccess"],"inline":{"x":` + allowGet + `}}`))
	f.Add([]byte(`{"trust":` + trustAll + `,"maxSessionDuration":3600}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSpec(b)
		if err != nil {
			return
		}
		for _, kind := range []Kind{User, Role} {
			_, _ = compile(account, kind, "n", s, func(string) *iam.Policy { return nil })
		}
		if _, err := encode(s); err != nil {
			t.Errorf("%s cannot be written: %v", b, err)
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	dir := b.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "users"), 0o700),
		os.WriteFile(filepath.Join(dir, "users", "ann.json"), []byte(`{"tags":{"Team":"red"},"policies":["IVSFullAccess"]}`), 0o600)); err != nil {
		b.Fatal(err)
	}
	d, err := Open(slog.New(slog.DiscardHandler), storetest.SQLite(b), nil, Config{Dir: dir, Account: account})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		a, err := d.Access(b.Context(), ann())
		if err != nil {
			b.Fatal(err)
		}
		if got, _ := a.Evaluate(&iam.Request{Action: "ivs:GetChannel", Resource: channel, Context: a.Context}); got != iam.Allowed {
			b.Fatal(got)
		}
	}
}
