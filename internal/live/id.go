package live

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// NewID returns n random characters of [0-9A-Za-z], without modulo bias.
// IVS uses 23 after "st-" (low-latency.md 1.3).
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

// A resource's id begins with when it was made, in ticks of 1/64 s since 2020, and goes on
// at random: what is made one after the other stands side by side in the database, which
// writes a few pages then, and not one at a random place for each. The random part alone
// is 36 bits: who knows the moment of a channel still has to try billions of URLs.
const (
	resourceTicks  = 6 // characters: enough until 2048, when only the order is lost
	resourceRandom = 6 // characters
	ticksPerSecond = 64
)

// NewResourceID returns a fresh id of a resource: 12 characters, as IVS gives
// (low-latency.md 1.3), which are in order for different moments.
func NewResourceID(now time.Time) string {
	epoch := time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)
	ticks := uint64(max(0, now.Sub(epoch))) / uint64(time.Second/ticksPerSecond)
	var id [resourceTicks]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = alnum[ticks%uint64(len(alnum))]
		ticks /= uint64(len(alnum))
	}
	return string(id[:]) + NewID(resourceRandom)
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

// NewUUID returns a random UUID (RFC 9562 5.4) in its text form.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// SessionPrefix begins the path element that carries a viewer's session. It is known
// here because a log that repeats a path leaves such an element out.
const SessionPrefix = "vs-"
