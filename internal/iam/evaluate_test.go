package iam

import (
	"fmt"
	"strings"
	"testing"
)

// channel is the resource of most cases.
const channel = "arn:aws:ivs:us-west-2:111122223333:channel/Kq3ZtB7xWm2P"

// statementOf writes one statement; cond may be "".
func statementOf(effect, action, resource, cond string) string {
	s := fmt.Sprintf(`{"Effect":%q,%s,%s`, effect, element("Action", action), element("Resource", resource))
	if cond != "" {
		s += `,"Condition":{` + cond + `}`
	}
	return s + "}"
}

// element writes Action or Resource from a list in one string; a leading ! makes it
// the Not form.
func element(name, list string) string {
	if rest, ok := strings.CutPrefix(list, "!"); ok {
		name, list = "Not"+name, rest
	}
	return fmt.Sprintf(`%q:["%s"]`, name, strings.Join(strings.Fields(list), `","`))
}

func document(version string, statements ...string) string {
	return `{"Version":"` + version + `","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(action, resource string) string { return statementOf("Allow", action, resource, "") }

func deny(action, resource string) string { return statementOf("Deny", action, resource, "") }

// when allows every action under a condition, never denies it.
func when(cond string) string { return statementOf("Allow", "*", "*", cond) }

func never(cond string) string { return statementOf("Deny", "*", "*", cond) }

// keys is a context: "aws:username=ann", several values with |, nothing after = for
// the empty string.
type keys []string

func (k keys) context() *Context {
	c := &Context{}
	for _, kv := range k {
		name, v, _ := strings.Cut(kv, "=")
		c.SetAll(name, strings.Split(v, "|"))
	}
	return c
}

type evalCase struct {
	policy   []string // statements of one policy of version 2012-10-17
	action   string   // "" is ivs:GetChannel
	resource string   // "" is channel
	keys     keys
	want     Decision
}

func runCases(t *testing.T, version string, cases map[string]evalCase) {
	t.Helper()
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			doc := document(version, tt.policy...)
			p, err := Parse([]byte(doc))
			if err != nil {
				t.Fatalf("%s: %v", doc, err)
			}
			r := &Request{Action: tt.action, Resource: tt.resource, Context: tt.keys.context()}
			if r.Action == "" {
				r.Action = "ivs:GetChannel"
			}
			if r.Resource == "" {
				r.Resource = channel
			}
			if got := Evaluate([]*Policy{p}, r); got != tt.want {
				t.Errorf("%s on %s with %q by %s\n%v, want %v", r.Action, r.Resource, tt.keys, doc, got, tt.want)
			}
		})
	}
}

func TestEffects(t *testing.T) {
	s := func(all ...string) []string { return all }
	runCases(t, version2012, map[string]evalCase{
		"nothing applies":                         {policy: s(allow("ivs:StopStream", "*")), want: Undecided},
		"an allow allows":                         {policy: s(allow("ivs:GetChannel", channel)), want: Allowed},
		"a deny denies without an allow":          {policy: s(deny("ivs:GetChannel", "*")), want: Denied},
		"a deny beats an allow before it":         {policy: s(allow("*", "*"), deny("ivs:GetChannel", "*")), want: Denied},
		"a deny beats an allow after it":          {policy: s(deny("ivs:GetChannel", "*"), allow("*", "*")), want: Denied},
		"a deny of something else does nothing":   {policy: s(allow("*", "*"), deny("ivs:StopStream", "*")), want: Allowed},
		"a deny on another resource":              {policy: s(allow("*", "*"), deny("*", "arn:aws:ivs:*:*:channel/other")), want: Allowed},
		"a deny whose condition does not hold":    {policy: s(allow("*", "*"), never(`"Bool":{"aws:SecureTransport":"false"}`)), keys: keys{"aws:SecureTransport=true"}, want: Allowed},
		"a deny whose condition holds":            {policy: s(allow("*", "*"), never(`"Bool":{"aws:SecureTransport":"false"}`)), keys: keys{"aws:SecureTransport=false"}, want: Denied},
		"an allow of another statement is enough": {policy: s(allow("ivs:List*", "*"), allow("ivs:Get*", "*")), want: Allowed},
		"a narrow allow does not pierce a deny":   {policy: s(deny("ivs:*", "*"), allow("ivs:GetChannel", channel)), want: Denied},
	})
}

func TestActions(t *testing.T) {
	a := func(action string) []string { return []string{allow(action, "*")} }
	runCases(t, version2012, map[string]evalCase{
		"exact":                         {policy: a("ivs:GetChannel"), want: Allowed},
		"another":                       {policy: a("ivs:GetStream"), want: Undecided},
		"a prefix is no match":          {policy: a("ivs:GetChannel"), action: "ivs:GetChannels", want: Undecided},
		"an action longer than allowed": {policy: a("ivs:GetChannels"), want: Undecided},
		"case of the name":              {policy: a("ivs:getCHANNEL"), want: Allowed},
		"case of the vendor":            {policy: a("IVS:GetChannel"), want: Allowed},
		"star for all":                  {policy: a("*"), want: Allowed},
		"star for a vendor's":           {policy: a("ivs:*"), want: Allowed},
		"a vendor's star ends there":    {policy: a("ivs:*"), action: "ivschat:GetRoom", want: Undecided},
		"star at the end":               {policy: a("ivs:Get*"), want: Allowed},
		"star in the middle":            {policy: a("ivs:Get*el"), want: Allowed},
		"star in the middle, other end": {policy: a("ivs:Get*el"), action: "ivs:GetStream", want: Undecided},
		"several stars":                 {policy: a("ivs:*e*C*n*l"), want: Allowed},
		"star for nothing":              {policy: a("ivs:GetChannel*"), want: Allowed},
		"question mark for one":         {policy: a("ivs:?etChannel"), want: Allowed},
		"question mark not for none":    {policy: a("ivs:GetChannel?"), want: Undecided},
		"question mark not for two":     {policy: a("ivs:?tChannel"), want: Undecided},
		"one of a list":                 {policy: a("ivs:StopStream ivs:GetChannel"), want: Allowed},
		"NotAction of another":          {policy: a("!ivs:StopStream"), want: Allowed},
		"NotAction of this":             {policy: a("!ivs:GetChannel"), want: Undecided},
		"NotAction of a list":           {policy: a("!ivs:Stop* ivs:Get*"), want: Undecided},
		"NotAction reaches all vendors": {policy: a("!ivs:*"), action: "sts:AssumeRole", want: Allowed},
		"NotAction in a deny":           {policy: []string{allow("*", "*"), deny("!ivs:Get* ivs:List*", "*")}, action: "ivs:DeleteChannel", want: Denied},
		"NotAction in a deny spares":    {policy: []string{allow("*", "*"), deny("!ivs:Get* ivs:List*", "*")}, want: Allowed},
	})
}

func TestResources(t *testing.T) {
	r := func(resource string) []string { return []string{allow("*", resource)} }
	runCases(t, version2012, map[string]evalCase{
		"exact":                                {policy: r(channel), want: Allowed},
		"another id":                           {policy: r("arn:aws:ivs:us-west-2:111122223333:channel/other"), want: Undecided},
		"ids have a case":                      {policy: r("arn:aws:ivs:us-west-2:111122223333:channel/kq3ztb7xwm2p"), want: Undecided},
		"star":                                 {policy: r("*"), want: Allowed},
		"two stars":                            {policy: r("**"), want: Allowed},
		"star in every part":                   {policy: r("arn:*:ivs:*:*:*"), want: Allowed},
		"star for the id":                      {policy: r("arn:aws:ivs:*:*:channel/*"), want: Allowed},
		"star for the id of another type":      {policy: r("arn:aws:ivs:*:*:stream-key/*"), want: Undecided},
		"part of an id":                        {policy: r("arn:aws:ivs:*:*:channel/Kq3*"), want: Allowed},
		"question marks":                       {policy: r("arn:aws:ivs:us-west-?:*:channel/Kq3ZtB7xWm2?"), want: Allowed},
		"another region":                       {policy: r("arn:aws:ivs:eu-west-1:*:channel/*"), want: Undecided},
		"another account":                      {policy: r("arn:aws:ivs:*:999999999999:channel/*"), want: Undecided},
		"another service":                      {policy: r("arn:aws:ivschat:*:*:*"), want: Undecided},
		"a star does not cross a colon":        {policy: r("arn:aws:ivs:*:channel/*"), want: Undecided},
		"a star in the last part crosses":      {policy: r("arn:aws:ivs:*:*:cha*"), resource: channel + ":x/y:z", want: Allowed},
		"an ARN without its end is completed":  {policy: r("arn:aws:ivs"), want: Allowed},
		"an ARN with a star at its end too":    {policy: r("arn:aws:ivs:*"), want: Allowed},
		"an ARN up to the account":             {policy: r("arn:aws:ivs:us-west-2:111122223333"), want: Allowed},
		"one up to another account":            {policy: r("arn:aws:ivs:us-west-2:999999999999"), want: Undecided},
		"an empty region is not any region":    {policy: r("arn:aws:ivs::111122223333:*"), want: Undecided},
		"all types by a star are not * itself": {policy: r("arn:aws:ivs:*:*:*"), resource: "*", want: Undecided},
		"star matches * itself":                {policy: r("*"), resource: "*", want: Allowed},
		"one of a list":                        {policy: r("arn:aws:ivs:*:*:stream-key/* arn:aws:ivs:*:*:channel/*"), want: Allowed},
		"NotResource of another":               {policy: r("!arn:aws:ivs:*:*:channel/other"), want: Allowed},
		"NotResource of this":                  {policy: r("!" + channel), want: Undecided},
		"NotResource of a type":                {policy: r("!arn:aws:ivs:*:*:channel/*"), resource: "arn:aws:ivs:us-west-2:111122223333:stream-key/a", want: Allowed},
		"NotResource with a star":              {policy: r("!*"), want: Undecided},
		"NotResource holds for * itself":       {policy: r("!arn:aws:ivs:*:*:*"), resource: "*", want: Allowed},
		"NotResource in a deny":                {policy: []string{allow("*", "*"), deny("*", "!arn:aws:ivs:us-west-2:*:*")}, resource: "arn:aws:ivs:eu-west-1:111122223333:channel/a", want: Denied},
		"NotResource in a deny spares":         {policy: []string{allow("*", "*"), deny("*", "!arn:aws:ivs:us-west-2:*:*")}, want: Allowed},
		"a wildcard in the request is text":    {policy: r("arn:aws:ivs:*:*:channel/a"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/*", want: Undecided},
		"creation is on the type's wildcard":   {policy: r("arn:aws:ivs:*:*:channel/*"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/*", want: Allowed},
	})
}

func TestVariables(t *testing.T) {
	r := func(resource string) []string { return []string{allow("*", resource)} }
	ann := keys{"aws:username=ann"}
	own := "arn:aws:ivs:us-west-2:111122223333:channel/ann"
	runCases(t, version2012, map[string]evalCase{
		"in a resource":                     {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), resource: own, keys: ann, want: Allowed},
		"of somebody else":                  {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), resource: own, keys: keys{"aws:username=bob"}, want: Undecided},
		"beside a wildcard":                 {policy: r("arn:aws:ivs:*:*:channel/${aws:username}*"), resource: own + "-1", keys: ann, want: Allowed},
		"the name of a key has no case":     {policy: r("arn:aws:ivs:*:*:channel/${AWS:UserName}"), resource: own, keys: ann, want: Allowed},
		"without a value":                   {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), resource: own, want: Undecided},
		"a value of * is a star":            {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), keys: keys{"aws:username=*"}, want: Undecided},
		"a value of ? is a question mark":   {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), resource: own, keys: keys{"aws:username=an?"}, want: Undecided},
		"a value with a variable is text":   {policy: r("arn:aws:ivs:*:*:channel/${aws:PrincipalTag/c}"), resource: own, keys: keys{"aws:username=ann", "aws:PrincipalTag/c=${aws:username}"}, want: Undecided},
		"several values are no value":       {policy: r("arn:aws:ivs:*:*:channel/${aws:TagKeys}"), resource: own, keys: keys{"aws:TagKeys=ann|bob"}, want: Undecided},
		"one value of several possible":     {policy: r("arn:aws:ivs:*:*:channel/${aws:TagKeys}"), resource: own, keys: keys{"aws:TagKeys=ann"}, want: Allowed},
		"a tag of the principal":            {policy: r("arn:aws:ivs:*:*:${aws:PrincipalTag/Kind}/*"), resource: own, keys: keys{"aws:PrincipalTag/Kind=channel"}, want: Allowed},
		"two variables":                     {policy: r("arn:aws:ivs:*:*:${aws:PrincipalTag/Kind}/${aws:username}"), resource: own, keys: keys{"aws:username=ann", "aws:PrincipalTag/Kind=channel"}, want: Allowed},
		"a default when absent":             {policy: r("arn:aws:ivs:*:*:channel/${aws:username,'ann'}"), resource: own, want: Allowed},
		"a default after a space":           {policy: []string{when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username, 'no body'}"}`)}, keys: keys{"aws:ResourceTag/Owner=no body"}, want: Allowed},
		"no default when present":           {policy: r("arn:aws:ivs:*:*:channel/${aws:username,'ann'}"), resource: own, keys: keys{"aws:username=bob"}, want: Undecided},
		"a default of * is a star":          {policy: r("arn:aws:ivs:*:*:channel/${aws:username,'*'}"), resource: own, want: Undecided},
		"an escaped star":                   {policy: r("arn:aws:ivs:*:*:channel/${*}"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/*", want: Allowed},
		"an escaped star is no wildcard":    {policy: r("arn:aws:ivs:*:*:channel/${*}"), want: Undecided},
		"an escaped question mark":          {policy: r("arn:aws:ivs:*:*:channel/${?}"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/?", want: Allowed},
		"an escaped dollar":                 {policy: r("arn:aws:ivs:*:*:channel/${$}{a}"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/${a}", want: Allowed},
		"a lone dollar":                     {policy: r("arn:aws:ivs:*:*:channel/$a$"), resource: "arn:aws:ivs:us-west-2:111122223333:channel/$a$", want: Allowed},
		"in a condition":                    {policy: []string{when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:username=ann", "aws:ResourceTag/Owner=ann"}, want: Allowed},
		"in a condition, another's":         {policy: []string{when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:username=bob", "aws:ResourceTag/Owner=ann"}, want: Undecided},
		"in a condition, both missing":      {policy: []string{when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, want: Undecided},
		"in a condition, no user":           {policy: []string{when(`"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:ResourceTag/Owner="}, want: Undecided},
		"equal to an escaped star":          {policy: []string{when(`"StringEquals":{"aws:username":"${*}"}`)}, keys: keys{"aws:username=*"}, want: Allowed},
		"like, with a value of *":           {policy: []string{when(`"StringLike":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:username=*", "aws:ResourceTag/Owner=ann"}, want: Undecided},
		"an ARN with a variable account":    {policy: []string{when(`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::${aws:PrincipalAccount}:user/a*"}`)}, keys: keys{"aws:PrincipalAccount=111122223333", "aws:PrincipalArn=arn:aws:iam::111122223333:user/ann"}, want: Allowed},
		"not equal to nothing, in an allow": {policy: []string{when(`"StringNotEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:ResourceTag/Owner=ann"}, want: Undecided},
		"not equal to nothing, in a deny":   {policy: []string{allow("*", "*"), never(`"StringNotEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}, keys: keys{"aws:ResourceTag/Owner=ann"}, want: Denied},
		"NotResource of nothing, allow":     {policy: r("!arn:aws:ivs:*:*:channel/${aws:username}"), want: Undecided},
		"NotResource of nothing, deny":      {policy: []string{allow("*", "*"), deny("*", "!arn:aws:ivs:*:*:channel/${aws:username}")}, want: Denied},
		"Resource of nothing, deny":         {policy: []string{allow("*", "*"), deny("*", "arn:aws:ivs:*:*:channel/${aws:username}")}, want: Allowed},
		"a value that is no text":           {policy: r("arn:aws:ivs:*:*:channel/${aws:UserAgent}"), resource: own, keys: keys{"aws:UserAgent=\xfe"}, want: Undecided},
	})
	runCases(t, version2008, map[string]evalCase{
		"2008 has no variables":           {policy: r("arn:aws:ivs:*:*:channel/${aws:username}"), resource: own, keys: ann, want: Undecided},
		"2008 takes them for text":        {policy: []string{when(`"StringEquals":{"aws:username":"${aws:username}"}`)}, keys: keys{"aws:username=${aws:username}"}, want: Allowed},
		"2008 has wildcards all the same": {policy: r("arn:aws:ivs:*:*:channel/a*"), resource: own, want: Allowed},
	})
}

func TestPermissions(t *testing.T) {
	policy := func(s ...string) []*Policy {
		p, err := Parse([]byte(document(version2012, s...)))
		if err != nil {
			t.Fatal(err)
		}
		return []*Policy{p}
	}
	all, some, none := policy(allow("*", "*")), policy(allow("ivs:Get*", "*")), policy(deny("ivs:GetChannel", "*"))
	for name, tt := range map[string]struct {
		p    Permissions
		want Decision
		by   Source
	}{
		"no policies":                         {Permissions{}, Undecided, ByIdentity},
		"no session policies":                 {Permissions{Identity: all}, Allowed, ByIdentity},
		"a session policy that allows it":     {Permissions{all, some, true}, Allowed, BySession},
		"one that allows something else":      {Permissions{all, policy(allow("ivs:StopStream", "*")), true}, Undecided, BySession},
		"one that denies":                     {Permissions{all, append(none, all...), true}, Denied, BySession},
		"one that allows more than the role":  {Permissions{policy(allow("ivs:List*", "*")), all, true}, Undecided, ByIdentity},
		"the role denies what it allows":      {Permissions{append(none, all...), all, true}, Denied, ByIdentity},
		"a session limited to nothing at all": {Permissions{all, nil, true}, Undecided, BySession},
		"it denies, the role does not allow":  {Permissions{nil, none, true}, Denied, BySession},
	} {
		t.Run(name, func(t *testing.T) {
			got, by := tt.p.Evaluate(&Request{Action: "ivs:GetChannel", Resource: channel, Context: &Context{}})
			if got != tt.want || got != Allowed && by != tt.by {
				t.Errorf("%v by %v, want %v by %v", got, by, tt.want, tt.by)
			}
		})
	}
}

func TestAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		statement string
		want      bool
	}{
		"no":                     {allow("*", "*"), false},
		"a condition's key":      {when(`"StringEquals":{"aws:ResourceTag/Owner":"a"}`), true},
		"in a resource":          {allow("*", "arn:aws:ivs:*:*:channel/${aws:ResourceTag/Id}"), true},
		"in a condition's value": {when(`"StringEquals":{"aws:username":"${aws:ResourceTag/Owner}"}`), true},
		"in a Null":              {when(`"Null":{"aws:ResourceTag/Owner":"true"}`), true},
		"another key":            {when(`"StringEquals":{"aws:RequestTag/Owner":"${aws:username}"}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse([]byte(document(version2012, tt.statement)))
			if err != nil {
				t.Fatal(err)
			}
			for _, perms := range []Permissions{{Identity: []*Policy{p}}, {Session: []*Policy{p}, Limited: true}} {
				if got := perms.Asks("aws:resourcetag/"); got != tt.want {
					t.Errorf("Asks = %t, want %t", got, tt.want)
				}
			}
		})
	}
}

func TestManaged(t *testing.T) {
	all, err := Managed()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		policy, action string
		want           Decision
	}{
		{"AdministratorAccess", "ivs:GetStreamKey", Allowed},
		{"AdministratorAccess", "sts:AssumeRole", Allowed},
		{"IVSFullAccess", "ivs:DeleteChannel", Allowed},
		{"IVSFullAccess", "ivschat:CreateRoom", Allowed},
		{"IVSFullAccess", "sts:AssumeRole", Undecided},
		{"IVSReadOnlyAccess", "ivs:GetChannel", Allowed},
		{"IVSReadOnlyAccess", "ivs:ListTagsForResource", Allowed},
		{"IVSReadOnlyAccess", "ivs:ListStreamKeys", Allowed},
		{"IVSReadOnlyAccess", "ivs:GetStreamKey", Undecided},
		{"IVSReadOnlyAccess", "ivs:BatchGetStreamKey", Undecided},
		{"IVSReadOnlyAccess", "ivs:ListAdConfigurations", Undecided}, // not in AWS's list
		{"IVSReadOnlyAccess", "ivs:StopStream", Undecided},
		{"IVSReadOnlyAccess", "ivs:TagResource", Undecided},
		{"IVSReadOnlyAccess", "ivschat:GetRoom", Undecided},
	} {
		p := all["arn:aws:iam::aws:policy/"+tt.policy]
		if p == nil {
			t.Fatalf("no policy %s", tt.policy)
		}
		if got := Evaluate([]*Policy{p}, &Request{Action: tt.action, Resource: channel}); got != tt.want {
			t.Errorf("%s: %s is %v, want %v", tt.policy, tt.action, got, tt.want)
		}
	}
}
