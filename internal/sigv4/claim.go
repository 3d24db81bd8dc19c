package sigv4

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a request may make us read. Real requests stay far below: SDKs sign
// some ten headers, and the longest query is an UntagResource of 50 keys of 128
// characters, each up to 12 bytes when encoded.
const (
	maxAuthorization = 8 << 10  // bytes
	maxQuery         = 96 << 10 // bytes
	maxPairs         = 256      // in the query
	maxSigned        = 64       // header names
	maxExpires       = 604800   // seconds; AWS's own
)

// A claim is what a request says about its signature.
type claim struct {
	accessKeyID string
	date        string // YYYYMMDD of the scope
	region      string
	service     string
	signed      []string // header names, lower case, in the order of the request
	signature   []byte
	time        time.Time
	expires     time.Duration // of a presigned request; 0: as long as a header's
	token       string        // X-Amz-Security-Token
	stated      string        // X-Amz-Content-Sha256
	presigned   bool
	query       []pair
}

// A pair is one part of the query, decoded.
type pair struct{ key, value string }

// parse reads the claim of r from either form. On an error it may be partly filled.
func parse(r *http.Request) (claim, error) {
	var c claim
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return c, err
	}
	c.query = query
	auth := r.Header.Values("Authorization")
	_, presigned := c.param("X-Amz-Signature")
	switch {
	case len(auth) == 0 && !presigned:
		return c, errMissing
	case presigned && len(auth) > 0, len(auth) > 1:
		return c, errTwice
	case presigned:
		return c, c.fromQuery(r)
	case len(auth[0]) > maxAuthorization:
		return c, errLong
	}
	return c, c.fromHeader(r, auth[0])
}

func (c *claim) fromHeader(r *http.Request, auth string) error {
	rest, ok := strings.CutPrefix(auth, algorithm+" ")
	if !ok {
		// Another scheme is no AWS credential at all.
		return errMissing
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		part = strings.TrimSpace(part)
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return incomplete(fmt.Sprintf("'%s' not a valid key=value pair (missing equal-sign) in Authorization header.", clip(part)))
		}
		if _, dup := fields[k]; dup {
			return errTwice
		}
		fields[k] = v
	}
	var lacks []string
	for _, k := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[k] == "" {
			lacks = append(lacks, "Authorization header requires '"+k+"' parameter.")
		}
	}
	if lacks != nil {
		return incomplete(strings.Join(lacks, " "))
	}
	if err := c.scopeOf(fields["Credential"]); err != nil {
		return err
	}
	var err error
	if c.time, err = headerTime(r.Header); err != nil {
		return err
	}
	if c.token, err = single(r.Header, "X-Amz-Security-Token"); err != nil {
		return err
	}
	if c.stated, err = single(r.Header, "X-Amz-Content-Sha256"); err != nil {
		return err
	}
	if err := c.rest(fields["SignedHeaders"], fields["Signature"]); err != nil {
		return err
	}
	if c.token != "" && !slices.Contains(c.signed, "x-amz-security-token") {
		return errToken
	}
	return nil
}

func (c *claim) fromQuery(r *http.Request) error {
	c.presigned = true
	names := []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature",
		"X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
	}
	got := map[string]string{}
	for _, p := range c.query {
		if !slices.Contains(names, p.key) {
			continue
		}
		if _, dup := got[p.key]; dup {
			return errTwice
		}
		got[p.key] = p.value
	}
	for _, n := range names[:5] {
		if got[n] == "" {
			return incomplete("AWS query-string parameters must include '" + n + "'.")
		}
	}
	if got["X-Amz-Algorithm"] != algorithm {
		return incomplete("Unsupported AWS 'algorithm': '" + clip(got["X-Amz-Algorithm"]) + "'.")
	}
	if err := c.scopeOf(got["X-Amz-Credential"]); err != nil {
		return err
	}
	var err error
	if c.time, err = time.Parse(timeFormat, got["X-Amz-Date"]); err != nil {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '" + clip(got["X-Amz-Date"]) + "'.")
	}
	if s, ok := got["X-Amz-Expires"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxExpires {
			return incomplete(fmt.Sprintf("X-Amz-Expires must be a number of seconds from 1 to %d.", maxExpires))
		}
		c.expires = time.Duration(n) * time.Second
	}
	c.token = got["X-Amz-Security-Token"]
	if err := c.rest(got["X-Amz-SignedHeaders"], got["X-Amz-Signature"]); err != nil {
		return err
	}
	// What is in the query is signed; a header counts only if it is.
	c.stated = got["X-Amz-Content-Sha256"]
	if c.stated == "" && slices.Contains(c.signed, "x-amz-content-sha256") {
		c.stated, err = single(r.Header, "X-Amz-Content-Sha256")
	}
	return err
}

