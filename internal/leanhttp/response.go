package leanhttp

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// held is how much of a body of unknown length waits for the handler to return, so that
// the answer can say its length, in bytes: as much as net/http's.
const held = 2 << 10

// errLength is a handler that wrote more than the Content-Length it said.
var errLength = http.ErrContentLength

// A response is the memory of one, used again for the next of its connection.
type response struct {
	conn   *conn
	header http.Header
	close  bool // the connection ends with this answer

	status  int   // 0 before WriteHeader
	length  int64 // of the body as the handler said it; -1 when it did not
	written int64 // bytes of the body so far
	body    bool  // the status allows one
	sent    bool  // the header is out
	chunked bool
	failed  error  // of a write: nothing more can be sent
	wait    []byte // body that waits for its length; nil when there is none

	head []byte // scratch: the header
	size []byte // scratch: the size of a chunk
	vec  [4][]byte
	bufs net.Buffers // vec as it is written
}

func (w *response) reset(end bool) {
	clear(w.header)
	w.close, w.status, w.length, w.written, w.body, w.sent, w.chunked, w.failed = end, 0, -1, 0, true, false, false, nil
	w.wait = w.wait[:0]
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // informational answers are for those who asked for one
		return
	}
	w.status = status
	if w.body = status != http.StatusNoContent && status != http.StatusNotModified; !w.body {
		delete(w.header, "Content-Length")
		delete(w.header, "Transfer-Encoding")
		if status == http.StatusNotModified {
			delete(w.header, "Content-Type")
		}
		return
	}
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
			return
		}
	}
	delete(w.header, "Content-Length")
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.body {
		return 0, http.ErrBodyNotAllowed
	}
	if w.failed != nil || len(b) == 0 {
		return 0, w.failed
	}
	if w.length >= 0 && w.written+int64(len(b)) > w.length {
		return 0, errLength
	}
	w.written += int64(len(b))
	switch {
	case w.length >= 0:
		return w.send(b)
	case !w.chunked && len(w.wait)+len(b) <= held:
		w.wait = append(w.wait, b...)
		return len(b), nil
	}
	if err := w.startChunks(); err != nil {
		return 0, err
	}
	return w.chunk(b)
}

// startChunks sends what waits: the length of the body will not be known in time.
func (w *response) startChunks() error {
	if w.chunked {
		return nil
	}
	w.chunked = true
	if len(w.wait) == 0 {
		return nil
	}
	_, err := w.chunk(w.wait)
	w.wait = w.wait[:0]
	return err
}

func (w *response) chunk(b []byte) (int, error) {
	w.size = append(strconv.AppendInt(w.size[:0], int64(len(b)), 16), "\r\n"...)
	n, err := w.send(w.size, b, crlf)
	return max(0, min(n-len(w.size), len(b))), err
}

var crlf = []byte("\r\n")

// send writes pieces after the header, if that is not out yet, in one call of the system.
// It returns how many bytes of the pieces were written.
func (w *response) send(pieces ...[]byte) (int, error) {
	if w.failed != nil {
		return 0, w.failed
	}
	v, total := w.vec[:0], 0
	if !w.sent {
		var first []byte
		if len(pieces) > 0 {
			first = pieces[len(pieces)/2] // a chunk's is between its size and its end
		}
		w.appendHead(first)
		v, w.sent, total = append(v, w.head), true, len(w.head)
	}
	for _, p := range pieces {
		v, total = append(v, p), total+len(p)
	}
	w.conn.patience(total)
	var (
		n   int64
		err error
	)
	if w.bufs = net.Buffers(v); len(v) == 1 {
		var k int
		k, err = w.conn.net.Write(v[0])
		n = int64(k)
	} else {
		n, err = w.bufs.WriteTo(w.conn.net)
	}
	clear(w.vec[:])
	w.failed = err
	return max(0, int(n)-(total-sum(pieces))), err
}

func sum(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// Flush sends what the handler has written so far.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.body && w.length < 0 {
		if err := w.startChunks(); err != nil {
			return err
		}
	}
	if !w.sent {
		_, _ = w.send() // which keeps its error
	}
	return w.failed
}

// SetWriteDeadline is for http.ResponseController. It holds for this answer.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.conn.written = time.Time{} // not ours any more
	return w.conn.net.SetWriteDeadline(t)
}

// errShort is a handler that wrote less than the Content-Length it said.
var errShort = errors.New("leanhttp: the answer is shorter than its length")

// finish completes the answer after its handler returned.
func (w *response) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case !w.body:
	case w.chunked:
		if w.failed == nil && w.sent {
			_, _ = w.send(lastChunk)
		}
		return w.failed
	case w.length < 0:
		w.length = int64(len(w.wait))
		w.header["Content-Length"] = []string{strconv.FormatInt(w.length, 10)}
		if len(w.wait) > 0 {
			_, err := w.send(w.wait)
			return err
		}
	case w.written < w.length:
		w.failed = errors.Join(w.failed, errShort)
		return w.failed
	}
	if !w.sent {
		_, _ = w.send()
	}
	return w.failed
}

var lastChunk = []byte("0\r\n\r\n")

// appendHead makes the status line and the header. first is what the body begins with.
func (w *response) appendHead(first []byte) {
	w.close = w.close || w.conn.server.stopping.Load()
	b := append(w.head[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(w.status)...)
	b = append(b, "\r\n"...)
	for k, vs := range w.header {
		for _, v := range vs {
			b = append(b, k...)
			b = append(b, ": "...)
			at := len(b)
			b = append(b, v...)
			if strings.IndexByte(v, '\n') >= 0 || strings.IndexByte(v, '\r') >= 0 { // an answer is not ours to split
				for i := at; i < len(b); i++ {
					if b[i] == '\r' || b[i] == '\n' {
						b[i] = ' '
					}
				}
			}
			b = append(b, "\r\n"...)
		}
	}
	if w.body && len(first) > 0 && w.header["Content-Type"] == nil && w.header["Content-Encoding"] == nil {
		b = append(b, "Content-Type: "...)
		b = append(b, http.DetectContentType(first)...)
		b = append(b, "\r\n"...)
	}
	if w.header["Date"] == nil {
		b = append(b, "Date: "...)
		b = append(b, w.conn.server.clock.now()...)
		b = append(b, "\r\n"...)
	}
	if w.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if w.close && w.header["Connection"] == nil {
		b = append(b, "Connection: close\r\n"...)
	}
	w.head = append(b, "\r\n"...)
}

// A clock writes the time as the header field Date wants it, once a second.
type clock struct{ at atomic.Pointer[second] }

type second struct {
	unix int64
	text string
}

func (c *clock) now() string {
	now := time.Now()
	if s := c.at.Load(); s != nil && s.unix == now.Unix() {
		return s.text
	}
	s := &second{now.Unix(), now.UTC().Format(http.TimeFormat)}
	c.at.Store(s)
	return s.text
}
