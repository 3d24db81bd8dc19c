package restjson

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// An Encoder writes one JSON document for generated code: members in the order it is
// told, no space, no escape that JSON does not ask for.
type Encoder struct{ buf []byte }

// NewEncoder returns an Encoder with room for size bytes.
func NewEncoder(size int) *Encoder { return &Encoder{buf: make([]byte, 0, size)} }

// Bytes is the document so far.
func (e *Encoder) Bytes() []byte { return e.buf }

// Cut drops what comes after the first n bytes.
func (e *Encoder) Cut(n int) { e.buf = e.buf[:n] }

// Newline ends a document that is a line of a file.
func (e *Encoder) Newline() { e.buf = append(e.buf, '\n') }

// Raw writes a value that is JSON already; no bytes are null.
func (e *Encoder) Raw(v []byte) {
	if len(v) == 0 {
		v = []byte("null")
	}
	e.buf = append(e.buf, v...)
}

// Begin opens an object and End closes it.
func (e *Encoder) Begin() { e.buf = append(e.buf, '{') }

// End closes the object that Begin opened.
func (e *Encoder) End() { e.buf = append(e.buf, '}') }

// Key starts the member name, which must need no escape; its value must follow.
func (e *Encoder) Key(name string) {
	e.comma('{')
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

// comma separates a value from the one before it. No value ends in an opening
// bracket, so the last byte tells whether there is one.
func (e *Encoder) comma(open byte) {
	if n := len(e.buf); n > 0 && e.buf[n-1] != open {
		e.buf = append(e.buf, ',')
	}
}

// WriteList writes list, [] when it is nil; write writes one element.
func WriteList[T any](e *Encoder, list []T, write func(*Encoder, *T)) {
	e.buf = append(e.buf, '[')
	for i := range list {
		e.comma('[')
		write(e, &list[i])
	}
	e.buf = append(e.buf, ']')
}

// Texts writes a list of strings, [] when it is nil.
func (e *Encoder) Texts(list []string) {
	WriteList(e, list, func(e *Encoder, s *string) { e.Text(*s) })
}

// TextMap writes a map in the order of its keys, {} when it is nil.
func (e *Encoder) TextMap(m map[string]string) {
	e.Begin()
	var few [8]string // most maps are small, and this one stays on the stack
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		e.comma('{')
		e.Text(k)
		e.buf = append(e.buf, ':')
		e.Text(m[k])
	}
	e.End()
}

// Bool writes true or false.
func (e *Encoder) Bool(v bool) { e.buf = strconv.AppendBool(e.buf, v) }

// Int writes an integer.
func (e *Encoder) Int(v int64) { e.buf = strconv.AppendInt(e.buf, v, 10) }

// Time writes a time in UTC by layout, as a string.
func (e *Encoder) Time(t time.Time, layout string) {
	e.buf = append(e.buf, '"')
	e.buf = t.UTC().AppendFormat(e.buf, layout)
	e.buf = append(e.buf, '"')
}

// Secret writes the value that Secret itself hides: the caller may have it.
func (e *Encoder) Secret(v Secret) { e.Text(string(v)) }

const hexDigits = "0123456789abcdef"

// Text writes a string. What is not UTF-8 becomes U+FFFD.
func (e *Encoder) Text(s string) {
	b := append(e.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	e.buf = append(append(b, s[from:]...), '"')
}
