package iam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A condition is one key of one operator.
type condition struct {
	key       string // lower case
	set       setOperator
	ifExists  bool
	negated   bool // the operator holds when nothing matches
	null      bool // the Null operator; absent says which way
	absent    bool
	match     matcher
	variables []string // keys that match looks at
}

type setOperator int

const (
	noSet setOperator = iota
	forAll
	forAny
)

// A matcher tells whether a value of the request matches one of the policy's, and
// whether it missed any for a variable that has no value.
type matcher func(v string, c *Context) (ok, missed bool)

// An operator makes a matcher of the values in a policy.
type operator struct {
	negated bool
	compile func(values []string, x syntax) (matcher, error)
}

// operatorNamed finds a comparison by its name without prefix and suffix.
func operatorNamed(name string) (operator, bool) {
	switch name {
	case "StringEquals", "StringNotEquals":
		return operator{name == "StringNotEquals", text(false, func(p, v string) bool { return p == v })}, true
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		return operator{name == "StringNotEqualsIgnoreCase", text(false, strings.EqualFold)}, true
	case "StringLike", "StringNotLike":
		return operator{name == "StringNotLike", text(true, func(p, v string) bool { return match(p, v, false) })}, true
	case "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike": // Equals and Like are the same
		return operator{strings.HasPrefix(name, "ArnNot"), arns}, true
	case "IpAddress", "NotIpAddress":
		return operator{name == "NotIpAddress", addresses}, true
	case "Bool":
		return operator{false, typed(parseBool, func(a, b bool) bool { return a == b })}, true
	case "BinaryEquals":
		return operator{false, typed(parseBinary, func(a, b string) bool { return a == b })}, true
	}
	for prefix, compile := range map[string]func(order) func([]string, syntax) (matcher, error){
		"Numeric": func(o order) func([]string, syntax) (matcher, error) {
			return typed(parseNumber, func(want, got float64) bool { return o(compareNumbers(got, want)) })
		},
		"Date": func(o order) func([]string, syntax) (matcher, error) {
			return typed(parseDate, func(want, got time.Time) bool { return o(got.Compare(want)) })
		},
	} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		switch rest {
		case "Equals", "NotEquals":
			return operator{rest == "NotEquals", compile(func(c int) bool { return c == 0 })}, true
		case "LessThan":
			return operator{false, compile(func(c int) bool { return c < 0 })}, true
		case "LessThanEquals":
			return operator{false, compile(func(c int) bool { return c <= 0 })}, true
		case "GreaterThan":
			return operator{false, compile(func(c int) bool { return c > 0 })}, true
		case "GreaterThanEquals":
			return operator{false, compile(func(c int) bool { return c >= 0 })}, true
		}
	}
	return operator{}, false
}

// An order says which results of a three-way comparison, value with policy, hold.
type order func(c int) bool

func compareNumbers(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// text compiles the string operators, whose values may hold variables.
func text(wild bool, equal func(policy, v string) bool) func([]string, syntax) (matcher, error) {
	return func(values []string, x syntax) (matcher, error) {
		x.wild = wild
		ts := make([]template, len(values))
		for i, v := range values {
			var err error
			if ts[i], err = x.parse(v); err != nil {
				return nil, err
			}
		}
		return func(v string, c *Context) (ok, missed bool) {
			for i := range ts {
				p, ok := ts[i].expand(c)
				if !ok {
					missed = true
				} else if equal(p, v) {
					return true, missed
				}
			}
			return false, missed
		}, nil
	}
}

func arns(values []string, x syntax) (matcher, error) {
	x.wild = true
	ps := make([]arnPattern, len(values))
	for i, v := range values {
		var err error
		if ps[i], err = x.parseARN(v, false); err != nil {
			return nil, err
		}
	}
	return func(v string, c *Context) (ok, missed bool) {
		for i := range ps {
			ok, resolved := ps[i].match(v, c)
			if ok {
				return true, missed
			}
			missed = missed || !resolved
		}
		return false, missed
	}, nil
}

func addresses(values []string, _ syntax) (matcher, error) {
	ps := make([]netip.Prefix, len(values))
	for i, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			a, aerr := netip.ParseAddr(v)
			if aerr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is neither an IP address nor a network as 203.0.113.0/24", clip(v))
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		ps[i] = p.Masked()
	}
	return func(v string, _ *Context) (ok, missed bool) {
		a, err := netip.ParseAddr(v)
		if err != nil {
			return false, false
		}
		a = a.Unmap().WithZone("")
		for _, p := range ps {
			if p.Contains(a) {
				return true, false
			}
		}
		return false, false
	}, nil
}

