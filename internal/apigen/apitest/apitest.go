// Package apitest derives requests from an API model, one for each side of each of
// its constraints, so that a test can send them all to a generated package. It reads
// the model and not the generated code, and it is for tests only.
package apitest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"

	"github.com/sluice-live/sluice/internal/apigen"
)

// A Case is one request and what must come of it.
type Case struct {
	Name   string // "CreateChannel: name of 129 characters is refused"
	Method string
	Target string // path and query
	Body   string
	Refuse string // "" passes; else the exception's name
	At     string // what a refusal must name
}

// Request is the unsigned request of c.
func (c Case) Request() *http.Request {
	return httptest.NewRequest(c.Method, c.Target, strings.NewReader(c.Body))
}

// Cases returns the cases of every operation of m, in order.
func Cases(m *apigen.Model) ([]Case, error) {
	b := &builder{m: m, patterns: map[string]*regexp.Regexp{}}
	for _, name := range m.OperationNames() {
		b.op = m.Operations[name]
		in := b.minimal(b.op.Input.Shape).(object)
		b.pass("the least input", in)
		b.structure(b.op.Input.Shape, "", in, func(changed object) object { return changed })
	}
	return b.cases, b.err
}

// object, list and scalars of encoding/json make up an input.
type object = map[string]any

type builder struct {
	m     *apigen.Model
	op    *apigen.Operation
	cases []Case
	err   error

	patterns map[string]*regexp.Regexp // by the model's text
}

const (
	validation    = "ValidationException"
	serialization = "SerializationException"
)

func (b *builder) pass(what string, in object) { b.add(what+" passes", in, "", "") }

func (b *builder) add(what string, in object, refuse, at string) {
	c := Case{Name: b.op.Name + ": " + what, Method: b.op.HTTP.Method, Target: b.op.HTTP.RequestURI, Refuse: refuse, At: at}
	body, query := object{}, url.Values{}
	for name, v := range in {
		switch ref := b.m.Shapes[b.op.Input.Shape].Members[name]; ref.Location {
		case "uri":
			label, _ := v.(string)
			c.Target = strings.Replace(c.Target, "{"+ref.LocationName+"}", url.PathEscape(label), 1)
		case "querystring":
			for _, e := range v.([]any) {
				query.Add(ref.LocationName, e.(string))
			}
		default:
			body[name] = v
		}
	}
	if len(query) > 0 {
		c.Target += "?" + query.Encode()
	}
	text, err := json.Marshal(body)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("apitest: %s: %w", c.Name, err)
	}
	if c.Body = string(text); len(body) == 0 {
		c.Body = ""
	}
	b.cases = append(b.cases, c)
}

// structure adds the cases of the members of shape, whose value at path is in; wrap
// puts a changed value into a whole input.
func (b *builder) structure(shape, path string, in object, wrap func(object) object) {
	s := b.m.Shapes[shape]
	with := func(name string, v any) object {
		out := maps.Clone(in)
		out[name] = v
		return wrap(out)
	}
	if s.Union {
		b.add(path+" with no member is refused", wrap(object{}), validation, path)
		all := object{}
		for name, ref := range s.Members {
			all[name] = b.minimal(ref.Shape)
		}
		b.add(path+" with all members is refused", wrap(all), validation, path)
	}
	if b.op.HTTP.Method == http.MethodPost && !s.Union {
		b.pass("a member that the model does not know beside those of "+cmp.Or(path, "the input"), with("notInTheModel", object{"a": []any{nil, 1.5, "x"}}))
	}
	for _, name := range s.MemberNames() {
		ref := s.Members[name]
		at := name
		if path != "" {
			at = path + "." + name
		}
		if s.Requires(name) && ref.Location != "uri" {
			out := maps.Clone(in)
			delete(out, name)
			b.add("no "+at+" is refused", wrap(out), validation, at)
			if ref.Location == "" {
				b.add("null as "+at+" is refused", with(name, nil), validation, at)
				out = maps.Clone(out) // names are case-sensitive (low-latency.md 1.1)
				out[strings.ToUpper(name[:1])+name[1:]] = in[name]
				b.add(at+" with a capital is refused", wrap(out), validation, at)
			}
		} else if ref.Location == "" && !s.Union {
			b.pass("null as "+at, with(name, nil))
		}
		one := func(v any) object { return with(name, v) }
		if s.Union {
			one = func(v any) object { return wrap(object{name: v}) }
		}
		b.value(ref, at, one)
	}
}

