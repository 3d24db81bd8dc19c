package restjson

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may nest in a request body. The deepest
// input of the models nests four deep; unknown members may go further.
const maxDepth = 32

// A Decoder reads one JSON document for generated code. Compared with encoding/json
// it matches names by case, keeps "absent" apart from "zero", refuses what is not
// UTF-8 and says where a value of the wrong type stands.
//
// The first malformed byte or wrong type ends the reading: every later call returns
// zero, and err tells why. A member that must be there and is not (Need) does not
// end it, because that is a broken constraint and not a broken document.
type Decoder struct {
	in      []byte
	pos     int
	depth   int
	path    path
	missing []string // paths of required members that are absent
	err     error    // a *fault named SerializationException
}

// newDecoder reads body, where no body at all means an object without members.
func newDecoder(body []byte) *Decoder {
	if len(bytes.Trim(body, " \t\r\n")) == 0 {
		body = []byte("{}")
	}
	d := &Decoder{in: body}
	if !utf8.Valid(body) {
		d.fail("The request body is not UTF-8.")
	}
	return d
}

// finish returns the error of the whole document: a malformed one first, then
// required members that are missing.
func (d *Decoder) finish(read bool) error {
	if read && d.err == nil {
		if d.space(); d.pos < len(d.in) {
			d.unexpected("the end of the body")
		}
	}
	switch {
	case d.err != nil:
		return d.err
	case len(d.missing) > 0:
		var c Checker
		for _, p := range d.missing {
			c.add(problem{path: p, null: true, rule: "Member must not be null"})
		}
		return c.Err()
	}
	return nil
}

// Members reads an object and yields each member's name; the body of the loop must
// read its value, or Skip it. A name that comes twice is yielded twice: the last wins.
func (d *Decoder) Members() iter.Seq[string] {
	return func(yield func(string) bool) {
		for first := d.open('{', "an object"); d.more(first, '}'); first = false {
			if d.peek() != '"' {
				d.unexpected("a member name")
				return
			}
			key := d.quoted("")
			if d.token(':', "':'"); d.err != nil {
				return
			}
			d.path = append(d.path, segment{name: key})
			if len(d.missing) > 0 {
				d.forget()
			}
			if ok := yield(key); !ok || d.err != nil {
				return
			}
			d.path = d.path[:len(d.path)-1]
		}
	}
}

// elements reads a list and yields each index; the loop must read the value.
func (d *Decoder) elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		i := 0
		for first := d.open('[', "a list"); d.more(first, ']'); first = false {
			d.path = append(d.path, segment{index: i, list: true})
			if ok := yield(i); !ok || d.err != nil {
				return
			}
			d.path = d.path[:len(d.path)-1]
			i++
		}
	}
}

// Need records that a required member is absent unless present.
func (d *Decoder) Need(present bool, name string) {
	if !present && d.err == nil {
		d.missing = append(d.missing, d.path.join(name))
	}
}

// forget drops what was missing inside a member that now comes a second time.
func (d *Decoder) forget() {
	at := d.path.String()
	kept := d.missing[:0]
	for _, m := range d.missing {
		if len(m) <= len(at) || m[:len(at)] != at || (m[len(at)] != '.' && m[len(at)] != '[') {
			kept = append(kept, m)
		}
	}
	d.missing = kept
}

// Optional reads a value that may be null; null is the same as absent.
func Optional[T any](d *Decoder, read func(*Decoder) T) *T {
	if d.null() {
		return nil
	}
	v := read(d)
	if d.err != nil {
		return nil
	}
	return &v
}

// Required reads a value into dst and tells whether it was there: null is absent.
func Required[T any](d *Decoder, dst *T, read func(*Decoder) T) bool {
	if d.null() {
		return false
	}
	*dst = read(d)
	return true
}

// List reads a list. It is nil when null, and not nil when empty. A list may not
// hold null, because the models have no sparse lists.
func List[T any](d *Decoder, read func(*Decoder) T) []T {
	if d.null() {
		return nil
	}
	list := []T{}
	for range d.elements() {
		list = append(list, read(d))
	}
	return list
}

// Map reads an object as a map. It is nil when null, and not nil when empty. Its
// values may not be null.
func Map[T any](d *Decoder, read func(*Decoder) T) map[string]T {
	if d.null() {
		return nil
	}
	m := map[string]T{}
	for key := range d.Members() {
		m[key] = read(d)
	}
	return m
}

// Text reads a string.
func (d *Decoder) Text() string { return d.quoted("a string") }

// Secret reads a string that must never be printed.
func (d *Decoder) Secret() Secret { return Secret(d.Text()) }

// Bool reads true or false.
func (d *Decoder) Bool() bool {
	switch {
	case d.literal("true"):
		return true
	case d.literal("false"):
		return false
	}
	d.mistyped("a boolean")
	return false
}

// Int32 reads an integer of 32 bits; the models call it integer.
func (d *Decoder) Int32() int32 { return int32(d.integer(32)) }

// Int64 reads an integer of 64 bits; the models call it long.
func (d *Decoder) Int64() int64 { return d.integer(64) }

func (d *Decoder) integer(bits int) int64 {
	num := d.number("an integer")
	if num == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(num), 10, bits)
	if err != nil {
		d.failAt("must be an integer of %d bits", bits)
		return 0
	}
	return n
}

