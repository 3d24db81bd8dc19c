package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Bounds of what a peer may choose.
const (
	defaultChunkSize = 128 // until Set Chunk Size (specification 5.4.1)
	minChunkSize     = 128
	maxChunkSize     = 1 << 20
	maxChunkStreams  = 64

	extendedMark = 0xffffff // a timestamp field that says: see the extended one
	scratchSize  = 4096     // kept per chunk stream for payloads that are not media; bytes
)

// Limits bounds the messages of one connection, in bytes.
type Limits struct {
	Media    int // an audio, video or aggregate message; 0 refuses them as out of order
	Other    int // any other message
	Buffered int // all messages that have begun and not ended
}

// A Reader joins chunks into messages (specification 5.3). It handles the two control
// messages that belong to the chunk layer, Set Chunk Size and Abort, itself.
type Reader struct {
	br        *bufio.Reader
	limits    Limits
	chunkSize int
	buffered  int    // declared bytes of the messages in assembly
	received  uint64 // bytes consumed

	low  [64]*chunkStream // ids 2 to 63, which is all that encoders use
	high map[uint32]*chunkStream
	n    int // chunk streams in both
}

// A chunkStream is the state of one chunk stream id.
type chunkStream struct {
	timestamp uint32 // of the message in assembly or the last one; ms, mod 2^32
	delta     uint32 // what a type 3 header adds; ms
	field     uint32 // the timestamp field as sent, extended or not
	extended  bool   // it was an extended one
	length    int
	typ       MessageType
	stream    uint32

	open    bool   // a message is in assembly
	buf     []byte // its payload: length bytes, the first fill of them read
	fill    int
	scratch []byte // reused for payloads that are not media
}

// NewReader returns a Reader of the chunks in br.
func NewReader(br *bufio.Reader, l Limits) *Reader {
	return &Reader{br: br, limits: l, chunkSize: defaultChunkSize}
}

// ReadMessage returns the next message. The error is io.EOF only between chunks.
func (r *Reader) ReadMessage() (Message, error) {
	for {
		if m, done, err := r.readChunk(); done || err != nil {
			return m, err
		}
	}
}

// readChunk consumes one chunk; done says that it completed m.
func (r *Reader) readChunk() (m Message, done bool, err error) {
	b, err := r.br.Peek(1)
	if err != nil {
		return m, false, err
	}
	format, id, basic := b[0]>>6, uint32(b[0]&0x3f), 1
	if id < 2 {
		basic += int(id) + 1 // the 2 and 3 byte forms (specification 5.3.1.1)
	}
	n := basic + [4]int{11, 7, 3, 0}[format]
	if n > 1 {
		if b, err = r.peek(n); err != nil {
			return m, false, err
		}
		switch id {
		case 0:
			id = 64 + uint32(b[1])
		case 1:
			id = 64 + uint32(b[1]) + uint32(b[2])<<8
		}
	}
	cs, err := r.chunkStream(id, format)
	if err != nil {
		return m, false, err
	}
	if format < 3 {
		r.drop(cs) // a new header inside a message: its sender gave it up
		cs.header(format, b[basic:n])
	}
	r.discard(n)
	if cs.extended {
		if err := r.readExtended(cs, format); err != nil {
			return m, false, err
		}
	}
	if !cs.open {
		if err := r.begin(cs, format); err != nil {
			return m, false, err
		}
	}

	part := cs.buf[cs.fill:min(cs.length, cs.fill+r.chunkSize)]
	if err := r.readFull(part); err != nil {
		return m, false, err
	}
	cs.fill += len(part)
	if cs.fill < cs.length {
		return m, false, nil
	}
	m = Message{Type: cs.typ, Stream: cs.stream, Timestamp: int64(cs.timestamp), Payload: cs.buf}
	r.drop(cs)
	switch m.Type {
	case TypeSetChunkSize:
		return m, false, r.setChunkSize(m.Payload)
	case TypeAbort:
		return m, false, r.abort(m.Payload)
	}
	return m, true, nil
}

// chunkStream returns the state of id, which a chunk of the given type may open.
func (r *Reader) chunkStream(id uint32, format byte) (*chunkStream, error) {
	cs := r.high[id] // a nil map is fine
	if id < uint32(len(r.low)) {
		cs = r.low[id]
	}
	if cs != nil {
		return cs, nil
	}
	// Type 1 without a type 0 before it is wrong, but librtmp does it; stream id and
	// timestamp then count from 0.
	if format > 1 {
		return nil, protocolError(ReasonChunk, "chunk stream %d starts with a chunk of type %d", id, format)
	}
	if r.n == maxChunkStreams {
		return nil, protocolError(ReasonStreams, "more than %d chunk streams", maxChunkStreams)
	}
	r.n++
	cs = &chunkStream{}
	if id < uint32(len(r.low)) {
		r.low[id] = cs
		return cs, nil
	}
	if r.high == nil {
		r.high = make(map[uint32]*chunkStream)
	}
	r.high[id] = cs
	return cs, nil
}

