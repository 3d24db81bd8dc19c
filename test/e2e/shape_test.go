package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/apigen"
)

// A shapeChecker holds decoded JSON against shapes of a model. It says what is broken.
type shapeChecker struct {
	m      *apigen.Model
	broken []string
}

func newShapeChecker(m *apigen.Model) *shapeChecker { return &shapeChecker{m: m} }

func (c *shapeChecker) add(at, format string, args ...any) {
	c.broken = append(c.broken, at+" "+fmt.Sprintf(format, args...))
}

// structure checks an object that stands at a path and returns all that was found.
func (c *shapeChecker) structure(shape string, v map[string]any, at string) []string {
	s := c.m.Shapes[shape]
	for _, name := range s.MemberNames() {
		switch ref := s.Members[name]; {
		case ref.Location != "":
		case v[name] != nil:
			c.value(ref.Shape, v[name], at+"."+name)
		case s.Requires(name):
			c.add(at+"."+name, "is missing")
		}
	}
	for name, value := range v {
		if ref, ok := s.Members[name]; !ok || ref.Location != "" {
			c.add(at+"."+name, "is not in the model")
		} else if value == nil {
			c.add(at+"."+name, "is null")
		}
	}
	return c.broken
}

func (c *shapeChecker) value(shape string, v any, at string) {
	s := c.m.Shapes[shape]
	switch s.Type {
	case "structure":
		if o, ok := v.(map[string]any); ok {
			c.structure(shape, o, at)
			return
		}
	case "map":
		if o, ok := v.(map[string]any); ok {
			c.size(s, len(o), at)
			for k, v := range o {
				c.value(s.Key.Shape, k, at+" key")
				c.value(s.Value.Shape, v, at+"."+k)
			}
			return
		}
	case "list":
		if l, ok := v.([]any); ok {
			c.size(s, len(l), at)
			for i, v := range l {
				c.value(s.Member.Shape, v, fmt.Sprintf("%s[%d]", at, i))
			}
			return
		}
	case "boolean":
		if _, ok := v.(bool); ok {
			return
		}
	case "integer", "long":
		if n, ok := v.(float64); ok && n == float64(int64(n)) {
			c.size(s, int(n), at)
			return
		}
	case "timestamp":
		if text, ok := v.(string); ok {
			if _, err := time.Parse(time.RFC3339, text); err != nil || text[len(text)-1] != 'Z' {
				c.add(at, "%q is no time in ISO 8601 and UTC", text)
			}
			return
		}
	case "string":
		if text, ok := v.(string); ok {
			if text != "" || !slices.Contains(maybeEmpty, shape) {
				c.text(s, text, at)
			}
			return
		}
	}
	c.add(at, "is %T, want %s", v, s.Type)
}

// size checks a number, or how many there are of something.
func (c *shapeChecker) size(s *apigen.Shape, n int, at string) {
	if s.Min != nil && int64(n) < *s.Min || s.Max != nil && int64(n) > *s.Max {
		c.add(at, "is %d, out of bounds", n)
	}
}

// maybeEmpty are enums whose outputs may be empty, which the models do not say.
var maybeEmpty = []string{"TranscodePreset"} // low-latency.md 1.3

func (c *shapeChecker) text(s *apigen.Shape, v, at string) {
	c.size(s, utf8.RuneCountInString(v), at)
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		c.add(at, "%q is none of %v", v, s.Enum)
	}
	if s.Pattern != "" {
		re, err := apigen.TranslatePattern(s.Pattern)
		if err != nil || !regexp.MustCompile(re).MatchString(v) {
			c.add(at, "%q is not as %s, %v", v, s.Pattern, err)
		}
	}
}
