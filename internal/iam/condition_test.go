package iam

import "testing"

func TestConditions(t *testing.T) {
	c := func(cond string) []string { return []string{when(cond)} }
	k := func(kv ...string) keys { return kv }
	runCases(t, version2012, map[string]evalCase{
		// Keys and values.
		"key names ignore case":           {policy: c(`"StringEquals":{"AWS:resourceTAG/owner":"ann"}`), keys: k("aws:ResourceTag/Owner=ann"), want: Allowed},
		"values do not":                   {policy: c(`"StringEquals":{"aws:username":"Ann"}`), keys: k("aws:username=ann"), want: Undecided},
		"two keys are both needed":        {policy: c(`"StringEquals":{"aws:username":"ann","aws:RequestTag/a":"1"}`), keys: k("aws:username=ann", "aws:RequestTag/a=1"), want: Allowed},
		"two keys, one wrong":             {policy: c(`"StringEquals":{"aws:username":"ann","aws:RequestTag/a":"1"}`), keys: k("aws:username=ann", "aws:RequestTag/a=2"), want: Undecided},
		"two operators are both needed":   {policy: c(`"StringEquals":{"aws:username":"ann"},"StringLike":{"aws:username":"b*"}`), keys: k("aws:username=ann"), want: Undecided},
		"one of several values is enough": {policy: c(`"StringEquals":{"aws:username":["bob","ann"]}`), keys: k("aws:username=ann"), want: Allowed},
		"none of several values":          {policy: c(`"StringEquals":{"aws:username":["bob","cyd"]}`), keys: k("aws:username=ann"), want: Undecided},
		"a negated list is NOR, inside":   {policy: c(`"StringNotEquals":{"aws:username":["bob","ann"]}`), keys: k("aws:username=ann"), want: Undecided},
		"a negated list is NOR, outside":  {policy: c(`"StringNotEquals":{"aws:username":["bob","cyd"]}`), keys: k("aws:username=ann"), want: Allowed},
		"no conditions in the object":     {policy: []string{`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}`}, want: Allowed},
		"an ambiguous key does not allow": {policy: c(`"StringEquals":{"aws:RequestTag/Owner":["ann","bob"]}`), keys: k("aws:RequestTag/Owner=ann", "aws:RequestTag/owner=bob"), want: Undecided},
		"an ambiguous key denies":         {policy: []string{allow("*", "*"), never(`"StringEquals":{"aws:RequestTag/Owner":"cyd"}`)}, keys: k("aws:RequestTag/Owner=ann", "aws:RequestTag/owner=bob"), want: Denied},
		"an ambiguous key is there":       {policy: c(`"Null":{"aws:RequestTag/Owner":"false"}`), keys: k("aws:RequestTag/Owner=ann", "aws:RequestTag/owner=bob"), want: Allowed},

		// Missing keys.
		"missing, positive":           {policy: c(`"StringEquals":{"aws:username":"ann"}`), want: Undecided},
		"missing, negated":            {policy: c(`"StringNotEquals":{"aws:username":"ann"}`), want: Allowed},
		"missing, like everything":    {policy: c(`"StringLike":{"aws:username":"*"}`), want: Undecided},
		"missing, not like":           {policy: c(`"StringNotLike":{"aws:username":"*"}`), want: Allowed},
		"missing, ARN":                {policy: c(`"ArnLike":{"aws:PrincipalArn":"*"}`), want: Undecided},
		"missing, not ARN":            {policy: c(`"ArnNotLike":{"aws:PrincipalArn":"*"}`), want: Allowed},
		"missing, address":            {policy: c(`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`), want: Undecided},
		"missing, not address":        {policy: c(`"NotIpAddress":{"aws:SourceIp":"0.0.0.0/0"}`), want: Allowed},
		"missing, number not equal":   {policy: c(`"NumericNotEquals":{"ivs:n":"1"}`), want: Allowed},
		"missing, less than":          {policy: c(`"NumericLessThan":{"ivs:n":"1"}`), want: Undecided},
		"missing, date not equal":     {policy: c(`"DateNotEquals":{"aws:CurrentTime":"2026-01-01"}`), want: Allowed},
		"missing, Bool":               {policy: c(`"Bool":{"aws:SecureTransport":"false"}`), want: Undecided},
		"missing in a deny, negated":  {policy: []string{allow("*", "*"), never(`"StringNotEquals":{"aws:RequestTag/team":"a"}`)}, want: Denied},
		"missing in a deny, positive": {policy: []string{allow("*", "*"), never(`"StringEquals":{"aws:RequestTag/team":"a"}`)}, want: Allowed},

		// IfExists.
		"IfExists, missing":                {policy: c(`"StringEqualsIfExists":{"aws:username":"ann"}`), want: Allowed},
		"IfExists, equal":                  {policy: c(`"StringEqualsIfExists":{"aws:username":"ann"}`), keys: k("aws:username=ann"), want: Allowed},
		"IfExists, different":              {policy: c(`"StringEqualsIfExists":{"aws:username":"ann"}`), keys: k("aws:username=bob"), want: Undecided},
		"IfExists, negated and missing":    {policy: c(`"StringNotEqualsIfExists":{"aws:username":"ann"}`), want: Allowed},
		"IfExists, negated and equal":      {policy: c(`"StringNotEqualsIfExists":{"aws:username":"ann"}`), keys: k("aws:username=ann"), want: Undecided},
		"IfExists in a deny, missing":      {policy: []string{allow("*", "*"), never(`"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`)}, want: Denied},
		"IfExists in a deny, present":      {policy: []string{allow("*", "*"), never(`"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`)}, keys: k("aws:MultiFactorAuthPresent=true"), want: Allowed},
		"IfExists with an address":         {policy: c(`"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}`), keys: k("aws:SourceIp=192.0.2.1"), want: Undecided},
		"IfExists with a number":           {policy: c(`"NumericLessThanEqualsIfExists":{"ivs:n":"10"}`), want: Allowed},
		"IfExists with ForAnyValue":        {policy: c(`"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"a"}`), want: Allowed},
		"IfExists is not for empty values": {policy: c(`"StringEqualsIfExists":{"aws:username":"ann"}`), keys: k("aws:username="), want: Undecided},

		// Null.
		"Null true, absent":            {policy: c(`"Null":{"aws:RequestTag/a":"true"}`), want: Allowed},
		"Null true, present":           {policy: c(`"Null":{"aws:RequestTag/a":"true"}`), keys: k("aws:RequestTag/a=1"), want: Undecided},
		"Null false, absent":           {policy: c(`"Null":{"aws:RequestTag/a":"false"}`), want: Undecided},
		"Null false, present":          {policy: c(`"Null":{"aws:RequestTag/a":"false"}`), keys: k("aws:RequestTag/a=1"), want: Allowed},
		"Null false, empty is present": {policy: c(`"Null":{"aws:RequestTag/a":false}`), keys: k("aws:RequestTag/a="), want: Allowed},

		// Strings.
		"ignore case":                 {policy: c(`"StringEqualsIgnoreCase":{"aws:username":"ANN"}`), keys: k("aws:username=ann"), want: Allowed},
		"not ignore case":             {policy: c(`"StringNotEqualsIgnoreCase":{"aws:username":"ANN"}`), keys: k("aws:username=ann"), want: Undecided},
		"ignore case beyond ASCII":    {policy: c(`"StringEqualsIgnoreCase":{"aws:username":"ÄNN"}`), keys: k("aws:username=änn"), want: Allowed},
		"a star is text for equals":   {policy: c(`"StringEquals":{"aws:username":"a*"}`), keys: k("aws:username=ann"), want: Undecided},
		"a star is equal to a star":   {policy: c(`"StringEquals":{"aws:username":"a*"}`), keys: k("aws:username=a*"), want: Allowed},
		"like":                        {policy: c(`"StringLike":{"aws:username":"a*n"}`), keys: k("aws:username=ann"), want: Allowed},
		"like has a case":             {policy: c(`"StringLike":{"aws:username":"A*"}`), keys: k("aws:username=ann"), want: Undecided},
		"like with ? for a character": {policy: c(`"StringLike":{"aws:username":"?nn"}`), keys: k("aws:username=änn"), want: Allowed},
		"not like":                    {policy: c(`"StringNotLike":{"aws:username":"a*"}`), keys: k("aws:username=ann"), want: Undecided},
		"like crosses colons":         {policy: c(`"StringLike":{"aws:userid":"AROA*:ann"}`), keys: k("aws:userid=AROAX:y:ann"), want: Allowed},
		"an empty value":              {policy: c(`"StringEquals":{"aws:ResourceTag/a":""}`), keys: k("aws:ResourceTag/a="), want: Allowed},

		// Numbers.
		"numbers by value":       {policy: c(`"NumericEquals":{"ivs:n":"10"}`), keys: k("ivs:n=10.0"), want: Allowed},
		"a JSON number":          {policy: c(`"NumericEquals":{"ivs:n":10}`), keys: k("ivs:n=10"), want: Allowed},
		"number not equal":       {policy: c(`"NumericNotEquals":{"ivs:n":10}`), keys: k("ivs:n=10"), want: Undecided},
		"less than":              {policy: c(`"NumericLessThan":{"ivs:n":10}`), keys: k("ivs:n=9"), want: Allowed},
		"less than, equal":       {policy: c(`"NumericLessThan":{"ivs:n":10}`), keys: k("ivs:n=10"), want: Undecided},
		"less than or equal":     {policy: c(`"NumericLessThanEquals":{"ivs:n":10}`), keys: k("ivs:n=10"), want: Allowed},
		"greater than":           {policy: c(`"NumericGreaterThan":{"ivs:n":10}`), keys: k("ivs:n=10.5"), want: Allowed},
		"greater than, negative": {policy: c(`"NumericGreaterThan":{"ivs:n":-2}`), keys: k("ivs:n=-1"), want: Allowed},
		"greater than or equal":  {policy: c(`"NumericGreaterThanEquals":{"ivs:n":10}`), keys: k("ivs:n=9"), want: Undecided},
		"a number that is none":  {policy: c(`"NumericLessThan":{"ivs:n":10}`), keys: k("ivs:n=ten"), want: Undecided},

		// Dates.
		"date before":             {policy: c(`"DateLessThan":{"aws:CurrentTime":"2026-12-01T00:00:00Z"}`), keys: k("aws:CurrentTime=2026-11-20T12:00:00Z"), want: Allowed},
		"date after":              {policy: c(`"DateGreaterThan":{"aws:CurrentTime":"2026-12-01T00:00:00Z"}`), keys: k("aws:CurrentTime=2026-11-20T12:00:00Z"), want: Undecided},
		"date in another zone":    {policy: c(`"DateEquals":{"aws:CurrentTime":"2026-11-20T13:00:00+01:00"}`), keys: k("aws:CurrentTime=2026-11-20T12:00:00Z"), want: Allowed},
		"date as epoch":           {policy: c(`"DateLessThanEquals":{"aws:CurrentTime":"1795176000"}`), keys: k("aws:CurrentTime=2026-11-20T12:00:00Z"), want: Allowed},
		"epoch with a date":       {policy: c(`"DateGreaterThanEquals":{"aws:EpochTime":"2026-11-20T12:00:00Z"}`), keys: k("aws:EpochTime=1795176000"), want: Allowed},
		"a day alone":             {policy: c(`"DateGreaterThan":{"aws:CurrentTime":"2026-11-20"}`), keys: k("aws:CurrentTime=2026-11-20T00:00:01Z"), want: Allowed},
		"a year alone":            {policy: c(`"DateGreaterThan":{"aws:CurrentTime":"2026"}`), keys: k("aws:CurrentTime=2026-11-20T00:00:01Z"), want: Allowed},
		"date not equal":          {policy: c(`"DateNotEquals":{"aws:CurrentTime":"2026"}`), keys: k("aws:CurrentTime=2026-11-20T00:00:01Z"), want: Allowed},
		"an old token is refused": {policy: []string{allow("*", "*"), never(`"DateLessThan":{"aws:TokenIssueTime":"2026-11-20T12:00:00Z"}`)}, keys: k("aws:TokenIssueTime=2026-11-20T11:59:59Z"), want: Denied},

		// Bool, binary.
		"Bool":              {policy: c(`"Bool":{"aws:SecureTransport":"true"}`), keys: k("aws:SecureTransport=true"), want: Allowed},
		"Bool as JSON":      {policy: c(`"Bool":{"aws:SecureTransport":true}`), keys: k("aws:SecureTransport=false"), want: Undecided},
		"binary":            {policy: c(`"BinaryEquals":{"ivs:b":"QmluYXJ5"}`), keys: k("ivs:b=QmluYXJ5"), want: Allowed},
		"binary, different": {policy: c(`"BinaryEquals":{"ivs:b":"QmluYXJ5"}`), keys: k("ivs:b=QmluYXJ6"), want: Undecided},

		// Addresses.
		"in a network":                {policy: c(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`), keys: k("aws:SourceIp=203.0.113.7"), want: Allowed},
		"not in a network":            {policy: c(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`), keys: k("aws:SourceIp=203.0.114.7"), want: Undecided},
		"one address":                 {policy: c(`"IpAddress":{"aws:SourceIp":"203.0.113.7"}`), keys: k("aws:SourceIp=203.0.113.7"), want: Allowed},
		"host bits in a network":      {policy: c(`"IpAddress":{"aws:SourceIp":"203.0.113.9/24"}`), keys: k("aws:SourceIp=203.0.113.7"), want: Allowed},
		"IPv6":                        {policy: c(`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`), keys: k("aws:SourceIp=2001:db8::1"), want: Allowed},
		"IPv4 in IPv6 in the request": {policy: c(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`), keys: k("aws:SourceIp=::ffff:203.0.113.7"), want: Allowed},
		"IPv4 in IPv6 in the policy":  {policy: c(`"IpAddress":{"aws:SourceIp":"::ffff:203.0.113.0/120"}`), keys: k("aws:SourceIp=203.0.113.7"), want: Allowed},
		"not an address":              {policy: c(`"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","10.0.0.0/8"]}`), keys: k("aws:SourceIp=10.1.2.3"), want: Undecided},
		"deny outside a network":      {policy: []string{allow("*", "*"), never(`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)}, keys: k("aws:SourceIp=192.0.2.1"), want: Denied},

		// ARNs.
		"ARN equal":                   {policy: c(`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/ann"}`), keys: k("aws:PrincipalArn=arn:aws:iam::111122223333:user/ann"), want: Allowed},
		"ArnEquals has wildcards too": {policy: c(`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}`), keys: k("aws:PrincipalArn=arn:aws:iam::111122223333:user/ann"), want: Allowed},
		"ARN parts are apart":         {policy: c(`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam:*:user/*"}`), keys: k("aws:PrincipalArn=arn:aws:iam::111122223333:user/ann"), want: Undecided},
		"ARN not like":                {policy: c(`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}`), keys: k("aws:PrincipalArn=arn:aws:iam::111122223333:user/ann"), want: Allowed},
		"a value that is no ARN":      {policy: c(`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:*"}`), keys: k("aws:PrincipalArn=ann"), want: Undecided},
		"not equal to what is no ARN": {policy: c(`"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:*"}`), keys: k("aws:PrincipalArn=ann"), want: Allowed},

		// Set operators.
		"all: every key is listed":         {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b","c"]}`), keys: k("aws:TagKeys=a|b"), want: Allowed},
		"all: one is not":                  {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}`), keys: k("aws:TagKeys=a|d"), want: Undecided},
		"all: nothing is all":              {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}`), want: Allowed},
		"all: the empty string is nothing": {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}`), keys: k("aws:TagKeys="), want: Allowed},
		"all: not beside another":          {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}`), keys: k("aws:TagKeys=a|"), want: Undecided},
		"all: nothing, with Null":          {policy: c(`"ForAllValues:StringEquals":{"aws:TagKeys":["a"]},"Null":{"aws:TagKeys":"false"}`), want: Undecided},
		"all, like":                        {policy: c(`"ForAllValues:StringLike":{"aws:TagKeys":"team-*"}`), keys: k("aws:TagKeys=team-a|team-b"), want: Allowed},
		"all, negated: none may match":     {policy: c(`"ForAllValues:StringNotEquals":{"aws:TagKeys":["secret","owner"]}`), keys: k("aws:TagKeys=a|owner"), want: Undecided},
		"all, negated: none matches":       {policy: c(`"ForAllValues:StringNotEquals":{"aws:TagKeys":["secret","owner"]}`), keys: k("aws:TagKeys=a|b"), want: Allowed},
		"all in a deny, nothing":           {policy: []string{allow("*", "*"), never(`"ForAllValues:StringEquals":{"aws:TagKeys":"a"}`)}, want: Denied},
		"any: one is listed":               {policy: c(`"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}`), keys: k("aws:TagKeys=x|b"), want: Allowed},
		"any: none is":                     {policy: c(`"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}`), keys: k("aws:TagKeys=x|y"), want: Undecided},
		"any: nothing is none":             {policy: c(`"ForAnyValue:StringEquals":{"aws:TagKeys":["a"]}`), want: Undecided},
		"any, negated: one is unlisted":    {policy: c(`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}`), keys: k("aws:TagKeys=a|x"), want: Allowed},
		"any, negated: all are listed":     {policy: c(`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}`), keys: k("aws:TagKeys=a|b"), want: Undecided},
		"any, negated: nothing":            {policy: c(`"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}`), want: Undecided},
		"any in a deny":                    {policy: []string{allow("*", "*"), never(`"ForAnyValue:StringEquals":{"aws:TagKeys":"owner"}`)}, keys: k("aws:TagKeys=a|owner"), want: Denied},
		"any in a deny, case of values":    {policy: []string{allow("*", "*"), never(`"ForAnyValue:StringEquals":{"aws:TagKeys":"owner"}`)}, keys: k("aws:TagKeys=a|Owner"), want: Allowed},
		"any in a deny, ignoring case":     {policy: []string{allow("*", "*"), never(`"ForAnyValue:StringEqualsIgnoreCase":{"aws:TagKeys":"owner"}`)}, keys: k("aws:TagKeys=a|Owner"), want: Denied},
		"any of addresses":                 {policy: c(`"ForAnyValue:IpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}`), keys: k("aws:VpcSourceIp=192.0.2.1|10.0.0.1"), want: Allowed},
		"several values, no set operator":  {policy: c(`"StringEquals":{"aws:TagKeys":"b"}`), keys: k("aws:TagKeys=a|b"), want: Allowed},
		"several values, negated, no set":  {policy: c(`"StringNotEquals":{"aws:TagKeys":"b"}`), keys: k("aws:TagKeys=a|b"), want: Undecided},
	})
}
