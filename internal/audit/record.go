package audit

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/restjson"
)

const (
	eventVersion = "1.11" // of CloudTrail's record form
	timeLayout   = "2006-01-02T15:04:05Z"

	// maxParameters is the most that a record has of a request or of a response, in
	// bytes, as in CloudTrail. What is longer is left out and its length told.
	maxParameters = 100 << 10
	maxText       = 1 << 10 // of anything else a client chooses, in bytes
)

// An Origin is what the gateway does not know of who called.
type Origin struct {
	IP          netip.Addr // invalid when the transport has none
	PrincipalID string     // AWS's unique id of the principal, such as AIDA...; "" for none
}

// A stamp is what makes a record unique.
type stamp struct {
	time time.Time
	id   string // UUID
}

// encode writes the record of one API call, with its newline, to e.
func (s *shapes) encode(e *restjson.Encoder, r *restjson.Record, from Origin, at stamp) {
	text := func(key, value string) {
		e.Key(key)
		e.Text(clip(value))
	}
	e.Begin()
	text("eventVersion", eventVersion)
	e.Key("userIdentity")
	identity(e, r, from)
	e.Key("eventTime")
	e.Time(at.time, timeLayout)
	text("eventSource", r.Service+".amazonaws.com")
	text("eventName", r.Operation)
	text("awsRegion", r.Region)
	if from.IP.IsValid() {
		text("sourceIPAddress", from.IP.String())
	}
	text("userAgent", r.HTTP.UserAgent())
	if r.ErrorType != "" {
		text("errorCode", r.ErrorType)
		text("errorMessage", r.Message)
	}
	e.Key("requestParameters")
	request := s.parameters(e, r.Request)
	e.Key("responseElements")
	response := s.parameters(e, r.Response)
	if request > 0 || response > 0 {
		e.Key("additionalEventData")
		e.Begin()
		for _, omitted := range []struct {
			key   string
			bytes int
		}{{"requestParametersBytes", request}, {"responseElementsBytes", response}} {
			if omitted.bytes > 0 {
				e.Key(omitted.key)
				e.Int(int64(omitted.bytes))
			}
		}
		e.End()
	}
	text("requestID", r.RequestID)
	text("eventID", at.id)
	e.Key("readOnly")
	e.Bool(r.ReadOnly)
	text("eventType", "AwsApiCall")
	e.Key("managementEvent")
	e.Bool(true)
	if r.Account != "" {
		text("recipientAccountId", r.Account)
	}
	text("eventCategory", "Management")
	e.End()
	e.Newline()
}

// identity writes who called. What a request without a valid signature says of itself is
// of type Unknown, and is the access key id at most.
func identity(e *restjson.Encoder, r *restjson.Record, from Origin) {
	text := func(key, value string) {
		if value != "" {
			e.Key(key)
			e.Text(clip(value))
		}
	}
	e.Begin()
	defer e.End()
	if r.Account == "" {
		text("type", "Unknown")
		text("accessKeyId", r.AccessKeyID)
		return
	}
	typ, name := kindOf(r.Principal)
	text("type", typ)
	text("principalId", from.PrincipalID)
	text("arn", r.Principal)
	text("accountId", r.Account)
	text("accessKeyId", r.AccessKeyID)
	if typ == "IAMUser" {
		text("userName", name)
	}
	if r.Caller.Session == nil {
		return
	}
	e.Key("sessionContext")
	e.Begin()
	if role := r.Caller.Session.Role; role != "" {
		_, name := kindOf(role)
		e.Key("sessionIssuer")
		e.Begin()
		text("type", "Role")
		text("arn", role)
		text("accountId", r.Account)
		text("userName", name)
		e.End()
	}
	e.Key("attributes")
	e.Begin()
	e.Key("creationDate")
	e.Time(r.Caller.Session.Issued, timeLayout)
	text("mfaAuthenticated", "false")
	e.End()
	e.End()
}

// kindOf is CloudTrail's type of a principal, and its name without a path.
func kindOf(arn string) (typ, name string) {
	part := strings.SplitN(arn, ":", 6)
	resource := part[len(part)-1]
	kind, _, _ := strings.Cut(resource, "/")
	name = resource[strings.LastIndexByte(resource, '/')+1:]
	switch kind {
	case "user":
		return "IAMUser", name
	case "assumed-role":
		return "AssumedRole", name
	case "federated-user":
		return "FederatedUser", name
	case "role":
		return "Role", name
	case "root":
		return "Root", name
	}
	return "Unknown", name
}

// lostRecords writes the record that stands for n records that were lost since a moment.
func lostRecords(n int64, since time.Time, at stamp) []byte {
	e := restjson.NewEncoder(1 << 9)
	text := func(key, value string) {
		e.Key(key)
		e.Text(value)
	}
	e.Begin()
	text("eventVersion", eventVersion)
	e.Key("userIdentity")
	e.Begin()
	text("type", "AWSService")
	text("invokedBy", "sluice")
	e.End()
	e.Key("eventTime")
	e.Time(at.time, timeLayout)
	text("eventSource", "sluice")
	text("eventName", EventLost)
	e.Key("additionalEventData")
	e.Begin()
	e.Key("recordsLost")
	e.Int(n)
	e.Key("since")
	e.Time(since, timeLayout)
	e.End()
	text("eventID", at.id)
	e.Key("readOnly")
	e.Bool(true)
	text("eventType", "AwsServiceEvent")
	e.Key("managementEvent")
	e.Bool(true)
	text("eventCategory", "Management")
	e.End()
	return append(e.Bytes(), '\n')
}

// EventLost is the name of the record that stands for records that were lost.
const EventLost = "AuditRecordsLost"

// clip bounds what a record has of a client's words.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// newStamp is the stamp of a record made now.
func newStamp(now time.Time) stamp {
	var b [16]byte
	_, _ = rand.Read(b[:])                      // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 5.4
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return stamp{now, string(s[:])}
}
