package rtmp

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// A conn is a connection whose reads another goroutine can interrupt for good, and
// whose deadlines cost a system timer once in a while and not once a read.
type conn struct {
	net.Conn
	write time.Duration // deadline of one write

	// Of the reading goroutine.
	idle  time.Duration // while above 0, Read moves the deadline on as data comes
	grain time.Duration // how often
	renew time.Time     // when next

	mu          sync.Mutex // guards interrupted and changes of Conn, and orders both with read deadlines
	interrupted bool
}

// within sets a deadline for the next phase of reading.
func (c *conn) within(d time.Duration) error { return c.readUntil(time.Now().Add(d)) }

// whileActive ends reading after d without data, d and d/32 at most.
func (c *conn) whileActive(d time.Duration) error {
	c.idle, c.grain = d, d/32
	return c.extend(time.Now())
}

func (c *conn) extend(now time.Time) error {
	c.renew = now.Add(c.grain)
	return c.readUntil(now.Add(c.idle + c.grain))
}

func (c *conn) readUntil(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		return nil // the deadline has passed and stays so
	}
	return c.SetReadDeadline(t)
}

// interrupt makes the read under way and all later ones time out.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.SetReadDeadline(time.Unix(1, 0)) // fails only when closed, which will do
}

// startTLS puts tc, a TLS connection over c.Conn, in its place.
func (c *conn) startTLS(ctx context.Context, tc *tls.Conn) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return err
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Conn = tc
	return nil
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.idle > 0 {
		if now := time.Now(); now.After(c.renew) {
			if err := c.extend(now); err != nil {
				return n, err
			}
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// linger lets the peer read what was written: a connection closed with data unread is
// reset, and the reset overtakes the answer. It returns when the peer has closed its
// side, or after d.
func (c *conn) linger(d time.Duration) {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return
	}
	var sink [4096]byte
	for {
		if _, err := c.Conn.Read(sink[:]); err != nil {
			return
		}
	}
}
