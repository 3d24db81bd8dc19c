package edge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SecretName is what the store keeps the key of credentials under.
const SecretName = "node-requests"

// Header carries the credential of a node in its requests to another.
const Header = "Sluice-Node"

// skew is how far the clocks of two nodes may differ, and for how long somebody who saw
// a credential can repeat that very request.
const skew = time.Minute

// maxCredential bounds the header, in bytes.
const maxCredential = 128

// ErrCredential means a header that no node of this cluster made, not now, or not for
// this request.
var ErrCredential = errors.New("edge: credential is not valid")

// A Credential shows that a request comes from a node: only nodes can read the store,
// where the key is.
type Credential struct{ key []byte }

// NewCredential returns the credential of all who share secret.
func NewCredential(secret []byte) Credential { return Credential{secret} }

// Sign returns the header of a GET of a path with its query.
func (c Credential) Sign(uri string, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return version + " " + at + " " + hex.EncodeToString(c.mac(at, uri))
}

// Verify returns nil or ErrCredential.
func (c Credential) Verify(r *http.Request, now time.Time) error {
	header := r.Header[Header]
	if len(header) != 1 || len(header[0]) > maxCredential || r.Method != http.MethodGet {
		return ErrCredential
	}
	v, rest, _ := strings.Cut(header[0], " ")
	at, sum, ok := strings.Cut(rest, " ")
	unix, err := strconv.ParseInt(at, 10, 64)
	if !ok || v != version || err != nil {
		return ErrCredential
	}
	if d := now.Sub(time.Unix(unix, 0)); d > skew || d < -skew {
		return ErrCredential
	}
	got, err := hex.DecodeString(sum)
	if err != nil || !hmac.Equal(got, c.mac(at, r.URL.RequestURI())) {
		return ErrCredential
	}
	return nil
}

const version = "v1"

func (c Credential) mac(at, uri string) []byte {
	h := hmac.New(sha256.New, c.key)
	_, _ = h.Write([]byte("sluice node request " + version + "\n" + at + "\n" + uri)) // a hash takes everything
	return h.Sum(nil)
}
