package live

import "fmt"

// A Kind says what a caller can do about an error. The set is closed: package
// restjson maps each Kind to one wire error, and a test proves the map total.
type Kind string

// The kinds. Each becomes one AWS exception (low-latency.md 1.2).
const (
	Invalid     Kind = "invalid"     // the input breaks a rule; ValidationException
	Denied      Kind = "denied"      // the caller may not; AccessDeniedException
	NotFound    Kind = "not found"   // a named resource is missing; ResourceNotFoundException
	NotLive     Kind = "not live"    // the channel has no stream; ChannelNotBroadcasting
	Conflict    Kind = "conflict"    // the state forbids it now; ConflictException
	Quota       Kind = "quota"       // a limit on resources is reached; ServiceQuotaExceededException
	Throttled   Kind = "throttled"   // too many calls; ThrottlingException
	Unavailable Kind = "unavailable" // the owner of the stream did not answer; StreamUnavailable
	Unsupported Kind = "unsupported" // understood, but not something this listener takes; ingest only
)

// Kinds lists every Kind.
func Kinds() []Kind {
	return []Kind{Invalid, Denied, NotFound, NotLive, Conflict, Quota, Throttled, Unavailable, Unsupported}
}

// Error implements error, so that a Kind can be the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is the only error whose words reach a client.
type Error struct {
	Kind   Kind
	Detail string // for the caller: no paths, SQL, hosts or keys
	Err    error  // the cause: logged, never sent; may be nil
}

// Errorf returns an *Error without a cause whose Detail is the formatted text.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Kind) + ": " + e.Detail
	}
	return string(e.Kind) + ": " + e.Detail + ": " + e.Err.Error()
}

// Unwrap makes errors.Is(err, live.NotFound) and errors.Is(err, cause) both work.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}
