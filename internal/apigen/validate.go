package apigen

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// validators writes how the constraints of requests are checked, and the rules, one
// per shape. Required members are the decoders' business.
func (g *generator) validators() error {
	for _, name := range slices.Sorted(maps.Keys(g.inputs)) {
		s := g.Shapes[name]
		method := "validate"
		if g.tops[name] {
			method = "Validate"
			g.p("// Validate checks a request; package restjson calls it.")
		} else if !g.deepConstrained(name) {
			continue
		}
		g.p("func (v *%s) %s(c *restjson.Checker) {", goName(name), method)
		if s.Union {
			var set []string
			for _, m := range s.MemberNames() {
				set = append(set, "v."+goName(m)+" != nil")
			}
			g.p("c.One(%s)", strings.Join(set, ", "))
		}
		for _, m := range s.MemberNames() {
			if err := g.validate(s, m); err != nil {
				return fmt.Errorf("%s.%s: %w", name, m, err)
			}
		}
		g.p("}\n")
	}
	// The rules come first in the file but are known only now.
	body := bytes.Clone(g.buf.Bytes())
	g.buf.Reset()
	patterns := slices.ContainsFunc(slices.Collect(maps.Keys(g.rules)), func(n string) bool { return g.Shapes[n].Pattern != "" })
	imports := []string{runtime}
	if patterns {
		imports = []string{`"regexp"`, "", runtime}
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(g.rules)), func(n string) bool { return g.bounded(n) }) {
		imports = append([]string{`"math"`}, imports...)
	}
	g.header(imports...)
	if err := g.writeRules(); err != nil {
		return err
	}
	g.buf.Write(body)
	return nil
}

// bounded tells whether the rule of shape needs a bound that the model leaves out.
func (g *generator) bounded(shape string) bool {
	s := g.Shapes[shape]
	return s.Type != "string" && (s.Min == nil || s.Max == nil)
}

// rule names the rule of shape, "" when it asks nothing.
func (g *generator) rule(shape string) string {
	s := g.Shapes[shape]
	if !s.Constrained() || s.Type == "structure" {
		return ""
	}
	g.rules[shape] = true
	return "rule" + goName(shape)
}

// deepConstrained tells whether a structure or anything in it asks something.
func (g *generator) deepConstrained(shape string) bool {
	s := g.Shapes[shape]
	if s.Constrained() {
		return true
	}
	switch s.Type {
	case "list":
		return g.deepConstrained(s.Member.Shape)
	case "map":
		return g.deepConstrained(s.Key.Shape) || g.deepConstrained(s.Value.Shape)
	}
	return slices.ContainsFunc(s.MemberNames(), func(m string) bool { return g.deepConstrained(s.Members[m].Shape) })
}

// validate writes the checks of member m of s.
func (g *generator) validate(s *Shape, m string) error {
	shape := s.Members[m].Shape
	if !g.deepConstrained(shape) {
		return nil
	}
	field := "v." + goName(m)
	value, guarded := field, false
	if g.optional(s, m) {
		value, guarded = "*"+field, true
	}
	t := g.Shapes[shape]
	if t.Type == "list" || t.Type == "map" {
		guarded = !s.Requires(m)
	}
	if guarded {
		g.p("if %s != nil {", field)
	}
	switch t.Type {
	case "string":
		if t.Sensitive {
			value = "string(" + value + ")"
		}
		g.p("c.Text(%q, %s, &%s)", m, value, g.rule(shape))
	case "integer", "long":
		g.p("c.Int(%q, int64(%s), &%s)", m, value, g.rule(shape))
	case "structure":
		g.p("c.Enter(%q)\n%s.validate(c)\nc.Leave()", m, field)
	case "map":
		if r := g.rule(shape); r != "" {
			g.p("c.Size(%q, len(%s), &%s)", m, field, r)
		}
		ref := func(r string) string {
			if r == "" {
				return "nil"
			}
			return "&" + r
		}
		key, val := g.rule(t.Key.Shape), g.rule(t.Value.Shape)
		if key != "" || val != "" {
			g.p("c.TextMap(%q, %s, %s, %s)", m, field, ref(key), ref(val))
		}
	case "list":
		if r := g.rule(shape); r != "" {
			g.p("c.Size(%q, len(%s), &%s)", m, field, r)
		}
		switch elem := g.Shapes[t.Member.Shape]; {
		case elem.Type == "string":
			if r := g.rule(t.Member.Shape); r != "" {
				g.p("c.Texts(%q, %s, &%s)", m, field, r)
			}
		case elem.Type == "structure" && g.deepConstrained(t.Member.Shape):
			g.p("c.Enter(%q)\nfor i := range %s {\nc.EnterIndex(i)\n%s[i].validate(c)\nc.Leave()\n}\nc.Leave()", m, field, field)
		case elem.Constrained():
			return fmt.Errorf("list of constrained %s", elem.Type)
		}
	default:
		return fmt.Errorf("constraints on a %s", t.Type)
	}
	if guarded {
		g.p("}")
	}
	return nil
}

// writeRules writes the rules in use.
func (g *generator) writeRules() error {
	g.p("// The rules of the shapes that ask something of a value.")
	g.p("var (")
	for _, name := range slices.Sorted(maps.Keys(g.rules)) {
		s := g.Shapes[name]
		bound := func(v *int64, or string) string {
			if v == nil {
				return or
			}
			return strconv.FormatInt(*v, 10)
		}
		switch s.Type {
		case "integer", "long":
			g.p("rule%s = restjson.IntRule{Min: %s, Max: %s}", goName(name), bound(s.Min, "math.MinInt64"), bound(s.Max, "math.MaxInt64"))
		case "list", "map":
			g.p("rule%s = restjson.SizeRule{Min: %s, Max: %s}", goName(name), bound(s.Min, "0"), bound(s.Max, "math.MaxInt"))
		case "string":
			var parts []string
			if s.Min != nil && *s.Min > 0 {
				parts = append(parts, "Min: "+bound(s.Min, ""))
			}
			if s.Max != nil {
				if *s.Max < 1 {
					return fmt.Errorf("shape %s: a longest length of %d", name, *s.Max)
				}
				parts = append(parts, "Max: "+bound(s.Max, ""))
			}
			if s.Pattern != "" {
				re, err := TranslatePattern(s.Pattern)
				if err != nil {
					return fmt.Errorf("shape %s: %w", name, err)
				}
				parts = append(parts, "Pattern: regexp.MustCompile("+goString(re)+")", "Source: "+goString(s.Pattern))
			}
			if len(s.Enum) > 0 {
				parts = append(parts, "Enum: []string{"+quoted(s.Enum)+"}")
			}
			if s.Sensitive {
				parts = append(parts, "Secret: true")
			}
			g.p("rule%s = restjson.TextRule{%s}", goName(name), strings.Join(parts, ", "))
		default:
			return fmt.Errorf("shape %s: a rule for a %s", name, s.Type)
		}
	}
	g.p(")\n")
	return nil
}
