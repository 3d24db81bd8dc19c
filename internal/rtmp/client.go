package rtmp

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// ClientConfig is how a Client presents itself. The zero value is like OBS.
type ClientConfig struct {
	TLS       *tls.Config // for rtmps URLs; nil trusts the system's roots
	ChunkSize int         // bytes; 0 means 4096
	FlashVer  string      // "" means what OBS says
	Digest    bool        // the digest handshake of Flash and FMLE
}

// A Client publishes one stream. One goroutine may write while another is in Wait.
type Client struct {
	conn   net.Conn
	r      *Reader
	w      *Writer
	key    string
	stream uint32
	calls  float64 // transaction id of the last command
}

// Dial connects to rtmp[s]://host[:port]/app/key and asks to publish. ctx bounds this
// and nothing later. A server's refusal is a *StatusError.
func Dial(ctx context.Context, rawURL string, cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("rtmp: the URL cannot be parsed") // err repeats it, with the key
	}
	port := map[string]string{"rtmp": "1935", "rtmps": "443"}[u.Scheme]
	if port == "" {
		return nil, fmt.Errorf("rtmp: scheme %q is neither rtmp nor rtmps", u.Scheme)
	}
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rtmp: %w", err)
	}
	if u.Scheme == "rtmps" {
		tc := cfg.TLS.Clone()
		if tc == nil {
			tc = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		tc.ServerName = cmp.Or(tc.ServerName, u.Hostname())
		conn = tls.Client(conn, tc)
	}
	c, err := NewClient(ctx, conn, rawURL, cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// NewClient is Dial over a connection that exists. It does not close conn on failure.
func NewClient(ctx context.Context, conn net.Conn, rawURL string, cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("rtmp: the URL cannot be parsed")
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("rtmp: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })

	br := bufio.NewReader(conn)
	c := &Client{
		conn: conn, w: NewWriter(conn),
		r: NewReader(br, Limits{Other: maxCommand, Buffered: maxBuffered}),
	}
	if err := dialHandshake(br, conn, cfg.Digest); err != nil {
		stop()
		return nil, err
	}
	app, name := splitPath(u)
	err = c.publish(u.Scheme+"://"+u.Host+"/"+app, app, name, cfg)
	if !stop() {
		return nil, fmt.Errorf("rtmp: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("rtmp: %w", err)
	}
	return c, nil
}

// splitPath cuts a URL into application and name as OBS does: at the last slash.
func splitPath(u *url.URL) (app, name string) {
	path := strings.TrimPrefix(u.Path, "/")
	app, name, found := path, "", false
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		app, name, found = path[:i], path[i+1:], true
	}
	switch {
	case u.RawQuery == "":
	case found:
		name += "?" + u.RawQuery
	default:
		app += "?" + u.RawQuery
	}
	return app, name
}

// publish sends what OBS sends, in its order, and waits for the answers.
func (c *Client) publish(tcURL, app, name string, cfg ClientConfig) error {
	c.key = name
	c.w.SetChunkSize(cmp.Or(cfg.ChunkSize, 4096))
	id := c.call(0, "connect", Object{
		{"app", app},
		{"type", "nonprivate"},
		{"flashVer", cmp.Or(cfg.FlashVer, "FMLE/3.0 (compatible; FMSc/1.0)")},
		{"swfUrl", tcURL},
		{"tcUrl", tcURL},
	})
	if _, err := c.result(id); err != nil {
		return err
	}
	c.call(0, "releaseStream", nil, name)
	c.call(0, "FCPublish", nil, name)
	v, err := c.result(c.call(0, "createStream", nil))
	if err != nil {
		return err
	}
	stream, ok := v.(float64)
	if !ok || stream < 1 || stream > 1<<31 {
		return protocolError(ReasonAMF, "createStream gave no stream id")
	}
	c.stream = uint32(stream)
	c.call(c.stream, "publish", nil, name, "live")
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	for {
		s, err := c.readStatus()
		if err != nil {
			return err
		}
		if s.Code == codePublishStart {
			return nil
		}
		if s.Level == "error" {
			return s
		}
	}
}

// call queues a command and returns its transaction id.
func (c *Client) call(stream uint32, name string, args ...any) float64 {
	c.calls++
	p := AppendAMF0(AppendAMF0(nil, name, c.calls), args...)
	c.w.Append(chunkCommand, Message{Type: TypeCommand, Stream: stream, Payload: p})
	return c.calls
}

// result sends what is queued and waits for the answer to the command id.
func (c *Client) result(id float64) (any, error) {
	if err := c.w.Flush(); err != nil {
		return nil, fmt.Errorf("rtmp: %w", err)
	}
	for {
		cmd, err := c.readCommand()
		switch {
		case err != nil:
			return nil, err
		case cmd.transaction != id:
		case cmd.name == "_result":
			return cmd.arg(1), nil
		case cmd.name == "_error":
			return nil, statusError(cmd)
		}
	}
}

func (c *Client) readCommand() (command, error) {
	for {
		m, err := c.r.ReadMessage()
		if err != nil {
			return command{}, fmt.Errorf("rtmp: read: %w", err)
		}
		if m.Type == TypeCommand {
			return parseCommand(m)
		}
	}
}

func (c *Client) readStatus() (*StatusError, error) {
	for {
		cmd, err := c.readCommand()
		if err != nil {
			return nil, err
		}
		if cmd.name == "onStatus" {
			return statusError(cmd), nil
		}
	}
}

func statusError(cmd command) *StatusError {
	o := Properties(cmd.arg(1))
	return &StatusError{Level: o.String("level"), Code: o.String("code"), Description: o.String("description")}
}

// Wait reads what the server says until it ends the stream, which it returns as a
// *StatusError, or closes the connection.
func (c *Client) Wait() error {
	for {
		s, err := c.readStatus()
		if err != nil {
			return err
		}
		if s.Level == "error" || s.Code == CodeUnpublished || s.Code == CodeConnectClosed {
			return s
		}
	}
}

// WriteMetadata sends onMetaData.
func (c *Client) WriteMetadata(o Object) error {
	p := AppendAMF0(nil, "@setDataFrame", "onMetaData", ECMAArray(o))
	return c.write(chunkData, Message{Type: TypeData, Stream: c.stream, Payload: p})
}

// WriteText sends onTextData; ts is in ms.
func (c *Client) WriteText(ts uint32, text string) error {
	p := AppendAMF0(nil, DataText, ECMAArray{{"type", "Text"}, {"text", text}})
	return c.write(chunkData, Message{Type: TypeData, Stream: c.stream, Timestamp: int64(ts), Payload: p})
}

// WriteCaptions sends onCaptionInfo with ATSC user data; ts is in ms.
func (c *Client) WriteCaptions(ts uint32, userData []byte) error {
	p := AppendAMF0(nil, DataCaptions, ECMAArray{{"type", "708"}, {"data", base64.StdEncoding.EncodeToString(userData)}})
	return c.write(chunkData, Message{Type: TypeData, Stream: c.stream, Timestamp: int64(ts), Payload: p})
}

// WriteVideo sends the body of an FLV video tag; ts is its DTS in ms.
func (c *Client) WriteVideo(ts uint32, body []byte) error {
	return c.write(chunkVideo, Message{Type: TypeVideo, Stream: c.stream, Timestamp: int64(ts), Payload: body})
}

// WriteAudio sends the body of an FLV audio tag; ts is in ms.
func (c *Client) WriteAudio(ts uint32, body []byte) error {
	return c.write(chunkAudio, Message{Type: TypeAudio, Stream: c.stream, Timestamp: int64(ts), Payload: body})
}

func (c *Client) write(id uint8, m Message) error {
	c.w.Append(id, m)
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	return nil
}

// Close says goodbye and closes the connection.
func (c *Client) Close() error {
	c.call(0, "FCUnpublish", nil, c.key)
	c.call(0, "deleteStream", nil, float64(c.stream))
	err := c.w.Flush()
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && err == nil {
		// Closing with answers unread would reset the connection and with it what the
		// server has not read yet.
		_ = half.CloseWrite()
		_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, _ = io.Copy(io.Discard, c.conn)
	}
	if cerr := c.conn.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("rtmp: close: %w", err)
	}
	return nil
}

// Abort closes the connection without a goodbye, as a crash does.
func (c *Client) Abort() error { return c.conn.Close() }