// typed compiles operators on values of a type, which have no variables. A value of
// the request that is not of the type matches nothing.
func typed[T any](parse func(string) (T, error), holds func(policy, v T) bool) func([]string, syntax) (matcher, error) {
	return func(values []string, _ syntax) (matcher, error) {
		want := make([]T, len(values))
		for i, v := range values {
			var err error
			if want[i], err = parse(v); err != nil {
				return nil, err
			}
		}
		return func(v string, _ *Context) (ok, missed bool) {
			got, err := parse(v)
			if err != nil {
				return false, false
			}
			for _, w := range want {
				if holds(w, got) {
					return true, false
				}
			}
			return false, false
		}, nil
	}
}

func parseBool(s string) (bool, error) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, nil
	case strings.EqualFold(s, "false"):
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(s))
}

func parseBinary(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("%q is not base64", clip(s))
	}
	return string(b), nil
}

func parseNumber(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "xX_pP") {
		return 0, fmt.Errorf("%q is not a number", clip(s))
	}
	return f, nil
}

// dateForms are the W3C profiles of ISO 8601.
func dateForms() []string {
	return []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01", "2006"}
}

func parseDate(s string) (time.Time, error) {
	for _, form := range dateForms() {
		if len(s) <= 4 && form != "2006" {
			continue
		}
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > -1<<40 && n < 1<<40 {
		return time.Unix(n, 0), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a date as 2026-11-20T12:00:00Z or a number of seconds since 1970", clip(s))
}

// parseConditions reads a Condition element.
func parseConditions(v value, x syntax) ([]condition, error) {
	if v.kind != object {
		return nil, fmt.Errorf("it must be an object, not %s", v.kind)
	}
	var all []condition
	for _, op := range v.members {
		if op.kind != object || len(op.members) == 0 {
			return nil, fmt.Errorf("%s must be an object of condition keys", clip(op.name))
		}
		for _, m := range op.members {
			c, err := parseCondition(op.name, m, x)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", clip(op.name), clip(m.name), err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func parseCondition(op string, m member, x syntax) (condition, error) {
	c := condition{key: strings.ToLower(m.name)}
	if err := checkKey(m.name); err != nil {
		return c, err
	}
	values, err := m.scalars()
	if err != nil {
		return c, err
	}
	if op == "Null" {
		return c.parseNull(values)
	}
	name := op
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, c.set = rest, forAll
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, c.set = rest, forAny
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	o, ok := operatorNamed(name)
	if !ok {
		return c, errors.New("no such condition operator")
	}
	c.negated = o.negated
	c.variables = x.variables(values)
	c.match, err = o.compile(values, x)
	return c, err
}

func (c condition) parseNull(values []string) (condition, error) {
	c.null = true
	for i, v := range values {
		b, err := parseBool(v)
		if err != nil {
			return c, err
		}
		if i > 0 && b != c.absent {
			return c, errors.New("Null with both true and false says nothing") //nolint:staticcheck // the operator's name
		}
		c.absent = b
	}
	return c, nil
}

// holds tells whether c holds for the request of a statement with the given effect.
func (c *condition) holds(effect Decision, ctx *Context) bool {
	values, ambiguous := ctx.lookup(c.key)
	switch {
	case c.null:
		return (len(values) == 0) == c.absent
	case ambiguous:
		return effect == Denied
	case len(values) == 0 && c.ifExists:
		return true
	case len(values) == 0:
		return c.set == forAll || c.set == noSet && c.negated
	}
	var ok, missed bool
	switch c.set {
	case forAll:
		ok, missed = c.all(values, ctx)
	case forAny:
		ok, missed = c.any(values, c.negated, ctx)
	default:
		ok, missed = c.any(values, false, ctx)
		ok = ok != c.negated
	}
	if missed && c.negated {
		return effect == Denied
	}
	return ok
}

// all: every value of the request matches, or none does for a negated operator. A set
// of nothing but the empty string counts as empty.
func (c *condition) all(values []string, ctx *Context) (ok, missed bool) {
	ok = true
	for _, v := range values {
		matches, m := c.match(v, ctx)
		missed = missed || m
		if matches == c.negated && (v != "" || len(values) > 1) {
			ok = false
		}
	}
	return ok, missed
}

// any: some value of the request matches, or (negated) some does not.
func (c *condition) any(values []string, negated bool, ctx *Context) (ok, missed bool) {
	for _, v := range values {
		matches, m := c.match(v, ctx)
		missed = missed || m
		ok = ok || matches != negated
	}
	return ok, missed
}
