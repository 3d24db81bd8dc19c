package leanhttp

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// Bounds of what is taken. What is larger goes to net/http, which has its own.
const (
	maxHead   = 8 << 10 // bytes of a request line and header
	maxFields = 64
)

// A verdict is what is known of the bytes of a request.
type verdict int

const (
	partial verdict = iota // of a request that may become one of ours
	ours
	foreign // whatever it is, net/http shall say
)

// A request is the memory of one, used again for the next of its connection.
type request struct {
	url    url.URL
	header http.Header
	values [maxFields]string // those of header
	host   string
	target string // as in the request line
}

// parse reads the request at the start of b and returns its size if it is ours. All that
// it keeps is in one new string.
func (q *request) parse(b []byte, match func(path string) bool) (size int, _ verdict) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) >= maxHead || !bytes.HasPrefix(b, []byte("GET /")[:min(len(b), 5)]) || bareLF(b) {
			return 0, foreign
		}
		return 0, partial
	}
	if end > maxHead {
		return 0, foreign
	}
	line, rest, _ := strings.Cut(string(b[:end+2]), "\r\n")
	if !q.line(line) || !match(q.url.Path) || !q.fields(rest) {
		return 0, foreign
	}
	return end + 4, ours
}

// bareLF reports whether some line ends without CR, as net/http lets it: so the request
// may have ended already.
func bareLF(b []byte) bool {
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			return true
		}
	}
	return false
}

// line reads a request line.
func (q *request) line(s string) bool {
	target, ok := strings.CutPrefix(s, "GET ")
	if !ok {
		return false
	}
	if target, ok = strings.CutSuffix(target, " HTTP/1.1"); !ok {
		return false
	}
	path, query, asked := strings.Cut(target, "?")
	if path == "" || path[0] != '/' || !all(path, inPath) || asked && query == "" || !all(query, inQuery) {
		return false
	}
	q.target, q.url = target, url.URL{Path: path, RawQuery: query}
	return true
}

// fields reads header fields, each with its CRLF.
func (q *request) fields(s string) bool {
	clear(q.header)
	q.host = ""
	for n := 0; s != ""; n++ {
		var line string
		line, s, _ = strings.Cut(s, "\r\n")
		name, v, ok := strings.Cut(line, ":")
		v = strings.Trim(v, " \t")
		if !ok || n == maxFields || name == "" || !all(name, inName) || !all(v, inValue) {
			return false
		}
		switch key := http.CanonicalHeaderKey(name); key {
		case "Host":
			if q.host != "" || v == "" || !all(v, inHost) {
				return false
			}
			q.host = v
		case "Connection":
			if !strings.EqualFold(v, "keep-alive") || q.header[key] != nil {
				return false
			}
			q.add(key, v, n)
		case "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Te", "Trailer", "Http2-Settings", "Pragma":
			return false // a body, another protocol, or a meaning of its own
		default:
			q.add(key, v, n)
		}
	}
	return q.host != ""
}

// add adds a header field, the one of number n.
func (q *request) add(key, v string, n int) {
	if before := q.header[key]; before != nil {
		q.header[key] = append(before, v) // whose capacity is 1: others' values stay
		return
	}
	q.values[n] = v
	q.header[key] = q.values[n : n+1 : n+1]
}

// Classes of characters. They are narrower than the protocol's: what is rare is left to
// others.
const (
	inName = 1 << iota
	inValue
	inPath
	inQuery
	inHost
)

// classes says to which classes each byte belongs.
var classes = func() (t [256]uint8) {
	mark := func(class uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(inName, alphanumeric+"-_")
	mark(inPath, alphanumeric+"-._~/")
	mark(inQuery, alphanumeric+"-._~/!$&'()*+,;=:@?%")
	mark(inHost, alphanumeric+"-._:[]")
	mark(inValue, "\t")
	for c := byte(' '); c <= '~'; c++ {
		t[c] |= inValue
	}
	return t
}()

func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}
