package sts

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
)

// A Credential is a temporary key and whom it is for.
type Credential struct {
	ID      string `json:"-"` // "ASIA..."
	Secret  string `json:"s"`
	Account string `json:"a"`
	ARN     string `json:"p"` // of the user or the role's session
	Expires int64  `json:"e"` // seconds since 1970
	Session stored `json:"x"`
}

// stored is a restjson.Session with short names: it travels with every request.
type stored struct {
	Role       string            `json:"r,omitempty"`
	Name       string            `json:"n,omitempty"`
	Issued     int64             `json:"i"` // seconds since 1970
	Tags       map[string]string `json:"t,omitempty"`
	Policies   []string          `json:"l,omitempty"`
	Policy     string            `json:"d,omitempty"`
	ParentKey  string            `json:"k"`
	ParentRole bool              `json:"c,omitempty"`
}

// String is the credential without its secret.
func (c Credential) String() string { return c.ID + " of " + c.ARN }

// GoString is String, so that %#v hides the secret too.
func (c Credential) GoString() string { return c.String() }

// RestSession is the session as a Caller carries it.
func (c Credential) RestSession() *restjson.Session {
	s := c.Session
	return &restjson.Session{
		Role: s.Role, Name: s.Name, Issued: time.Unix(s.Issued, 0).UTC(), Tags: s.Tags,
		Policies: s.Policies, Policy: s.Policy, ParentKey: s.ParentKey, ParentRole: s.ParentRole,
	}
}

// Tokens seals credentials into session tokens and opens them.
type Tokens struct{ aead cipher.AEAD }

// SecretName is what the store keeps the key of the tokens under.
const SecretName = "session-tokens"

// tokenVersion is the first byte of a token. A change of its content gets a new one.
const tokenVersion = 1

// maxToken bounds a token in bytes. A session carries 6 KiB of policies and tags, which
// at most double as JSON and grow by a third as base64.
const maxToken = 24 << 10

// NewTokens returns Tokens of a key of 32 bytes, which is the same on every node. Its
// nonces are random, so it is good for 2^32 tokens (NIST SP 800-38D 8.3): a thousand a
// second for 49 days, or one a second for a century.
func NewTokens(key []byte) (*Tokens, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}
	return &Tokens{aead}, nil
}

// Seal returns the token of c. Only Open of the same key id reads it.
func (t *Tokens) Seal(c Credential) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // it would make a policy six times as long
	if err := enc.Encode(c); err != nil {
		return "", fmt.Errorf("sts: %w", err)
	}
	text := buf.Bytes()
	b := make([]byte, 1+t.aead.NonceSize(), 1+t.aead.NonceSize()+len(text)+t.aead.Overhead())
	b[0] = tokenVersion
	_, _ = rand.Read(b[1:]) // never fails
	b = t.aead.Seal(b, b[1:], text, []byte(c.ID))
	return base64.StdEncoding.EncodeToString(b), nil
}

// Open returns the credential of a token that belongs to the access key id, or
// live.NotFound. Whether it is expired is for the caller to see.
func (t *Tokens) Open(id, token string) (Credential, error) {
	if len(token) > maxToken {
		return Credential{}, live.NotFound
	}
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) < 1+t.aead.NonceSize() || b[0] != tokenVersion {
		return Credential{}, live.NotFound
	}
	nonce, sealed := b[1:1+t.aead.NonceSize()], b[1+t.aead.NonceSize():]
	text, err := t.aead.Open(nil, nonce, sealed, []byte(id))
	if err != nil {
		return Credential{}, live.NotFound
	}
	c := Credential{ID: id}
	if err := json.Unmarshal(text, &c); err != nil {
		return Credential{}, fmt.Errorf("sts: a token of ours: %w", err)
	}
	return c, nil
}

// newKey fills in a fresh key id and secret, in AWS's forms.
func newKey(c *Credential) {
	const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // 32, so no byte is favoured
	var raw [16 + 30]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := []byte("ASIA")
	for _, b := range raw[:16] {
		id = append(id, capitals[b%32])
	}
	c.ID, c.Secret = string(id), base64.StdEncoding.EncodeToString(raw[16:])
}
