package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Policy is a compiled document. It never changes.
type Policy struct {
	statements []statement
	keys       []string // condition keys it asks for, lower case, those of variables included
}

type statement struct {
	effect     Decision // Allowed or Denied
	action     []string // compiled patterns in lower case
	notAction  bool
	resource   []arnPattern
	notRes     bool
	conditions []condition
	principals []principal // of a trust policy
}

const (
	version2008 = "2008-10-17" // also when a document says none
	version2012 = "2012-10-17"
)

// Parse compiles an identity policy or a session policy.
func Parse(doc []byte) (*Policy, error) {
	p, err := parse(doc, false)
	if err != nil {
		return nil, fmt.Errorf("iam: policy: %w", err)
	}
	return p, nil
}

func parse(doc []byte, trust bool) (*Policy, error) {
	root, err := parseJSON(doc)
	if err != nil {
		return nil, err
	}
	if root.kind != object {
		return nil, fmt.Errorf("the document must be an object, not %s", root.kind)
	}
	version, statements := version2008, []value(nil)
	for _, m := range root.members {
		switch m.name {
		case "Version":
			version = m.text
			if m.kind != str || version != version2008 && version != version2012 {
				return nil, fmt.Errorf("Version must be %q or %q", version2012, version2008) //nolint:staticcheck // an element's name
			}
		case "Id":
			if m.kind != str {
				return nil, fmt.Errorf("Id must be a string, not %s", m.kind) //nolint:staticcheck // an element's name
			}
		case "Statement":
			if statements = m.items; m.kind != array {
				statements = []value{m.value}
			}
		default:
			return nil, fmt.Errorf("unknown element %q", clip(m.name))
		}
	}
	if len(statements) == 0 {
		return nil, errors.New("it has no Statement")
	}
	p := &Policy{}
	sids := map[string]bool{}
	for i, v := range statements {
		s, sid, err := parseStatement(v, syntax{wild: true, vars: version == version2012}, trust)
		if err == nil && sid != "" && sids[sid] {
			err = fmt.Errorf("another statement has the Sid %q", clip(sid))
		}
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		sids[sid] = true
		p.statements = append(p.statements, s)
	}
	p.collectKeys()
	return p, nil
}

// parseStatement reads one statement; trust is for a role's trust policy.
func parseStatement(v value, x syntax, trust bool) (s statement, sid string, err error) {
	if v.kind != object {
		return s, "", fmt.Errorf("it must be an object, not %s", v.kind)
	}
	var effect bool
	for _, m := range v.members {
		switch m.name {
		case "Sid":
			if sid = m.text; m.kind != str || !only(sid, alnum) {
				err = errors.New("it may have letters and digits only")
			}
		case "Effect":
			effect = true
			switch {
			case m.kind == str && m.text == "Allow":
				s.effect = Allowed
			case m.kind == str && m.text == "Deny":
				s.effect = Denied
			default:
				err = errors.New("it must be Allow or Deny")
			}
		case "Action", "NotAction":
			if s.action != nil {
				return s, sid, errors.New("it may have one of Action and NotAction")
			}
			s.notAction = m.name == "NotAction"
			s.action, err = parseActions(m.value)
		case "Resource", "NotResource":
			switch {
			case trust:
				return s, sid, fmt.Errorf("a trust policy has no %s: its role is the resource", m.name)
			case s.resource != nil:
				return s, sid, errors.New("it may have one of Resource and NotResource")
			}
			s.notRes = m.name == "NotResource"
			s.resource, err = parseResources(m.value, x)
		case "Condition":
			s.conditions, err = parseConditions(m.value, x)
		case "Principal":
			if !trust {
				return s, sid, errors.New("an identity policy has no Principal: it applies to whom it is attached to")
			}
			s.principals, err = parsePrincipals(m.value)
		case "NotPrincipal":
			err = errors.New("it is not supported")
		default:
			return s, sid, fmt.Errorf("unknown element %q", clip(m.name))
		}
		if err != nil {
			return s, sid, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	switch {
	case !effect:
		return s, sid, errors.New("it has no Effect")
	case s.action == nil:
		return s, sid, errors.New("it has neither Action nor NotAction")
	case !trust && s.resource == nil:
		return s, sid, errors.New("it has neither Resource nor NotResource")
	case trust && s.principals == nil:
		return s, sid, errors.New("it has no Principal")
	}
	return s, sid, nil
}

// parseActions reads * or vendor:name patterns.
func parseActions(v value) ([]string, error) {
	names, err := v.strings()
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		vendor, action, ok := strings.Cut(name, ":")
		if name != "*" && (!ok || vendor == "" || action == "" || !only(vendor, alnum+"-") || !only(action, alnum+"*?-_")) {
			return nil, fmt.Errorf("%q is not an action as ivs:GetChannel, ivs:Get* or *", clip(name))
		}
		names[i] = wildcards.Replace(strings.ToLower(name))
	}
	return names, nil
}

func parseResources(v value, x syntax) ([]arnPattern, error) {
	names, err := v.strings()
	if err != nil {
		return nil, err
	}
	all := make([]arnPattern, len(names))
	for i, name := range names {
		if all[i], err = x.parseARN(name, true); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// collectKeys notes which condition keys decide about p.
func (p *Policy) collectKeys() {
	add := func(t *template) {
		for _, part := range t.parts {
			if part.key != "" {
				p.keys = append(p.keys, part.key)
			}
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		for j := range s.resource {
			add(&s.resource[j].seg[arnParts-1])
		}
		for _, c := range s.conditions {
			p.keys = append(p.keys, c.key)
			p.keys = append(p.keys, c.variables...)
		}
	}
	slices.Sort(p.keys)
	p.keys = slices.Compact(p.keys)
}

// asks tells whether p's decisions depend on a condition key that starts with prefix.
func (p *Policy) asks(prefix string) bool {
	i, _ := slices.BinarySearch(p.keys, prefix)
	return i < len(p.keys) && strings.HasPrefix(p.keys[i], prefix)
}

// applies tells whether s is about r.
func (s *statement) applies(r *Request) bool {
	if s.matchesAction(r.Action) == s.notAction || !s.concerns(r) {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(s.effect, r.Context) {
			return false
		}
	}
	return true
}

func (s *statement) matchesAction(action string) bool {
	for _, p := range s.action {
		if match(p, action, true) {
			return true
		}
	}
	return false
}

// concerns tells whether r's resource is one of s. A trust policy has none.
func (s *statement) concerns(r *Request) bool {
	if s.resource == nil {
		return true
	}
	unresolved := false
	for i := range s.resource {
		ok, resolved := s.resource[i].match(r.Resource, r.Context)
		if ok {
			return !s.notRes
		}
		unresolved = unresolved || !resolved
	}
	if s.notRes && unresolved {
		return s.effect == Denied
	}
	return s.notRes
}
