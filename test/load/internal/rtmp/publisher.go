package rtmp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

const (
	handshakeLen = 1536 // C1, S1, C2, S2
	version      = 3

	// Chunk streams, as encoders use them.
	csCommand = 3
	csAudio   = 4
	csVideo   = 6
)

// Publisher is a connection that publishes one stream.
type Publisher struct {
	conn   net.Conn
	r      *Reader
	w      *Writer
	stream uint32 // message stream id
	key    string
	bytes  int64
}

// Dial connects and starts to publish at rawURL, rtmp[s]://IP:port/app/key, which must
// be a literal loopback address. It writes chunks of chunk bytes. timeout is for all
// of it.
func Dial(ctx context.Context, rawURL string, chunk int, timeout time.Duration) (*Publisher, error) {
	u, addr, err := loopback.URL(rawURL, "rtmp", "rtmps")
	if err != nil {
		return nil, err
	}
	app, key := "", strings.TrimPrefix(u.Path, "/")
	if i := strings.LastIndexByte(key, '/'); i >= 0 {
		app, key = key[:i], key[i+1:]
	}
	if u.RawQuery != "" {
		key += "?" + u.RawQuery
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := loopback.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	if u.Scheme == "rtmps" {
		// The server under test signs its own certificate, and lives on loopback.
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true})
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p := &Publisher{conn: conn, r: NewReader(conn), w: NewWriter(conn), key: key}
	if err := p.start(u.Scheme+"://"+u.Host+"/"+app, app, chunk); err != nil {
		conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	return p, nil
}

func (p *Publisher) start(tcURL, app string, chunk int) error {
	if err := p.handshake(); err != nil {
		return fmt.Errorf("rtmp: handshake: %w", err)
	}
	if err := p.w.SetChunkSize(chunk); err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	connect := appendProps(nil, "app", app, "type", "nonprivate", "flashVer", "FMLE/3.0 (compatible; rtmppub)", "tcUrl", tcURL)
	if _, err := p.call(Command{"connect", 1, connect}); err != nil {
		return fmt.Errorf("rtmp: connect: %w", err)
	}
	for i, name := range []string{"releaseStream", "FCPublish"} { // answered by some servers only
		if err := p.send(Command{name, float64(2 + i), Args(p.key)}); err != nil {
			return fmt.Errorf("rtmp: %s: %w", name, err)
		}
	}
	res, err := p.call(Command{"createStream", 4, Args()})
	if err != nil {
		return fmt.Errorf("rtmp: createStream: %w", err)
	}
	id, ok := res.LastNumber()
	if !ok || id < 0 || id > 1<<31 {
		return errors.New("rtmp: createStream: no stream id in the answer")
	}
	p.stream = uint32(id)
	if err := p.send(Command{"publish", 5, Args(p.key, "live")}); err != nil {
		return fmt.Errorf("rtmp: publish: %w", err)
	}
	for {
		c, err := p.command()
		switch {
		case err != nil:
			return fmt.Errorf("rtmp: publish: %w", err)
		case c.Name == "onStatus" && strings.Contains(string(c.Args), "NetStream.Publish.Start"):
			return nil
		case c.Name == "onStatus", c.Name == "_error" && c.Transaction == 5:
			return fmt.Errorf("rtmp: publish refused: %s", statusCode(c.Args))
		}
	}
}

// statusCode is the NetStream.* or NetConnection.* word in a status object. Nothing
// else of it is shown: servers repeat the stream key there.
func statusCode(args []byte) string {
	s := string(args)
	i := strings.Index(s, "Net")
	if i < 0 {
		return "no code"
	}
	s = s[i:]
	if end := strings.IndexFunc(s, func(r rune) bool {
		return r != '.' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}); end >= 0 {
		s = s[:end]
	}
	return s
}

func (p *Publisher) handshake() error {
	var c [1 + handshakeLen]byte
	c[0] = version
	rand.Read(c[9:]) // after four bytes of time and four of zero
	if _, err := p.conn.Write(c[:]); err != nil {
		return err
	}
	var s [1 + handshakeLen]byte
	if _, err := io.ReadFull(p.r.br, s[:]); err != nil {
		return err
	}
	if _, err := p.conn.Write(s[1:]); err != nil { // C2 echoes S1
		return err
	}
	_, err := io.CopyN(io.Discard, p.r.br, handshakeLen)
	return err
}

func (p *Publisher) send(c Command) error {
	return p.w.Write(csCommand, Message{Type: TypeCommand, StreamID: p.stream, Body: c.Append(nil)})
}

// command returns the next command from the server.
func (p *Publisher) command() (Command, error) {
	for {
		m, err := p.r.Read()
		if err != nil {
			return Command{}, err
		}
		if m.Type == TypeCommand {
			if c, ok := ParseCommand(m.Body); ok {
				return c, nil
			}
		}
	}
}

// call sends c and waits for its result.
func (p *Publisher) call(c Command) (Command, error) {
	if err := p.send(c); err != nil {
		return Command{}, err
	}
	for {
		res, err := p.command()
		if err != nil {
			return Command{}, err
		}
		if res.Transaction != c.Transaction {
			continue
		}
		switch res.Name {
		case "_result":
			return res, nil
		case "_error":
			return Command{}, fmt.Errorf("refused: %s", statusCode(res.Args))
		}
	}
}

// Drain reads what the server says until it reports an error or the connection ends,
// and returns why. It must run beside the writer, or the server's buffers fill.
func (p *Publisher) Drain() error {
	for {
		c, err := p.command()
		if err != nil {
			return err
		}
		if c.Name == "onStatus" && strings.Contains(string(c.Args), "error") {
			return fmt.Errorf("rtmp: server status: %s", statusCode(c.Args))
		}
	}
}

// WriteMedia sends the body of an FLV audio or video tag.
func (p *Publisher) WriteMedia(typ byte, ms uint32, body []byte) error {
	cs := byte(csVideo)
	if typ == TypeAudio {
		cs = csAudio
	}
	if err := p.w.Write(cs, Message{typ, p.stream, ms, body}); err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	p.bytes += int64(len(body))
	return nil
}

// WriteMetadata sends the body of an FLV script tag as onMetaData.
func (p *Publisher) WriteMetadata(script []byte) error {
	body := append(appendString(nil, "@setDataFrame"), script...)
	if err := p.w.Write(csAudio, Message{TypeData, p.stream, 0, body}); err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	return nil
}

// Bytes is how many bytes of media were written.
func (p *Publisher) Bytes() int64 { return p.bytes }

// Close says goodbye as an encoder does, and closes the connection.
func (p *Publisher) Close() error {
	deadline := p.conn.SetWriteDeadline(time.Now().Add(time.Second))
	bye := p.send(Command{"FCUnpublish", 6, Args(p.key)})
	end := p.send(Command{"deleteStream", 7, appendNumber(Args(), float64(p.stream))})
	return errors.Join(deadline, bye, end, p.conn.Close())
}
