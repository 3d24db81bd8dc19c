package apiload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/h1"
	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/sigv4"
)

const (
	maxBody = 4 << 20          // bytes of a response
	timeout = 30 * time.Second // for one request
)

// statusError is a response other than 200.
type statusError struct {
	path string
	code int
	body []byte
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: HTTP %d %.120s", e.path, e.code, e.body)
}

// conn is one keep-alive connection that signs what it sends.
type conn struct {
	addr   netip.AddrPort
	host   string
	signer sigv4.Signer

	c      net.Conn // nil when closed
	parser h1.Parser
	in     []byte
	out    []byte
	body   []byte
}

func newConn(addr netip.AddrPort, host, accessKey, secretKey, region string) *conn {
	c := &conn{
		addr: addr, host: host, in: make([]byte, 64<<10),
		signer: sigv4.Signer{AccessKey: accessKey, SecretKey: secretKey, Region: region, Service: "ivs"},
	}
	c.parser.Body = func(b []byte) { c.body = append(c.body, b...) }
	return c
}

func (c *conn) close() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

// post sends body and returns the response's, valid until the next call. A request on
// a connection that the server closed meanwhile is sent once more.
func (c *conn) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	reused := c.c != nil
	err := c.once(ctx, path, body)
	if err != nil && reused && !c.parser.Started() && ctx.Err() == nil {
		c.close()
		err = c.once(ctx, path, body)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("apiload: %s: %w", path, err)
	}
	if c.parser.Close {
		c.close()
	}
	if c.parser.Status != http.StatusOK {
		return nil, &statusError{path, c.parser.Status, c.body}
	}
	return c.body, nil
}

func (c *conn) once(ctx context.Context, path string, body []byte) error {
	if c.c == nil {
		// The end of a phase must not look like a server that refuses connections.
		dial, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		nc, err := loopback.DialContext(dial, "tcp", c.addr.String())
		if err != nil {
			return err
		}
		c.c = nc
	}
	if err := c.c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	s := c.signer.Sign(http.MethodPost, c.host, path, body, time.Now())
	c.out = fmt.Appendf(c.out[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"X-Amz-Date: %s\r\nX-Amz-Content-Sha256: %s\r\nAuthorization: %s\r\n\r\n", path, c.host, len(body), s.Date, s.ContentSHA256, s.Authorization)
	c.out = append(c.out, body...)
	c.parser.Reset()
	c.body = c.body[:0]
	if _, err := c.c.Write(c.out); err != nil {
		return err
	}
	for !c.parser.Done() {
		n, err := c.c.Read(c.in)
		if err := c.parser.Feed(c.in[:n]); err != nil {
			return err
		}
		if len(c.body) > maxBody {
			return errors.New("response too long")
		}
		if err != nil {
			if c.parser.UntilClose() {
				return nil
			}
			return err
		}
	}
	return nil
}

// channelARN reads the ARN out of CreateChannel's answer.
func channelARN(body []byte) (string, error) {
	var out struct {
		Channel struct {
			ARN string `json:"arn"`
		} `json:"channel"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return "", fmt.Errorf("apiload: CreateChannel: %w", err)
	}
	if out.Channel.ARN == "" {
		return "", errors.New("apiload: CreateChannel: no ARN in the answer")
	}
	return out.Channel.ARN, nil
}
