package rtmp

import (
	"encoding/binary"
	"math"
)

// AMF0 markers (Action Message Format 0, 2.1).
const (
	amfNumber    = 0
	amfString    = 2
	amfObject    = 3
	amfNull      = 5
	amfObjectEnd = 9
)

func appendString(b []byte, s string) []byte {
	return appendKey(append(b, amfString), s)
}

func appendKey(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func appendNumber(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, amfNumber), math.Float64bits(f))
}

// appendProps appends an object with string properties, given as name, value, ...
func appendProps(b []byte, props ...string) []byte {
	b = append(b, amfObject)
	for i := 0; i+1 < len(props); i += 2 {
		b = appendString(appendKey(b, props[i]), props[i+1])
	}
	return append(b, 0, 0, amfObjectEnd)
}

// A Command is a command message: its name and transaction, and the values after
// them, still encoded.
type Command struct {
	Name        string
	Transaction float64
	Args        []byte
}

// ParseCommand reads the head of a command message.
func ParseCommand(b []byte) (Command, bool) {
	name, b, ok := cutString(b)
	if !ok || len(b) < 9 || b[0] != amfNumber {
		return Command{}, false
	}
	return Command{name, math.Float64frombits(binary.BigEndian.Uint64(b[1:])), b[9:]}, true
}

// Append appends the command.
func (c Command) Append(b []byte) []byte {
	b = appendString(b, c.Name)
	b = appendNumber(b, c.Transaction)
	return append(b, c.Args...)
}

// LastNumber is the number that ends the arguments: the stream id in the answer to
// createStream.
func (c Command) LastNumber() (float64, bool) {
	n := len(c.Args)
	if n < 9 || c.Args[n-9] != amfNumber {
		return 0, false
	}
	return math.Float64frombits(binary.BigEndian.Uint64(c.Args[n-8:])), true
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != amfString {
		return "", nil, false
	}
	n := 3 + int(binary.BigEndian.Uint16(b[1:]))
	if n > len(b) {
		return "", nil, false
	}
	return string(b[3:n]), b[n:], true
}

// Args for commands: a null command object and strings after it.
func Args(s ...string) []byte {
	b := []byte{amfNull}
	for _, v := range s {
		b = appendString(b, v)
	}
	return b
}
