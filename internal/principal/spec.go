package principal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/iam"
)

// A Spec describes a user or a role: the content of a file and of a stored principal.
type Spec struct {
	Tags     map[string]string          `json:"tags,omitempty"`     // aws:PrincipalTag/<key>
	Policies []string                   `json:"policies,omitempty"` // names or ARNs of attached policies
	Inline   map[string]json.RawMessage `json:"inline,omitempty"`   // policy documents of its own, by name

	// Roles only.
	Trust              json.RawMessage `json:"trust,omitempty"`              // who may assume it
	MaxSessionDuration int             `json:"maxSessionDuration,omitempty"` // seconds, 3600 to 43200; 0 means 3600
}

// Bounds of a Spec. IAM has 10 attached policies by default and allows 20.
const (
	maxSpec     = 256 << 10 // bytes of a file
	maxAttached = 20
	maxInline   = 20
	maxTags     = 50
)

// ParseSpec reads a Spec and refuses members it does not know.
func ParseSpec(b []byte) (Spec, error) {
	var s Spec
	if len(b) > maxSpec {
		return s, fmt.Errorf("principal: %d bytes are over the limit of %d", len(b), maxSpec)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("principal: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, errors.New("principal: something follows the description")
	}
	return s, nil
}

// Kind is what a principal is, as it stands in an ARN.
type Kind string

// The kinds.
const (
	User   Kind = "user"
	Role   Kind = "role"
	policy Kind = "policy"
)

// ARN names the principal of an account.
func ARN(account string, kind Kind, name string) string {
	return "arn:aws:iam::" + account + ":" + string(kind) + "/" + name
}

// CheckName checks the name of a user, a role or a policy by IAM's rule.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("principal: %q is not a name: want 1 to 64 letters, digits and _+=,.@-", clip(name))
	}
	return nil
}

var (
	nameForm = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	tagForm  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// PolicyARN is the ARN that a policy is attached by: ref itself if it is one, or that
// of the built-in or the account's policy of that name.
func PolicyARN(account, ref string) (string, error) {
	const managed = "arn:aws:iam::aws:policy/"
	if strings.HasPrefix(ref, "arn:") {
		for _, prefix := range []string{managed, ARN(account, policy, "")} {
			if name, ok := strings.CutPrefix(ref, prefix); ok {
				return ref, CheckName(name)
			}
		}
		return "", fmt.Errorf("principal: %q is not the ARN of a policy of this account or of AWS", clip(ref))
	}
	if err := CheckName(ref); err != nil {
		return "", err
	}
	all, err := iam.Managed()
	if err != nil {
		return "", err
	}
	if all[managed+ref] != nil {
		return managed + ref, nil
	}
	return ARN(account, policy, ref), nil
}

// Sessions of a role, as IAM bounds them.
const (
	minMaxSession = time.Hour
	maxMaxSession = 12 * time.Hour
)

// A Principal is a compiled Spec. It never changes.
type Principal struct {
	ARN        string
	Account    string
	Kind       Kind
	Name       string
	ID         string            // AIDA... or AROA...; the same on every node
	Tags       map[string]string // no two keys differ by case only
	Policies   []*iam.Policy     // attached and inline
	Attached   []string          // ARNs of the attached ones, sorted
	Trust      *iam.Trust        // of a role
	MaxSession time.Duration     // of a role
}

// compile checks a Spec and makes a Principal of it. find returns an attached policy.
func compile(account string, kind Kind, name string, s Spec, find func(arn string) *iam.Policy) (*Principal, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	p := &Principal{ARN: ARN(account, kind, name), Account: account, Kind: kind, Name: name, Tags: s.Tags}
	p.ID = uniqueID(p.ARN, kind)
	if err := CheckTags(s.Tags); err != nil {
		return nil, err
	}
	if len(s.Policies) > maxAttached || len(s.Inline) > maxInline {
		return nil, fmt.Errorf("principal: more than %d attached or %d inline policies", maxAttached, maxInline)
	}
	for _, ref := range s.Policies {
		arn, err := PolicyARN(account, ref)
		if err != nil {
			return nil, err
		}
		compiled := find(arn)
		if compiled == nil {
			return nil, fmt.Errorf("principal: there is no policy %s", arn)
		}
		if !slices.Contains(p.Attached, arn) {
			p.Attached = append(p.Attached, arn)
			p.Policies = append(p.Policies, compiled)
		}
	}
	slices.Sort(p.Attached)
	for name, doc := range s.Inline {
		if err := CheckName(name); err != nil {
			return nil, err
		}
		compiled, err := iam.Parse(doc)
		if err != nil {
			return nil, fmt.Errorf("principal: inline policy %s: %w", name, err)
		}
		p.Policies = append(p.Policies, compiled)
	}
	return p, p.compileRole(s)
}

func (p *Principal) compileRole(s Spec) (err error) {
	if p.Kind != Role {
		if s.Trust != nil || s.MaxSessionDuration != 0 {
			return errors.New("principal: trust and maxSessionDuration are for roles")
		}
		return nil
	}
	if s.Trust == nil {
		return errors.New("principal: a role needs trust: who may assume it")
	}
	if p.Trust, err = iam.ParseTrust(s.Trust); err != nil {
		return err
	}
	p.MaxSession = cmp.Or(time.Duration(s.MaxSessionDuration)*time.Second, minMaxSession)
	if p.MaxSession < minMaxSession || p.MaxSession > maxMaxSession {
		return fmt.Errorf("principal: maxSessionDuration is 3600 to 43200 seconds, not %d", s.MaxSessionDuration)
	}
	return nil
}

// CheckTags checks the tags of a principal or a session. Two keys that differ by case
// only would be one condition key with two values.
func CheckTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("principal: %d tags are over the limit of %d", len(tags), maxTags)
	}
	seen := map[string]bool{}
	for k, v := range tags {
		low := strings.ToLower(k)
		switch {
		case k == "" || len([]rune(k)) > 128 || len([]rune(v)) > 256 || !tagForm.MatchString(k) || !tagForm.MatchString(v):
			return fmt.Errorf("principal: %q is not a tag: want a key of 1 to 128 and a value of up to 256 letters, digits, spaces and _.:/=+-@", clip(k))
		case strings.HasPrefix(low, "aws:"):
			return errors.New("principal: the prefix aws: of tag keys is reserved")
		case seen[low]:
			return fmt.Errorf("principal: there are two tags %q: their keys ignore case", clip(k))
		}
		seen[low] = true
	}
	return nil
}

// clip bounds what an error repeats.
func clip(s string) string {
	if len(s) <= 128 {
		return s
	}
	return strings.ToValidUTF8(s[:128], "") + "…"
}
