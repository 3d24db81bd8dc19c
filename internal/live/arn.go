package live

import (
	"fmt"
	"strings"
)

// ServiceIVS is the service of video resources, in ARNs and in credential scopes.
const ServiceIVS = "ivs"

// Resource types of the ivs service as they stand in an ARN (low-latency.md 1.3).
const (
	TypeChannel                   = "channel"
	TypeStreamKey                 = "stream-key"
	TypeRecordingConfiguration    = "recording-configuration"
	TypePlaybackRestrictionPolicy = "playback-restriction-policy"
	TypeAdConfiguration           = "ad-configuration"
)

// maxARN is the longest ARN the models accept, in bytes.
const maxARN = 128

// ARN names one resource: arn:aws:<service>:<region>:<account>:<type>/<id>.
// It is comparable, so it can be a map key.
type ARN struct {
	Service string // "ivs" or "ivschat"
	Region  string
	Account string // 12 digits
	Type    string // "channel", "stream-key", ...
	ID      string
}

// String is the wire form.
func (a ARN) String() string {
	return "arn:aws:" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Type + "/" + a.ID
}

// ParseARN reads an ARN of any service that Sluice speaks. It returns an *Error of
// kind Invalid for anything else; it does not check that the resource exists.
func ParseARN(s string) (ARN, error) {
	bad := func() (ARN, error) { return ARN{}, Errorf(Invalid, "%q is not a valid ARN", clip(s)) }
	if len(s) > maxARN {
		return bad()
	}
	// It runs for each row that is read, so it splits without making a list.
	rest, ok := strings.CutPrefix(s, "arn:aws:")
	var a ARN
	if ok {
		a.Service, rest, ok = strings.Cut(rest, ":")
	}
	if ok {
		a.Region, rest, ok = strings.Cut(rest, ":")
	}
	if ok {
		a.Account, rest, ok = strings.Cut(rest, ":")
	}
	if ok {
		a.Type, a.ID, ok = strings.Cut(rest, "/")
	}
	if !ok || !only(a.Service, lower) || !only(a.Region, lower+digits+"-") ||
		!only(a.Account, digits) || !only(a.Type, lower+"-") || !only(a.ID, alnum+"-") {
		return bad()
	}
	return a, nil
}

// Want returns an *Error of kind Invalid unless a is of the given service and type.
func (a ARN) Want(service, typ string) error {
	if a.Service != service || a.Type != typ {
		return Errorf(Invalid, "%s is not the ARN of a %s", a, typ)
	}
	return nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
	alnum  = digits + upper + lower
)

func only(s, set string) bool {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// clip bounds what an error repeats of a hostile input.
func clip(s string) string {
	if len(s) > maxARN {
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:maxARN], ""), len(s))
	}
	return s
}
