// Package apigen turns the API models in api/ into the packages ivsapi and chatapi:
// types, codecs, validation, routes and the errors each operation may answer. It
// reads the AWS "api-2" JSON form and supports what those models use; anything else
// (floats, blobs, timestamps in requests, recursive shapes) is an error, so that a
// new model cannot be half understood. It generates no behaviour.
package apigen

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// A Model is one API model, corrected.
type Model struct {
	Metadata struct {
		SigningName string `json:"signingName"`
		Protocol    string `json:"protocol"`
	} `json:"metadata"`
	Operations map[string]*Operation `json:"operations"`
	Shapes     map[string]*Shape     `json:"shapes"`
}

// An Operation is one operation of a model.
type Operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input      Ref   `json:"input"`
	Output     *Ref  `json:"output"`
	Errors     []Ref `json:"errors"`
	ReadOnly   bool  `json:"readonly"`
	Idempotent bool  `json:"idempotent"`
}

// A Ref points at a shape; as a member it may say where the value travels.
type Ref struct {
	Shape        string `json:"shape"`
	Location     string `json:"location"` // "", uri, querystring, header or statusCode
	LocationName string `json:"locationName"`
}

// A Shape is one type of a model.
type Shape struct {
	Type            string         `json:"type"`
	Members         map[string]Ref `json:"members"`
	Required        []string       `json:"required"`
	Member          Ref            `json:"member"` // of a list
	Key             Ref            `json:"key"`    // of a map
	Value           Ref            `json:"value"`  // of a map
	Min             *int64         `json:"min"`
	Max             *int64         `json:"max"`
	Pattern         string         `json:"pattern"`
	Enum            []string       `json:"enum"`
	Sensitive       bool           `json:"sensitive"`
	Union           bool           `json:"union"`
	Exception       bool           `json:"exception"`
	TimestampFormat string         `json:"timestampFormat"`
	Error           struct {
		HTTPStatusCode int `json:"httpStatusCode"`
	} `json:"error"`
}

// Load reads the model in file and applies the corrections.
func Load(file string) (*Model, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("apigen: %w", err)
	}
	m := new(Model)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("apigen: %s: %w", file, err)
	}
	if m.Metadata.Protocol != "rest-json" {
		return nil, fmt.Errorf("apigen: %s: protocol %q is not rest-json", file, m.Metadata.Protocol)
	}
	for name, op := range m.Operations {
		op.Name = name
	}
	for _, c := range corrections {
		if c.service != m.Metadata.SigningName {
			continue
		}
		if err := c.apply(m); err != nil {
			return nil, fmt.Errorf("apigen: %s: correction: %w", file, err)
		}
	}
	return m, nil
}

// OperationNames lists the operations in order.
func (m *Model) OperationNames() []string { return slices.Sorted(maps.Keys(m.Operations)) }

// MemberNames lists the members of s in order.
func (s *Shape) MemberNames() []string { return slices.Sorted(maps.Keys(s.Members)) }

// Requires tells whether member name is required.
func (s *Shape) Requires(name string) bool { return slices.Contains(s.Required, name) }

// Scalar tells whether s is neither a structure, a list nor a map.
func (s *Shape) Scalar() bool { return s.Type != "structure" && s.Type != "list" && s.Type != "map" }

// Constrained tells whether s asks anything of a value beside its type. Members are
// not looked at.
func (s *Shape) Constrained() bool {
	return s.Min != nil || s.Max != nil || s.Pattern != "" || len(s.Enum) > 0 || s.Union
}

// ErrorNames lists the exceptions op may answer, in order.
func (op *Operation) ErrorNames() []string {
	names := make([]string, len(op.Errors))
	for i, e := range op.Errors {
		names[i] = e.Shape
	}
	slices.Sort(names)
	return names
}

// reach collects the names of the structures reachable from shape into found, and
// fails on a recursive one.
func (m *Model) reach(shape string, found map[string]bool, path []string) error {
	if slices.Contains(path, shape) {
		return fmt.Errorf("shape %s is recursive", shape)
	}
	s := m.Shapes[shape]
	if s == nil {
		return fmt.Errorf("shape %s is not in the model", shape)
	}
	path = append(path, shape)
	switch s.Type {
	case "structure":
		found[shape] = true
		for _, name := range s.MemberNames() {
			if err := m.reach(s.Members[name].Shape, found, path); err != nil {
				return err
			}
		}
	case "list":
		return m.reach(s.Member.Shape, found, path)
	case "map":
		for _, r := range []Ref{s.Key, s.Value} {
			if m.Shapes[r.Shape].Type != "string" {
				return fmt.Errorf("map %s is not of strings", shape)
			}
		}
	}
	return nil
}
