//go:build linux

package h1

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/evloop"
)

const (
	// worthDiscarding is the least a body must have left for the kernel to drop it.
	worthDiscarding = 2048
	// maxCollect bounds a body that is kept, in bytes.
	maxCollect = 8 << 20
)

// Client is one keep-alive connection with at most one request in flight. It belongs
// to the goroutine of its loop.
type Client struct {
	Loop   *evloop.Loop
	Addr   netip.AddrPort
	Host   string
	Header string // more request header lines, each with its CRLF

	RequestAt time.Time // when the request in flight, or the last one, was sent
	FirstAt   time.Time // when the first byte of its response arrived
	Dials     int       // connections made
	Bytes     int64     // received, headers included

	conn   *evloop.Conn
	reused bool // conn has served a response
	parser Parser
	busy   bool
	cur    Request
	body   []byte
	out    []byte
}

// Request is what to ask for and what to do with the response.
type Request struct {
	Path    string
	Header  string                        // more header lines for this request
	Collect bool                          // keep the body for Done,
	Stream  func(b []byte, now time.Time) // or see it piece by piece; else it is dropped
	Done    func(c *Client, err error)    // Status and Body are valid during the call
	Follow  int                           // redirects left
}

// Status of the finished response.
func (c *Client) Status() int { return c.parser.Status }

// Body of the finished response, if Collect was set.
func (c *Client) Body() []byte { return c.body }

// Gzip reports that the body is compressed.
func (c *Client) Gzip() bool { return c.parser.Gzip }

// Path is the path that was finally requested.
func (c *Client) Path() string { return c.cur.Path }

// Busy reports whether a request is in flight.
func (c *Client) Busy() bool { return c.busy }

// Shutdown closes the connection; a request in flight is forgotten.
func (c *Client) Shutdown() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	c.busy = false
}

// Get sends a request.
func (c *Client) Get(r Request) {
	c.cur, c.busy = r, true
	c.RequestAt = time.Now()
	c.send()
}

func (c *Client) send() {
	if c.conn == nil {
		conn, err := c.Loop.Dial(c.Addr, c)
		if err != nil {
			c.finish(err)
			return
		}
		c.conn, c.reused = conn, false
		c.Dials++
	}
	c.parser.Reset()
	c.body = c.body[:0]
	switch {
	case c.cur.Collect:
		c.parser.Body = c.collect
	case c.cur.Stream != nil:
		c.parser.Body = func(b []byte) { c.cur.Stream(b, time.Now()) }
	default:
		c.parser.Body = nil
	}
	b := append(c.out[:0], "GET "...)
	b = append(b, c.cur.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.Host...)
	b = append(b, "\r\nUser-Agent: hlsload\r\nAccept: */*\r\n"...)
	b = append(b, c.Header...)
	b = append(b, c.cur.Header...)
	c.out = append(b, "\r\n"...)
	c.FirstAt = time.Time{}
	if err := c.conn.Write(c.out); err != nil {
		c.drop()
		c.finish(err)
	}
}

func (c *Client) drop() {
	c.conn.Close()
	c.conn = nil
}

func (c *Client) collect(b []byte) {
	c.body = append(c.body, b[:min(len(b), maxCollect-len(c.body))]...)
}

// Data implements evloop.Handler.
func (c *Client) Data(b []byte) {
	c.Bytes += int64(len(b))
	if !c.busy { // nobody asked
		c.drop()
		return
	}
	if c.FirstAt.IsZero() {
		c.FirstAt = time.Now()
	}
	if err := c.parser.Feed(b); err != nil {
		c.drop()
		c.finish(err)
		return
	}
	c.progress()
}

// Discarded implements evloop.Handler.
func (c *Client) Discarded(n int) {
	c.Bytes += int64(n)
	if !c.busy { // forgotten by Shutdown, which also closes: cannot happen
		return
	}
	c.parser.Skip(n)
	c.progress()
}

func (c *Client) progress() {
	if c.parser.Done() {
		c.reused = true
		if c.parser.Close {
			c.drop()
		}
		c.finish(nil)
		return
	}
	if n := c.parser.Discardable(); c.parser.Body == nil && n >= worthDiscarding {
		c.conn.Discard(int(min(n, 1<<30)))
	}
}

// Closed implements evloop.Handler.
func (c *Client) Closed(err error) {
	c.conn = nil
	switch {
	case !c.busy:
	case c.parser.UntilClose():
		c.finish(nil)
	case c.reused && !c.parser.Started(): // the server closed an idle connection as we asked
		c.send()
	default:
		c.finish(err)
	}
}

func (c *Client) finish(err error) {
	if err == nil && c.parser.Status/100 == 3 && c.parser.Location != "" {
		if c.cur.Follow > 0 {
			c.cur.Follow--
			c.cur.Path = Resolve(c.cur.Path, c.parser.Location)
			c.send()
			return
		}
		err = errors.New("h1: too many redirects")
	}
	c.busy = false
	c.cur.Done(c, err)
}
