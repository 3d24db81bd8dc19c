package restjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// doc is a request type as the generator would write it.
type doc struct {
	Name  *string
	On    *bool
	Small *int32
	Large *int64
	List  []string
	Map   map[string]string
	Sub   *sub
}

type sub struct{ Need string }

func (v *doc) Decode(r *Request) {
	d := r.Body()
	for key := range d.Members() {
		switch key {
		case "name":
			v.Name = Optional(d, (*Decoder).Text)
		case "on":
			v.On = Optional(d, (*Decoder).Bool)
		case "small":
			v.Small = Optional(d, (*Decoder).Int32)
		case "large":
			v.Large = Optional(d, (*Decoder).Int64)
		case "list":
			v.List = List(d, (*Decoder).Text)
		case "map":
			v.Map = Map(d, (*Decoder).Text)
		case "sub":
			v.Sub = Optional(d, decodeSub)
		default:
			d.Skip()
		}
	}
}

func decodeSub(d *Decoder) (v sub) {
	var has bool
	for key := range d.Members() {
		switch key {
		case "need":
			has = Required(d, &v.Need, (*Decoder).Text)
		default:
			d.Skip()
		}
	}
	d.Need(has, "need")
	return v
}

func (v *doc) Validate(*Checker) {}

func read(body []byte) (*doc, error) {
	v, err := decode[doc](&Request{body: newDecoder(body)})
	if err != nil {
		return nil, err
	}
	return v.(*doc), nil
}

func TestDecode(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want doc
		err  string // "" for none
	}{
		"no body is an empty object":            {"", doc{}, ""},
		"space is no body":                      {" \r\n\t", doc{}, ""},
		"absent is not zero":                    {`{"name":"","on":false,"small":0,"list":[],"map":{}}`, doc{Name: new(""), On: new(false), Small: new(int32(0)), List: []string{}, Map: map[string]string{}}, ""},
		"null is absent":                        {`{"name":null,"on":null,"small":null,"large":null,"list":null,"map":null,"sub":null}`, doc{}, ""},
		"space between everything":              {" { \"list\" : [ \"a\" , \"b\" ] , \"on\" : true } ", doc{List: []string{"a", "b"}, On: new(true)}, ""},
		"the last of two wins":                  {`{"name":"a","list":["x"],"name":"b","list":[]}`, doc{Name: new("b"), List: []string{}}, ""},
		"null after a value wins":               {`{"name":"a","name":null}`, doc{}, ""},
		"a struct that comes twice is replaced": {`{"sub":{},"sub":{"need":"x"}}`, doc{Sub: &sub{"x"}}, ""},
		"one after a null, too":                 {`{"sub":{},"sub":null}`, doc{}, ""},
		"a required member is missing":          {`{"sub":{}}`, doc{}, "ValidationException: 1 validation error detected: Value null at 'sub.need' failed to satisfy constraint: Member must not be null"},
		"null is missing":                       {`{"sub":{"need":null}}`, doc{}, "ValidationException: 1 validation error detected: Value null at 'sub.need' failed to satisfy constraint: Member must not be null"},
		"unknown members are ignored":           {`{"zzz":{"a":[1,-2.5e+3,true,false,null,"\u0041"]},"name":"a"}`, doc{Name: new("a")}, ""},
		"names are case-sensitive":              {`{"Name":"a","NAME":1}`, doc{}, ""},
		"an escaped name is that name":          {`{"n\u0061me":"a"}`, doc{Name: new("a")}, ""},
		"escapes":                               {`{"name":"\"\\\/\b\f\n\r\té€\ud83d\ude00 é"}`, doc{Name: new("\"\\/\b\f\n\r\té€😀 é")}, ""},
		"the bounds of integers":                {`{"small":-2147483648,"large":9223372036854775807}`, doc{Small: new(int32(-1 << 31)), Large: new(int64(1<<63 - 1))}, ""},
		"an integer over 32 bits":               {`{"small":2147483648}`, doc{}, "SerializationException: Value at 'small' must be an integer of 32 bits."},
		"an integer over 64 bits":               {`{"large":9223372036854775808}`, doc{}, "SerializationException: Value at 'large' must be an integer of 64 bits."},
		"a fraction is no integer":              {`{"small":1.0}`, doc{}, "SerializationException: Value at 'small' must be an integer of 32 bits."},
		"NaN is no number":                      {`{"small":NaN}`, doc{}, "SerializationException: The request body is not valid JSON: expected an integer at byte 9."},
		"no leading zero":                       {`{"small":01}`, doc{}, "SerializationException: The request body is not valid JSON: expected ',' or '}' at byte 10."},
		"no bare minus":                         {`{"small":-}`, doc{}, "SerializationException: The request body is not valid JSON: expected a number at byte 9."},
		"a number in quotes is a string":        {`{"small":"1"}`, doc{}, "SerializationException: Value at 'small' must be an integer, not a string."},
		"a string is no boolean":                {`{"on":"true"}`, doc{}, "SerializationException: Value at 'on' must be a boolean, not a string."},
		"a number is no string":                 {`{"list":["a",2]}`, doc{}, "SerializationException: Value at 'list[1]' must be a string, not a number."},
		"a list is no object":                   {`{"sub":[]}`, doc{}, "SerializationException: Value at 'sub' must be an object, not a list."},
		"null in a list":                        {`{"list":[null]}`, doc{}, "SerializationException: Value at 'list[0]' must be a string, not null."},
		"null in a map":                         {`{"map":{"k":null}}`, doc{}, "SerializationException: Value at 'map.k' must be a string, not null."},
		"the body is a list":                    {`[]`, doc{}, "SerializationException: The request body must be an object, not a list."},
		"the body is null":                      {`null`, doc{}, "SerializationException: The request body must be an object, not null."},
		"two documents":                         {`{}{}`, doc{}, "SerializationException: The request body is not valid JSON: expected the end of the body at byte 2."},
		"a comma at the end of an object":       {`{"on":true,}`, doc{}, "SerializationException: The request body is not valid JSON: expected a member name at byte 11."},
		"a comma at the end of a list":          {`{"list":["a",]}`, doc{}, "SerializationException: The request body is not valid JSON: expected a string at byte 13."},
		"single quotes":                         {`{'name':1}`, doc{}, "SerializationException: The request body is not valid JSON: expected a member name at byte 1."},
		"no colon":                              {`{"name" 1}`, doc{}, "SerializationException: The request body is not valid JSON: expected ':' at byte 8."},
		"cut in an object":                      {`{"name":"a"`, doc{}, "SerializationException: The request body ends where ',' or '}' was expected."},
		"cut in a string":                       {`{"name":"a`, doc{}, "SerializationException: The request body ends where the end of a string was expected."},
		"cut in an escape":                      {`{"name":"\u00`, doc{}, "SerializationException: The request body is not valid JSON: expected an escape at byte 9."},
		"half a surrogate pair":                 {`{"name":"\ud83d"}`, doc{}, "SerializationException: The request body is not valid JSON: expected an escape at byte 9."},
		"a control character in a string":       {"{\"name\":\"a\nb\"}", doc{}, "SerializationException: The request body is not valid JSON: expected a character of a string at byte 10."},
		"one behind an escape":                  {"{\"name\":\"\\n\x01\"}", doc{}, "SerializationException: The request body is not valid JSON: expected a character of a string at byte 11."},
		"not UTF-8":                             {"{\"name\":\"\xff\"}", doc{}, "SerializationException: The request body is not UTF-8."},
		"not UTF-8 in what is ignored":          {"{\"zzz\":\"\xc3\"}", doc{}, "SerializationException: The request body is not UTF-8."},
		"a byte order mark":                     {"\ufeff{}", doc{}, "SerializationException: The request body is not valid JSON: expected an object at byte 0."},
		"nesting at the limit":                  {`{"zzz":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, doc{}, ""},
		"siblings do not nest":                  {`{"zzz":[` + strings.Repeat("{},[],", 50) + `0]}`, doc{}, ""},
		"nesting over the limit":                {`{"zzz":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, doc{}, "SerializationException: The request body nests deeper than 32."},
		"nesting without an end":                {strings.Repeat(`{"a":`, 40000), doc{}, "SerializationException: The request body nests deeper than 32."},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read([]byte(tt.in))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != tt.err {
				t.Fatalf("%.80q: error %q\nwant %q", tt.in, text, tt.err)
			}
			if err == nil && !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("%.80q reads as %+v, want %+v", tt.in, got, tt.want)
			}
		})
	}
}

