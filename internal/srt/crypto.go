package srt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // what SRT derives keys with
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// Key material (draft-sharabayko-srt-01 3.2.2).
const (
	kmHeader     = 16
	kmSalt       = 16
	kmWrapExtra  = 8 // that wrapping adds to a key
	kmSignature  = 0x2029
	kmVersion    = 0x12 // version 1, a key message
	kmAESCTR     = 2
	kmOverSRT    = 2
	kdfRounds    = 2048
	maxKeyLength = 32

	evenKey = 1
	oddKey  = 2
)

// keyMaterial is a message that brings one stream encrypting key or two of them.
type keyMaterial struct {
	keys      uint8 // evenKey, oddKey or both
	keyLength int   // 16, 24 or 32 bytes
	salt      []byte
	wrapped   []byte
}

var (
	errKeyMaterial = errors.New("srt: key material that makes no sense")
	errPassphrase  = errors.New("srt: wrong passphrase")
)

// parseKeyMaterial reads a key material message; the result refers to b.
func parseKeyMaterial(b []byte) (keyMaterial, error) {
	if len(b) < kmHeader || b[0] != kmVersion || binary.BigEndian.Uint16(b[1:]) != kmSignature {
		return keyMaterial{}, errKeyMaterial
	}
	m := keyMaterial{keys: b[3] & 3, keyLength: 4 * int(b[15])}
	switch {
	case m.keys == 0, binary.BigEndian.Uint32(b[4:]) != 0, b[8] != kmAESCTR, b[9] != 0, b[10] != kmOverSRT, 4*int(b[14]) != kmSalt:
		return keyMaterial{}, errKeyMaterial
	case m.keyLength != 16 && m.keyLength != 24 && m.keyLength != maxKeyLength:
		return keyMaterial{}, errKeyMaterial
	}
	n := m.keyLength
	if m.keys == evenKey|oddKey {
		n *= 2
	}
	if len(b) != kmHeader+kmSalt+n+kmWrapExtra {
		return keyMaterial{}, errKeyMaterial
	}
	m.salt, m.wrapped = b[kmHeader:kmHeader+kmSalt], b[kmHeader+kmSalt:]
	return m, nil
}

// A keyring decrypts the packets of one connection. It belongs to whoever holds the
// connection's lock.
type keyring struct {
	passphrase string
	salt       []byte
	kek        []byte // derived from both; what wraps keys
	key        [4]cipher.Block
	message    []byte // the newest key material that was taken, to know it again
}

// take unwraps the keys of a message.
func (k *keyring) take(message []byte) error {
	if bytes.Equal(message, k.message) {
		return nil
	}
	m, err := parseKeyMaterial(message)
	if err != nil {
		return err
	}
	if k.kek == nil || len(k.kek) != m.keyLength || !bytes.Equal(k.salt, m.salt) {
		if k.kek, err = pbkdf2.Key(sha1.New, k.passphrase, m.salt[8:], kdfRounds, m.keyLength); err != nil {
			return err
		}
		k.salt = bytes.Clone(m.salt)
	}
	keys, err := unwrap(k.kek, m.wrapped)
	if err != nil {
		return err
	}
	for _, kind := range [...]uint8{evenKey, oddKey} { // of both, the even one comes first
		if m.keys&kind == 0 {
			continue
		}
		if k.key[kind], err = aes.NewCipher(keys[:m.keyLength]); err != nil {
			return err
		}
		keys = keys[m.keyLength:]
	}
	k.message = bytes.Clone(message)
	return nil
}

// has reports whether there is a key of that kind.
func (k *keyring) has(kind uint8) bool { return k.key[kind] != nil }

// decrypt decrypts a payload in its place, by a key that is there.
func (k *keyring) decrypt(payload []byte, kind uint8, seq uint32) {
	var counter [aes.BlockSize]byte // draft-sharabayko-srt-01 6.2.2
	copy(counter[:14], k.salt)
	binary.BigEndian.PutUint32(counter[10:], binary.BigEndian.Uint32(counter[10:])^seq)
	cipher.NewCTR(k.key[kind], counter[:]).XORKeyStream(payload, payload)
}

// unwrap is the AES key unwrapping of RFC 3394.
func unwrap(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	n := len(wrapped)/8 - 1
	var a [aes.BlockSize]byte // the integrity register, and a part of the key
	copy(a[:8], wrapped)
	key := bytes.Clone(wrapped[8:])
	for t := uint64(6 * n); t > 0; t-- {
		part := key[8*((t-1)%uint64(n)):][:8]
		binary.BigEndian.PutUint64(a[:], binary.BigEndian.Uint64(a[:])^t)
		copy(a[8:], part)
		block.Decrypt(a[:], a[:])
		copy(part, a[8:])
	}
	if subtle.ConstantTimeCompare(a[:8], bytes.Repeat([]byte{0xa6}, 8)) == 0 {
		return nil, errPassphrase
	}
	return key, nil
}
