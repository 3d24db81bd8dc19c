package iam

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Wildcards in a compiled pattern. No UTF-8 text holds these bytes, so a * that is
// meant as itself stays a *.
const (
	anyText = '\xfe' // *
	anyRune = '\xff' // ?
)

var wildcards = strings.NewReplacer("*", string([]byte{anyText}), "?", string([]byte{anyRune}))

// match tells whether s matches a compiled pattern. fold compares ASCII letters of s
// as lower case; the pattern must be in lower case then.
func match(pattern, s string, fold bool) bool {
	star, from := -1, 0 // where to go on when the text after the last * does not fit
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case c == anyText:
				star, from = p, i
				p++
				continue
			case c == anyRune:
				_, n := utf8.DecodeRuneInString(s[i:])
				p, i = p+1, i+n
				continue
			case c == lower(s[i], fold):
				p, i = p+1, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[from:])
		from += n
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == anyText {
		p++
	}
	return p == len(pattern)
}

func lower(c byte, fold bool) byte {
	if fold && 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// A template is a string of a policy: text, and variables whose values a request has.
type template struct {
	text  string // all of it, when parts is nil
	parts []part
}

// A part is a piece of text or a variable.
type part struct {
	text     string
	key      string // lower case; "" for text
	fallback string
	has      bool // has a fallback
}

// syntax says how the strings of one element are read.
type syntax struct {
	wild bool // * and ? are wildcards
	vars bool // ${...} is a variable: since version 2012-10-17
}

// parse reads a string of a policy.
func (x syntax) parse(s string) (template, error) {
	text := func(s string) string {
		if x.wild {
			return wildcards.Replace(s)
		}
		return s
	}
	if !x.vars || !strings.Contains(s, "${") {
		return template{text: text(s)}, nil
	}
	var t template
	add := func(s string) { // joins neighbouring text
		if n := len(t.parts); n > 0 && t.parts[n-1].key == "" {
			t.parts[n-1].text += s
		} else if s != "" {
			t.parts = append(t.parts, part{text: s})
		}
	}
	for s != "" {
		before, rest, found := strings.Cut(s, "${")
		add(text(before))
		if !found {
			break
		}
		inside, rest, closed := strings.Cut(rest, "}")
		if !closed {
			return t, fmt.Errorf("%q: a variable has no closing brace", clip(s))
		}
		s = rest
		if inside == "*" || inside == "?" || inside == "$" {
			add(inside)
			continue
		}
		v, err := variable(inside)
		if err != nil {
			return t, err
		}
		t.parts = append(t.parts, v)
	}
	if len(t.parts) == 1 && t.parts[0].key == "" {
		return template{text: t.parts[0].text}, nil
	}
	return t, nil
}

// variable reads what is between the braces: a key, and perhaps a fallback in quotes.
func variable(inside string) (part, error) {
	name, fallback, has := strings.Cut(inside, ",")
	name = strings.TrimSpace(name)
	if err := checkKey(name); err != nil {
		return part{}, fmt.Errorf("${%s}: %w", clip(inside), err)
	}
	p := part{key: strings.ToLower(name), has: has}
	if has {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' || strings.Count(fallback, "'") != 2 {
			return part{}, fmt.Errorf("${%s}: the default must be in single quotes", clip(inside))
		}
		p.fallback = fallback[1 : len(fallback)-1]
	}
	return p, nil
}

// variables lists the condition keys that strings of a policy name.
func (x syntax) variables(all []string) []string {
	var keys []string
	for _, s := range all {
		t, err := x.parse(s)
		if err != nil {
			continue // whoever compiles s says so
		}
		for _, p := range t.parts {
			if p.key != "" {
				keys = append(keys, p.key)
			}
		}
	}
	return keys
}

