package origin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	badToken = "invalid_playback_auth_token"
	page     = "https://watch.example.org"

	uuid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
)

// Every rule of playback tokens, asked over HTTP: what is let in, and what is told to who
// is not (low-latency.md 4.4, 5.1).
func TestTokens(t *testing.T) {
	s := newSite(t)
	key, second, stranger, elsewhere, gone := newKey(t), newKey(t), newKey(t), newKey(t), newKey(t)
	s.importKey(t, key)
	s.importKey(t, second)
	s.importKey(t, stranger, func(a *live.ARN) { a.Account = "999999999999" })
	s.importKey(t, elsewhere, func(a *live.ARN) { a.Region = "eu-west-1" })
	e := s.publish(t, private)
	s.golive(t, e, 80)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	with := func(with ...any) string { return token(t, key, e, with...) }
	raw := func(header, payload string) string {
		return draft{key: key, header: header, payload: payload}.token(t)
	}
	minimal := claims(t, e)
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	parts := func(token string) (header, payload, signature string) {
		p := strings.Split(token, ".")
		return p[0], p[1], p[2]
	}
	h, p, sig := parts(with())
	_, _, otherSig := parts(with("sub", "x"))
	sigBytes, _ := base64.RawURLEncoding.DecodeString(sig)
	flipped := append([]byte{sigBytes[0] ^ 1}, sigBytes[1:]...)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sigBytes[:48]), new(big.Int).SetBytes(sigBytes[48:])})
	if err != nil {
		t.Fatal(err)
	}
	padded := func(size int) string { // a token of so many bytes
		for n := 0; ; n++ {
			if tok := with("pad", strings.Repeat("x", n)); len(tok) >= size {
				return tok
			}
		}
	}
	fits, over := padded(2047), padded(2049)
	if len(fits) > 2048 || len(over) > 2051 {
		t.Fatalf("tokens of %d and %d bytes", len(fits), len(over))
	}
	for range 2 { // one use is taken before the table begins
		s.play(e, with("aws:single-use-uuid", uuid))
	}
	s.revoke(t, e, "eve", 7)

	const (
		malformed = "token is malformed"
		segments  = "token contains an invalid number of segments"
		unsigned  = "token signature is invalid"
		twice     = "token has a claim or a header twice"
		origin    = "origin is not allowed by the token"
		nothing   = "" // it is let in
	)
	for name, tt := range map[string]struct {
		token  string
		origin string // header; "" for none
		text   string // of the error; "" for none
		acao   string // when it is let in; "" means "*"
	}{
		"only what is required":            {token: with()},
		"without a type":                   {token: raw(`{"alg":"ES384"}`, minimal)},
		"of whatever type":                 {token: raw(`{"alg":"ES384","typ":"x"}`, minimal)},
		"with the id of a key":             {token: raw(`{"alg":"ES384","kid":"x","jku":"https://evil.example"}`, minimal)},
		"by another key of the account":    {token: token(t, second, e)},
		"with claims of the signer's own":  {token: with("sub", "me", "aws:new", []int{1}, "iat", "x")},
		"with spaces in its JSON":          {token: raw(es384, strings.ReplaceAll(minimal, ",", " ,\n "))},
		"2047 bytes or 2048":               {token: fits},
		"exp in milliseconds":              {token: with("exp", in(time.Minute)*1000)},
		"exp with a fraction":              {token: raw(es384, fmt.Sprintf(`{"aws:channel-arn":%q,"exp":4102444800.5}`, e.arn))},
		"exp beyond 64 bits":               {token: raw(es384, fmt.Sprintf(`{"aws:channel-arn":%q,"exp":1e300}`, e.arn))},
		"nbf in the past":                  {token: with("nbf", in(-time.Second))},
		"a viewer":                         {token: with("aws:viewer-id", "ann")},
		"a viewer of 40 characters":        {token: with("aws:viewer-id", strings.Repeat("\U0001F600", 40))},
		"a viewer for 10 minutes":          {token: with("aws:viewer-id", "ann", "exp", in(10*time.Minute))},
		"a version":                        {token: with("aws:viewer-id", "ann", "aws:viewer-session-version", 1795191478)},
		"a version as text":                {token: with("aws:viewer-id", "ann", "aws:viewer-session-version", "1795191478")},
		"a version below 0":                {token: with("aws:viewer-id", "ann", "aws:viewer-session-version", -1)},
		"a version without a viewer":       {token: with("aws:viewer-session-version", 1)},
		"a version above what is revoked":  {token: with("aws:viewer-id", "eve", "aws:viewer-session-version", 8)},
		"one use, the first":               {token: with("aws:single-use-uuid", "11111111-2222-3333-4444-555555555555")},
		"one use, in capitals":             {token: with("aws:single-use-uuid", "ABCDEFAB-2222-3333-4444-555555555555")},
		"SD":                               {token: with("aws:maximum-resolution", "SD")},
		"HD":                               {token: with("aws:maximum-resolution", "HD")},
		"FULL_HD":                          {token: with("aws:maximum-resolution", "FULL_HD")},
		"all claims of ads":                {token: with("aws:ads-opt-out", true, "aws:ads-player-params", map[string]string{"a": "b"}, "aws:ads-playback-config-name", "x", "aws:ads-reporting-mode", "CLIENT")},
		"1000 bytes of ad parameters":      {token: with("aws:ads-player-params", map[string]string{"k": strings.Repeat("v", 999)})},
		"its origin":                       {token: with("aws:access-control-allow-origin", page), origin: page, acao: page},
		"one of its origins":               {token: with("aws:access-control-allow-origin", "https://a.example, "+page+",http://b.example:81"), origin: "http://b.example:81", acao: "http://b.example:81"},
		"an origin by wildcard":            {token: with("aws:access-control-allow-origin", "https://*.example.org"), origin: page, acao: page},
		"an origin deep below a wildcard":  {token: with("aws:access-control-allow-origin", "https://*.example.org"), origin: "https://a.b.example.org", acao: "https://a.b.example.org"},
		"any host of a scheme":             {token: with("aws:access-control-allow-origin", "https://*"), origin: page, acao: page},
		"an origin in other letters":       {token: with("aws:access-control-allow-origin", "HTTPS://Watch.Example.ORG"), origin: page, acao: page},
		"an origin with its default port":  {token: with("aws:access-control-allow-origin", page+":443"), origin: page, acao: page},
		"an IPv6 origin":                   {token: with("aws:access-control-allow-origin", "http://[::1]:8080"), origin: "http://[::1]:8080", acao: "http://[::1]:8080"},
		"every origin":                     {token: with("aws:access-control-allow-origin", "*"), origin: page},
		"every origin, among others":       {token: with("aws:access-control-allow-origin", "https://a.example,*"), origin: page},
		"an empty list of origins":         {token: with("aws:access-control-allow-origin", ""), origin: page},
		"no origin where none is enforced": {token: with("aws:access-control-allow-origin", page), acao: "-"},
		"six origins, not enforced":        {token: with("aws:access-control-allow-origin", strings.Repeat("https://a.example,", 5)+page), origin: page, acao: page},
		"five origins, enforced":           {token: with("aws:access-control-allow-origin", strings.Repeat("https://a.example,", 4)+page, "aws:strict-origin-enforcement", true), origin: page, acao: page},
		"enforced, without a list":         {token: with("aws:strict-origin-enforcement", true)},
		"not enforced, said so":            {token: with("aws:strict-origin-enforcement", false)},

		"none":                          {token: "", text: segments},
		"one segment":                   {token: "x", text: segments},
		"two segments":                  {token: h + "." + p, text: segments},
		"four segments":                 {token: h + "." + p + "." + sig + ".x", text: segments},
		"five, as encrypted ones have":  {token: "a.b.c.d.e", text: segments},
		"three empty ones":              {token: "..", text: malformed},
		"not base64":                    {token: "!!." + p + "." + sig, text: malformed},
		"base64 with padding":           {token: h + "." + p + "." + sig + "%3D", text: malformed},
		"base64 with stray bits":        {token: raw(es384, `{"a":1}`)[:len(h)] + "B." + p + "." + sig, text: malformed},
		"a header that is no JSON":      {token: raw("x", minimal), text: malformed},
		"a header that is an array":     {token: raw("[]", minimal), text: malformed},
		"a payload that is no JSON":     {token: raw(es384, "x"), text: malformed},
		"a payload that is null":        {token: raw(es384, "null"), text: "token has no claims"},
		"a payload that is an array":    {token: raw(es384, "[]"), text: "token has something else where an object belongs"},
		"a payload that is not UTF-8":   {token: raw(es384, "{\"a\":\"\xff\"}"), text: "token is not UTF-8"},
		"two payloads":                  {token: raw(es384, minimal+minimal), text: malformed},
		"2049 bytes or more":            {token: over, text: "token is larger than 2048 bytes"},
		"alg none":                      {token: raw(`{"alg":"none"}`, minimal), text: unsigned},
		"alg none, unsigned":            {token: b64([]byte(`{"alg":"none"}`)) + "." + p + ".", text: unsigned},
		"ES384, unsigned":               {token: h + "." + p + ".", text: unsigned},
		"alg HS256, by the public key":  {token: draft{header: `{"alg":"HS256"}`, payload: minimal, sign: func(s string) []byte { m := hmac.New(sha256.New, spki); m.Write([]byte(s)); return m.Sum(nil) }}.token(t), text: unsigned},
		"alg ES256":                     {token: draft{header: `{"alg":"ES256"}`, payload: minimal, sign: func(s string) []byte { return signES256(t, s) }}.token(t), text: unsigned},
		"ES384 of another curve":        {token: draft{header: es384, payload: minimal, sign: func(s string) []byte { return signES256(t, s) }}.token(t), text: unsigned},
		"alg ES512":                     {token: raw(`{"alg":"ES512"}`, minimal), text: unsigned},
		"alg RS256":                     {token: raw(`{"alg":"RS256"}`, minimal), text: unsigned},
		"alg in small letters":          {token: raw(`{"alg":"es384"}`, minimal), text: unsigned},
		"no alg":                        {token: raw(`{"typ":"JWT"}`, minimal), text: unsigned},
		"an alg that is a number":       {token: raw(`{"alg":384}`, minimal), text: unsigned},
		"alg twice":                     {token: raw(`{"alg":"none","alg":"ES384"}`, minimal), text: twice},
		"a critical header":             {token: raw(`{"alg":"ES384","crit":["exp"],"exp":1}`, minimal), text: "token has a critical header that is not understood"},
		"an empty list of critical":     {token: raw(`{"alg":"ES384","crit":[]}`, minimal), text: "token has a critical header that is not understood"},
		"by a key that is not imported": {token: token(t, gone, e), text: unsigned},
		"by another account's key":      {token: token(t, stranger, e), text: unsigned},
		"by another region's key":       {token: token(t, elsewhere, e), text: unsigned},
		"another token's signature":     {token: h + "." + p + "." + otherSig, text: unsigned},
		"a signature with a bit wrong":  {token: h + "." + p + "." + b64(flipped), text: unsigned},
		"a signature cut short":         {token: h + "." + p + "." + b64(sigBytes[:95]), text: unsigned},
		"a signature and more":          {token: h + "." + p + "." + b64(append(sigBytes[:96:96], 0)), text: unsigned},
		"a signature in ASN.1":          {token: h + "." + p + "." + b64(der), text: unsigned},
		"a signature of zeros":          {token: h + "." + p + "." + b64(make([]byte, 96)), text: unsigned},

		"no exp":                      {token: with("exp", nil), text: "exp is required"},
		"exp as text":                 {token: with("exp", "4102444800"), text: "exp is not a time in seconds"},
		"exp null":                    {token: raw(es384, fmt.Sprintf(`{"aws:channel-arn":%q,"exp":null}`, e.arn)), text: "exp is not a time in seconds"},
		"exp below 0":                 {token: with("exp", -1), text: "exp is not a time in seconds"},
		"exp too large for a float":   {token: raw(es384, fmt.Sprintf(`{"aws:channel-arn":%q,"exp":1e999}`, e.arn)), text: "exp is not a time in seconds"},
		"expired":                     {token: with("exp", in(-time.Second)), text: "token is expired"},
		"expired in this second":      {token: with("exp", in(0)), text: "token is expired"},
		"expired in 1970":             {token: with("exp", 0), text: "token is expired"},
		"nbf in the future":           {token: with("nbf", in(time.Minute)), text: "token is not valid yet"},
		"no channel":                  {token: with("aws:channel-arn", nil), text: "aws:channel-arn is required"},
		"another channel":             {token: with("aws:channel-arn", strings.TrimSuffix(e.arn.String(), e.arn.ID)+"AAAAAAAAAAAA"), text: "token is not for this channel"},
		"another account's channel":   {token: with("aws:channel-arn", strings.Replace(e.arn.String(), "123456789012", "999999999999", 1)), text: "token is not for this channel"},
		"the same in another region":  {token: with("aws:channel-arn", strings.Replace(e.arn.String(), "us-west-2", "eu-west-1", 1)), text: "token is not for this channel"},
		"a channel that is no ARN":    {token: with("aws:channel-arn", e.arn.ID), text: "aws:channel-arn is not the ARN of a channel"},
		"a stream key for a channel":  {token: with("aws:channel-arn", strings.Replace(e.arn.String(), ":channel/", ":stream-key/", 1)), text: "aws:channel-arn is not the ARN of a channel"},
		"a channel that is a number":  {token: with("aws:channel-arn", 5), text: "aws:channel-arn is not a string"},
		"a channel in other letters":  {token: with("aws:channel-arn", nil, "AWS:CHANNEL-ARN", e.arn.String()), text: "aws:channel-arn is required"},
		"a claim twice":               {token: raw(es384, strings.Replace(minimal, `{`, `{"exp":4102444800,`, 1)), text: twice},
		"a claim twice, once escaped": {token: raw(es384, strings.Replace(minimal, `{`, `{"\u0065xp":4102444800,`, 1)), text: twice},

		"a viewer of 41 characters":      {token: with("aws:viewer-id", strings.Repeat("a", 41)), text: "aws:viewer-id must have 1 to 40 characters, none of them U+0000"},
		"a viewer without a name":        {token: with("aws:viewer-id", ""), text: "aws:viewer-id must have 1 to 40 characters, none of them U+0000"},
		"a viewer that no store keeps":   {token: with("aws:viewer-id", "a\x00"), text: "aws:viewer-id must have 1 to 40 characters, none of them U+0000"},
		"a viewer that is a number":      {token: with("aws:viewer-id", 5), text: "aws:viewer-id is not a string"},
		"a viewer for 11 minutes":        {token: with("aws:viewer-id", "ann", "exp", in(11*time.Minute)), text: "exp must be at most 10m0s ahead with aws:viewer-id or aws:single-use-uuid"},
		"a viewer, exp in milliseconds":  {token: with("aws:viewer-id", "ann", "exp", in(time.Minute)*1000), text: "exp must be at most 10m0s ahead with aws:viewer-id or aws:single-use-uuid"},
		"one use for 11 minutes":         {token: with("aws:single-use-uuid", uuid, "exp", in(11*time.Minute)), text: "exp must be at most 10m0s ahead with aws:viewer-id or aws:single-use-uuid"},
		"one use, the second":            {token: with("aws:single-use-uuid", uuid), text: "token has already been used"},
		"one use, the second in capital": {token: with("aws:single-use-uuid", strings.ToUpper(uuid)), text: "token has already been used"},
		"one use of what is no UUID":     {token: with("aws:single-use-uuid", "once"), text: "aws:single-use-uuid is not a UUID"},
		"one use in braces":              {token: with("aws:single-use-uuid", "{"+uuid[1:35]+"}"), text: "aws:single-use-uuid is not a UUID"},
		"a version with a fraction":      {token: with("aws:viewer-session-version", 1.5), text: "aws:viewer-session-version is not a 64-bit integer"},
		"a version that is no number":    {token: with("aws:viewer-session-version", "new"), text: "aws:viewer-session-version is not a 64-bit integer"},
		"a version beyond 64 bits":       {token: with("aws:viewer-session-version", "9223372036854775808"), text: "aws:viewer-session-version is not a 64-bit integer"},
		"a viewer who is revoked":        {token: with("aws:viewer-id", "eve"), text: "viewer session is revoked"},
		"the version that is revoked":    {token: with("aws:viewer-id", "eve", "aws:viewer-session-version", 7), text: "viewer session is revoked"},

		"strictness that is no boolean":   {token: with("aws:strict-origin-enforcement", "true"), text: "aws:strict-origin-enforcement is not a boolean"},
		"six origins, enforced":           {token: with("aws:access-control-allow-origin", strings.Repeat("https://a.example,", 5)+page, "aws:strict-origin-enforcement", true), origin: page, text: "aws:access-control-allow-origin may name 5 origins with aws:strict-origin-enforcement"},
		"enforced, no origin":             {token: with("aws:access-control-allow-origin", page, "aws:strict-origin-enforcement", true), text: origin},
		"enforced, another origin":        {token: with("aws:access-control-allow-origin", page, "aws:strict-origin-enforcement", true), origin: "https://evil.example", text: origin},
		"origins that are a list":         {token: with("aws:access-control-allow-origin", []string{page}), text: "aws:access-control-allow-origin is not a string"},
		"another origin":                  {token: with("aws:access-control-allow-origin", page), origin: "https://evil.example", text: origin},
		"another scheme":                  {token: with("aws:access-control-allow-origin", page), origin: "http://watch.example.org", text: origin},
		"another port":                    {token: with("aws:access-control-allow-origin", page), origin: page + ":8443", text: origin},
		"an origin that ends like it":     {token: with("aws:access-control-allow-origin", page), origin: "https://xwatch.example.org", text: origin},
		"the domain of a wildcard":        {token: with("aws:access-control-allow-origin", "https://*.example.org"), origin: "https://example.org", text: origin},
		"a domain that ends like one":     {token: with("aws:access-control-allow-origin", "https://*.example.org"), origin: "https://evilexample.org", text: origin},
		"a wildcard before the end":       {token: with("aws:access-control-allow-origin", "https://*.example.org"), origin: "https://a.example.org.evil.example", text: origin},
		"a page that has none":            {token: with("aws:access-control-allow-origin", page), origin: "null", text: origin},
		"an origin with a path in it":     {token: with("aws:access-control-allow-origin", page+"/"), origin: page, text: origin},
		"an unknown resolution":           {token: with("aws:maximum-resolution", "4K"), text: "aws:maximum-resolution must be one of SD, HD, FULL_HD"},
		"a resolution in small letters":   {token: with("aws:maximum-resolution", "hd"), text: "aws:maximum-resolution must be one of SD, HD, FULL_HD"},
		"a resolution that is a number":   {token: with("aws:maximum-resolution", 720), text: "aws:maximum-resolution is not a string"},
		"an opt-out that is no boolean":   {token: with("aws:ads-opt-out", 1), text: "aws:ads-opt-out is not a boolean"},
		"ad parameters that are text":     {token: with("aws:ads-player-params", "a=b"), text: "aws:ads-player-params is not an object of strings"},
		"ad parameters with a number":     {token: with("aws:ads-player-params", map[string]any{"a": 1}), text: "aws:ads-player-params is not an object of strings"},
		"1001 bytes of ad parameters":     {token: with("aws:ads-player-params", map[string]string{"k": strings.Repeat("v", 1000)}), text: "aws:ads-player-params is larger than 1000 bytes"},
		"an ad configuration's number":    {token: with("aws:ads-playback-config-name", 1), text: "aws:ads-playback-config-name is not a string"},
		"an unknown way to report on ads": {token: with("aws:ads-reporting-mode", "BOTH"), text: "aws:ads-reporting-mode must be one of CLIENT, SERVER"},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if tt.origin != "" {
				header = []string{"Origin", tt.origin}
			}
			w := s.play(e, tt.token, header...)
			if tt.text == nothing {
				acao := map[string]string{"": "*", "-": ""}
				want, ok := acao[tt.acao]
				if !ok {
					want = tt.acao
				}
				vary := "Origin"
				if tt.acao == "" {
					vary = ""
				}
				check(t, w, 200, "Content-Type", "application/vnd.apple.mpegurl", "Cache-Control", "no-store", "Access-Control-Allow-Origin", want, "Vary", vary)
				check(t, s.get(directory(t, w)+"1.0.ts", header...), 200)
				return
			}
			if got := refused(t, w, 403, badToken); got.Error != tt.text || got.URL != e.playback() {
				t.Errorf("%+v, want %q of %s", got, tt.text, e.playback())
			}
		})
	}
}
