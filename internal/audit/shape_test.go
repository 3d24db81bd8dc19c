package audit

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/apigen"
	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/restjson"
)

// filled is a value of type t with everything set: each string to its own path, so that
// what comes out tells what went in.
func filled(t *testing.T, typ reflect.Type, path string) reflect.Value {
	t.Helper()
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.Pointer:
		v.Set(filled(t, typ.Elem(), path).Addr())
	case reflect.String:
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(t, typ.Elem(), path)))
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(reflect.ValueOf("key").Convert(typ.Key()), filled(t, typ.Elem(), path))
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return v
		}
		for i := range typ.NumField() {
			name := typ.Field(i).Name
			if !typ.Field(i).IsExported() {
				continue // none of the model
			}
			v.Field(i).Set(filled(t, typ.Field(i).Type, path+"."+strings.ToLower(name[:1])+name[1:]))
		}
	default:
		t.Fatalf("%s is of kind %s, which the models do not have", path, typ.Kind())
	}
	return v
}

// expected is what a record may show of a shape of the model in which everything is set.
func expected(m *apigen.Model, shape, path string) any {
	s := m.Shapes[shape]
	if s.Sensitive {
		return hidden
	}
	switch s.Type {
	case "structure":
		out := map[string]any{}
		for name, ref := range s.Members {
			out[name] = expected(m, ref.Shape, path+"."+name)
		}
		return out
	case "list":
		return []any{expected(m, s.Member.Shape, path)}
	case "map":
		return map[string]any{"key": expected(m, s.Value.Shape, path)}
	case "boolean":
		return true
	case "integer", "long":
		return 7.0
	case "timestamp":
		return "1970-01-01T00:00:01Z"
	}
	return path
}

// Of every request and every response of every operation of every model, a record shows
// all but what the model calls sensitive.
func TestSecretsOfEveryOperation(t *testing.T) {
	operations, sensitive := 0, 0
	for file, ops := range map[string]any{"ivs.json": ivsapi.Operations{}, "ivschat.json": chatapi.Operations{}} {
		m, err := apigen.Load(filepath.Join("../../api", file))
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(ops)
		for i := range typ.NumField() {
			operations++
			f := typ.Field(i)
			op := m.Operations[f.Name]
			check := func(shape string, typ reflect.Type) {
				t.Helper()
				var s shapes
				v := filled(t, typ, "")
				var got any
				b := parametersOf(&s, v.Interface())
				if string(b) == "null" {
					b = []byte("{}")
				}
				if err := json.Unmarshal(b, &got); err != nil {
					t.Fatalf("%s: %v\n%s", shape, err, b)
				}
				sensitive += strings.Count(string(b), hidden)
				if d := cmp.Diff(expected(m, shape, ""), got); d != "" {
					t.Errorf("%s: a record of %s (-want +got):\n%s", f.Name, shape, d)
				}
			}
			check(op.Input.Shape, f.Type.In(1).Elem())
			if f.Type.NumOut() == 2 {
				check(op.Output.Shape, f.Type.Out(0).Elem())
			}
		}
		if n := typ.NumField(); n != len(m.Operations) {
			t.Errorf("%s has %d operations, the model %d", typ, n, len(m.Operations))
		}
	}
	// 58 operations; the secrets are so many that a test which finds none is broken.
	if operations != 58 || sensitive < 10 {
		t.Errorf("walked %d operations and met %d secrets", operations, sensitive)
	}
}

func TestParameters(t *testing.T) {
	type inner struct{ B *string }
	type odd struct {
		A       string
		Num     int
		F       float64
		M       map[string]int
		Inner   *inner
		List    []inner
		Absent  []string
		Token   restjson.Secret
		Hidden  restjson.SecretMap
		private string
	}
	var s shapes
	for name, tt := range map[string]struct {
		in   any
		want string
	}{
		"nothing":                  {nil, "null"},
		"a nil pointer":            {(*odd)(nil), "null"},
		"nothing in it":            {&inner{}, "null"},
		"a structure":              {&inner{B: new("x\"\n")}, `{"b":"x\"\n"}`},
		"what no model has":        {odd{F: 1.5, M: map[string]int{"a": 1}, private: "p"}, `{"a":"","f":"HIDDEN_DUE_TO_SECURITY_REASONS","m":"HIDDEN_DUE_TO_SECURITY_REASONS","num":0,"token":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		"secrets, nested and deep": {&odd{Inner: &inner{}, List: []inner{{}, {new("c")}}, Token: "t", Hidden: restjson.SecretMap{"k": "v"}}, `{"a":"","f":"HIDDEN_DUE_TO_SECURITY_REASONS","hidden":"HIDDEN_DUE_TO_SECURITY_REASONS","inner":{},"list":[{},{"b":"c"}],"num":0,"token":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time by memory
				if got := string(parametersOf(&s, tt.in)); got != tt.want {
					t.Errorf("parameters(%+v) = %s, want %s", tt.in, got, tt.want)
				}
			}
		})
	}
}

// parametersOf is v as a record shows it.
func parametersOf(s *shapes, v any) []byte {
	e := restjson.NewEncoder(0)
	s.parameters(e, v)
	return e.Bytes()
}
