package playback

import "fmt"

// A Reason says why a viewer was refused, for counting. The set is closed.
type Reason string

// The reasons.
const (
	NoToken      Reason = "no_token"      // a private channel, and nothing to show
	BadToken     Reason = "bad_token"     // no token, or one that breaks a rule
	BadSignature Reason = "bad_signature" // signed by none of the account's keys, or not in our way
	Expired      Reason = "expired"
	WrongChannel Reason = "wrong_channel"
	Reused       Reason = "reused" // good for one use, and had it
	Revoked      Reason = "revoked"
	BadSession   Reason = "bad_session" // media asked for without a session, or with one of another stream
	BadOrigin    Reason = "origin"
	BadCountry   Reason = "country"
	Resolution   Reason = "resolution" // nothing that small, or media above what the token allows
)

// Reasons lists every Reason.
func Reasons() []Reason {
	return []Reason{NoToken, BadToken, BadSignature, Expired, WrongChannel, Reused, Revoked, BadSession, BadOrigin, BadCountry, Resolution}
}

// A Refusal is the error of a viewer who may not watch. Its text is for whoever debugs
// the viewer's player, and repeats nothing secret.
type Refusal struct {
	Reason Reason
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}
