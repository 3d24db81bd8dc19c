package rtmp

// AMF3 markers (AMF 3 specification 3.1). Those above, vectors and dictionaries, no
// encoder has a use for.
const (
	marker3Undefined = 0x00
	marker3Null      = 0x01
	marker3False     = 0x02
	marker3True      = 0x03
	marker3Integer   = 0x04
	marker3Double    = 0x05
	marker3String    = 0x06
	marker3XMLDoc    = 0x07
	marker3Date      = 0x08
	marker3Array     = 0x09
	marker3Object    = 0x0a
	marker3XML       = 0x0b
	marker3ByteArray = 0x0c
)

// A decoder3 reads one AMF3 value, which AMF0 switches to by a marker. Values become
// what they are in AMF0. A reference to an object becomes Undefined, as there: a few
// bytes of references could stand for a tree that never ends.
type decoder3 struct {
	*decoder
	strings []string
	traits  []traits
}

// traits are the shape of an AMF3 object.
type traits struct {
	names   []string
	dynamic bool
}

func (d *decoder3) value(depth int) (any, error) {
	if d.left--; d.left < 0 {
		return nil, protocolError(ReasonAMF, "more than %d values", maxValues)
	}
	if depth > maxDepth {
		return nil, protocolError(ReasonAMF, "deeper than %d", maxDepth)
	}
	m, err := d.take(1)
	if err != nil {
		return nil, err
	}
	switch m[0] {
	case marker3Undefined:
		return Undefined{}, nil
	case marker3Null:
		return nil, nil
	case marker3False, marker3True:
		return m[0] == marker3True, nil
	case marker3Integer:
		n, err := d.u29()
		return float64(int32(n<<3) >> 3), err
	case marker3Double:
		return d.number()
	case marker3String:
		return d.string3()
	case marker3XMLDoc, marker3XML:
		n, old, err := d.head()
		if old || err != nil {
			return Undefined{}, err
		}
		b, err := d.take(int(n))
		return string(b), err
	case marker3ByteArray:
		n, old, err := d.head()
		if !old && err == nil {
			_, err = d.take(int(n))
		}
		return Undefined{}, err
	case marker3Date:
		return d.date3()
	case marker3Array:
		return d.array3(depth)
	case marker3Object:
		return d.object3(depth)
	}
	return nil, protocolError(ReasonAMF, "unknown AMF3 marker 0x%02x", m[0])
}

// u29 reads an integer of up to 29 bits in one to four bytes.
func (d *decoder3) u29() (uint32, error) {
	n := uint32(0)
	for i := range 4 {
		b, err := d.take(1)
		if err != nil {
			return 0, err
		}
		if i == 3 {
			return n<<8 | uint32(b[0]), nil
		}
		n = n<<7 | uint32(b[0]&0x7f)
		if b[0] < 0x80 {
			break
		}
	}
	return n, nil
}

var errReference = &ProtocolError{ReasonAMF, "reference to nothing"}

func (d *decoder3) string3() (string, error) {
	n, err := d.u29()
	switch {
	case err != nil:
		return "", err
	case n&1 == 0:
		if i := int(n >> 1); i < len(d.strings) {
			return d.strings[i], nil
		}
		return "", errReference
	}
	b, err := d.take(int(n >> 1))
	if err == nil && len(b) > 0 { // the empty string has no reference
		d.strings = append(d.strings, string(b))
	}
	return string(b), err
}

// head reads what begins every value that can be referred to: that it is only such a
// reference, or what the value itself begins with.
func (d *decoder3) head() (n uint32, reference bool, err error) {
	n, err = d.u29()
	return n >> 1, n&1 == 0, err
}

func (d *decoder3) date3() (any, error) {
	_, old, err := d.head()
	if old || err != nil {
		return Undefined{}, err
	}
	ms, err := d.number()
	return Date(ms), err
}

// array3 reads an array: its named part first, then as many values as head said. One
// with a named part becomes that.
func (d *decoder3) array3(depth int) (any, error) {
	n, old, err := d.head()
	if old || err != nil {
		return Undefined{}, err
	}
	named, err := d.dynamic(depth)
	if err != nil {
		return nil, err
	}
	if int(n) > d.left {
		return nil, protocolError(ReasonAMF, "more than %d values", maxValues)
	}
	dense := make([]any, 0, n)
	for range n {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		dense = append(dense, v)
	}
	if len(named) > 0 {
		return ECMAArray(named), nil
	}
	return dense, nil
}

// dynamic reads named values up to the empty name.
func (d *decoder3) dynamic(depth int) (Object, error) {
	var o Object
	for {
		name, err := d.string3()
		if name == "" || err != nil {
			return o, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, Property{name, v})
	}
}

func (d *decoder3) object3(depth int) (any, error) {
	n, old, err := d.head()
	if old || err != nil {
		return Undefined{}, err
	}
	t, err := d.traitsOf(n)
	if err != nil {
		return nil, err
	}
	o := Object{}
	for _, name := range t.names {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, Property{name, v})
	}
	if t.dynamic {
		more, err := d.dynamic(depth)
		if err != nil {
			return nil, err
		}
		o = append(o, more...)
	}
	return o, nil
}

// traitsOf reads the traits of an object that begins with n, or finds those it refers to.
func (d *decoder3) traitsOf(n uint32) (traits, error) {
	switch {
	case n&1 == 0:
		if i := int(n >> 1); i < len(d.traits) {
			return d.traits[i], nil
		}
		return traits{}, errReference
	case n&2 != 0:
		return traits{}, protocolError(ReasonAMF, "an externalizable object")
	}
	t := traits{dynamic: n&4 != 0}
	if _, err := d.string3(); err != nil { // the class name
		return traits{}, err
	}
	names := int(n >> 3)
	if names > d.left {
		return traits{}, protocolError(ReasonAMF, "more than %d values", maxValues)
	}
	for range names {
		name, err := d.string3()
		if err != nil {
			return traits{}, err
		}
		t.names = append(t.names, name)
	}
	d.traits = append(d.traits, t)
	return t, nil
}
