package rtmp

import (
	"encoding/base64"
	"encoding/binary"
	"math"
)

// Bounds of one AMF0 message.
const (
	maxDepth  = 16   // objects in objects
	maxValues = 1024 // values, those inside others included
)

// AMF0 markers (AMF 0 specification 2.1).
const (
	markerNumber      = 0x00
	markerBoolean     = 0x01
	markerString      = 0x02
	markerObject      = 0x03
	markerNull        = 0x05
	markerUndefined   = 0x06
	markerReference   = 0x07
	markerECMAArray   = 0x08
	markerObjectEnd   = 0x09
	markerStrictArray = 0x0a
	markerDate        = 0x0b
	markerLongString  = 0x0c
	markerUnsupported = 0x0d
	markerXMLDocument = 0x0f
	markerTypedObject = 0x10
	markerAMF3        = 0x11 // one value in AMF3 follows
)

// A value of AMF0 is one of: nil (null), float64, bool, string, Undefined, Date,
// Object, ECMAArray, []any (strict array).
type (
	// Undefined is AMF0's undefined; what we do not read (references) becomes it too.
	Undefined struct{}
	// Date is ms since 1970 UTC.
	Date float64
	// Object holds properties in the order sent.
	Object []Property
	// ECMAArray is an Object that is sent with a count before it.
	ECMAArray Object
	// Property is a named value.
	Property struct {
		Name  string
		Value any
	}
)

// Properties returns what v holds if it is an Object or ECMAArray, else nil.
func Properties(v any) Object {
	switch v := v.(type) {
	case Object:
		return v
	case ECMAArray:
		return Object(v)
	}
	return nil
}

