// Package sigv4 signs JSON requests with AWS Signature Version 4 in the header form,
// at the lowest cost a client can have: the derived key is kept for the day. It is
// for load only; the conformance tests sign with the AWS SDK.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

const signedHeaders = "host;x-amz-content-sha256;x-amz-date"

// Signer signs for one key, region and service. It is not safe for concurrent use.
type Signer struct {
	AccessKey, SecretKey, Region, Service string

	day string // of key, as 20060102
	key []byte // derived signing key
}

// Signature is the values of the three headers to send.
type Signature struct {
	Date          string // X-Amz-Date
	ContentSHA256 string // X-Amz-Content-Sha256
	Authorization string
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// Sign signs host and the three headers for a request of body to path, which must
// hold nothing that needs percent-encoding, and no query.
func (s *Signer) Sign(method, host, path string, body []byte, now time.Time) Signature {
	date := now.UTC().Format("20060102T150405Z")
	if day := date[:8]; day != s.day {
		k := mac([]byte("AWS4"+s.SecretKey), day)
		k = mac(k, s.Region)
		k = mac(k, s.Service)
		s.key, s.day = mac(k, "aws4_request"), day
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	canonical := sha256.Sum256([]byte(method + "\n" + path + "\n\nhost:" + host +
		"\nx-amz-content-sha256:" + hash + "\nx-amz-date:" + date + "\n\n" + signedHeaders + "\n" + hash))
	scope := s.day + "/" + s.Region + "/" + s.Service + "/aws4_request"
	signature := hex.EncodeToString(mac(s.key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(canonical[:])))
	return Signature{
		Date:          date,
		ContentSHA256: hash,
		Authorization: "AWS4-HMAC-SHA256 Credential=" + s.AccessKey + "/" + scope +
			", SignedHeaders=" + signedHeaders + ", Signature=" + signature,
	}
}
