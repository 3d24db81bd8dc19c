package rtmp

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/url"
	"strings"
)

// Numbers of the server's side.
const (
	readBuffer     = 32 << 10 // bytes; a frame of a few Mbit/s in one read
	serverWindow   = 2_500_000
	minWindow      = 4096 // a smaller window would have us acknowledge every chunk
	serverChunk    = 4096
	maxOpening     = 64 // messages a client may need before it publishes
	maxStreams     = 8  // createStream calls
	maxName        = 4096
	maxAgent       = 128
	maxCommand     = 64 << 10 // a message that is not media; bytes
	maxMedia       = 8 << 20  // an access unit; bytes
	maxBuffered    = 16 << 20 // all partial messages; bytes
	maxOpeningSize = 128 << 10
)

// Codes of onStatus and of connect's answer that we send.
const (
	codeConnected     = "NetConnection.Connect.Success"
	codeInvalidApp    = "NetConnection.Connect.InvalidApp"
	codeCallFailed    = "NetConnection.Call.Failed"
	codePublishStart  = "NetStream.Publish.Start"
	codePlayNotFound  = "NetStream.Play.StreamNotFound"
	CodeBadName       = "NetStream.Publish.BadName"
	CodeFailed        = "NetStream.Publish.Failed"
	CodeRejected      = "NetStream.Publish.Rejected"
	CodeUnpublished   = "NetStream.Unpublish.Success"
	CodeConnectClosed = "NetConnection.Connect.Closed"
)

// A Publication is a client's wish to publish.
type Publication struct {
	Key    string     // what follows the application in the path; secret
	Params url.Values // the query of the application and of the name
	Agent  string     // flashVer
}

// A ServerConn is the server's side of one connection on which a client publishes
// one stream: Handshake, Publication, then Accept and Read, or Refuse. One goroutine
// may use it at a time.
type ServerConn struct {
	app string
	br  *bufio.Reader
	rw  io.ReadWriter
	r   *Reader
	w   *Writer

	connected bool
	base      string // path of connect's app, less the application itself
	query     string // of connect's app
	agent     string
	streams   uint32 // given out by createStream
	stream    uint32 // being published, 0 for none

	window, acked uint64 // acknowledgement window, and bytes acknowledged
	split         aggregate
	clock         clock
}

// NewServerConn returns the server's side of rw for publishers to the application app.
func NewServerConn(rw io.ReadWriter, app string) *ServerConn {
	br := bufio.NewReaderSize(rw, readBuffer)
	return &ServerConn{
		app: app, br: br, rw: rw, w: NewWriter(rw), window: serverWindow,
		r: NewReader(br, Limits{Other: maxCommand, Buffered: maxOpeningSize}),
	}
}

// Handshake answers the client's handshake.
func (c *ServerConn) Handshake() error { return serveHandshake(c.br, c.rw) }

// Publication answers the client's commands until it asks to publish, which it leaves
// for Accept or Refuse to answer. A *ProtocolError has been answered in protocol where
// RTMP has an answer for it.
func (c *ServerConn) Publication() (Publication, error) {
	for range maxOpening {
		m, err := c.next()
		if err != nil {
			return Publication{}, err
		}
		if m.Type != TypeCommand && m.Type != TypeCommandAMF3 {
			continue
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return Publication{}, err
		}
		switch {
		case cmd.name == "connect":
			err = c.connect(cmd)
		case !c.connected:
			err = protocolError(ReasonOrder, "a command before connect")
		case cmd.name == "publish":
			return c.publication(m, cmd)
		case cmd.name == "play" || cmd.name == "play2":
			return Publication{}, c.refusePlay(m.Stream)
		default:
			err = c.command(m, cmd)
		}
		if err != nil {
			return Publication{}, err
		}
	}
	return Publication{}, protocolError(ReasonOrder, "%d messages and no publish", maxOpening)
}

// connect answers "connect" (specification 7.2.1.1).
func (c *ServerConn) connect(cmd command) error {
	if c.connected {
		return protocolError(ReasonOrder, "connect twice")
	}
	o := Properties(cmd.arg(0))
	path, query, _ := strings.Cut(o.String("app"), "?")
	app, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if app != c.app {
		c.send(0, "_error", cmd.transaction, nil, status("error", codeInvalidApp, "There is no such application here."))
		if err := c.w.Flush(); err != nil {
			return err
		}
		return protocolError(ReasonApp, "connect to another application")
	}
	c.connected, c.base, c.query = true, rest, query
	c.agent = strings.ToValidUTF8(o.String("flashVer"), "?")
	c.agent = strings.ToValidUTF8(c.agent[:min(len(c.agent), maxAgent)], "")

	c.w.Append(chunkControl, controlMessage(TypeWindowAckSize, serverWindow))
	c.w.Append(chunkControl, peerBandwidthMessage(serverWindow))
	c.w.SetChunkSize(serverChunk)
	info := status("status", codeConnected, "Connection succeeded.")
	info = append(info, Property{"objectEncoding", 0.0})
	c.send(0, "_result", cmd.transaction,
		Object{{"fmsVer", "FMS/3,0,1,123"}, {"capabilities", 31.0}},
		append(info, enhanced(o)...))
	return c.w.Flush()
}

