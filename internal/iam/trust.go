package iam

import (
	"errors"
	"fmt"
	"strings"
)

// A Trust is the trust policy of a role: who may assume it.
type Trust struct{ policy *Policy }

// A principal is one entry of a Principal element.
type principal struct {
	any     bool
	account string // everyone in it, as far as the account's own policies allow
	arn     string // one user, role or session
}

// ParseTrust compiles a role's trust policy. Principals are AWS accounts, users, roles
// and sessions; those of services are read, and are nobody here.
func ParseTrust(doc []byte) (*Trust, error) {
	p, err := parse(doc, true)
	if err != nil {
		return nil, fmt.Errorf("iam: trust policy: %w", err)
	}
	return &Trust{p}, nil
}

func parsePrincipals(v value) ([]principal, error) {
	if v.kind == str && v.text == "*" {
		return []principal{{any: true}}, nil
	}
	if v.kind != object || len(v.members) == 0 {
		return nil, errors.New(`it must be "*" or an object such as {"AWS": "123456789012"}`)
	}
	all := []principal{}
	for _, m := range v.members {
		names, err := m.strings()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clip(m.name), err)
		}
		switch m.name {
		case "AWS":
			for _, name := range names {
				p, err := parsePrincipal(name)
				if err != nil {
					return nil, err
				}
				all = append(all, p)
			}
		case "Service":
		default:
			return nil, fmt.Errorf("principals of kind %q are not supported", clip(m.name))
		}
	}
	return all, nil
}

func parsePrincipal(s string) (principal, error) {
	if s == "*" {
		return principal{any: true}, nil
	}
	if isAccount(s) {
		return principal{account: s}, nil
	}
	p := strings.SplitN(s, ":", arnParts)
	if len(p) != arnParts || p[0] != "arn" || p[1] != "aws" || p[2] != "iam" && p[2] != "sts" || p[3] != "" ||
		!isAccount(p[4]) || strings.ContainsAny(p[5], "*?") {
		return principal{}, fmt.Errorf("%q is not an account or the ARN of a user, role or session (without wildcards)", clip(s))
	}
	if p[2] == "iam" && p[5] == "root" {
		return principal{account: p[4]}, nil
	}
	typ, name, _ := strings.Cut(p[5], "/")
	if name == "" || p[2] == "iam" && typ != "user" && typ != "role" || p[2] == "sts" && typ != "assumed-role" {
		return principal{}, fmt.Errorf("%q is not the ARN of a user, role or session", clip(s))
	}
	return principal{arn: s}, nil
}

func isAccount(s string) bool { return len(s) == 12 && only(s, "0123456789") }

// A Truster is what a trust policy gives: nothing, leave for the account's own policies
// to decide, or leave for this very principal.
type Truster int

// What Evaluate returns.
const (
	NotTrusted     Truster = iota
	AccountTrusted         // the principal's identity policies must allow it too
	Trusted                // in the role's own account that is enough
)

// Evaluate tells whether a principal of the account may do action (sts:AssumeRole) to
// the role. arns are the names it goes by: its own, and its role's if it is a session.
func (t *Trust) Evaluate(action, account string, arns []string, c *Context) Truster {
	r := &Request{Action: action, Context: c}
	best := NotTrusted
	for i := range t.policy.statements {
		s := &t.policy.statements[i]
		level := s.names(account, arns)
		if level == NotTrusted || !s.applies(r) {
			continue
		}
		if s.effect == Denied {
			return NotTrusted
		}
		best = max(best, level)
	}
	return best
}

// names tells how s names a principal. Everyone (*) is named as an account is: the
// principal's own policies must agree.
func (s *statement) names(account string, arns []string) Truster {
	best := NotTrusted
	for _, p := range s.principals {
		switch {
		case p.any, p.account != "" && p.account == account:
			best = max(best, AccountTrusted)
		case p.arn != "":
			for _, a := range arns {
				if a == p.arn {
					return Trusted
				}
			}
		}
	}
	return best
}
