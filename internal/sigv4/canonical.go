package sigv4

import (
	"cmp"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// canonical appends the canonical request of r (AWS "Create a signed AWS API request").
func (c *claim) canonical(b []byte, r *http.Request, path, query, payload string) []byte {
	b = append(append(b, r.Method...), '\n')
	// The path is encoded once more than it was sent: services other than S3 do so.
	b = append(appendEncoded(b, path, true), '\n')
	b = append(append(b, query...), '\n')
	for _, name := range c.signed {
		b = append(append(b, name...), ':')
		b = append(appendHeader(b, r, name), '\n')
	}
	b = append(b, '\n')
	for i, name := range c.signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, payload...)
}

// paths returns the path as it was sent, and as it is without empty and dot segments.
// Signers disagree about which is signed: AWS documents and botocore keeps the latter,
// the Go SDK the former. Requests are routed by what was sent, so that a signature
// gives nobody another operation.
func paths(r *http.Request) (sent, clean string) {
	sent = cmp.Or(r.URL.EscapedPath(), "/")
	clean = path.Clean(sent)
	if strings.HasSuffix(sent, "/") && clean != "/" {
		clean += "/"
	}
	return sent, clean
}

// queries returns the canonical query, and a second one where signers disagree: AWS
// documents (and botocore, the JavaScript SDK and today's Go SDK keep) an order by
// encoded key and value; smithy-go's signer, and with it older Go clients, order by
// what these decode to. Both hold the same pairs.
func (c *claim) queries() []string {
	if len(c.query) == 0 { // as in most requests
		return []string{""}
	}
	type encoded struct {
		pair
		key, value string
	}
	pairs := make([]encoded, 0, len(c.query))
	for _, p := range c.query {
		if c.presigned && p.key == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, encoded{p, string(appendEncoded(nil, p.key, false)), string(appendEncoded(nil, p.value, false))})
	}
	join := func() string {
		var b strings.Builder
		for i, p := range pairs {
			if i > 0 {
				b.WriteByte('&')
			}
			b.WriteString(p.key + "=" + p.value)
		}
		return b.String()
	}
	slices.SortFunc(pairs, func(x, y encoded) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.value, y.value))
	})
	all := []string{join()}
	slices.SortFunc(pairs, func(x, y encoded) int {
		return cmp.Or(cmp.Compare(x.pair.key, y.pair.key), cmp.Compare(x.pair.value, y.pair.value))
	})
	if other := join(); other != all[0] {
		all = append(all, other)
	}
	return all
}

// appendHeader appends the values of one header, joined, with single spaces only.
// net/http keeps some headers outside of r.Header.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	values := r.Header.Values(name)
	switch name {
	case "host":
		values = []string{r.Host}
	case "content-length":
		values = []string{strconv.FormatInt(max(r.ContentLength, 0), 10)}
	case "transfer-encoding":
		values = r.TransferEncoding
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		word := false
		for f := range strings.SplitSeq(v, " ") {
			if f == "" {
				continue
			}
			if word {
				b = append(b, ' ')
			}
			b = append(b, f...)
			word = true
		}
	}
	return b
}

// appendEncoded appends s percent-encoded as AWS does: all but unreserved characters
// (RFC 3986 2.3), in upper case; a slash stays when it separates path segments.
func appendEncoded(b []byte, s string, slash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && slash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