// enhanced is what we take of Enhanced RTMP v2 ("Enhancing NetConnection connect
// Command"), for a client that asks. Others, OBS among them, send it all the same, so
// nothing depends on what was asked.
func enhanced(connect Object) Object {
	const (
		canForward = 4.0     // of the FourCC info masks: what arrives is passed on as it is
		multitrack = 2.0 + 4 // of capsEx: multitrack, and ModEx that does not disturb
	)
	for _, name := range []string{"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"} {
		if connect.Get(name) != nil {
			return Object{
				{"fourCcList", []any{AVC.String(), HEVC.String(), AAC.String()}},
				{"videoFourCcInfoMap", Object{{AVC.String(), canForward}, {HEVC.String(), canForward}}},
				{"audioFourCcInfoMap", Object{{AAC.String(), canForward}}},
				{"capsEx", multitrack},
			}
		}
	}
	return nil
}

// publication reads "publish" (specification 7.2.2.6). Encoders put the key into the
// name, behind a second slash, or into the application; all are one path.
func (c *ServerConn) publication(m Message, cmd command) (Publication, error) {
	name, ok := cmd.arg(1).(string)
	if !ok || len(c.base)+len(c.query)+len(name) > maxName {
		return Publication{}, protocolError(ReasonAMF, "publish without a name, or with one too long")
	}
	name, query, _ := strings.Cut(name, "?")
	key := strings.Trim(c.base+"/"+name, "/")
	if c.stream = m.Stream; c.stream == 0 {
		c.stream = max(c.streams, 1) // sent on the connection instead of the stream
	}
	// What ParseQuery cannot read it leaves out; the key alone decides.
	params, _ := url.ParseQuery(c.query)
	more, _ := url.ParseQuery(query)
	for k, v := range more {
		params[k] = v
	}
	return Publication{Key: key, Params: params, Agent: c.agent}, nil
}

func (c *ServerConn) refusePlay(stream uint32) error {
	c.send(stream, "onStatus", 0, nil, status("error", codePlayNotFound, "This server takes streams in; play them over HLS."))
	if err := c.w.Flush(); err != nil {
		return err
	}
	return protocolError(ReasonPlay, "asked to play")
}

// Accept answers publish: the client may send media, and Read returns it.
func (c *ServerConn) Accept() error {
	c.r.limits = Limits{Media: maxMedia, Other: maxCommand, Buffered: maxBuffered}
	c.w.Append(chunkControl, userControlMessage(eventStreamBegin, binary.BigEndian.AppendUint32(nil, c.stream)...))
	return c.status("status", codePublishStart, "Publishing.")
}

// Refuse tells the client why its publication is refused or ended; description must
// not hold a secret. The connection should be closed when the client has read it.
func (c *ServerConn) Refuse(code, description string) error {
	return c.status("error", code, description)
}

// Unpublish tells the client that its publication has ended by our will.
func (c *ServerConn) Unpublish(code, description string) error {
	return c.status("status", code, description)
}

func (c *ServerConn) status(level, code, description string) error {
	c.send(c.stream, "onStatus", 0, nil, status(level, code, description))
	return c.w.Flush()
}

// Read returns the next audio, video or data message of an accepted publication, with
// a timestamp that goes on past 2^32 ms. ErrUnpublished means that the client ended it.
func (c *ServerConn) Read() (Message, error) {
	for {
		m, err := c.next()
		if err != nil {
			return Message{}, err
		}
		switch m.Type {
		case TypeAudio, TypeVideo:
			m.Timestamp = c.clock.extend(uint32(m.Timestamp))
			return m, nil
		case TypeData, TypeDataAMF3:
			return m, nil
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return Message{}, err
		}
		if err := c.command(m, cmd); err != nil {
			return Message{}, err
		}
	}
}