// value adds the cases of one member's shape; with puts a value into a whole input.
func (b *builder) value(ref apigen.Ref, at string, with func(any) object) {
	t := b.m.Shapes[ref.Shape]
	if ref.Location == "" {
		kind := map[string]string{"integer": "number", "long": "number", "map": "structure"}[t.Type]
		for _, other := range []struct {
			kind string
			v    any
		}{{"string", "x"}, {"boolean", true}, {"number", 1}, {"list", []any{}}, {"structure", object{}}} {
			if other.kind != t.Type && other.kind != kind {
				b.add("a "+other.kind+" as "+at+" is refused", with(other.v), serialization, at)
			}
		}
	}
	switch t.Type {
	case "string":
		b.text(ref, at, with)
	case "boolean":
		b.pass(at+" true", with(true))
		b.pass(at+" false", with(false))
	case "integer", "long":
		b.number(t, at, with)
	case "structure":
		b.structure(ref.Shape, at, b.minimal(ref.Shape).(object), func(o object) object { return with(o) })
	case "list":
		elem := func(v any) object { return with([]any{v}) }
		b.sizes(t, at, func(n int) object {
			list := []any{}
			for range n {
				list = append(list, b.minimal(t.Member.Shape))
			}
			return with(list)
		})
		inner := t.Member
		inner.Location = ref.Location
		b.value(inner, at+"[0]", elem)
		if ref.Location == "" {
			b.add("null in "+at+" is refused", elem(nil), serialization, at+"[0]")
		}
	case "map":
		b.sizes(t, at, func(n int) object {
			m := object{}
			for i := range n {
				m[fmt.Sprintf("k%d", i)] = "v"
			}
			return with(m)
		})
		b.text(t.Key, at, func(v any) object { return with(object{v.(string): "v"}) })
		b.text(t.Value, at, func(v any) object { return with(object{"k": v}) })
		b.add("null in "+at+" is refused", with(object{"k": nil}), serialization, at+".k")
	}
}

// sizes adds the cases of how many entries a list or map has.
func (b *builder) sizes(t *apigen.Shape, at string, of func(int) object) {
	if t.Min != nil && *t.Min > 0 {
		b.pass(fmt.Sprintf("%s of %d", at, *t.Min), of(int(*t.Min)))
		b.add(fmt.Sprintf("%s of %d is refused", at, *t.Min-1), of(int(*t.Min-1)), validation, at)
	}
	if t.Max != nil {
		b.pass(fmt.Sprintf("%s of %d", at, *t.Max), of(int(*t.Max)))
		b.add(fmt.Sprintf("%s of %d is refused", at, *t.Max+1), of(int(*t.Max+1)), validation, at)
	}
}

func (b *builder) number(t *apigen.Shape, at string, with func(any) object) {
	if t.Min != nil {
		b.pass(fmt.Sprintf("%s %d", at, *t.Min), with(*t.Min))
		b.add(fmt.Sprintf("%s %d is refused", at, *t.Min-1), with(*t.Min-1), validation, at)
	}
	if t.Max != nil {
		b.pass(fmt.Sprintf("%s %d", at, *t.Max), with(*t.Max))
		b.add(fmt.Sprintf("%s %d is refused", at, *t.Max+1), with(*t.Max+1), validation, at)
	}
	tooBig := json.Number("9223372036854775808")
	if t.Type == "integer" {
		tooBig = json.Number(fmt.Sprint(math.MaxInt32 + 1))
	}
	for _, n := range []json.Number{tooBig, "-9223372036854775809", "1.5", "1e2"} {
		b.add(fmt.Sprintf("%s %s is refused", at, n), with(n), serialization, at)
	}
}

