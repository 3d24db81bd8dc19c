package live

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// NewID returns n random characters of [0-9A-Za-z], without modulo bias.
// IVS uses 12 for resources and 23 after "st-" (low-latency.md 1.3).
func NewID(n int) string {
	const fair = 256 - 256%len(alnum)
	id := make([]byte, 0, n)
	var b [64]byte
	for len(id) < n {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		for _, c := range b {
			if int(c) < fair && len(id) < n {
				id = append(id, alnum[int(c)%len(alnum)])
			}
		}
	}
	return string(id)
}

// NewStreamID returns a fresh stream (session) id: "st-" and 23 characters.
func NewStreamID() string { return "st-" + NewID(23) }

// MaxStreamKey is longer than any stream key's value, in bytes.
const MaxStreamKey = 512

// NewStreamKeyValue returns the secret an encoder publishes with:
// sk_<region>_<id of the stream key>_<30 characters>.
func NewStreamKeyValue(region, id string) string { return "sk_" + region + "_" + id + "_" + NewID(30) }

// NewSRTPassphrase returns a passphrase for SRT: 69 characters, as IVS gives
// (SRT itself allows 10 to 79).
func NewSRTPassphrase() string { return NewID(69) }

// StreamKeyLookup is the form under which a stream key's value is found in the store:
// an index over secrets that holds no secret.
func StreamKeyLookup(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// SessionPrefix begins the path element that carries a viewer's session. It is known
// here because a log that repeats a path leaves such an element out.
const SessionPrefix = "vs-"
