package audit

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/restjson"
)

// hidden is what a record has in the place of a secret.
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// shapes writes requests and responses as JSON with the names of the wire. It looks at
// types only: a value of a secret's type never gets out, whichever operation it is of.
type shapes struct {
	known sync.Map // reflect.Type -> []member: the structures of the models
}

// A member is one field of a structure.
type member struct {
	index int
	name  string // on the wire
}

// parameters writes v as JSON: null when there is nothing in it, or when it is too long.
// Then omitted is how many bytes it has.
func (s *shapes) parameters(e *restjson.Encoder, v any) (omitted int) {
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		e.Raw(nil)
		return 0
	}
	begin := len(e.Bytes())
	s.write(e, r)
	switch n := len(e.Bytes()) - begin; {
	case n > maxParameters:
		omitted = n
	case n > len("{}"):
		return 0
	}
	e.Cut(begin)
	e.Raw(nil)
	return omitted
}

func (s *shapes) write(e *restjson.Encoder, v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		e.Time(v.Interface().(time.Time), timeLayout)
		return
	case reflect.TypeFor[restjson.Secret](), reflect.TypeFor[restjson.SecretMap]():
		e.Text(hidden)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		s.write(e, v.Elem())
	case reflect.String:
		e.Text(v.String())
	case reflect.Bool:
		e.Bool(v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		e.Int(v.Int())
	case reflect.Struct:
		e.Begin()
		for _, m := range s.members(v.Type()) {
			if f := v.Field(m.index); present(f) {
				e.Key(m.name)
				s.write(e, f)
			}
		}
		e.End()
	case reflect.Slice:
		items := make([]reflect.Value, v.Len())
		for i := range items {
			items[i] = v.Index(i)
		}
		restjson.WriteList(e, items, func(e *restjson.Encoder, item *reflect.Value) { s.write(e, *item) })
	case reflect.Map:
		if m, ok := v.Interface().(map[string]string); ok {
			e.TextMap(m)
			return
		}
		e.Text(hidden) // the models have no other map
	default:
		e.Text(hidden) // not of the models: who knows what it is
	}
}

// present reports whether a member was given: one that is optional is nil otherwise.
func present(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return !v.IsNil()
	}
	return true
}

// members lists the exported fields of a structure in the order of their names. The
// generator makes a field's name of a member's by a capital first letter.
func (s *shapes) members(t reflect.Type) []member {
	if m, ok := s.known.Load(t); ok {
		return m.([]member)
	}
	var list []member
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			list = append(list, member{i, strings.ToLower(f.Name[:1]) + f.Name[1:]})
		}
	}
	slices.SortFunc(list, func(a, b member) int { return strings.Compare(a.name, b.name) })
	s.known.Store(t, list)
	return list
}