// scopeOf reads <key id>/<date>/<region>/<service>/aws4_request.
func (c *claim) scopeOf(credential string) error {
	p := strings.Split(credential, "/")
	if len(p) != 5 {
		return incomplete(fmt.Sprintf("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'.", clip(credential)))
	}
	const lower = "abcdefghijklmnopqrstuvwxyz0123456789-"
	switch {
	case !only(p[0], lower+"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.+=@", 128):
		return incomplete("Credential must begin with an access key id.")
	case !only(p[1], "0123456789", 8) || len(p[1]) != 8:
		return incomplete("Date in Credential scope must be in the form YYYYMMDD.")
	case !only(p[2], lower, 32):
		return &Error{"InvalidSignatureException", "Credential should be scoped to a valid region."}
	case !only(p[3], lower, 32):
		return &Error{"InvalidSignatureException", "Credential should be scoped to a valid service."}
	case p[4] != terminator:
		return &Error{"InvalidSignatureException", "Credential should be scoped with a valid terminator: 'aws4_request', not '" + clip(p[4]) + "'."}
	}
	c.accessKeyID, c.date, c.region, c.service = p[0], p[1], p[2], p[3]
	return nil
}

// rest checks what both forms have in common. The scope and the time were read before.
func (c *claim) rest(signedHeaders, signature string) error {
	if on := c.time.Format("20060102"); on != c.date {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			c.date, on, c.time.Format(timeFormat))}
	}
	if strings.Count(signedHeaders, ";") >= maxSigned {
		return incomplete(fmt.Sprintf("SignedHeaders names more than %d headers.", maxSigned))
	}
	c.signed = strings.Split(signedHeaders, ";")
	for i, name := range c.signed {
		if !only(name, "abcdefghijklmnopqrstuvwxyz0123456789-_", 128) || slices.Contains(c.signed[:i], name) {
			return incomplete("SignedHeaders must be different header names in lower case.")
		}
	}
	if !slices.Contains(c.signed, "host") {
		return errHost
	}
	var err error
	if c.signature, err = hex.DecodeString(signature); err != nil || len(signature) != 64 {
		return incomplete("Signature must be 64 hexadecimal digits.")
	}
	return nil
}

// param returns the first query parameter of that name.
func (c *claim) param(name string) (string, bool) {
	for _, p := range c.query {
		if p.key == name {
			return p.value, true
		}
	}
	return "", false
}

// parseQuery decodes the query; unlike net/url it keeps the order and drops nothing.
func parseQuery(raw string) ([]pair, error) {
	if len(raw) > maxQuery || strings.Count(raw, "&") >= maxPairs {
		return nil, errQuery
	}
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil || strings.Contains(part, ";") {
			return nil, errQuery
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// headerTime is when a header-form signature was made: X-Amz-Date, else Date.
func headerTime(h http.Header) (time.Time, error) {
	s, err := single(h, "X-Amz-Date")
	if err != nil {
		return time.Time{}, err
	}
	if s == "" {
		if s, err = single(h, "Date"); err != nil {
			return time.Time{}, err
		}
		if s == "" {
			return time.Time{}, errNoDate
		}
		if t, err := http.ParseTime(s); err == nil {
			return t.UTC(), nil
		}
	}
	t, err := time.Parse(timeFormat, s)
	if err != nil {
		return t, incomplete("Date must be in ISO-8601 'basic format'. Got '" + clip(s) + "'.")
	}
	return t, nil
}

// single returns the value of a header that may come only once.
func single(h http.Header, name string) (string, error) {
	v := h.Values(name)
	switch len(v) {
	case 0:
		return "", nil
	case 1:
		return strings.TrimSpace(v[0]), nil
	}
	return "", incomplete("Header '" + name + "' must come once.")
}

// only tells whether s is 1 to most bytes of set.
func only(s, set string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, set) == "" // Trim of a string wholly in set leaves nothing
}

// clip bounds what a message repeats of the request.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