// command answers a command that is not part of the way to publish.
func (c *ServerConn) command(m Message, cmd command) error {
	switch cmd.name {
	case "createStream":
		if c.streams++; c.streams > maxStreams {
			return protocolError(ReasonStreams, "more than %d message streams", maxStreams)
		}
		c.send(0, "_result", cmd.transaction, nil, float64(c.streams))
	case "releaseStream":
		c.send(0, "_result", cmd.transaction, nil, Undefined{})
	case "FCPublish":
		c.send(0, "_result", cmd.transaction, nil, Undefined{})
		c.send(0, "onFCPublish", 0, nil, status("status", codePublishStart, "FCPublish."))
	case "FCUnpublish":
		if c.stream == 0 {
			c.send(0, "_result", cmd.transaction, nil, Undefined{})
			break
		}
		c.send(0, "onFCUnpublish", 0, nil, status("status", CodeUnpublished, "FCUnpublish."))
		return c.unpublished()
	case "deleteStream", "closeStream":
		// closeStream comes on the stream, deleteStream names it.
		id, named := cmd.arg(1).(float64)
		if c.stream == 0 || named && id != float64(c.stream) {
			return nil
		}
		return c.unpublished()
	case "publish":
		c.send(m.Stream, "onStatus", 0, nil, status("error", CodeBadName, "This connection already publishes a stream."))
	case "play", "play2":
		return c.refusePlay(m.Stream)
	case "connect":
		return protocolError(ReasonOrder, "connect twice")
	case "_result", "_error", "onStatus":
		return nil // an answer to nothing we asked
	default:
		if cmd.transaction == 0 {
			return nil // wants no answer
		}
		c.send(0, "_error", cmd.transaction, nil, status("error", codeCallFailed, "Method not found."))
	}
	return c.w.Flush()
}

// unpublished tells the client that its goodbye was heard. A client that has already
// closed its side does not hear it, which is no error.
func (c *ServerConn) unpublished() error {
	_ = c.status("status", CodeUnpublished, "Unpublished.")
	return ErrUnpublished
}

// next returns the next audio, video, data or command message and handles the
// messages that keep the connection itself going.
func (c *ServerConn) next() (Message, error) {
	for {
		m, ok, err := c.split.next()
		if err != nil {
			return Message{}, err
		}
		if !ok {
			if m, ok, err = c.r.readChunk(); err != nil {
				return Message{}, err
			}
			if c.r.received-c.acked >= c.window {
				if err := c.acknowledge(); err != nil {
					return Message{}, err
				}
			}
			if !ok {
				continue
			}
			if m.Type == TypeAggregate {
				c.split = newAggregate(m)
				continue
			}
		}
		switch m.Type {
		case TypeAudio, TypeVideo, TypeData, TypeDataAMF3, TypeCommand, TypeCommandAMF3:
			return m, nil
		case TypeWindowAckSize:
			if len(m.Payload) >= 4 {
				c.window = max(minWindow, uint64(binary.BigEndian.Uint32(m.Payload)))
			}
		case TypeUserControl:
			if err := c.userControl(m.Payload); err != nil {
				return Message{}, err
			}
		}
	}
}

// acknowledge tells the client how much arrived (specification 5.4.3); librtmp-like
// encoders stop sending when they do not hear it for a window.
func (c *ServerConn) acknowledge() error {
	c.acked = c.r.received
	c.w.Append(chunkControl, controlMessage(TypeAcknowledgement, uint32(c.acked)))
	return c.w.Flush()
}

func (c *ServerConn) userControl(p []byte) error {
	if len(p) < 6 || binary.BigEndian.Uint16(p) != eventPingRequest {
		return nil
	}
	c.w.Append(chunkControl, userControlMessage(eventPingResponse, p[2:6]...))
	return c.w.Flush()
}

// send queues a command for the next Flush.
func (c *ServerConn) send(stream uint32, name string, transaction float64, args ...any) {
	p := AppendAMF0(AppendAMF0(nil, name, transaction), args...)
	c.w.Append(chunkCommand, Message{Type: TypeCommand, Stream: stream, Payload: p})
}

func status(level, code, description string) Object {
	return Object{{"level", level}, {"code", code}, {"description", description}}
}

// A clock extends 32-bit timestamps, which wrap after 49 days, to 64 bits. All tracks
// share one, so that those around the wrap stay together.
type clock struct {
	last    int64 // ms
	running bool
}

func (c *clock) extend(ts uint32) int64 {
	if !c.running {
		c.last, c.running = int64(ts), true
		return c.last
	}
	c.last += int64(int32(ts - uint32(c.last))) // the nearest value that ends in ts
	return c.last
}
