package sts

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
)

// Name is the service in credential scopes.
const Name = "sts"

// principals is what STS needs of package principal.
type principals interface {
	Find(ctx context.Context, arn string) (*principal.Principal, error)
	Access(ctx context.Context, c restjson.Caller) (*principal.Access, error)
	SessionPolicies(s *restjson.Session) ([]*iam.Policy, error)
}

// A Service answers STS requests.
type Service struct {
	people principals
	tokens *Tokens
	now    func() time.Time
}

// New returns a Service that seals sessions with tokens.
func New(people principals, tokens *Tokens) *Service {
	return &Service{people: people, tokens: tokens, now: time.Now}
}

// Foreign is the service for a Gateway.
func (s *Service) Foreign() restjson.Foreign {
	return restjson.Foreign{Name: Name, Serve: s.serve, Refuse: refuse}
}

// An answer is what an operation gives.
type answer struct {
	result   any // XML structure
	request  any // for the record, as the next two
	response any
	readOnly bool
}

// serve answers one signed request.
func (s *Service) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) (restjson.Result, error) {
	var res restjson.Result
	p, err := parseParams(r, body)
	if err != nil {
		return res, err
	}
	operations := map[string]func(context.Context, restjson.Caller, params) (answer, error){
		"AssumeRole": s.assumeRole, "GetCallerIdentity": s.getCallerIdentity, "GetSessionToken": s.getSessionToken,
	}
	action := p.Get("Action")
	operation, ok := operations[action]
	switch {
	case action == "":
		return res, &apiError{http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action."}
	case !ok || p.Get("Version") != version || r.URL.Path != "/":
		return res, &apiError{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", clip(action), clip(p.Get("Version")))}
	}
	res.Operation = action
	caller := restjson.CallerFrom(ctx)
	a, err := operation(ctx, caller, p)
	res.ReadOnly, res.Request, res.Response = a.readOnly, a.request, a.response
	if err != nil {
		return res, err
	}
	res.Status = http.StatusOK
	return res, send(w, caller.RequestID, action, a.result)
}

type callerIdentity struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserId  string //nolint:staticcheck // its name on the wire
	Account string
}

// getCallerIdentity tells who signed. Everyone may ask, whatever policies say.
func (s *Service) getCallerIdentity(_ context.Context, c restjson.Caller, _ params) (answer, error) {
	return answer{
		result:   callerIdentity{Arn: c.Principal, UserId: principal.UserID(c), Account: c.Account},
		readOnly: true,
	}, nil
}

// Lengths of sessions, in seconds.
const (
	minSession      = 900
	defaultRole     = 3600
	maxRole         = 43200
	maxChained      = 3600 // of a role that a role's session assumes
	defaultUser     = 43200
	maxUser         = 129600
	maxPolicyText   = 2048 // characters of a session policy
	maxPolicyARNs   = 10
	maxSessionTags  = 50
	maxPackedTotal  = 6144 // bytes of a session's policies and tags together
	maxRoleARN      = 2048
	maxExternalID   = 1224
	assumeAction    = "sts:AssumeRole"
	tagAction       = "sts:TagSession"
	sessionAction   = "sts:GetSessionToken"
	externalIDForm  = `^[\w+=,.@:/\-]{2,}$`
	sessionNameForm = `^[\w+=,.@-]{2,64}$`
)

var (
	externalIDs  = regexp.MustCompile(externalIDForm)
	sessionNames = regexp.MustCompile(sessionNameForm)
)

// getSessionToken makes a session of the user who asks with a lasting key.
func (s *Service) getSessionToken(ctx context.Context, c restjson.Caller, p params) (answer, error) {
	a := answer{readOnly: true, request: &getSessionTokenRequest{DurationSeconds: p.Get("DurationSeconds")}}
	if c.Session != nil {
		return a, denied("Cannot call GetSessionToken with session credentials")
	}
	seconds, err := p.seconds("DurationSeconds", defaultUser, minSession, maxUser)
	if err == nil {
		err = p.refuse("SerialNumber", "TokenCode")
	}
	if err != nil {
		return a, err
	}
	access, err := s.people.Access(ctx, c)
	if err != nil {
		return a, err
	}
	// Nothing has to allow it, as on AWS, but it can be denied.
	if d, _ := access.Evaluate(&iam.Request{Action: sessionAction, Resource: "*", Context: access.Context}); d == iam.Denied && !access.Admin {
		return a, denied("User: %s is not authorized to perform: %s on resource: * with an explicit deny in an %s", c.Principal, sessionAction, iam.ByIdentity)
	}
	now := s.now()
	cred := Credential{
		Account: c.Account, ARN: c.Principal, Expires: now.Unix() + int64(seconds),
		Session: stored{Issued: now.Unix(), ParentKey: c.AccessKeyID},
	}
	wire, shown, err := s.issue(&cred)
	a.result, a.response = getSessionTokenResult{Credentials: wire}, &getSessionTokenResponse{shown}
	return a, err
}

// assumeRole makes a session of a role, if the role trusts the caller and the caller's
// policies do not object.
func (s *Service) assumeRole(ctx context.Context, c restjson.Caller, p params) (answer, error) {
	in, err := parseAssumeRole(p)
	a := answer{readOnly: true, request: in.record()}
	if err != nil {
		return a, err
	}
	role, err := s.trusted(ctx, c, in)
	if err != nil {
		return a, err
	}
	chained := c.Session != nil && c.Session.Role != ""
	switch {
	case chained && in.seconds > maxChained:
		return a, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case time.Duration(in.seconds)*time.Second > role.MaxSession:
		return a, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	now := s.now()
	cred := Credential{
		Account: role.Account, Expires: now.Unix() + int64(in.seconds),
		ARN: "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + in.name,
		Session: stored{
			Role: role.ARN, Name: in.name, Issued: now.Unix(), Tags: in.tags, Policies: in.policies, Policy: in.policy,
			ParentKey: c.AccessKeyID, ParentRole: chained,
		},
	}
	packed, err := s.packed(&cred)
	if err != nil {
		return a, err
	}
	wire, shown, err := s.issue(&cred)
	who := assumedRoleUser{AssumedRoleId: role.ID + ":" + in.name, Arn: cred.ARN}
	a.result = assumeRoleResult{Credentials: wire, AssumedRoleUser: who, PackedPolicySize: packed}
	a.response = &assumeRoleResponse{shown, who}
	return a, err
}

// trusted finds the role of a request that the caller may assume. One that is not there
// is refused like one that may not be assumed.
func (s *Service) trusted(ctx context.Context, c restjson.Caller, in *assumeRole) (*principal.Principal, error) {
	access, err := s.people.Access(ctx, c)
	if err != nil {
		return nil, err
	}
	role, err := s.people.Find(ctx, in.role)
	missing := errors.Is(err, live.NotFound)
	switch {
	case err != nil && !missing:
		return nil, err
	case missing || role.Kind != principal.Role:
		return nil, denied("User: %s is not authorized to perform: %s on resource: %s", c.Principal, assumeAction, in.role)
	}
	facts := access.Context.Child()
	if in.externalID != "" {
		facts.Set("sts:externalid", in.externalID)
	}
	facts.Set("sts:rolesessionname", in.name)
	facts.SetTags("aws:resourcetag", role.Tags)
	facts.SetTags("aws:requesttag", in.tags)
	facts.SetAll("aws:tagkeys", in.tagKeys)
	actions := []string{assumeAction}
	if len(in.tags) > 0 {
		actions = append(actions, tagAction)
	}
	for _, action := range actions {
		if !allowed(c, access, facts, role, action) {
			return nil, denied("User: %s is not authorized to perform: %s on resource: %s", c.Principal, action, in.role)
		}
	}
	return role, nil
}

// allowed asks both sides: the role's trust policy, and the caller's own. A role that
// names a principal of its own account needs no policy of that principal's, unless the
// principal's session is limited.
func allowed(c restjson.Caller, access *principal.Access, facts *iam.Context, role *principal.Principal, action string) bool {
	names := []string{c.Principal}
	if access.Issuer != c.Principal {
		names = append(names, access.Issuer)
	}
	trust := role.Trust.Evaluate(action, c.Account, names, facts)
	if trust == iam.NotTrusted {
		return false
	}
	if access.Admin {
		return true
	}
	own, _ := access.Evaluate(&iam.Request{Action: action, Resource: role.ARN, Context: facts})
	switch own {
	case iam.Denied:
		return false
	case iam.Allowed:
		return true
	}
	return trust == iam.Trusted && role.Account == c.Account && !access.Limited
}

// packed checks what a session carries, and returns how much of the room it takes, in
// percent, or nil when it carries nothing.
func (s *Service) packed(c *Credential) (*int, error) {
	x := c.Session
	if x.Policy == "" && len(x.Policies) == 0 && len(x.Tags) == 0 {
		return nil, nil
	}
	if x.Policy != "" {
		if _, err := iam.Parse([]byte(x.Policy)); err != nil {
			return nil, &apiError{http.StatusBadRequest, "MalformedPolicyDocument", strings.TrimPrefix(err.Error(), "iam: ")}
		}
	}
	if _, err := s.people.SessionPolicies(c.RestSession()); err != nil {
		return nil, invalid("%s", strings.TrimPrefix(err.Error(), "principal: "))
	}
	size := len(x.Policy)
	for _, arn := range x.Policies {
		size += len(arn)
	}
	for k, v := range x.Tags {
		size += len(k) + len(v)
	}
	percent := (100*size + maxPackedTotal - 1) / maxPackedTotal
	if percent > 100 {
		return nil, &apiError{http.StatusBadRequest, "PackedPolicyTooLarge", fmt.Sprintf("Packed size of session tags and policies consumes %d%% of allotted space.", percent)}
	}
	return &percent, nil
}

// issue gives a credential its key and token, in the form of the answer and in that of
// the record.
func (s *Service) issue(c *Credential) (credentials, shownCredentials, error) {
	newKey(c)
	token, err := s.tokens.Seal(*c)
	if err != nil {
		return credentials{}, shownCredentials{}, err
	}
	expires := time.Unix(c.Expires, 0).UTC()
	return credentials{c.ID, c.Secret, token, expires.Format(time.RFC3339)},
		shownCredentials{c.ID, restjson.Secret(c.Secret), restjson.Secret(token), expires}, nil
}
