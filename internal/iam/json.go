package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds on a document. IAM counts characters that are not white space.
const (
	maxChars = 10240     // the most that IAM allows any kind of policy
	maxBytes = 128 << 10 // white space and escapes included
	maxDepth = 8         // a condition's values are at 5
)

// A value is a piece of JSON that kept the order of its members: an encoding/json
// struct would let a second "Effect" win silently.
type value struct {
	kind    kind
	text    string // of a string, number or boolean
	items   []value
	members []member
}

type member struct {
	name string
	value
}

type kind string

const (
	object kind = "an object"
	array  kind = "an array"
	str    kind = "a string"
	number kind = "a number"
	boolen kind = "a boolean"
	null   kind = "null"
)

// parseJSON reads one JSON document within the bounds.
func parseJSON(doc []byte) (value, error) {
	switch {
	case len(doc) > maxBytes:
		return value{}, fmt.Errorf("the document has %d bytes, over the limit of %d", len(doc), maxBytes)
	case !utf8.Valid(doc):
		return value{}, fmt.Errorf("the document is not UTF-8")
	}
	chars := 0
	for _, r := range string(doc) {
		if !strings.ContainsRune(" \t\r\n", r) {
			chars++
		}
	}
	if chars > maxChars {
		return value{}, fmt.Errorf("the document has %d characters, over the limit of %d", chars, maxChars)
	}
	var probe json.RawMessage // finds what Decoder.Token does not, such as a second document
	if err := json.Unmarshal(doc, &probe); err != nil {
		return value{}, fmt.Errorf("the document is not JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return next(d, 0)
}

func next(d *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, fmt.Errorf("the document is nested deeper than %d levels", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return value{}, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return list(d, depth)
		}
		return members(d, depth)
	case string:
		return value{kind: str, text: t}, nil
	case json.Number:
		return value{kind: number, text: t.String()}, nil
	case bool:
		return value{kind: boolen, text: fmt.Sprint(t)}, nil
	}
	return value{kind: null}, nil
}

func list(d *json.Decoder, depth int) (value, error) {
	v := value{kind: array}
	for d.More() {
		item, err := next(d, depth+1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
	}
	_, err := d.Token() // the bracket
	return v, err
}

func members(d *json.Decoder, depth int) (value, error) {
	v := value{kind: object}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return v, err
		}
		name, _ := t.(string)
		if seen[name] {
			return v, fmt.Errorf("%q is given twice", clip(name))
		}
		seen[name] = true
		item, err := next(d, depth+1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{name, item})
	}
	_, err := d.Token() // the brace
	return v, err
}

// strings reads a string or a list of strings that is not empty.
func (v value) strings() ([]string, error) {
	items := v.items
	if v.kind != array {
		items = []value{v}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("it is an empty list")
	}
	out := make([]string, 0, len(items))
	for _, i := range items {
		if i.kind != str {
			return nil, fmt.Errorf("it must be a string or a list of strings, not %s", i.kind)
		}
		out = append(out, i.text)
	}
	return out, nil
}

// scalars is strings for the values of a condition, which may be numbers and booleans.
func (v value) scalars() ([]string, error) {
	items := v.items
	if v.kind != array {
		items = []value{v}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("it is an empty list")
	}
	out := make([]string, 0, len(items))
	for _, i := range items {
		if i.kind != str && i.kind != number && i.kind != boolen {
			return nil, fmt.Errorf("it must be a value or a list of values, not %s", i.kind)
		}
		out = append(out, i.text)
	}
	return out, nil
}

// clip bounds what an error repeats of a document.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
