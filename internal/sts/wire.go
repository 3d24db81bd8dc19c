package sts

import (
	"encoding/xml"
	"time"

	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
)

// assumeRole is the input of AssumeRole.
type assumeRole struct {
	role       string
	name       string
	seconds    int
	externalID string
	policy     string
	policies   []string
	tags       map[string]string
	tagKeys    []string // in the order of the request
}

// parseAssumeRole reads and checks the parameters; what it could read it returns also
// with an error, for the record.
func parseAssumeRole(p params) (*assumeRole, error) {
	in := &assumeRole{role: p.Get("RoleArn"), name: p.Get("RoleSessionName"), externalID: p.Get("ExternalId"), policy: p.Get("Policy")}
	var err error
	switch {
	case in.role == "" || len(in.role) > maxRoleARN:
		return in, invalid("RoleArn must be the ARN of a role.")
	case !sessionNames.MatchString(in.name):
		return in, invalid("RoleSessionName must have 2 to 64 letters, digits and _+=,.@-")
	case in.externalID != "" && (len(in.externalID) > maxExternalID || !externalIDs.MatchString(in.externalID)):
		return in, invalid("ExternalId must have 2 to %d letters, digits and _+=,.@:/-", maxExternalID)
	case len([]rune(in.policy)) > maxPolicyText:
		return in, invalid("Policy may have %d characters at most.", maxPolicyText)
	}
	if err = p.refuse("SerialNumber", "TokenCode", "SourceIdentity", "TransitiveTagKeys", "ProvidedContexts"); err != nil {
		return in, err
	}
	if in.seconds, err = p.seconds("DurationSeconds", defaultRole, minSession, maxRole); err != nil {
		return in, err
	}
	if in.policies, err = p.members("PolicyArns", ".arn", maxPolicyARNs); err != nil {
		return in, err
	}
	if in.tagKeys, err = p.members("Tags", ".Key", maxSessionTags); err != nil {
		return in, err
	}
	values, err := p.members("Tags", ".Value", maxSessionTags)
	if err != nil {
		return in, err
	}
	if len(values) != len(in.tagKeys) {
		return in, invalid("Each of Tags must have a Key and a Value.")
	}
	for i, k := range in.tagKeys {
		if in.tags == nil {
			in.tags = map[string]string{}
		}
		if _, twice := in.tags[k]; twice {
			return in, invalid("Tags has the key %s twice.", clip(k))
		}
		in.tags[k] = values[i]
	}
	if err := principal.CheckTags(in.tags); err != nil {
		return in, invalid("Tags: %s", err)
	}
	return in, nil
}

// record is the input as the record of the request shows it.
func (in *assumeRole) record() *assumeRoleRequest {
	return &assumeRoleRequest{
		RoleArn: in.role, RoleSessionName: in.name, DurationSeconds: in.seconds, Policy: in.policy, PolicyArns: in.policies, Tags: in.tags,
	}
}

// What the record of a request shows.
type (
	assumeRoleRequest struct {
		RoleArn         string
		RoleSessionName string
		DurationSeconds int
		Policy          string
		PolicyArns      []string
		Tags            map[string]string
	}
	assumeRoleResponse struct {
		Credentials     shownCredentials
		AssumedRoleUser assumedRoleUser
	}
	getSessionTokenRequest  struct{ DurationSeconds string }
	getSessionTokenResponse struct{ Credentials shownCredentials }
	shownCredentials        struct {
		AccessKeyId     string //nolint:staticcheck // its name on the wire
		SecretAccessKey restjson.Secret
		SessionToken    restjson.Secret
		Expiration      time.Time
	}
)

// Answers, as XML.
type (
	credentials struct {
		AccessKeyId     string //nolint:staticcheck // its name on the wire
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	assumedRoleUser struct {
		AssumedRoleId string //nolint:staticcheck // its name on the wire
		Arn           string
	}
	assumeRoleResult struct {
		XMLName          xml.Name `xml:"AssumeRoleResult"`
		Credentials      credentials
		AssumedRoleUser  assumedRoleUser
		PackedPolicySize *int
	}
	getSessionTokenResult struct {
		XMLName     xml.Name `xml:"GetSessionTokenResult"`
		Credentials credentials
	}
)
