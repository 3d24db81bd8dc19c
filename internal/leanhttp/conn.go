package leanhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// A conn is a connection of ours.
type conn struct {
	server *Server
	net    net.Conn
	once   sync.Once // for shut

	read, written time.Time // deadlines in force; zero is none of ours
}

// small is the buffer of a connection between requests, in bytes: it holds a usual one.
const small = 1 << 10

// serve answers requests until one is not ours, or the connection ends.
func (c *conn) serve(base context.Context) {
	defer c.server.remove(c)
	left := c.requests(base) // which has let go of its memory
	if left == nil {
		_ = c.shut() // there is nobody to tell
		return
	}
	_ = c.net.SetDeadline(time.Time{}) // net/http sets its own
	select {
	case c.server.others <- &handed{Conn: c.net, conn: c, left: left}:
	case <-c.server.stop:
		_ = c.shut() // there is nobody to tell
	}
}

// requests answers requests. It returns what was read of one that is not ours, nil if
// the connection shall end.
func (c *conn) requests(base context.Context) (left []byte) {
	ctx, cancel := context.WithCancel(context.WithValue(base, http.LocalAddrContextKey, c.net.LocalAddr()))
	defer cancel()
	var (
		q = request{header: http.Header{}}
		w = response{conn: c, header: http.Header{}}
		r = (&http.Request{
			Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Body: http.NoBody, RemoteAddr: c.net.RemoteAddr().String(),
		}).WithContext(ctx)
		buf  = make([]byte, small)
		n    int       // bytes in buf
		head time.Time // until when the header may come; zero while none has begun
	)
	for {
		size, v := 0, partial
		if n > 0 {
			size, v = q.parse(buf[:n], c.server.cfg.Match)
		}
		switch v {
		case foreign:
			return buf[:n]
		case partial:
			if n > 0 && head.IsZero() {
				head = time.Now().Add(c.server.cfg.HeadTimeout)
			}
			if n == len(buf) {
				buf = append(buf, make([]byte, len(buf))...) // up to maxHead, where parse ends it
			}
			if !c.await(head) {
				return nil
			}
			k, err := c.net.Read(buf[n:])
			if n += k; err != nil && k == 0 {
				return nil
			}
			continue
		}
		head = time.Time{}
		w.reset(c.server.stopping.Load())
		r.URL, r.Header, r.Host, r.RequestURI = &q.url, q.header, q.host, q.target
		if !c.handle(&w, r) {
			return nil
		}
		n = copy(buf, buf[size:n])
		if len(buf) > small && n <= small {
			buf = append(make([]byte, 0, small), buf[:n]...)[:small]
		}
	}
}

// handle answers one request and reports whether another may follow.
func (c *conn) handle(w *response, r *http.Request) (more bool) {
	defer func() {
		if v := recover(); v != nil {
			more = false
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				c.server.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "panic",
					slog.Any("err", fmt.Errorf("leanhttp: panic: %v", v)), slog.String("stack", string(debug.Stack())))
			}
		}
	}()
	c.server.cfg.Handler.ServeHTTP(w, r)
	return w.finish() == nil && !w.close && w.header["Connection"] == nil
}

// await sets the deadline of the next read: head if it is not zero, else that of an idle
// connection, which is moved seldom. It reports false if the server is stopping.
func (c *conn) await(head time.Time) bool {
	until := head
	if head.IsZero() {
		now, idle := time.Now(), c.server.cfg.IdleTimeout
		if left := c.read.Sub(now); left > idle/2 && left <= idle {
			return !c.server.stopping.Load()
		}
		until = now.Add(idle)
	}
	if !c.read.Equal(until) {
		c.read = until
		_ = c.net.SetReadDeadline(until) // fails with the read
	}
	return !c.server.stopping.Load() // after the deadline was set: Shutdown's is later, or this tells
}

// patience sets the deadline of a write of size bytes. It is moved seldom.
func (c *conn) patience(size int) {
	now, least := time.Now(), c.server.cfg.WriteTimeout
	need := least + time.Duration(size)*time.Second/slowest
	if left := c.written.Sub(now); left >= need && left <= need+least {
		return
	}
	c.written = now.Add(need + least/2)
	_ = c.net.SetWriteDeadline(c.written) // fails with the write
}

// shut closes the connection and gives its slot back.
func (c *conn) shut() (err error) {
	c.once.Do(func() {
		err = c.net.Close()
		c.server.open.Add(-1)
		c.server.release()
	})
	return err
}

// A handed connection is net/http's, beginning with what was read of it.
type handed struct {
	net.Conn
	conn *conn
	left []byte
}

func (h *handed) Read(b []byte) (int, error) {
	if len(h.left) > 0 {
		n := copy(b, h.left)
		if h.left = h.left[n:]; len(h.left) == 0 {
			h.left = nil
		}
		return n, nil
	}
	return h.Conn.Read(b)
}

// CloseWrite lets net/http say goodbye to a client who is still sending.
func (h *handed) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (h *handed) Close() error { return h.conn.shut() }