// text adds the cases of a string shape.
func (b *builder) text(ref apigen.Ref, at string, with func(any) object) {
	t := b.m.Shapes[ref.Shape]
	for _, v := range t.Enum {
		b.pass(at+" "+v, with(v))
		b.add(at+" "+strings.ToLower(v)+" is refused", with(strings.ToLower(v)), validation, at)
	}
	if len(t.Enum) > 0 {
		b.add(at+" of an empty string is refused", with(""), validation, at)
		return
	}
	label := ref.Location == "uri" // an empty one is another path
	if n := t.Min; n != nil && *n > 0 {
		if v, ok := b.sample(ref.Shape, int(*n)); ok {
			b.pass(fmt.Sprintf("%s of %d characters", at, *n), with(v))
		}
		if *n > 1 || !label {
			b.add(fmt.Sprintf("%s of %d characters is refused", at, *n-1), with(strings.Repeat("a", int(*n-1))), validation, at)
		}
	}
	if n := t.Max; n != nil {
		v, ok := b.sample(ref.Shape, int(*n))
		if !ok {
			b.err = fmt.Errorf("apitest: no value of %s has %d characters", ref.Shape, *n)
			return
		}
		b.pass(fmt.Sprintf("%s of %d characters", at, *n), with(v))
		v, _ = b.sample(ref.Shape, int(*n)+1)
		b.add(fmt.Sprintf("%s of %d characters is refused", at, *n+1), with(v), validation, at)
	}
	if t.Pattern == "" {
		return
	}
	v := strings.ReplaceAll(b.minimal(ref.Shape).(string), "é", "a")
	for _, bad := range []struct{ what, v string }{
		// As long as v, so that it is the pattern that refuses.
		{"a line feed at the end", v[:len(v)-1] + "\n"},
		{"a star in front", "*" + v[1:]},
		{"a star at the end", v[:len(v)-1] + "*"},
	} {
		if !b.matches(t.Pattern, bad.v) {
			b.add(at+" with "+bad.what+" is refused", with(bad.v), validation, at)
		}
	}
}

// minimal is the least valid value of shape: the required members, and for a string
// with a pattern a realistic one.
func (b *builder) minimal(shape string) any {
	t := b.m.Shapes[shape]
	least := 0
	if t.Min != nil {
		least = int(*t.Min)
	}
	switch t.Type {
	case "structure":
		o := object{}
		for _, name := range t.Required {
			ref := t.Members[name]
			if o[name] = b.minimal(ref.Shape); ref.Location == "querystring" {
				// An empty list leaves no trace in a query.
				o[name] = []any{b.minimal(b.m.Shapes[ref.Shape].Member.Shape)}
			}
		}
		if t.Union {
			first := t.MemberNames()[0]
			o[first] = b.minimal(t.Members[first].Shape)
		}
		return o
	case "list":
		list := []any{}
		for range least {
			list = append(list, b.minimal(t.Member.Shape))
		}
		return list
	case "map":
		return object{}
	case "boolean":
		return true
	case "integer", "long":
		return least
	}
	if len(t.Enum) > 0 {
		return t.Enum[0]
	}
	for n := max(least, 1); ; n++ {
		if v, ok := b.sample(shape, n); ok {
			return v
		}
		if n > 200 {
			b.err = fmt.Errorf("apitest: no value of %s is known", shape)
			return ""
		}
	}
}

// stems are beginnings that the patterns of the models ask for.
var stems = []string{
	"", "st-",
	"arn:aws:lambda:us-west-2:111122223333:function:", "arn:aws:mediatailor:us-west-2:1:playbackConfiguration/",
	"arn:aws:ivs:us-west-2:1:channel/", "arn:aws:ivs:us-west-2:1:stream-key/", "arn:aws:ivs:us-west-2:1:playback-key/",
	"arn:aws:ivs:us-west-2:1:recording-configuration/", "arn:aws:ivs:us-west-2:1:ad-configuration/",
	"arn:aws:ivs:us-west-2:1:playback-restriction-policy/",
	"arn:aws:ivschat:us-west-2:1:room/", "arn:aws:ivschat:us-west-2:1:logging-configuration/",
}

// sample is a value of n characters that the pattern of shape takes. Where it can it
// uses a character of two bytes, because lengths count characters.
func (b *builder) sample(shape string, n int) (string, bool) {
	for _, fill := range []string{"é", "a"} {
		for _, stem := range stems {
			if len(stem) >= n && stem != "" {
				continue
			}
			v := stem + strings.Repeat(fill, n-len(stem))
			if p := b.m.Shapes[shape].Pattern; p == "" || b.matches(p, v) {
				return v, true
			}
		}
	}
	return "", false
}

func (b *builder) matches(pattern, v string) bool {
	re := b.patterns[pattern]
	if re == nil {
		text, err := apigen.TranslatePattern(pattern)
		if err != nil {
			b.err = err
			return false
		}
		re = regexp.MustCompile(text)
		b.patterns[pattern] = re
	}
	return re.MatchString(v)
}
