// Package sigv4 verifies AWS Signature Version 4 on HTTP requests, in its header and
// its query (presigned) form. It decides who sent a request and that nobody changed
// it; what the sender may do is not its business. It signs nothing, and takes no
// uploads in chunks, which only S3 does.
//
// Signatures and session tokens are compared in constant time, so that nobody can guess
// one byte by byte from how long a refusal takes. The answer itself tells a key that
// there is not from a wrong signature, as AWS's does.
//
// A signature is good for fifteen minutes, as on AWS; there is no memory of the ones seen,
// so within that time the same request can be sent again.
//
// The canonical form is computed here and not by a signing library, for three reasons
// found with smithy-go's aws-http-auth: it sorts repeated query keys by their decoded
// value where botocore and the SDKs sort by the encoded one (an UntagResource of
// "team:a" and "team-b" shows it), it drops query parts that it cannot parse instead
// of refusing them, and it keeps repeated spaces in header values. The tests hold this
// package against that library, the SDK's signer and AWS's signing test suite.
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	unsigned   = "UNSIGNED-PAYLOAD"

	// maxSkew is how far a signature's time may be from ours, either way.
	maxSkew = 15 * time.Minute
)

// A Credential is what an access key id stands for.
type Credential struct {
	Secret       string
	SessionToken string    // what must come along with a temporary key; "" for a lasting one
	Expires      time.Time // zero: never
	Account      string    // 12 digits
	Principal    string    // whom the key belongs to
	Admin        bool      // no policy applies
}

// Keys looks an access key id up. token is the session token that came along, not yet
// compared with the Credential's; the secret of a temporary key may be inside. An error that is live.NotFound means there is no
// such key, or no longer; any other one is ours and not the caller's.
type Keys func(ctx context.Context, accessKeyID, token string) (Credential, error)

// An Identity is who signed a request, and for what.
type Identity struct {
	AccessKeyID string
	Region      string // of the credential scope; any that is well formed
	Service     string // of the credential scope; the caller checks it
	Credential
}

// A Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	keys Keys
	now  func() time.Time

	mu      sync.Mutex
	derived map[origin]*signer // signing keys that were used; guarded by mu
}

// An origin is what a signing key is derived from: it is good for a day, a region and a
// service.
type origin struct{ secret, date, region, service string }

// maxDerived bounds the signing keys that are remembered: some 300 KB.
const maxDerived = 1000

// New returns a Verifier that finds secrets with keys and tells the time by now.
func New(keys Keys, now func() time.Time) *Verifier {
	return &Verifier{keys: keys, now: now, derived: map[origin]*signer{}}
}

// Verify checks the signature of r, whose whole body is body. On an error the Identity
// holds only what the request claims, if that could be read; it is for the log.
// The error is an *Error unless the key lookup failed.
func (v *Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	c, err := parse(r)
	claimed := Identity{AccessKeyID: c.accessKeyID, Region: c.region, Service: c.service}
	if err != nil {
		return claimed, err
	}
	now := v.now()
	if err := c.checkTime(now); err != nil {
		return claimed, err
	}
	cred, err := v.keys(r.Context(), c.accessKeyID, c.token)
	switch {
	case errors.Is(err, live.NotFound):
		return claimed, errUnknownKey
	case err != nil:
		return claimed, fmt.Errorf("sigv4: look up access key: %w", err)
	case !cred.Expires.IsZero() && !now.Before(cred.Expires):
		return claimed, &Error{"ExpiredTokenException", "The security token included in the request is expired."}
	case subtle.ConstantTimeCompare([]byte(cred.SessionToken), []byte(c.token)) == 0:
		return claimed, errUnknownKey
	}
	payload, err := c.payload(r.Header, body)
	if err != nil {
		return claimed, err
	}
	from := origin{cred.Secret, c.date, c.region, c.service}
	key, known := v.known(from)
	if !known {
		key = newSigner(from.signingKey())
	}
	if !c.matches(r, key, payload) {
		return claimed, errMismatch
	}
	if !known {
		v.remember(from, key)
	}
	claimed.Credential = cred
	return claimed, nil
}