// header takes over a message header of type 0, 1 or 2 (specification 5.3.1.2).
func (cs *chunkStream) header(format byte, h []byte) {
	cs.field = uint24(h)
	cs.extended = cs.field == extendedMark
	if format < 2 {
		cs.length = int(uint24(h[3:]))
		cs.typ = MessageType(h[6])
	}
	if format == 0 {
		cs.stream = binary.LittleEndian.Uint32(h[7:])
	}
}

// readExtended reads the extended timestamp (specification 5.3.1.3). A type 3 chunk
// repeats it, but some encoders leave it out; four bytes that repeat nothing are
// payload.
func (r *Reader) readExtended(cs *chunkStream, format byte) error {
	b, err := r.peek(4)
	if err != nil {
		return err
	}
	v := binary.BigEndian.Uint32(b)
	if format == 3 && v != cs.field && v != cs.timestamp {
		return nil
	}
	r.discard(4)
	if format < 3 {
		cs.field = v
	}
	return nil
}

// begin starts a message: its timestamp, and room for its payload.
func (r *Reader) begin(cs *chunkStream, format byte) error {
	switch format {
	case 0:
		cs.timestamp = cs.field
		// A type 3 chunk after this one adds the same value again (5.3.1.2.4), which
		// ffmpeg means. librtmp means "the same time"; no delta is as long as a session.
		if cs.delta = cs.field; cs.delta > 10_000 {
			cs.delta = 0
		}
	case 1, 2:
		cs.delta = cs.field
		cs.timestamp += cs.delta
	case 3:
		cs.timestamp += cs.delta
	}

	limit := r.limits.Other
	if cs.typ.media() {
		if limit = r.limits.Media; limit == 0 {
			return protocolError(ReasonOrder, "media before publish")
		}
	}
	if cs.length > limit {
		return protocolError(ReasonTooLarge, "message of type %d with %d bytes, limit %d", cs.typ, cs.length, limit)
	}
	if r.buffered+cs.length > r.limits.Buffered {
		return protocolError(ReasonTooLarge, "partial messages of more than %d bytes", r.limits.Buffered)
	}
	switch {
	case cs.typ.media():
		cs.buf = make([]byte, cs.length) // the access unit itself: later stages share it
	case cs.length <= scratchSize:
		if cap(cs.scratch) < cs.length {
			cs.scratch = make([]byte, max(cs.length, 64))
		}
		cs.buf = cs.scratch[:cs.length]
	default:
		cs.buf = make([]byte, cs.length)
	}
	r.buffered += cs.length
	cs.fill, cs.open = 0, true
	return nil
}

// drop forgets the message in assembly, if any.
func (r *Reader) drop(cs *chunkStream) {
	if cs.open {
		r.buffered -= cs.length
		cs.buf, cs.fill, cs.open = nil, 0, false
	}
}

func (r *Reader) setChunkSize(p []byte) error {
	if len(p) < 4 {
		return protocolError(ReasonChunkSize, "Set Chunk Size of %d bytes", len(p))
	}
	n := binary.BigEndian.Uint32(p)
	if n < minChunkSize || n > maxChunkSize {
		return protocolError(ReasonChunkSize, "chunk size %d is not within %d to %d", n, minChunkSize, maxChunkSize)
	}
	r.chunkSize = int(n)
	return nil
}

func (r *Reader) abort(p []byte) error {
	if len(p) < 4 {
		return protocolError(ReasonChunk, "Abort of %d bytes", len(p))
	}
	id := binary.BigEndian.Uint32(p)
	cs := r.high[id]
	if id < uint32(len(r.low)) {
		cs = r.low[id]
	}
	if cs != nil {
		r.drop(cs)
	}
	return nil
}

func (r *Reader) readFull(p []byte) error {
	for len(p) > 0 {
		n, err := r.br.Read(p)
		r.received += uint64(n)
		p = p[n:]
		if err != nil && len(p) > 0 {
			return noEOF(err)
		}
	}
	return nil
}

func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.br.Peek(n)
	return b, noEOF(err)
}

func (r *Reader) discard(n int) {
	_, _ = r.br.Discard(n) // it was peeked
	r.received += uint64(n)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