// Skip reads any value and drops it. AWS ignores members it does not know.
func (d *Decoder) Skip() {
	switch d.peek() {
	case '{':
		for range d.Members() {
			d.Skip()
		}
	case '[':
		for range d.elements() {
			d.Skip()
		}
	case '"':
		d.Text()
	case 't', 'f':
		d.Bool()
	case 'n':
		if !d.null() {
			d.unexpected("a value")
		}
	default:
		d.number("a value")
	}
}

// number returns the bytes of a JSON number (RFC 8259 6).
func (d *Decoder) number(want string) []byte {
	if c := d.peek(); c != '-' && (c < '0' || c > '9') {
		d.mistyped(want)
		return nil
	}
	start, at := d.pos, d.pos
	digits := func() bool {
		from := at
		for at < len(d.in) && '0' <= d.in[at] && d.in[at] <= '9' {
			at++
		}
		return at > from
	}
	has := func(set string) bool {
		if at < len(d.in) && strings.IndexByte(set, d.in[at]) >= 0 {
			at++
			return true
		}
		return false
	}
	has("-")
	ok := has("0") || digits()
	if ok && has(".") {
		ok = digits()
	}
	if ok && has("eE") {
		has("+-")
		ok = digits()
	}
	if !ok {
		d.unexpected("a number")
		return nil
	}
	d.pos = at
	return d.in[start:at]
}

// quoted reads a JSON string (RFC 8259 7).
func (d *Decoder) quoted(want string) string {
	if d.peek() != '"' {
		d.mistyped(want)
		return ""
	}
	start := d.pos + 1
	for i := start; i < len(d.in); i++ {
		switch c := d.in[i]; {
		case c == '"':
			d.pos = i + 1
			return string(d.in[start:i])
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			d.pos = i
			d.unexpected("a character of a string")
			return ""
		}
	}
	d.pos = len(d.in)
	d.unexpected("the end of a string")
	return ""
}

// escaped goes on where quoted found the first backslash, at i.
func (d *Decoder) escaped(start, i int) string {
	out := append(make([]byte, 0, 2*(i-start)+16), d.in[start:i]...)
	for i < len(d.in) {
		c := d.in[i]
		switch {
		case c == '"':
			d.pos = i + 1
			return string(out)
		case c < ' ':
			d.pos = i
			d.unexpected("a character of a string")
			return ""
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		r, n := unescape(d.in[i:])
		if n == 0 {
			d.pos = i
			d.unexpected("an escape")
			return ""
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	d.pos = i
	d.unexpected("the end of a string")
	return ""
}

// unescape reads the escape at the start of b and says how long it is: 0 for none.
// Half of a surrogate pair is none, since no UTF-8 can hold it.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(b)
		if !ok || !utf16.IsSurrogate(r) {
			return r, 6 * btoi(ok)
		}
		low, ok := hex4(b[6:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, 0
		}
		return r, 12
	}
	return 0, 0
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// open enters an object or a list.
func (d *Decoder) open(c byte, want string) bool {
	if d.peek() != c {
		d.mistyped(want)
		return true
	}
	if d.depth++; d.depth > maxDepth {
		d.fail("The request body nests deeper than %d.", maxDepth)
	}
	d.pos++
	return true
}

// more steps to the next member or element, or leaves at end.
func (d *Decoder) more(first bool, end byte) bool {
	c := d.peek()
	switch {
	case d.err != nil:
		return false
	case c == end:
		d.pos++
		d.depth--
		return false
	case first:
		return true
	}
	d.token(',', "',' or '"+string(end)+"'")
	return d.err == nil
}

func (d *Decoder) token(c byte, want string) {
	if d.peek() != c {
		d.unexpected(want)
		return
	}
	d.pos++
}

func (d *Decoder) null() bool { return d.literal("null") }

func (d *Decoder) literal(s string) bool {
	if d.peek() != s[0] || !bytes.HasPrefix(d.in[d.pos:], []byte(s)) {
		return false
	}
	d.pos += len(s)
	return true
}

// peek is the next byte that is not space; 0 at the end and after an error.
func (d *Decoder) peek() byte {
	if d.space(); d.err != nil || d.pos >= len(d.in) {
		return 0
	}
	return d.in[d.pos]
}

func (d *Decoder) space() {
	for d.pos < len(d.in) {
		switch d.in[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// mistyped fails where a value of another type stands than want.
func (d *Decoder) mistyped(want string) {
	kind := ""
	switch c := d.peek(); {
	case c == '{':
		kind = "an object"
	case c == '[':
		kind = "a list"
	case c == '"':
		kind = "a string"
	case c == '-' || '0' <= c && c <= '9':
		kind = "a number"
	case d.literal("true") || d.literal("false"):
		kind = "a boolean"
	case d.literal("null"):
		kind = "null"
	default:
		d.unexpected(want)
		return
	}
	d.failAt("must be %s, not %s", want, kind)
}

// unexpected fails where the text is not JSON.
func (d *Decoder) unexpected(want string) {
	if d.pos >= len(d.in) {
		d.fail("The request body ends where %s was expected.", want)
		return
	}
	d.fail("The request body is not valid JSON: expected %s at byte %d.", want, d.pos)
}

func (d *Decoder) failAt(format string, args ...any) {
	at := "The request body"
	if p := d.path.String(); p != "" {
		at = "Value at '" + clip(p) + "'"
	}
	d.fail("%s %s.", at, fmt.Sprintf(format, args...))
}

func (d *Decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = &fault{name: "SerializationException", message: fmt.Sprintf(format, args...)}
	}
}