// A signer makes signatures with one signing key. It is safe for concurrent use.
type signer struct{ desks sync.Pool }

// A desk is what it takes to make a signature: to key a MAC takes longer than to use it.
type desk struct {
	mac  hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// maxDesk bounds the memory of a desk that is kept, in bytes.
const maxDesk = 16 << 10

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any { return &desk{mac: hmac.New(sha256.New, key)} }}}
}

// matches tells whether s made the signature of one of the canonical forms of r.
func (c *claim) matches(r *http.Request, s *signer, payload string) bool {
	d := s.desks.Get().(*desk)
	signs := func(path, query string) bool {
		d.text = c.stringToSign(d.text[:0], r, path, query, payload)
		d.mac.Reset()
		d.mac.Write(d.text)
		return hmac.Equal(c.signature, d.mac.Sum(d.sum[:0]))
	}
	found := false
	sent, clean := paths(r)
	for _, query := range c.queries() {
		if found = signs(sent, query) || sent != clean && signs(clean, query); found {
			break
		}
	}
	if cap(d.text) <= maxDesk {
		s.desks.Put(d)
	}
	return found
}

func (v *Verifier) known(from origin) (key *signer, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, ok = v.derived[from]
	return key, ok
}

// remember keeps the key of a request that proved itself: only who has a secret can fill
// the cache.
func (v *Verifier) remember(from origin, key *signer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.derived) >= maxDerived {
		clear(v.derived)
	}
	v.derived[from] = key
}

func (o origin) signingKey() []byte {
	key := mac([]byte("AWS4"+o.secret), []byte(o.date))
	key = mac(key, []byte(o.region))
	key = mac(key, []byte(o.service))
	return mac(key, []byte(terminator))
}

// stringToSign makes what is signed, in b where it fits.
func (c *claim) stringToSign(b []byte, r *http.Request, path, query, payload string) []byte {
	b = c.canonical(b, r, path, query, payload)
	sum := sha256.Sum256(b)
	b = append(append(b[:0], algorithm...), '\n')
	b = append(c.time.AppendFormat(b, timeFormat), '\n')
	for _, part := range [...]string{c.date, c.region, c.service} {
		b = append(append(b, part...), '/')
	}
	b = append(append(b, terminator...), '\n')
	return hex.AppendEncode(b, sum[:])
}

// payload is the hash of the body as it goes into the canonical request. A hash that
// the request states must be that of the body. Only a presigned request may leave
// its body unsigned.
func (c *claim) payload(h http.Header, body []byte) (string, error) {
	if strings.HasPrefix(c.stated, "STREAMING-") || strings.Contains(strings.ToLower(h.Get("Content-Encoding")), "aws-chunked") {
		return "", errChunked
	}
	if c.stated == unsigned {
		if c.presigned {
			return unsigned, nil
		}
		return "", errUnsigned
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if c.stated != "" && c.stated != hash {
		return "", errBody
	}
	return hash, nil
}

// checkTime refuses signatures of another time, in the words that let SDKs correct
// their clock.
func (c *claim) checkTime(now time.Time) error {
	now = now.UTC()
	format := func(t time.Time) string { return t.UTC().Format(timeFormat) }
	if latest := now.Add(maxSkew); c.time.After(latest) {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 15 min.)",
			format(c.time), format(latest), format(now))}
	}
	if c.expires > 0 {
		if end := c.time.Add(c.expires); now.After(end) {
			return &Error{"InvalidSignatureException", fmt.Sprintf("Signature expired: %s is now earlier than %s", format(end), format(now))}
		}
		return nil
	}
	if earliest := now.Add(-maxSkew); c.time.Before(earliest) {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 15 min.)",
			format(c.time), format(earliest), format(now))}
	}
	return nil
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// Present tells whether r carries a SigV4 signature in either form, good or bad.
func Present(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), algorithm) || strings.Contains(r.URL.RawQuery, "X-Amz-Signature=")
}
