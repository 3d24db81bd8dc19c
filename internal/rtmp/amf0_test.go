package rtmp

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMF0RoundTrip(t *testing.T) {
	want := []any{
		"publish", 5.0, nil, true, false,
		Undefined{},
		Date(1.7e12), math.Inf(1),
		strings.Repeat("long", 20_000),
		Object{{"app", "app"}, {"in", Object{{"deep", []any{1.0, "two", nil}}}}, {"", "no name"}},
		ECMAArray{{"width", 1280.0}, {"stereo", true}},
		[]any{},
	}
	got, err := DecodeAMF0(AppendAMF0(nil, want...))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDecodeAMF0Tolerates(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want any
	}{
		"an object without its end":    {"\x03\x00\x01a\x05", Object{{"a", nil}}},
		"an array without its end":     {"\x08\x00\x00\x00\x01\x00\x01a\x05", ECMAArray{{"a", nil}}},
		"a wrong count":                {"\x08\xff\xff\xff\xff\x00\x01a\x05\x00\x00\x09", ECMAArray{{"a", nil}}},
		"a typed object":               {"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", Object{{"a", nil}}},
		"a reference":                  {"\x07\x00\x01", Undefined{}},
		"unsupported":                  {"\x0d", Undefined{}},
		"an XML document":              {"\x0f\x00\x00\x00\x02<>", "<>"},
		"AMF3 null":                    {"\x11\x01", nil},
		"AMF3 true":                    {"\x11\x03", true},
		"AMF3 integer":                 {"\x11\x04\x81\x00", 128.0},
		"AMF3 negative integer":        {"\x11\x04\xff\xff\xff\xff", -1.0},
		"AMF3 double":                  {"\x11\x05\x40\x00\x00\x00\x00\x00\x00\x00", 2.0},
		"AMF3 date":                    {"\x11\x08\x01\x40\x00\x00\x00\x00\x00\x00\x00", Date(2)},
		"AMF3 XML":                     {"\x11\x0b\x05<>", "<>"},
		"AMF3 bytes":                   {"\x11\x0c\x05<>", Undefined{}},
		"AMF3 array":                   {"\x11\x09\x05\x01\x04\x01\x06\x03a", []any{1.0, "a"}},
		"AMF3 array with names":        {"\x11\x09\x01\x03a\x02\x01", ECMAArray{{"a", false}}},
		"AMF3 object":                  {"\x11\x0a\x0b\x01\x03a\x06\x03b\x03c\x06\x00\x01", Object{{"a", "b"}, {"c", "a"}}},
		"AMF3 object with traits":      {"\x11\x0a\x13\x03C\x03a\x04\x07", Object{{"a", 7.0}}},
		"AMF3 traits again":            {"\x11\x09\x05\x01\x0a\x13\x01\x03a\x04\x07\x0a\x01\x04\x08", []any{Object{{"a", 7.0}}, Object{{"a", 8.0}}}},
		"AMF3 reference to an object":  {"\x11\x0a\x00", Undefined{}},
		"a name that occurs two times": {"\x03\x00\x01a\x05\x00\x01a\x06\x00\x00\x09", Object{{"a", nil}, {"a", Undefined{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeAMF0([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]any{tt.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeAMF0Refuses(t *testing.T) {
	nest := func(n int, open string) string { return strings.Repeat(open, n) + "\x05" }
	for name, in := range map[string]string{
		"unknown marker":             "\x42",
		"AMF3 without a value":       "\x11",
		"AMF3: unknown marker":       "\x11\x0d\x01",
		"AMF3: integer cut short":    "\x11\x04\xff",
		"AMF3: string cut short":     "\x11\x06\x07ab",
		"AMF3: string of nothing":    "\x11\x06\x02",
		"AMF3: traits of nothing":    "\x11\x0a\x05",
		"AMF3: 2^25 names":           "\x11\x0a\xff\xff\xff\xf3\x01",
		"AMF3: 2^28 values":          "\x11\x09\xff\xff\xff\xff\x01",
		"AMF3: externalizable":       "\x11\x0a\x07\x01",
		"AMF3: array cut short":      "\x11\x09\x05\x01\x01",
		"AMF3 as a depth bomb":       "\x11" + strings.Repeat("\x09\x03\x01", 10_000),
		"number cut short":           "\x00\x01",
		"boolean cut short":          "\x01",
		"string cut short":           "\x02\x00\x05abc",
		"long string of 4 GiB":       "\x0c\xff\xff\xff\xffabc",
		"date cut short":             "\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"reference cut short":        "\x07\x00",
		"object: name cut short":     "\x03\x00",
		"object: value missing":      "\x03\x00\x01a",
		"array: count cut short":     "\x08\x00\x00",
		"strict array of 4 Gi":       "\x0a\xff\xff\xff\xff\x05",
		"strict array, values short": "\x0a\x00\x00\x00\x02\x05",
		"objects as a depth bomb":    nest(20_000, "\x03\x00\x01a"),
		"arrays as a depth bomb":     nest(10_000, "\x0a\x00\x00\x00\x01"),
		"one deeper than allowed":    nest(maxDepth+1, "\x03\x00\x01a"),
		"too many values":            strings.Repeat("\x05", maxValues+1),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := DecodeAMF0([]byte(in))
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Reason != ReasonAMF {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
	if _, err := DecodeAMF0([]byte(nest(maxDepth, "\x03\x00\x01a"))); err != nil {
		t.Errorf("the deepest that is allowed: %v", err)
	}
}

func TestObjectAccess(t *testing.T) {
	o := Object{{"s", "x"}, {"n", 2.0}, {"nan", math.NaN()}, {"inf", math.Inf(-1)}}
	if o.String("s") != "x" || o.String("n") != "" || o.String("none") != "" {
		t.Error("String")
	}
	if o.Number("n") != 2 || o.Number("s") != 0 || o.Number("nan") != 0 || o.Number("inf") != 0 {
		t.Error("Number")
	}
	if len(Properties(ECMAArray(o))) != 4 || Properties("x") != nil {
		t.Error("Properties")
	}
}

func TestParseMetadata(t *testing.T) {
	o := ECMAArray{{"width", 1280.0}}
	for name, tt := range map[string]struct {
		m    Message
		ok   bool
		fail bool
	}{
		"with @setDataFrame":    {Message{Type: TypeData, Payload: AppendAMF0(nil, "@setDataFrame", "onMetaData", o)}, true, false},
		"plain":                 {Message{Type: TypeData, Payload: AppendAMF0(nil, "onMetaData", o)}, true, false},
		"as an object":          {Message{Type: TypeData, Payload: AppendAMF0(nil, "onMetaData", Object(o))}, true, false},
		"as AMF3":               {Message{Type: TypeDataAMF3, Payload: AppendAMF0([]byte{0}, "onMetaData", o)}, true, false},
		"@clearDataFrame":       {Message{Type: TypeData, Payload: AppendAMF0(nil, "@clearDataFrame", "onMetaData")}, false, false},
		"captions":              {Message{Type: TypeData, Payload: AppendAMF0(nil, "onCaptionInfo", o)}, false, false},
		"a name and no content": {Message{Type: TypeData, Payload: AppendAMF0(nil, "onMetaData")}, false, false},
		"empty":                 {Message{Type: TypeData}, false, false},
		"garbage":               {Message{Type: TypeData, Payload: []byte{0x99}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := ParseMetadata(tt.m)
			if ok != tt.ok || (err != nil) != tt.fail {
				t.Fatalf("got %v %t %v", got, ok, err)
			}
			if ok && got.Number("width") != 1280 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// Whatever DecodeAMF0 accepts, AppendAMF0 writes so that it reads the same.
func FuzzAMF(f *testing.F) {
	f.Add(AppendAMF0(nil, "connect", 1.0, Object{{"app", "app"}, {"fpad", false}}))
	f.Add(AppendAMF0(nil, "@setDataFrame", "onMetaData", ECMAArray{{"duration", 0.0}, {"stereo", true}}))
	f.Add(AppendAMF0(nil, "onStatus", 0.0, nil, []any{Date(1), Undefined{}}))
	f.Add([]byte("\x10\x00\x01C\x00\x01a\x05\x00\x00\x09"))
	f.Add(bytes.Repeat([]byte("\x03\x00\x01a"), 40))
	f.Add([]byte("\x11\x0a\x0b\x01\x03a\x06\x03b\x03c\x06\x00\x01"))
	f.Add([]byte("\x11\x09\x05\x01\x0a\x13\x01\x03a\x04\x07\x0a\x01\x04\x08\x02\x00\x01x"))
	f.Add([]byte("\x02\x00\x05hello\x11\x0c\x05<>\x11\x09\x01\x03a\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeAMF0(b)
		if err != nil {
			if _, ok := errors.AsType[*ProtocolError](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		once := AppendAMF0(nil, v...)
		again, err := DecodeAMF0(once)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, AppendAMF0(nil, again...)) {
			t.Errorf("%#v became %#v", v, again)
		}
	})
}