// Whatever is accepted is JSON and UTF-8, encoding/json reads the same strings from
// it, and what the Encoder makes of them reads the same back.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", `{}`, `{"name":"a\u00e9\ud83d\ude00","on":true,"small":-1,"large":2}`, `{"list":["a"],"map":{"k":"v"},"sub":{"need":""}}`,
		`{"x":[[[{"y":1e9}]]],"name":null}`, `{"sub":{},"sub":{"need":"x"}}`, `[`, "{\"name\":\"\xff\"}", `{"small":99999999999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := read(body)
		if err != nil {
			if fault, ok := errors.AsType[*fault](err); !ok || (fault.name != "SerializationException" && fault.name != "ValidationException") {
				t.Fatalf("%q: %v is not an answer for a client", body, err)
			}
			return
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return
		}
		if !utf8.Valid(body) || !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		var e Encoder
		e.Begin()
		if got.Name != nil {
			e.Key("name")
			e.Text(*got.Name)
		}
		e.Key("list")
		e.Texts(got.List)
		e.Key("map")
		e.TextMap(got.Map)
		e.End()
		again, err := read(e.buf)
		if err != nil {
			t.Fatalf("%q was written as %q, which reads as %v", body, e.buf, err)
		}
		if !reflect.DeepEqual(again.Name, got.Name) || !slices.Equal(again.List, got.List) || len(again.Map) != len(got.Map) {
			t.Fatalf("%q reads as %+v, and written again as %+v", body, got, again)
		}
		var std map[string]any
		if err := json.Unmarshal(body, &std); err != nil {
			t.Fatal(err)
		}
		if s, ok := std["name"].(string); ok != (got.Name != nil) || (ok && s != *got.Name) {
			t.Fatalf("%q: name is %v, encoding/json says %q", body, got.Name, s)
		}
	})
}
