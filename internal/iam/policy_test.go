package iam

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const ok = `"Effect":"Allow","Action":"ivs:GetChannel","Resource":"*"`
	in := func(statement string) string { return `{"Version":"2012-10-17","Statement":{` + statement + `}}` }
	for name, tt := range map[string]struct {
		doc string
		err string // a part of the message; "" means that it is read
	}{
		"one statement":                {in(ok), ""},
		"a list":                       {`{"Version":"2012-10-17","Statement":[{` + ok + `}]}`, ""},
		"version 2008":                 {`{"Version":"2008-10-17","Statement":[{` + ok + `}]}`, ""},
		"no version":                   {`{"Statement":[{` + ok + `}]}`, ""},
		"an Id and a Sid":              {`{"Id":"x y","Statement":[{"Sid":"A1",` + ok + `}]}`, ""},
		"two Sids":                     {`{"Statement":[{"Sid":"A",` + ok + `},{"Sid":"B",` + ok + `}]}`, ""},
		"white space around":           {" \n" + in(ok) + "\n", ""},
		"white space does not count":   {in(ok) + strings.Repeat(" ", 20000), ""},
		"no JSON":                      {`{`, "not JSON"},
		"nothing":                      {``, "not JSON"},
		"two documents":                {in(ok) + in(ok), "not JSON"},
		"a list of documents":          {`[` + in(ok) + `]`, "must be an object"},
		"not UTF-8":                    {"\"\xff\"", "not UTF-8"},
		"too long":                     {in(ok + `,"Sid":"` + strings.Repeat("a", 10240) + `"`), "over the limit of 10240"},
		"far too long":                 {strings.Repeat(" ", 200000), "over the limit"},
		"too deep":                     {`{"Statement":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, "nested deeper"},
		"another version":              {`{"Version":"2012-10-18","Statement":[{` + ok + `}]}`, "Version must be"},
		"a number as version":          {`{"Version":2012,"Statement":[{` + ok + `}]}`, "Version must be"},
		"a number as Id":               {`{"Id":1,"Statement":[{` + ok + `}]}`, "Id must be a string"},
		"no statement":                 {`{"Version":"2012-10-17"}`, "no Statement"},
		"an empty list of statements":  {`{"Statement":[]}`, "no Statement"},
		"a string as statement":        {`{"Statement":"x"}`, "must be an object"},
		"an unknown element":           {`{"Statements":[]}`, `unknown element "Statements"`},
		"elements have a case":         {`{"statement":[]}`, `unknown element "statement"`},
		"an element twice":             {`{"Statement":[],"Statement":[{` + ok + `}]}`, `"Statement" is given twice`},
		"Effect twice":                 {in(ok + `,"Effect":"Deny"`), `"Effect" is given twice`},
		"Effect twice, escaped":        {in(ok + `,"\u0045ffect":"Deny"`), `"Effect" is given twice`},
		"a key twice":                  {in(ok + `,"Condition":{"Bool":{"aws:a":"true","aws:a":"false"}}`), `"aws:a" is given twice`},
		"a Sid with a space":           {in(`"Sid":"a b",` + ok), "letters and digits"},
		"the same Sid twice":           {`{"Statement":[{"Sid":"A",` + ok + `},{"Sid":"A",` + ok + `}]}`, "statement 2: another statement"},
		"an unknown statement element": {in(ok + `,"Resources":"*"`), `unknown element "Resources"`},
		"no Effect":                    {in(`"Action":"*","Resource":"*"`), "no Effect"},
		"Effect in lower case":         {in(`"Effect":"allow","Action":"*","Resource":"*"`), "must be Allow or Deny"},
		"no Action":                    {in(`"Effect":"Allow","Resource":"*"`), "neither Action nor NotAction"},
		"no Resource":                  {in(`"Effect":"Allow","Action":"*"`), "neither Resource nor NotResource"},
		"Action and NotAction":         {in(ok + `,"NotAction":"ivs:*"`), "one of Action and NotAction"},
		"Resource and NotResource":     {in(ok + `,"NotResource":"*"`), "one of Resource and NotResource"},
		"Principal":                    {in(ok + `,"Principal":"*"`), "identity policy has no Principal"},
		"NotPrincipal":                 {in(ok + `,"NotPrincipal":"*"`), "not supported"},
		"no action in a list":          {in(`"Effect":"Allow","Action":[],"Resource":"*"`), "empty list"},
		"an action without vendor":     {in(`"Effect":"Allow","Action":"GetChannel","Resource":"*"`), "not an action"},
		"a vendor with a wildcard":     {in(`"Effect":"Allow","Action":"iv*:GetChannel","Resource":"*"`), "not an action"},
		"a variable in an action":      {in(`"Effect":"Allow","Action":"ivs:${aws:username}","Resource":"*"`), "not an action"},
		"an empty action":              {in(`"Effect":"Allow","Action":"ivs:","Resource":"*"`), "not an action"},
		"a number as action":           {in(`"Effect":"Allow","Action":1,"Resource":"*"`), "not a number"},
		"null as action":               {in(`"Effect":"Allow","Action":null,"Resource":"*"`), "not null"},
		"a resource that is no ARN":    {in(`"Effect":"Allow","Action":"*","Resource":"channel/x"`), "neither an ARN nor *"},
		"an empty resource":            {in(`"Effect":"Allow","Action":"*","Resource":""`), "neither an ARN nor *"},
		"an ARN without a service":     {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws"`), "at least its service"},
		"an ARN of any service":        {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:*:*:*:*"`), "must be spelled out"},
		"an ARN of no service":         {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws::us-west-2:1:x"`), "must be spelled out"},
		"a variable as account":        {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:${aws:PrincipalAccount}:*"`), "only in the last part"},
		"a variable as a whole":        {in(`"Effect":"Allow","Action":"*","Resource":"${aws:PrincipalTag/all}"`), "last part"},
		"an open variable":             {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:*:${aws:username"`), "no closing brace"},
		"a variable that is no key":    {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:*:${username}"`), "condition key looks like"},
		"a variable in a variable":     {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:*:${aws:${a}}"`), "condition key looks like"},
		"a default without quotes":     {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:*:${aws:username,x}"`), "single quotes"},
		"a default with a quote":       {in(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ivs:*:*:${aws:username,'x'y'}"`), "single quotes"},
		"a list as condition":          {in(ok + `,"Condition":[]`), "must be an object"},
		"an operator without keys":     {in(ok + `,"Condition":{"Bool":{}}`), "object of condition keys"},
		"an unknown operator":          {in(ok + `,"Condition":{"StringMatches":{"aws:a":"x"}}`), "no such condition operator"},
		"operators have a case":        {in(ok + `,"Condition":{"stringequals":{"aws:a":"x"}}`), "no such condition operator"},
		"an unknown set operator":      {in(ok + `,"Condition":{"ForSomeValues:StringEquals":{"aws:a":"x"}}`), "no such condition operator"},
		"a numeric operator of none":   {in(ok + `,"Condition":{"NumericLike":{"aws:a":"1"}}`), "no such condition operator"},
		"IfExists with Null":           {in(ok + `,"Condition":{"NullIfExists":{"aws:a":"true"}}`), "no such condition operator"},
		"a set operator with Null":     {in(ok + `,"Condition":{"ForAllValues:Null":{"aws:a":"true"}}`), "no such condition operator"},
		"a key without vendor":         {in(ok + `,"Condition":{"Bool":{"a":"true"}}`), "condition key looks like"},
		"a variable as key":            {in(ok + `,"Condition":{"StringEquals":{"aws:ResourceTag/${aws:username}":"x"}}`), "condition key looks like"},
		"no values":                    {in(ok + `,"Condition":{"StringEquals":{"aws:a":[]}}`), "empty list"},
		"an object as value":           {in(ok + `,"Condition":{"StringEquals":{"aws:a":{}}}`), "not an object"},
		"a list in a list":             {in(ok + `,"Condition":{"StringEquals":{"aws:a":[["x"]]}}`), "not an array"},
		"Bool of neither":              {in(ok + `,"Condition":{"Bool":{"aws:a":"yes"}}`), "neither true nor false"},
		"Null of both":                 {in(ok + `,"Condition":{"Null":{"aws:a":["true","false"]}}`), "says nothing"},
		"a number of letters":          {in(ok + `,"Condition":{"NumericEquals":{"aws:a":"ten"}}`), "not a number"},
		"a number without end":         {in(ok + `,"Condition":{"NumericEquals":{"aws:a":"Inf"}}`), "not a number"},
		"a date of letters":            {in(ok + `,"Condition":{"DateEquals":{"aws:a":"today"}}`), "not a date"},
		"a network that is none":       {in(ok + `,"Condition":{"IpAddress":{"aws:a":"10.0.0.0/33"}}`), "neither an IP address"},
		"a variable as address":        {in(ok + `,"Condition":{"IpAddress":{"aws:a":"${aws:SourceIp}"}}`), "neither an IP address"},
		"binary that is none":          {in(ok + `,"Condition":{"BinaryEquals":{"aws:a":"!"}}`), "not base64"},
		"an ARN operator with a word":  {in(ok + `,"Condition":{"ArnLike":{"aws:a":"root"}}`), "neither an ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%s\n%v, want %q", tt.doc, err, tt.err)
			}
		})
	}
}

func TestTrust(t *testing.T) {
	const (
		account = "111122223333"
		ann     = "arn:aws:iam::111122223333:user/ann"
		bob     = "arn:aws:iam::111122223333:user/bob"
		role    = "arn:aws:iam::111122223333:role/ops"
		session = "arn:aws:sts::111122223333:assumed-role/ops/s1"
	)
	st := func(effect, principal, cond string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"sts:AssumeRole"` + cond + `}`
	}
	for name, tt := range map[string]struct {
		statements []string
		arns       []string
		keys       keys
		want       Truster
	}{
		"a user by ARN":             {[]string{st("Allow", `{"AWS":"`+ann+`"}`, "")}, []string{ann}, nil, Trusted},
		"another user":              {[]string{st("Allow", `{"AWS":"`+ann+`"}`, "")}, []string{bob}, nil, NotTrusted},
		"one of a list":             {[]string{st("Allow", `{"AWS":["`+ann+`","`+bob+`"]}`, "")}, []string{bob}, nil, Trusted},
		"the account":               {[]string{st("Allow", `{"AWS":"111122223333"}`, "")}, []string{ann}, nil, AccountTrusted},
		"the account's root":        {[]string{st("Allow", `{"AWS":"arn:aws:iam::111122223333:root"}`, "")}, []string{ann}, nil, AccountTrusted},
		"another account":           {[]string{st("Allow", `{"AWS":"999999999999"}`, "")}, []string{ann}, nil, NotTrusted},
		"everyone":                  {[]string{st("Allow", `"*"`, "")}, []string{ann}, nil, AccountTrusted},
		"everyone of AWS":           {[]string{st("Allow", `{"AWS":"*"}`, "")}, []string{ann}, nil, AccountTrusted},
		"a service":                 {[]string{st("Allow", `{"Service":"ivs.amazonaws.com"}`, "")}, []string{ann}, nil, NotTrusted},
		"a role by its session":     {[]string{st("Allow", `{"AWS":"`+role+`"}`, "")}, []string{session, role}, nil, Trusted},
		"a session":                 {[]string{st("Allow", `{"AWS":"`+session+`"}`, "")}, []string{session, role}, nil, Trusted},
		"another session":           {[]string{st("Allow", `{"AWS":"`+session+`2"}`, "")}, []string{session, role}, nil, NotTrusted},
		"a deny of one":             {[]string{st("Allow", `{"AWS":"111122223333"}`, ""), st("Deny", `{"AWS":"`+ann+`"}`, "")}, []string{ann}, nil, NotTrusted},
		"a deny of another":         {[]string{st("Allow", `{"AWS":"111122223333"}`, ""), st("Deny", `{"AWS":"`+ann+`"}`, "")}, []string{bob}, nil, AccountTrusted},
		"an external id":            {[]string{st("Allow", `{"AWS":"111122223333"}`, `,"Condition":{"StringEquals":{"sts:ExternalId":"x1"}}`)}, []string{ann}, keys{"sts:ExternalId=x1"}, AccountTrusted},
		"a wrong external id":       {[]string{st("Allow", `{"AWS":"111122223333"}`, `,"Condition":{"StringEquals":{"sts:ExternalId":"x1"}}`)}, []string{ann}, keys{"sts:ExternalId=x2"}, NotTrusted},
		"an external id not given":  {[]string{st("Allow", `{"AWS":"111122223333"}`, `,"Condition":{"StringEquals":{"sts:ExternalId":"x1"}}`)}, []string{ann}, nil, NotTrusted},
		"the best of two":           {[]string{st("Allow", `"*"`, ""), st("Allow", `{"AWS":"`+ann+`"}`, "")}, []string{ann}, nil, Trusted},
		"another action is no help": {[]string{`{"Effect":"Allow","Principal":"*","Action":"sts:TagSession"}`}, []string{ann}, nil, NotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParseTrust([]byte(document(version2012, tt.statements...)))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Evaluate("sts:AssumeRole", account, tt.arns, tt.keys.context()); got != tt.want {
				t.Errorf("%q: %d, want %d", tt.arns, got, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ statement, err string }{
		"no principal":           {`{"Effect":"Allow","Action":"sts:AssumeRole"}`, "no Principal"},
		"a resource":             {`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}`, "has no Resource"},
		"an empty principal":     {st("Allow", `{}`, ""), "must be"},
		"a word as principal":    {st("Allow", `"ann"`, ""), "must be"},
		"an empty list":          {st("Allow", `{"AWS":[]}`, ""), "empty list"},
		"a wildcard in an ARN":   {st("Allow", `{"AWS":"arn:aws:iam::111122223333:user/*"}`, ""), "without wildcards"},
		"a group":                {st("Allow", `{"AWS":"arn:aws:iam::111122223333:group/x"}`, ""), "user, role or session"},
		"a principal of another": {st("Allow", `{"Federated":"x"}`, ""), "not supported"},
		"an account too short":   {st("Allow", `{"AWS":"11112222333"}`, ""), "not an account"},
		"NotPrincipal":           {`{"Effect":"Deny","NotPrincipal":"*","Action":"sts:AssumeRole"}`, "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseTrust([]byte(document(version2012, tt.statement)))
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
		})
	}
}
