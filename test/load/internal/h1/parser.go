// Package h1 is an incremental HTTP/1.1 response parser, and a keep-alive client for
// package evloop that can let the kernel drop bodies nobody reads.
package h1

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

const (
	maxHeader = 64 << 10 // bytes of a response header
	maxLine   = 4 << 10  // bytes of a chunk size or trailer line
)

type state int

const (
	inHeader state = iota
	inFixed        // a body of known length
	inChunkSize
	inChunk
	afterChunk
	inTrailer
	untilClose // the body ends with the connection
	done
)

// Parser parses one response at a time. The zero value is ready.
type Parser struct {
	Status   int
	Location string
	Gzip     bool           // the body is compressed
	Close    bool           // the connection ends with this response
	Body     func(b []byte) // gets the body, without transfer coding; may be nil
	BodyLen  int64          // bytes of body so far

	state  state
	remain int64 // bytes of the body or chunk
	line   []byte
}

// Reset readies the parser for the next response; Body stays.
func (p *Parser) Reset() { *p = Parser{Body: p.Body, line: p.line[:0]} }

// Done reports that a whole response was parsed.
func (p *Parser) Done() bool { return p.state == done }

// Started reports that at least one byte of the response arrived.
func (p *Parser) Started() bool { return p.state != inHeader || len(p.line) > 0 }

// UntilClose reports that the end of the connection is the end of the body.
func (p *Parser) UntilClose() bool { return p.state == untilClose }

// Discardable is how many of the bytes to come are certainly body.
func (p *Parser) Discardable() int64 {
	if p.state == inFixed || p.state == inChunk {
		return p.remain
	}
	return 0
}

// Skip accounts for n bytes of body, at most Discardable, that were dropped elsewhere.
func (p *Parser) Skip(n int) {
	p.remain -= int64(n)
	p.BodyLen += int64(n)
	if p.remain == 0 {
		if p.state == inFixed {
			p.state = done
		} else {
			p.state = afterChunk
		}
	}
}

// Feed consumes b. Bytes after the end of the response are an error.
func (p *Parser) Feed(b []byte) error {
	for len(b) > 0 {
		var err error
		switch p.state {
		case inHeader:
			b, err = p.feedHeader(b)
		case inFixed, inChunk:
			n := int(min(int64(len(b)), p.remain))
			p.body(b[:n])
			b = b[n:]
			p.Skip(n)
		case inChunkSize, inTrailer:
			b, err = p.feedLine(b)
		case afterChunk:
			if b[0] == '\n' {
				p.state = inChunkSize
			} else if b[0] != '\r' {
				err = errors.New("h1: no line end after a chunk")
			}
			b = b[1:]
		case untilClose:
			p.body(b)
			p.BodyLen += int64(len(b))
			return nil
		case done:
			return errors.New("h1: bytes after the response")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Parser) body(b []byte) {
	if p.Body != nil {
		p.Body(b)
	}
}

func (p *Parser) feedHeader(b []byte) (rest []byte, err error) {
	had := len(p.line)
	p.line = append(p.line, b...)
	from := max(0, had-3)
	i := bytes.Index(p.line[from:], []byte("\r\n\r\n"))
	if i < 0 {
		if len(p.line) > maxHeader {
			return nil, errors.New("h1: header too long")
		}
		return nil, nil
	}
	end := from + i + 4
	rest = b[end-had:]
	err = p.header(string(p.line[:end-4]))
	p.line = p.line[:0]
	return rest, err
}

// feedLine takes a line of the chunked coding (RFC 9112 7.1).
func (p *Parser) feedLine(b []byte) (rest []byte, err error) {
	part, rest, whole := bytes.Cut(b, []byte("\n"))
	p.line = append(p.line, part...)
	if len(p.line) > maxLine {
		return nil, errors.New("h1: chunk line too long")
	}
	if !whole {
		return nil, nil
	}
	line := bytes.TrimSpace(p.line)
	p.line = p.line[:0]
	if p.state == inTrailer {
		if len(line) == 0 {
			p.state = done
		}
		return rest, nil
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 62)
	if err != nil {
		return nil, errors.New("h1: bad chunk size")
	}
	if n == 0 {
		p.state = inTrailer
	} else {
		p.remain, p.state = int64(n), inChunk
	}
	return rest, nil
}

func (p *Parser) header(h string) error {
	status, fields, _ := strings.Cut(h, "\r\n")
	proto, code, _ := strings.Cut(status, " ")
	code, _, _ = strings.Cut(code, " ")
	n, err := strconv.Atoi(code)
	if err != nil || n < 100 || n > 999 || !strings.HasPrefix(proto, "HTTP/1.") {
		return errors.New("h1: bad status line")
	}
	p.Status, p.Close = n, proto == "HTTP/1.0"
	length, chunked := int64(-1), false
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch len(name) { // before the costlier comparison
		case len("Content-Length"):
			if strings.EqualFold(name, "Content-Length") {
				if length, err = strconv.ParseInt(value, 10, 64); err != nil || length < 0 {
					return errors.New("h1: bad Content-Length")
				}
			}
		case len("Content-Encoding"):
			if strings.EqualFold(name, "Content-Encoding") {
				p.Gzip = strings.EqualFold(value, "gzip")
			}
		case len("Transfer-Encoding"):
			if strings.EqualFold(name, "Transfer-Encoding") {
				chunked = strings.EqualFold(value, "chunked")
			}
		case len("Location"):
			if strings.EqualFold(name, "Location") {
				p.Location = value
			}
		case len("Connection"):
			if strings.EqualFold(name, "Connection") {
				p.Close = strings.EqualFold(value, "close") || p.Close && !strings.EqualFold(value, "keep-alive")
			}
		}
	}
	switch {
	case n/100 == 1:
		p.Reset() // an interim response: the real one follows
	case n == 204 || n == 304 || !chunked && length == 0:
		p.state = done
	case chunked:
		p.state = inChunkSize
	case length > 0:
		p.remain, p.state = length, inFixed
	default:
		p.state, p.Close = untilClose, true
	}
	return nil
}

// Resolve resolves a URI reference against the path of a request. The host of an
// absolute reference is dropped: a viewer talks to one server.
func Resolve(base, ref string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(ref, scheme); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				return rest[i:]
			}
			return "/"
		}
	}
	if strings.HasPrefix(ref, "/") {
		return ref
	}
	base, _, _ = strings.Cut(base, "?")
	base = base[:strings.LastIndexByte(base, '/')+1]
	for { // relative references of playlists in a folder beside this one
		rest, up := strings.CutPrefix(ref, "../")
		if !up {
			break
		}
		ref = rest
		base = base[:strings.LastIndexByte(strings.TrimSuffix(base, "/"), '/')+1]
	}
	if base == "" {
		base = "/"
	}
	return base + strings.TrimPrefix(ref, "./")
}
