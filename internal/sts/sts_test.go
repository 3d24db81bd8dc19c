package sts

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

const (
	account = "111122223333"
	ann     = "arn:aws:iam::111122223333:user/ann"
	bob     = "arn:aws:iam::111122223333:user/bob"
	ops     = "arn:aws:iam::111122223333:role/ops"

	allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

// trust is a trust policy of one statement with an optional condition.
func trust(who, cond string) string {
	if cond != "" {
		cond = `,"Condition":{` + cond + `}`
	}
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + who + `"},"Action":["sts:AssumeRole","sts:TagSession"]` + cond + `}}`
}

// inline is a Spec's member with one policy.
func inline(statement string) string {
	return `"inline":{"p":{"Version":"2012-10-17","Statement":` + statement + `}}`
}

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// start is a gateway with STS alone; the caller is whom a test says.
func start(t *testing.T) (*Service, func(c restjson.Caller, v url.Values) *httptest.ResponseRecorder) {
	t.Helper()
	dir := t.TempDir()
	may := inline(`{"Effect":"Allow","Action":"sts:*","Resource":"*"}`)
	for path, content := range map[string]string{
		"policies/reader.json": allowAll,
		"users/ann.json":       `{"tags":{"Team":"red"},` + may + `}`,
		"users/bob.json":       `{}`,
		"users/eve.json":       `{` + inline(`[{"Effect":"Allow","Action":"sts:*","Resource":"*"},{"Effect":"Deny","Action":"sts:*","Resource":"*"}]`) + `}`,
		"users/kim.json":       `{` + inline(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::111122223333:role/account"}`) + `}`,
		"roles/ops.json":       `{` + may + `,"trust":` + trust(bob, "") + `,"maxSessionDuration":7200}`,
		"roles/account.json":   `{` + may + `,"trust":` + trust(account, "") + `}`,
		"roles/foreign.json":   `{"trust":` + trust("999999999999", "") + `}`,
		"roles/guarded.json":   `{"trust":` + trust(account, `"StringEquals":{"sts:ExternalId":"x1"}`) + `}`,
		"roles/team.json":      `{"trust":` + trust(account, `"StringEquals":{"aws:PrincipalTag/Team":"red"}`) + `}`,
		"roles/tagged.json":    `{"trust":` + trust(account, `"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}`) + `}`,
		"roles/untagged.json":  `{"trust":` + strings.Replace(trust(account, ""), `,"sts:TagSession"`, "", 1) + `}`,
		"roles/chain.json":     `{"trust":` + trust(ops, "") + `,"maxSessionDuration":43200}`,
		"roles/eves.json":      `{"trust":` + trust("arn:aws:iam::111122223333:user/eve", "") + `}`,
	} {
		name := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	people, err := principal.Open(slog.New(slog.DiscardHandler), storetest.SQLite(t), nil, principal.Config{Dir: dir, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := New(people, tokens)
	s.now = func() time.Time { return t0 }
	var caller restjson.Caller
	g, err := restjson.NewGateway(restjson.Config{
		Foreign:      []restjson.Foreign{s.Foreign()},
		RequestID:    func(context.Context) string { return "id-1" },
		Authenticate: func(*http.Request, []byte) (restjson.Caller, error) { return caller, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, func(c restjson.Caller, v url.Values) *httptest.ResponseRecorder {
		caller = c
		caller.Service = Name
		if v.Get("Version") == "" {
			v.Set("Version", version)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
}

func user(name string) restjson.Caller {
	return restjson.Caller{Account: account, AccessKeyID: "AKIA1", Principal: "arn:aws:iam::111122223333:user/" + name}
}

func query(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

func assume(role string, kv ...string) url.Values {
	return query(append([]string{"Action", "AssumeRole", "RoleArn", "arn:aws:iam::111122223333:role/" + role, "RoleSessionName", "s1"}, kv...)...)
}

func TestGetCallerIdentity(t *testing.T) {
	_, call := start(t)
	session := restjson.Caller{
		Account: account, Principal: "arn:aws:sts::111122223333:assumed-role/ops/s1",
		Session: &restjson.Session{Role: ops, Name: "s1"},
	}
	for name, tt := range map[string]struct {
		caller restjson.Caller
		want   string
	}{
		"a user":                    {user("ann"), "<Arn>" + ann + "</Arn><UserId>AIDA"},
		"a session":                 {session, "<Arn>arn:aws:sts::111122223333:assumed-role/ops/s1</Arn><UserId>AROA"},
		"even one who is denied":    {user("eve"), "user/eve</Arn>"},
		"even one who is not there": {user("nobody"), "user/nobody</Arn>"},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(tt.caller, query("Action", "GetCallerIdentity"))
			if w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) || w.Header().Get("Content-Type") != "text/xml" {
				t.Errorf("%d %s, want %s", w.Code, w.Body, tt.want)
			}
		})
	}
	w := call(user("ann"), query("Action", "GetCallerIdentity"))
	want := `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
		`<Arn>` + ann + `</Arn><UserId>` + principal.UserID(user("ann")) + `</UserId><Account>111122223333</Account>` +
		`</GetCallerIdentityResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	if got := w.Body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// wireCredentials is what a client reads of either answer.
type wireCredentials struct {
	ID           string `xml:"AccessKeyId"`
	Secret       string `xml:"SecretAccessKey"`
	SessionToken string
	Expiration   time.Time
}

func TestAssumeRole(t *testing.T) {
	s, call := start(t)
	chained := restjson.Caller{
		Account: account, AccessKeyID: "ASIA1", Principal: "arn:aws:sts::111122223333:assumed-role/ops/s0",
		Session: &restjson.Session{Role: ops, Name: "s0"},
	}
	admin := user("administrator")
	admin.Admin = true
	limited := user("bob")
	limited.Session = &restjson.Session{Policy: `{"Statement":{"Effect":"Allow","Action":"ivs:*","Resource":"*"}}`}
	elsewhere := restjson.Caller{Account: "999999999999", Principal: "arn:aws:iam::999999999999:user/zoe"}
	long := strings.Repeat("a", 2049)
	for name, tt := range map[string]struct {
		caller restjson.Caller
		v      url.Values
		code   string // of an error; "" for a session
		says   string // a part of the answer
	}{
		"trusted by name":                       {user("bob"), assume("ops"), "", "assumed-role/ops/s1"},
		"not the one that is trusted":           {user("ann"), assume("ops"), "AccessDenied", "User: " + ann + " is not authorized to perform: sts:AssumeRole on resource: " + ops},
		"the account, by policy":                {user("ann"), assume("account"), "", "assumed-role/account/s1"},
		"the account, by a policy for the role": {user("kim"), assume("account"), "", "assumed-role/account/s1"},
		"the account, without a policy":         {user("bob"), assume("account"), "AccessDenied", "role/account"},
		"a policy for another role":             {user("kim"), assume("team"), "AccessDenied", "role/team"},
		"trusted by name, but denied":           {user("eve"), assume("eves"), "AccessDenied", "role/eves"},
		"another account is trusted":            {user("ann"), assume("foreign"), "AccessDenied", "role/foreign"},
		"of another account, without a policy":  {elsewhere, assume("foreign"), "AccessDenied", "role/foreign"},
		"an administrator of another account":   {restjson.Caller{Account: "999999999999", Principal: "arn:aws:iam::999999999999:user/a", Admin: true}, assume("foreign"), "", "111122223333:assumed-role/foreign/s1"},
		"an administrator":                      {admin, assume("account"), "", "assumed-role/account"},
		"an administrator who is not trusted":   {admin, assume("foreign"), "AccessDenied", "role/foreign"},
		"a role that is not there":              {user("ann"), assume("none"), "AccessDenied", "not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/none"},
		"a user is no role":                     {user("ann"), query("Action", "AssumeRole", "RoleArn", bob, "RoleSessionName", "s1"), "AccessDenied", bob},
		"no ARN":                                {user("ann"), query("Action", "AssumeRole", "RoleSessionName", "s1"), "ValidationError", "RoleArn"},
		"an external id":                        {user("ann"), assume("guarded", "ExternalId", "x1"), "", "assumed-role/guarded"},
		"a wrong external id":                   {user("ann"), assume("guarded", "ExternalId", "x2"), "AccessDenied", "role/guarded"},
		"no external id":                        {user("ann"), assume("guarded"), "AccessDenied", "role/guarded"},
		"an external id that is none":           {user("ann"), assume("guarded", "ExternalId", "x 1"), "ValidationError", "ExternalId"},
		"a tag of the caller":                   {user("ann"), assume("team"), "", "assumed-role/team"},
		"session tags":                          {user("ann"), assume("tagged", "Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue"), "", "<PackedPolicySize>1</PackedPolicySize>"},
		"a session tag that is not trusted":     {user("ann"), assume("tagged", "Tags.member.1.Key", "Admin", "Tags.member.1.Value", "1"), "AccessDenied", "role/tagged"},
		"session tags without TagSession":       {user("ann"), assume("untagged", "Tags.member.1.Key", "Team", "Tags.member.1.Value", "red"), "AccessDenied", "sts:TagSession"},
		"a role without them":                   {user("ann"), assume("untagged"), "", "assumed-role/untagged"},
		"a tag without a value":                 {user("ann"), assume("tagged", "Tags.member.1.Key", "Team"), "ValidationError", "Key and a Value"},
		"a tag twice":                           {user("ann"), assume("tagged", "Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"), "ValidationError", "ignore case"},
		"a role assumes a role":                 {chained, assume("chain"), "", "assumed-role/chain"},
		"for an hour at most":                   {chained, assume("chain", "DurationSeconds", "3601"), "ValidationError", "role chaining"},
		"a user may longer":                     {user("bob"), assume("ops", "DurationSeconds", "7200"), "", "2026-11-20T14:00:00Z"},
		"but not longer than the role":          {user("bob"), assume("ops", "DurationSeconds", "7201"), "ValidationError", "MaxSessionDuration"},
		"the shortest":                          {user("bob"), assume("ops", "DurationSeconds", "900"), "", "2026-11-20T12:15:00Z"},
		"too short":                             {user("bob"), assume("ops", "DurationSeconds", "899"), "ValidationError", "between 900 and 43200"},
		"a duration that is none":               {user("bob"), assume("ops", "DurationSeconds", "1h"), "ValidationError", "DurationSeconds"},
		"a session name with a slash":           {user("bob"), query("Action", "AssumeRole", "RoleArn", ops, "RoleSessionName", "a/b"), "ValidationError", "RoleSessionName"},
		"a session policy":                      {user("bob"), assume("ops", "Policy", allowAll), "", "<PackedPolicySize>2</PackedPolicySize>"},
		"a session policy that is none":         {user("bob"), assume("ops", "Policy", "{}"), "MalformedPolicyDocument", "no Statement"},
		"a session policy with a principal":     {user("bob"), assume("ops", "Policy", trust(ann, "")), "MalformedPolicyDocument", "no Principal"},
		"too long a session policy":             {user("bob"), assume("ops", "Policy", long), "ValidationError", "2048"},
		"a managed session policy":              {user("bob"), assume("ops", "PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/IVSReadOnlyAccess"), "", "PackedPolicySize"},
		"one that is not there":                 {user("bob"), assume("ops", "PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/None"), "ValidationError", "no policy arn:aws:iam::aws:policy/None"},
		"MFA is not supported":                  {user("bob"), assume("ops", "SerialNumber", "x", "TokenCode", "1"), "ValidationError", "is not supported"},
		"nor are transitive tags":               {user("bob"), assume("ops", "TransitiveTagKeys.member.1", "a"), "ValidationError", "TransitiveTagKeys is not supported"},
		"an empty list is none":                 {user("bob"), assume("ops", "Tags", "", "PolicyArns", "", "TransitiveTagKeys", ""), "", "assumed-role/ops"},
		"a limited session, trusted by name":    {limited, assume("ops"), "AccessDenied", "role/ops"},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(tt.caller, tt.v)
			var out struct {
				Error  struct{ Code, Message, Type string }
				Result struct{ Credentials wireCredentials } `xml:"AssumeRoleResult"`
			}
			if err := xml.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			if out.Error.Code != tt.code || !strings.Contains(w.Body.String(), xmlText(tt.says)) || (w.Code == 200) != (tt.code == "") {
				t.Fatalf("%d %s\nwant %q with %q", w.Code, w.Body, tt.code, tt.says)
			}
			if tt.code != "" {
				return
			}
			c := out.Result.Credentials
			got, err := s.tokens.Open(c.ID, c.SessionToken)
			if err != nil || got.Secret != c.Secret || got.Expires != c.Expiration.Unix() || len(c.ID) != 20 || !strings.HasPrefix(c.ID, "ASIA") || len(c.Secret) != 40 {
				t.Errorf("credentials %+v open to %v, %v", c, got, err)
			}
		})
	}
}

// xmlText is how a text stands in XML.
func xmlText(s string) string {
	if strings.HasPrefix(s, "<") {
		return s
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func TestSessionsHoldWhatWasAsked(t *testing.T) {
	s, call := start(t)
	w := call(user("bob"), assume("ops", "Policy", allowAll, "PolicyArns.member.1.arn", "arn:aws:iam::111122223333:policy/reader",
		"Tags.member.1.Key", "Team", "Tags.member.1.Value", "<blue>"))
	if w.Code == 200 {
		t.Fatal("a tag of < was taken")
	}
	w = call(user("ann"), assume("account", "Policy", allowAll, "PolicyArns.member.1.arn", "arn:aws:iam::111122223333:policy/reader",
		"Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue"))
	var out struct {
		Credentials wireCredentials `xml:"AssumeRoleResult>Credentials"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	c, err := s.tokens.Open(out.Credentials.ID, out.Credentials.SessionToken)
	if err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	want := &restjson.Session{
		Role: "arn:aws:iam::111122223333:role/account", Name: "s1", Issued: t0, Tags: map[string]string{"Team": "blue"},
		Policies: []string{"arn:aws:iam::111122223333:policy/reader"}, Policy: allowAll, ParentKey: "AKIA1",
	}
	if d := cmp.Diff(want, c.RestSession()); d != "" || c.Account != account || c.ARN != "arn:aws:sts::111122223333:assumed-role/account/s1" {
		t.Errorf("%s %s -want +got\n%s", c.Account, c.ARN, d)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, c); strings.Contains(s, c.Secret) {
			t.Errorf("%s prints the secret", verb)
		}
	}
}

func TestGetSessionToken(t *testing.T) {
	s, call := start(t)
	session := user("ann")
	session.Session = &restjson.Session{}
	for name, tt := range map[string]struct {
		caller restjson.Caller
		v      url.Values
		code   string
		says   string
	}{
		"twelve hours":           {user("ann"), query(), "", "2026-11-21T00:00:00Z"},
		"without a policy":       {user("bob"), query(), "", "ASIA"},
		"a day and a half":       {user("ann"), query("DurationSeconds", "129600"), "", "2026-11-22T00:00:00Z"},
		"and no longer":          {user("ann"), query("DurationSeconds", "129601"), "ValidationError", "between 900 and 129600"},
		"denied":                 {user("eve"), query(), "AccessDenied", "sts:GetSessionToken on resource: * with an explicit deny"},
		"from a session":         {session, query(), "AccessDenied", "session credentials"},
		"with MFA":               {user("ann"), query("SerialNumber", "x"), "ValidationError", "not supported"},
		"with an empty MFA code": {user("ann"), query("TokenCode", ""), "", "ASIA"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.v.Set("Action", "GetSessionToken")
			w := call(tt.caller, tt.v)
			var out struct {
				Code        string          `xml:"Error>Code"`
				Credentials wireCredentials `xml:"GetSessionTokenResult>Credentials"`
			}
			if err := xml.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			if out.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
				t.Fatalf("%d %s\nwant %q with %q", w.Code, w.Body, tt.code, tt.says)
			}
			if tt.code != "" {
				return
			}
			c, err := s.tokens.Open(out.Credentials.ID, out.Credentials.SessionToken)
			if err != nil || c.ARN != tt.caller.Principal || c.Session.Role != "" || c.Session.ParentKey != "AKIA1" {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

func TestProtocol(t *testing.T) {
	s, call := start(t)
	for name, tt := range map[string]struct {
		v    url.Values
		code string
	}{
		"no action":             {query(), "MissingAction"},
		"an unknown action":     {query("Action", "AssumeRoleWithSAML"), "InvalidAction"},
		"actions have a case":   {query("Action", "getCallerIdentity"), "InvalidAction"},
		"another version":       {query("Action", "GetCallerIdentity", "Version", "2010-05-15"), "InvalidAction"},
		"a parameter twice":     {url.Values{"Action": {"GetCallerIdentity", "AssumeRole"}}, "MalformedInput"},
		"unknown ones are fine": {query("Action", "GetCallerIdentity", "New", "1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(user("ann"), tt.v)
			if tt.code == "" && w.Code != 200 || tt.code != "" && (w.Code != 400 || !strings.Contains(w.Body.String(), "<Error><Type>Sender</Type><Code>"+tt.code+"</Code>")) {
				t.Errorf("%d %s, want %s", w.Code, w.Body, tt.code)
			}
		})
	}
	ctx := restjson.WithCaller(t.Context(), user("ann"))
	for name, tt := range map[string]struct {
		r    *http.Request
		body string
		ok   bool
	}{
		"GET, as presigned requests do": {httptest.NewRequest("GET", "/?Action=GetCallerIdentity&Version="+version, nil), "", true},
		"JSON":                          {httptest.NewRequest("POST", "/", nil), `{}`, false},
		"another path":                  {httptest.NewRequest("GET", "/x?Action=GetCallerIdentity&Version="+version, nil), "", false},
		"a broken query":                {httptest.NewRequest("GET", "/?Action=GetCallerIdentity;&Version="+version, nil), "", false},
	} {
		_, err := s.serve(ctx, httptest.NewRecorder(), tt.r, []byte(tt.body))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for f, want := range map[restjson.Fault]string{
		{Status: 403, Name: "UnrecognizedClientException", Message: "<m>"}: "<Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>&lt;m&gt;</Message>",
		{Status: 403, Name: "InvalidSignatureException"}:                   "<Code>SignatureDoesNotMatch</Code>",
		{Status: 403, Name: "MissingAuthenticationTokenException"}:         "<Code>MissingAuthenticationToken</Code>",
		{Status: 403, Name: "ExpiredTokenException"}:                       "<Code>ExpiredToken</Code>",
		{Status: 500, Name: "InternalServerException"}:                     "<Type>Receiver</Type><Code>InternalFailure</Code>",
	} {
		w := httptest.NewRecorder()
		refuse(w, "id-1", f)
		if w.Code != f.Status || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "<RequestId>id-1</RequestId>") {
			t.Errorf("%v: %d %s", f, w.Code, w.Body)
		}
	}
}

func TestTokens(t *testing.T) {
	key := make([]byte, 32)
	one, err := NewTokens(key)
	if err != nil {
		t.Fatal(err)
	}
	key[0] = 1
	other, err := NewTokens(key)
	if err != nil {
		t.Fatal(err)
	}
	c := Credential{Account: account, ARN: ann, Expires: t0.Unix(), Session: stored{Policy: strings.Repeat(`"<`, maxPackedTotal/2)}}
	newKey(&c)
	token, err := one.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := one.Open(c.ID, token); err != nil || !cmp.Equal(got, c) {
		t.Errorf("%v, %v", got, err)
	}
	if strings.Contains(token, c.Secret) || len(token) > maxToken {
		t.Errorf("a token of %d bytes", len(token))
	}
	if again, _ := one.Seal(c); again == token {
		t.Error("two tokens are the same")
	}
	flip := []byte(token)
	flip[len(flip)/2] ^= 1
	if _, err := NewTokens(key[:31]); err == nil {
		t.Error("a short key was taken")
	}
	for name, open := range map[string]func() (Credential, error){
		"another key id":   func() (Credential, error) { return one.Open("ASIA"+c.ID[4:19]+"!", token) },
		"another node key": func() (Credential, error) { return other.Open(c.ID, token) },
		"a changed byte":   func() (Credential, error) { return one.Open(c.ID, string(flip)) },
		"a part":           func() (Credential, error) { return one.Open(c.ID, token[:len(token)-8]) },
		"nothing":          func() (Credential, error) { return one.Open(c.ID, "") },
		"no base64":        func() (Credential, error) { return one.Open(c.ID, "!") },
		"another version":  func() (Credential, error) { return one.Open(c.ID, "Ag"+token[2:]) },
		"far too long":     func() (Credential, error) { return one.Open(c.ID, strings.Repeat("A", maxToken+4)) },
	} {
		if got, err := open(); !errors.Is(err, live.NotFound) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	tokens, err := NewTokens(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	good, err := tokens.Seal(Credential{ID: "ASIA1", ARN: ann})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ASIA1", good)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, token string) {
		if c, err := tokens.Open(id, token); err == nil && (id != "ASIA1" || c.ARN != ann) {
			t.Errorf("%q of %q opens as %v", token, id, c)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add("Action=AssumeRole&RoleArn=a&RoleSessionName=ab&Tags.member.1.Key=k&Tags.member.1.Value=v&PolicyArns.member.1.arn=x&DurationSeconds=900")
	f.Add("a=%zz;&&=")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		p, err := parseParams(r, []byte(body))
		if err != nil {
			return
		}
		if in, err := parseAssumeRole(p); err == nil && (in.seconds < minSession || len(in.tags) > maxSessionTags || len(in.policies) > maxPolicyARNs) {
			t.Errorf("%q is taken as %+v", body, in)
		}
	})
}
