package iam

import (
	"strings"
	"testing"
)

// FuzzParse: nothing makes the parser or the evaluation of what it accepted panic, and
// a Deny of everything beside a policy denies whatever the policy says.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		document(version2012, allow("*", "*")),
		document(version2012, deny("!ivs:Get*", "!arn:aws:ivs:*:*:channel/${aws:username, 'x'}")),
		document(version2012, when(`"ForAllValues:StringLikeIfExists":{"aws:TagKeys":["${*}a?","${aws:PrincipalTag/t}"]},"Null":{"aws:b":true}`)),
		document(version2012, when(`"DateLessThan":{"aws:CurrentTime":"2026"},"NumericEquals":{"a:b":1e3},"IpAddress":{"aws:SourceIp":["::/0","10.0.0.1"]}`)),
		document(version2008, when(`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::${"},"BinaryEquals":{"a:b":"QQ=="},"Bool":{"a:c":"TRUE"}`)),
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333","*"],"Service":"x"},"Action":"sts:AssumeRole"}}`,
		`{"Statement":[[[[[[[[[[]]]]]]]]]]}`, `{"Statement":{"Effect":"Allow","Effect":"Deny"}}`, "\xff", "",
	} {
		f.Add([]byte(s), "ann", channel)
	}
	nothing, err := Parse([]byte(document(version2012, deny("*", "*"))))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte, v, resource string) {
		c := &Context{}
		for _, name := range []string{"aws:username", "aws:TagKeys", "aws:PrincipalTag/t", "aws:SourceIp", "aws:CurrentTime", "aws:PrincipalArn", "a:b"} {
			c.SetAll(name, strings.Split(v, "|"))
		}
		r := &Request{Action: "ivs:GetChannel", Resource: resource, Context: c}
		if p, err := Parse(doc); err == nil {
			Evaluate([]*Policy{p}, r)
			if got := Evaluate([]*Policy{p, nothing}, r); got != Denied {
				t.Errorf("%s beside a deny of everything: %v", doc, got)
			}
			(&Permissions{Identity: []*Policy{p}}).Asks("aws:")
		}
		if p, err := ParseTrust(doc); err == nil {
			p.Evaluate("sts:AssumeRole", v, []string{resource}, c)
		}
	})
}

// FuzzMatch holds match against the definition of a wildcard.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**", "")
	f.Add("?ä*", "xäy")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			return
		}
		p := []rune(strings.ToValidUTF8(pattern, ""))
		v := []rune(strings.ToValidUTF8(s, ""))
		got := match(wildcards.Replace(string(p)), string(v), false)
		if want := slow(p, v); got != want {
			t.Errorf("match(%q, %q) = %t, want %t", string(p), string(v), got, want)
		}
	})
}

func slow(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return slow(p[1:], s) || len(s) > 0 && slow(p, s[1:])
	case len(s) == 0:
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && slow(p[1:], s[1:])
}

// benchmarkCase is a policy of a dozen statements and a request that the last allows.
func benchmarkCase(tb testing.TB) ([]*Policy, *Request) {
	var all []string
	for _, op := range []string{"Create", "Update", "Delete", "Stop", "Tag", "Untag"} {
		all = append(all, allow("ivs:"+op+"*", "arn:aws:ivs:*:*:stream-key/*"),
			statementOf("Deny", "ivs:*", "*", `"StringEquals":{"aws:RequestTag/`+op+`":"x"},"Bool":{"aws:SecureTransport":"false"}`))
	}
	all = append(all, statementOf("Allow", "ivs:Get*", "arn:aws:ivs:*:*:channel/*",
		`"StringEquals":{"aws:ResourceTag/Owner":["ann","bob"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}`))
	p, err := Parse([]byte(document(version2012, all...)))
	if err != nil {
		tb.Fatal(err)
	}
	return []*Policy{p}, &Request{Action: "ivs:GetChannel", Resource: channel, Context: keys{
		"aws:username=bob", "aws:SourceIp=10.1.2.3", "aws:CurrentTime=2026-11-20T12:00:00Z", "aws:SecureTransport=true", "aws:ResourceTag/Owner=bob",
	}.context()}
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	p, r := benchmarkCase(t)
	if d := Evaluate(p, r); d != Allowed {
		t.Fatal(d)
	}
	if n := testing.AllocsPerRun(100, func() { Evaluate(p, r) }); n > 0 {
		t.Errorf("%v allocations an evaluation, want none", n)
	}
}

func BenchmarkEvaluate13Statements(b *testing.B) {
	p, r := benchmarkCase(b)
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(p, r)
	}
}

func BenchmarkParse(b *testing.B) {
	doc := []byte(document(version2012, allow("ivs:Get*", "arn:aws:ivs:*:*:channel/${aws:username}"), when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
