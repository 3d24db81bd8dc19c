package restjson

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A TextRule is what a string shape asks of its values. The zero of each part asks nothing.
type TextRule struct {
	Min, Max int            // length in Unicode code points; Max 0 is no bound
	Pattern  *regexp.Regexp // matches the whole value
	Source   string         // the pattern as the model writes it, for messages
	Enum     []string
	Secret   bool // the value must not appear in a message
}

// An IntRule is what an integer shape asks: Min <= v <= Max.
type IntRule struct{ Min, Max int64 }

// A SizeRule is what a list or map shape asks of the number of its entries.
type SizeRule struct{ Min, Max int }

// A problem is one broken constraint.
type problem struct {
	path  string
	value string // "" unless echo
	echo  bool
	null  bool
	rule  string // "Member must ..."
}

func (p problem) String() string {
	switch {
	case p.null:
		return "Value null at '" + p.path + "' failed to satisfy constraint: " + p.rule
	case p.echo:
		return "Value '" + p.value + "' at '" + p.path + "' failed to satisfy constraint: " + p.rule
	}
	return "Value at '" + p.path + "' failed to satisfy constraint: " + p.rule
}

// maxProblems is how many broken constraints one answer names; a list of thousands
// of bad entries must not make an answer larger than its request.
const maxProblems = 10

// A Checker walks a decoded request and collects the constraints it breaks. The
// words are those AWS services use.
type Checker struct {
	path     path
	problems []problem
	count    int // problems found, also those past maxProblems
}

func (c *Checker) add(p problem) {
	if c.count++; len(c.problems) < maxProblems {
		p.path = clip(p.path)
		c.problems = append(c.problems, p)
	}
}

// Err is a ValidationException naming what is broken, or nil.
func (c *Checker) Err() error {
	if c.count == 0 {
		return nil
	}
	f := &fault{name: "ValidationException", reason: "FIELD_VALIDATION_FAILED"}
	text := make([]string, len(c.problems))
	for i, p := range c.problems {
		text[i] = p.String()
		f.fields = append(f.fields, field{name: p.path, message: p.rule})
	}
	s := ""
	if c.count > 1 {
		s = "s"
	}
	f.message = fmt.Sprintf("%d validation error%s detected: %s", c.count, s, strings.Join(text, "; "))
	return f
}

// Enter goes into the member name, and Leave comes back.
func (c *Checker) Enter(name string) { c.path = append(c.path, segment{name: name}) }

// EnterIndex goes into one entry of the list the Checker is in.
func (c *Checker) EnterIndex(i int) { c.path = append(c.path, segment{index: i, list: true}) }

// Leave undoes the last Enter or EnterIndex.
func (c *Checker) Leave() { c.path = c.path[:len(c.path)-1] }

// Text checks the string member name.
func (c *Checker) Text(name, v string, r *TextRule) {
	if msg := r.broken(v); msg != "" {
		c.add(c.about(c.path.join(name), v, msg, r.Secret))
	}
}

// Texts checks the entries of the list of strings name.
func (c *Checker) Texts(name string, list []string, r *TextRule) {
	for i, v := range list {
		if msg := r.broken(v); msg != "" {
			c.add(c.about(fmt.Sprintf("%s[%d]", c.path.join(name), i), v, msg, r.Secret))
		}
	}
}

// TextMap checks keys and values of the map of strings name; either rule may be nil.
func (c *Checker) TextMap(name string, m map[string]string, key, value *TextRule) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		at := c.path.join(name) + "['" + clip(k) + "']"
		if key != nil {
			if msg := key.broken(k); msg != "" {
				c.add(c.about(c.path.join(name), k, msg, key.Secret))
			}
		}
		if value != nil {
			if msg := value.broken(m[k]); msg != "" {
				c.add(c.about(at, m[k], msg, value.Secret))
			}
		}
	}
}

// Size checks how many entries the list or map name has.
func (c *Checker) Size(name string, n int, r *SizeRule) {
	switch {
	case n < r.Min:
		c.add(problem{path: c.path.join(name), rule: fmt.Sprintf("Member must have length greater than or equal to %d", r.Min)})
	case n > r.Max:
		c.add(problem{path: c.path.join(name), rule: fmt.Sprintf("Member must have length less than or equal to %d", r.Max)})
	}
}

// Int checks the integer member name.
func (c *Checker) Int(name string, v int64, r *IntRule) {
	switch {
	case v < r.Min:
		c.add(problem{path: c.path.join(name), echo: true, value: fmt.Sprint(v), rule: fmt.Sprintf("Member must have value greater than or equal to %d", r.Min)})
	case v > r.Max:
		c.add(problem{path: c.path.join(name), echo: true, value: fmt.Sprint(v), rule: fmt.Sprintf("Member must have value less than or equal to %d", r.Max)})
	}
}

// One checks that exactly one member of the union the Checker is in is set.
func (c *Checker) One(set ...bool) {
	n := 0
	for _, s := range set {
		n += btoi(s)
	}
	if n != 1 {
		c.add(problem{path: c.path.String(), rule: "Member must have exactly one of its members set"})
	}
}

func (c *Checker) about(at, v, msg string, secret bool) problem {
	if secret {
		return problem{path: at, rule: msg}
	}
	return problem{path: at, echo: true, value: clip(v), rule: msg}
}

// broken says which part of r v breaks, "" for none.
func (r *TextRule) broken(v string) string {
	if r.Min > 0 || r.Max > 0 {
		n := utf8.RuneCountInString(v)
		if n < r.Min {
			return fmt.Sprintf("Member must have length greater than or equal to %d", r.Min)
		}
		if r.Max > 0 && n > r.Max {
			return fmt.Sprintf("Member must have length less than or equal to %d", r.Max)
		}
	}
	if r.Enum != nil && !slices.Contains(r.Enum, v) {
		return "Member must satisfy enum value set: [" + strings.Join(r.Enum, ", ") + "]"
	}
	if r.Pattern != nil && !r.Pattern.MatchString(v) {
		return "Member must satisfy regular expression pattern: " + r.Source
	}
	return ""
}
