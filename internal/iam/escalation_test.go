package iam

import "testing"

// TestEscalation has ways to get more than one was given, as far as policies alone
// decide. Those that need a service (signatures, sessions, batches) are in test/e2e.
func TestEscalation(t *testing.T) {
	own := []string{statementOf("Allow", "ivs:GetChannel ivs:UpdateChannel", "arn:aws:ivs:*:*:channel/*", `"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}`)}
	create := []string{
		statementOf("Allow", "ivs:CreateChannel", "*", `"StringEquals":{"aws:RequestTag/Owner":"${aws:username}"},"ForAllValues:StringEquals":{"aws:TagKeys":["Owner","Name"]}`),
		statementOf("Allow", "ivs:TagResource", "*", `"StringEquals":{"aws:RequestTag/Owner":"${aws:username}"}`),
	}
	guarded := []string{allow("ivs:*", "*"), deny("ivs:GetStreamKey ivs:BatchGetStreamKey", "*")}
	office := []string{allow("*", "*"), never(`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)}
	runCases(t, version2012, map[string]evalCase{
		"1. a name with a wildcard owns everything":         {policy: []string{allow("*", "arn:aws:ivs:*:*:channel/${aws:username}")}, keys: keys{"aws:username=*"}, want: Undecided},
		"2. a tag of the principal with a wildcard":         {policy: []string{when(`"StringLike":{"aws:ResourceTag/Team":"${aws:PrincipalTag/Team}"}`)}, keys: keys{"aws:PrincipalTag/Team=*", "aws:ResourceTag/Team=red"}, want: Undecided},
		"3. no name meets a resource without an owner":      {policy: own, want: Undecided},
		"4. a second owner tag beside the first":            {policy: own, keys: keys{"aws:username=ann", "aws:ResourceTag/Owner=bob", "aws:ResourceTag/owner=ann"}, want: Undecided},
		"5. a tag of the request passes for the resource's": {policy: own, keys: keys{"aws:username=ann", "aws:RequestTag/Owner=ann", "aws:ResourceTag/Owner=bob"}, want: Undecided},
		"6. creating for somebody else":                     {policy: create, action: "ivs:CreateChannel", keys: keys{"aws:username=ann", "aws:RequestTag/Owner=bob", "aws:TagKeys=Owner"}, want: Undecided},
		"7. creating with a tag that is not listed":         {policy: create, action: "ivs:CreateChannel", keys: keys{"aws:username=ann", "aws:RequestTag/Owner=ann", "aws:RequestTag/Admin=1", "aws:TagKeys=Owner|Admin"}, want: Undecided},
		"8. retagging somebody else's to own it":            {policy: create, action: "ivs:TagResource", keys: keys{"aws:username=ann", "aws:RequestTag/Name=x", "aws:ResourceTag/Owner=bob"}, want: Undecided},
		"9. a denied secret by another case of the action":  {policy: guarded, action: "ivs:gETsTREAMkEY", want: Denied},
		"10. a denied secret through the batch":             {policy: guarded, action: "ivs:BatchGetStreamKey", resource: "arn:aws:ivs:us-west-2:111122223333:stream-key/a", want: Denied},
		"11. an address in another notation":                {policy: office, keys: keys{"aws:SourceIp=::ffff:192.0.2.1"}, want: Denied},
		"12. an address that is none":                       {policy: office, keys: keys{"aws:SourceIp=10.0.0.1, 192.0.2.1"}, want: Denied},
		"13. no address at all":                             {policy: office, want: Denied},
		"14. a colon in an id to reach another account":     {policy: []string{allow("*", "arn:aws:ivs:*:111122223333:channel/*")}, resource: "arn:aws:ivs:us-west-2:999999999999:x:111122223333:channel/a", want: Undecided},
		"15. a longer action than the one allowed":          {policy: []string{allow("ivs:GetStream", "*")}, action: "ivs:GetStreamKey", want: Undecided},
		"16. assuming a role with rights to everything ivs": {policy: []string{allow("ivs:* ivschat:*", "*")}, action: "sts:AssumeRole", resource: "arn:aws:iam::111122223333:role/admin", want: Undecided},
	})
}
