package playback

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluice-live/sluice/internal/live"
)

// DefaultTokenBytes is the largest token that IVS takes.
const DefaultTokenBytes = 2048

// A verifier reads tokens. Only ES384 is taken, whatever a token says of itself, and
// base64 only in the one form that encoders write.
type verifier struct {
	parser *jwt.Parser
	most   int // bytes of a token
}

func newVerifier(most int) verifier {
	return verifier{most: most, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodES384.Alg()}),
		jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation(), // check does that
	)}
}

// verify returns what a token says if it is good for the channel at now, signed by one of
// the keys. The keys, and the work of checking a signature with each, are asked for last.
// A token that is refused is a *Refusal; other errors are those of keys.
func (v verifier) verify(token string, channel live.ARN, now time.Time, keys func() ([]*ecdsa.PublicKey, error)) (Claims, error) {
	switch {
	case token == "":
		return Claims{}, refuse(NoToken, "token contains an invalid number of segments")
	case len(token) > v.most:
		return Claims{}, refuse(BadToken, "token is larger than %d bytes", v.most)
	case strings.Count(token, ".") != 2:
		return Claims{}, refuse(BadToken, "token contains an invalid number of segments")
	}
	var (
		c     wireClaims
		fault error // of keys
	)
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		header, _, _ := strings.Cut(t.Raw, ".")
		if err := v.header(header); err != nil {
			return nil, err
		}
		if err := c.check(channel, now); err != nil {
			return nil, err
		}
		all, err := keys()
		if err != nil {
			fault = err
			return nil, err
		}
		set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(all))}
		for i, k := range all {
			set.Keys[i] = k
		}
		return set, nil
	})
	if fault != nil {
		return Claims{}, fault
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return Claims{}, refusal
	}
	switch {
	case err == nil:
		return c.Claims, nil
	case errors.Is(err, jwt.ErrTokenMalformed):
		return Claims{}, refuse(BadToken, "token is malformed")
	default: // also another alg, and no key at all
		return Claims{}, refuse(BadSignature, "token signature is invalid")
	}
}

// header refuses what the parser does not look at. A critical header asks for something
// that must be understood (RFC 7515 4.1.11), and there is nothing such that we do.
func (v verifier) header(segment string) error {
	text, err := v.parser.DecodeSegment(segment)
	if err != nil {
		return refuse(BadToken, "token is malformed")
	}
	all, err := members(text)
	if err != nil {
		return err
	}
	if _, ok := all["crit"]; ok {
		return refuse(BadToken, "token has a critical header that is not understood")
	}
	return nil
}

// wireClaims is Claims as package jwt wants it. That package checks none of these.
type wireClaims struct{ Claims }

func (wireClaims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (wireClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (wireClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (wireClaims) GetIssuer() (string, error)                   { return "", nil }
func (wireClaims) GetSubject() (string, error)                  { return "", nil }
func (wireClaims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

// Sign makes a token of c, if one with these claims can be good at now.
func Sign(key *ecdsa.PrivateKey, c Claims, now time.Time) (string, error) {
	payload, err := c.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("playback: %w", err)
	}
	if err := new(Claims).UnmarshalJSON(payload); err != nil {
		return "", fmt.Errorf("playback: %w", err)
	}
	if err := c.check(c.Channel, now); err != nil {
		return "", fmt.Errorf("playback: %w", err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES384, wireClaims{c}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("playback: %w", err)
	}
	if len(token) > DefaultTokenBytes {
		return "", fmt.Errorf("playback: the token has %d bytes, more than %d", len(token), DefaultTokenBytes)
	}
	return token, nil
}

// parsePublicKey reads the DER of a public key that tokens can be checked with.
func parsePublicKey(spki []byte) (*ecdsa.PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("playback: public key: %w", err)
	}
	if k, ok := k.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P384() {
		return k, nil
	}
	return nil, errors.New("playback: a public key is not of P-384")
}

// ParsePrivateKey reads a private key of P-384 from PEM, as openssl writes it: in SEC 1 or
// PKCS #8, with the curve's parameters in front or not. Encrypted ones it cannot read.
func ParsePrivateKey(text []byte) (*ecdsa.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var (
			k   any
			err error
		)
		switch block.Type {
		case "EC PRIVATE KEY":
			k, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("playback: private key: %w", err)
		}
		if k, ok := k.(*ecdsa.PrivateKey); ok && k.Curve == elliptic.P384() {
			return k, nil
		}
		return nil, errors.New("playback: the private key is not of P-384")
	}
	return nil, errors.New("playback: no private key in PEM")
}
