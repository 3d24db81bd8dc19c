package sigv4

import "net/http"

// An Error is a refusal, in the names and words of AWS. Its text may go to the client.
type Error struct {
	Name    string
	Message string
}

func (e *Error) Error() string { return e.Name + ": " + e.Message }

// Fault tells the wire form; package restjson asks for it.
func (e *Error) Fault() (status int, name, message string) {
	return http.StatusForbidden, e.Name, e.Message
}

var (
	errMissing    = &Error{"MissingAuthenticationTokenException", "Missing Authentication Token"}
	errUnknownKey = &Error{"UnrecognizedClientException", "The security token included in the request is invalid."}
	errMismatch   = &Error{"InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	errBody       = &Error{"InvalidSignatureException", "The request body does not match the hash in X-Amz-Content-Sha256."}
	errChunked    = &Error{"InvalidSignatureException", "This service takes no uploads in chunks (aws-chunked, STREAMING-...): X-Amz-Content-Sha256 must be the SHA-256 of the whole body."}
	errUnsigned   = &Error{"InvalidSignatureException", "The request body must be signed: X-Amz-Content-Sha256 must be its SHA-256, not UNSIGNED-PAYLOAD."}
	errHost       = &Error{"InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	errToken      = &Error{"InvalidSignatureException", "'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization."}
	errQuery      = incomplete("The query string is malformed or too long.")
	errTwice      = incomplete("Only one auth mechanism is allowed: the Authorization header or the X-Amz-* query parameters, once.")
	errLong       = incomplete("The Authorization header is too long.")
	errNoDate     = incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
)

// incomplete is a signature that cannot be read. The name is that of the API
// reference's common errors (low-latency.md 1.2).
func incomplete(message string) *Error { return &Error{"IncompleteSignature", message} }
