package restjson

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A path says where in a document a value stands: viewerSessions[2].channelArn.
type path []segment

type segment struct {
	name  string
	index int // counts when list
	list  bool
}

func (p path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.list:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// join is the path of the member name of the object at p.
func (p path) join(name string) string {
	if len(p) == 0 {
		return name
	}
	return p.String() + "." + name
}

// maxEcho bounds what a message repeats of the caller's input, in bytes.
const maxEcho = 128

// clip shortens s to what a message may repeat.
func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	n := maxEcho
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
