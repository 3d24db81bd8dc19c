package multitrack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

// SecretName is the store's name of the secret that keys are sealed with, which all
// nodes share.
const SecretName = "multitrack-keys"

// KeyLife is how long a sealed key is good, unless its stream key is deleted before.
const KeyLife = 48 * time.Hour

// A sealed key is v1_<seal>_<expiry>_<manifest>_<stream key>, all but the ends in hex:
// an HMAC-SHA256 over the rest, the time in Unix seconds, and the ladder as JSON.
const keyPrefix = "v1_"

// MaxKey bounds a sealed key, in bytes.
const MaxKey = 4096

// Keys seals ladders into stream keys and opens them again.
type Keys struct{ secret []byte }

// NewKeys returns Keys of one secret.
func NewKeys(secret []byte) *Keys { return &Keys{secret} }

// manifest is a ladder within a key. The names are those that IVS has there; what it
// says with c0 to c2 is not known, so they are ours: the codec, and the frame rate as a
// fraction.
type manifest struct {
	Version int             `json:"v"`
	BitRate int             `json:"b"` // kbit/s, all tracks
	Tracks  []manifestTrack `json:"t"`
}

type manifestTrack struct {
	Width       int    `json:"w"`
	Height      int    `json:"h"`
	BitRate     int    `json:"b"` // kbit/s
	Codec       string `json:"c0"`
	Numerator   int    `json:"c1"`
	Denominator int    `json:"c2"`
}

// Seal returns the key with which an encoder publishes l to the channel of streamKey
// until expires.
func (k *Keys) Seal(l Ladder, streamKey string, expires time.Time) (string, error) {
	m := manifest{BitRate: l.BitRate(), Tracks: make([]manifestTrack, len(l))}
	for i, t := range l {
		m.Tracks[i] = manifestTrack{t.Width, t.Height, t.BitRate, string(t.Codec), t.FrameRate, 1}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	body := strconv.FormatInt(expires.Unix(), 16) + "_" + hex.EncodeToString(text) + "_" + streamKey
	return keyPrefix + hex.EncodeToString(k.seal(body)) + "_" + body, nil
}

func (k *Keys) seal(body string) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(keyPrefix))
	h.Write([]byte(body))
	return h.Sum(nil)
}

// StreamKey returns the stream key within a sealed one, good or not; false means that
// key is not of that form.
func StreamKey(key string) (streamKey string, ok bool) {
	_, body, ok := cut(key)
	if !ok {
		return "", false
	}
	_, _, streamKey, ok = parts(body)
	return streamKey, ok
}

func cut(key string) (seal, body string, ok bool) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	if !ok || len(key) > MaxKey {
		return "", "", false
	}
	return strings.Cut(rest, "_")
}

func parts(body string) (expires, manifest, streamKey string, ok bool) {
	expires, rest, ok := strings.Cut(body, "_")
	if !ok {
		return "", "", "", false
	}
	manifest, streamKey, ok = strings.Cut(rest, "_")
	return expires, manifest, streamKey, ok
}

// Reasons why a sealed key is not good.
var (
	errForm    = errors.New("multitrack: not a key of GetClientConfiguration")
	errSeal    = errors.New("multitrack: the key is not one that we made")
	errExpired = errors.New("multitrack: the key has expired")
)

// Open returns the ladder of a sealed key that is good at now.
func (k *Keys) Open(key string, now time.Time) (Ladder, error) {
	seal, body, ok := cut(key)
	if !ok {
		return nil, errForm
	}
	mac, err := hex.DecodeString(seal)
	if err != nil || !hmac.Equal(mac, k.seal(body)) {
		return nil, errSeal
	}
	// We made what follows.
	expires, text, _, ok := parts(body)
	if !ok {
		return nil, errForm
	}
	at, err := strconv.ParseInt(expires, 16, 64)
	if err != nil {
		return nil, errForm
	}
	if !now.Before(time.Unix(at, 0)) {
		return nil, errExpired
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errForm
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil || m.Version != 0 {
		return nil, errForm
	}
	l := make(Ladder, len(m.Tracks))
	for i, t := range m.Tracks {
		if t.Denominator < 1 {
			return nil, errForm
		}
		l[i] = Track{Width: t.Width, Height: t.Height, BitRate: t.BitRate, Codec: media.Codec(t.Codec), FrameRate: t.Numerator / t.Denominator}
	}
	return l, nil
}