// checkKey checks the form of a condition key: vendor:name or vendor:name/detail.
func checkKey(s string) error {
	vendor, name, ok := strings.Cut(s, ":")
	if !ok || vendor == "" || name == "" || !only(vendor, alnum+"-") || strings.ContainsAny(name, "${}*?") {
		return errors.New("a condition key looks like aws:username or aws:ResourceTag/Owner")
	}
	return nil
}

const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// only tells whether s consists of bytes of set.
func only(s, set string) bool { return strings.Trim(s, set) == "" }

// fixed tells whether t has no variables.
func (t *template) fixed() bool { return t.parts == nil }

// expand fills the variables in; false means that one has no value.
func (t *template) expand(c *Context) (string, bool) {
	if t.fixed() {
		return t.text, true
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if p.key == "" {
			b.WriteString(p.text)
			continue
		}
		v, ambiguous := c.lookup(p.key)
		switch {
		case len(v) == 0 && p.has:
			b.WriteString(p.fallback)
		case len(v) != 1 || ambiguous || !utf8.ValidString(v[0]): // bytes that are no text could be wildcards
			return "", false
		default:
			b.WriteString(v[0])
		}
	}
	return b.String(), true
}

// An arnPattern matches ARNs part by part.
type arnPattern struct {
	any  bool // a lone *: matches also what is no ARN
	seg  [arnParts]template
	each bool // some part has a variable
}

const arnParts = 6

// parseARN reads an ARN with wildcards. strict has the rules of the Resource element:
// the service is spelled out and variables stand in the last part only.
func (x syntax) parseARN(s string, strict bool) (arnPattern, error) {
	if s != "" && strings.Trim(s, "*") == "" {
		return arnPattern{any: true}, nil
	}
	var a arnPattern
	rest := s
	for i := range a.seg {
		text := rest
		if i < arnParts-1 {
			text, rest = cutARN(rest, x.vars)
		}
		t, err := x.parse(text)
		switch {
		case err != nil:
			return a, err
		case !t.fixed() && strict && i < arnParts-1:
			return a, fmt.Errorf("%q: a variable may stand only in the last part of an ARN", clip(s))
		case i == 0 && text != "arn":
			return a, fmt.Errorf("%q is neither an ARN nor *", clip(s))
		case i == 2 && strict && (text == "" || strings.ContainsAny(text, "*?")):
			return a, fmt.Errorf("%q: the service of an ARN must be spelled out", clip(s))
		}
		a.seg[i], a.each = t, a.each || !t.fixed()
		if i < arnParts-1 && rest == missing {
			for j := i + 1; j < arnParts; j++ {
				a.seg[j] = template{text: string([]byte{anyText})}
			}
			if i < 2 {
				return a, fmt.Errorf("%q: an ARN names at least its service", clip(s))
			}
			break
		}
	}
	return a, nil
}

// missing stands for the rest of an ARN that ended early; it holds what no policy can.
const missing = "\xfe\xfe"

// cutARN cuts s at its first colon that is not inside a variable.
func cutARN(s string, vars bool) (before, after string) {
	for i := 0; i < len(s); i++ {
		if vars && strings.HasPrefix(s[i:], "${") {
			if end := strings.IndexByte(s[i:], '}'); end > 0 {
				i += end
			}
			continue
		}
		if s[i] == ':' {
			return s[:i], s[i+1:]
		}
	}
	return s, missing
}

// match tells whether arn matches; resolved is false when a variable has no value.
func (a *arnPattern) match(arn string, c *Context) (ok, resolved bool) {
	if a.any {
		return true, true
	}
	ok = true
	rest := arn
	for i := range a.seg {
		part := rest
		if i < arnParts-1 {
			at := strings.IndexByte(rest, ':')
			if at < 0 {
				part, ok = "", false // not an ARN
			} else {
				part, rest = rest[:at], rest[at+1:]
			}
		}
		if !ok && !a.each {
			return false, true
		}
		p, resolved := a.seg[i].expand(c)
		if !resolved {
			return false, false
		}
		ok = ok && match(p, part, false)
	}
	return ok, true
}