// Get returns the value of the first property of that name.
func (o Object) Get(name string) any {
	for _, p := range o {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// String returns a property that is a string, else "".
func (o Object) String(name string) string {
	s, _ := o.Get(name).(string)
	return s
}

// Number returns a property that is a finite number, else 0.
func (o Object) Number(name string) float64 {
	f, _ := o.Get(name).(float64)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// DecodeAMF0 reads all values in b.
func DecodeAMF0(b []byte) ([]any, error) {
	d := decoder{b: b, left: maxValues}
	var all []any
	for len(d.b) > 0 {
		v, err := d.value(0)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

type decoder struct {
	b    []byte
	left int // values that may still come
}

var errShortAMF = &ProtocolError{ReasonAMF, "cut short"}

func (d *decoder) take(n int) ([]byte, error) {
	if n > len(d.b) {
		return nil, errShortAMF
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b, nil
}

func (d *decoder) value(depth int) (any, error) {
	if d.left--; d.left < 0 {
		return nil, protocolError(ReasonAMF, "more than %d values", maxValues)
	}
	m, err := d.take(1)
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, protocolError(ReasonAMF, "deeper than %d", maxDepth)
	}
	switch m[0] {
	case markerNumber:
		return d.number()
	case markerBoolean:
		b, err := d.take(1)
		return err == nil && b[0] != 0, err
	case markerString:
		return d.text(2)
	case markerLongString, markerXMLDocument:
		return d.text(4)
	case markerNull:
		return nil, nil
	case markerUndefined, markerUnsupported:
		return Undefined{}, nil
	case markerReference:
		_, err := d.take(2)
		return Undefined{}, err
	case markerObject:
		return d.properties(depth)
	case markerTypedObject:
		if _, err := d.text(2); err != nil { // the class name
			return nil, err
		}
		return d.properties(depth)
	case markerAMF3:
		return (&decoder3{decoder: d}).value(depth)
	case markerECMAArray:
		if _, err := d.take(4); err != nil { // the count; encoders get it wrong
			return nil, err
		}
		o, err := d.properties(depth)
		return ECMAArray(o), err
	case markerStrictArray:
		return d.array(depth)
	case markerDate:
		ms, err := d.number()
		if err == nil {
			_, err = d.take(2) // the time zone, "should be 0"
		}
		return Date(ms), err
	}
	return nil, protocolError(ReasonAMF, "unknown marker 0x%02x", m[0])
}

func (d *decoder) number() (float64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

// text reads a string whose length has size bytes.
func (d *decoder) text(size int) (string, error) {
	b, err := d.take(size)
	if err != nil {
		return "", err
	}
	n := uint64(0)
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	if n > uint64(len(d.b)) {
		return "", errShortAMF
	}
	b, err = d.take(int(n))
	return string(b), err
}

func (d *decoder) properties(depth int) (Object, error) {
	o := Object{}
	for len(d.b) > 0 { // some encoders leave out the end of the last object
		name, err := d.text(2)
		if err != nil {
			return nil, err
		}
		if name == "" && len(d.b) > 0 && d.b[0] == markerObjectEnd {
			d.b = d.b[1:]
			return o, nil
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, Property{name, v})
	}
	return o, nil
}

func (d *decoder) array(depth int) ([]any, error) {
	b, err := d.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(d.left) {
		return nil, protocolError(ReasonAMF, "more than %d values", maxValues)
	}
	a := make([]any, 0, n)
	for range n {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
	return a, nil
}

// AppendAMF0 appends the values to b. A value of a type that DecodeAMF0 does not
// return becomes undefined.
func AppendAMF0(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, markerNull)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, markerNumber), math.Float64bits(v))
		case int:
			b = binary.BigEndian.AppendUint64(append(b, markerNumber), math.Float64bits(float64(v)))
		case bool:
			b = append(b, markerBoolean, 0)
			if v {
				b[len(b)-1] = 1
			}
		case string:
			if len(v) > math.MaxUint16 {
				b = binary.BigEndian.AppendUint32(append(b, markerLongString), uint32(len(v)))
				b = append(b, v...)
			} else {
				b = appendText(append(b, markerString), v)
			}
		case Object:
			b = appendProperties(append(b, markerObject), v)
		case ECMAArray:
			b = binary.BigEndian.AppendUint32(append(b, markerECMAArray), uint32(len(v)))
			b = appendProperties(b, Object(v))
		case []any:
			b = binary.BigEndian.AppendUint32(append(b, markerStrictArray), uint32(len(v)))
			b = AppendAMF0(b, v...)
		case Date:
			b = binary.BigEndian.AppendUint64(append(b, markerDate), math.Float64bits(float64(v)))
			b = append(b, 0, 0)
		default:
			b = append(b, markerUndefined)
		}
	}
	return b
}

func appendProperties(b []byte, o Object) []byte {
	for _, p := range o {
		b = AppendAMF0(appendText(b, p.Name), p.Value)
	}
	return append(b, 0, 0, markerObjectEnd)
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// A command is an AMF0 command message (specification 7.2).
type command struct {
	name        string
	transaction float64
	args        []any // the command object first
}

func parseCommand(m Message) (command, error) {
	v, err := DecodeAMF0(amfPayload(m))
	if err != nil {
		return command{}, err
	}
	if len(v) == 0 {
		return command{}, protocolError(ReasonAMF, "empty command")
	}
	name, ok := v[0].(string)
	if !ok {
		return command{}, protocolError(ReasonAMF, "command without a name")
	}
	c := command{name: name}
	if len(v) > 1 {
		if c.transaction, ok = v[1].(float64); !ok {
			return command{}, protocolError(ReasonAMF, "command without a transaction id")
		}
		c.args = v[2:]
	}
	return c, nil
}

// arg returns argument i, the command object being 0, or nil.
func (c command) arg(i int) any {
	if i < len(c.args) {
		return c.args[i]
	}
	return nil
}

// amfPayload is m's payload as AMF0. Types 15 and 17 are AMF3, but what is in there is
// AMF0 behind a format byte of 0, which may switch to AMF3 for single values.
func amfPayload(m Message) []byte {
	if p := m.Payload; (m.Type == TypeDataAMF3 || m.Type == TypeCommandAMF3) && len(p) > 0 && p[0] == 0 {
		return p[1:]
	}
	return m.Payload
}

// ParseData reads a data message: its name and what comes with it. An @setDataFrame
// before the name, by which encoders ask a server to keep the message, is left out.
func ParseData(m Message) (name string, values []any, err error) {
	v, err := DecodeAMF0(amfPayload(m))
	if err != nil {
		return "", nil, err
	}
	if len(v) > 0 && v[0] == "@setDataFrame" {
		v = v[1:]
	}
	if len(v) == 0 {
		return "", nil, nil
	}
	name, _ = v[0].(string)
	return name, v[1:], nil
}

// Names of data messages.
const (
	DataMetadata = "onMetaData"    // what an encoder says of itself
	DataText     = "onTextData"    // text that belongs to the moment it comes
	DataCaptions = "onCaptionInfo" // closed captions of the picture that comes next
)

// ParseMetadata returns what an encoder says of itself in an onMetaData message; ok is
// false for any other data message.
func ParseMetadata(m Message) (o Object, ok bool, err error) {
	name, values, err := ParseData(m)
	if err != nil || name != DataMetadata || len(values) == 0 {
		return nil, false, err
	}
	return Properties(values[0]), true, nil
}

// Text is the text of an onTextData message, which holds it as a string or as the
// property "text" of an object, as subtitles in FLV do.
func Text(values []any) (text string, ok bool) {
	if len(values) == 0 {
		return "", false
	}
	if text, ok = values[0].(string); ok {
		return text, true
	}
	text, ok = Properties(values[0]).Get("text").(string)
	return text, ok
}

// Captions returns what an onCaptionInfo message of type "708" holds: ATSC user data, as
// it stands in SEI. ok is false for other types, and for what is not in base64.
func Captions(values []any) (userData []byte, ok bool) {
	if len(values) == 0 {
		return nil, false
	}
	o := Properties(values[0])
	if o.String("type") != "708" {
		return nil, false
	}
	userData, err := base64.StdEncoding.DecodeString(o.String("data"))
	return userData, err == nil && len(userData) > 0
}
