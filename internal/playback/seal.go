package playback

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// A sealer encrypts and authenticates what leaves the server and must come back as it
// was. Each purpose has a key of its own, derived from one that the nodes share: what was
// sealed for one says nothing of another, and none is used more often than the 2^32 times
// that random nonces allow (NIST SP 800-38D 8.3).
type sealer struct{ secret []byte }

func (s sealer) aead(purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.secret, nil, "sluice "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("playback: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("playback: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("playback: %w", err)
	}
	return aead, nil
}

// seal returns plain in a form that fits into a URL.
func (s sealer) seal(purpose string, plain []byte) (string, error) {
	aead, err := s.aead(purpose)
	if err != nil {
		return "", err
	}
	b := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(aead.Seal(b, b, plain, nil)), nil
}

// open returns what was sealed for a purpose, with the nonce that it has to itself, and
// false for anything else.
func (s sealer) open(purpose, text string) (plain, nonce []byte, ok bool, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, nil, false, nil //nolint:nilerr // somebody made it up, which is no fault
	}
	aead, err := s.aead(purpose)
	if err != nil {
		return nil, nil, false, err
	}
	n := aead.NonceSize()
	if len(b) < n {
		return nil, nil, false, nil
	}
	plain, err = aead.Open(nil, b[:n], b[n:], nil)
	if err != nil {
		return nil, nil, false, nil //nolint:nilerr // the same
	}
	return plain, b[:n], true, nil
}
