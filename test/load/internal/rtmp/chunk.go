// Package rtmp is a publishing client for load: plain handshake, the commands an
// encoder sends, one message in each write as OBS does it, so that the server sees
// realistic reads. Its chunk reader and writer serve the stub server of the tests too.
// It is not the server's own RTMP code and shares nothing with it.
package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Message types (RTMP 1.0, 5.4 and 7.1).
const (
	TypeSetChunkSize = 1
	TypeAudio        = 8
	TypeVideo        = 9
	TypeData         = 18
	TypeCommand      = 20
)

// Bounds on what a peer may send.
const (
	maxMessage = 4 << 20 // bytes
	maxStreams = 64      // chunk streams
	minChunk   = 1
	maxChunk   = 1 << 24
)

// extendedTime is the timestamp that says: 32 bits follow.
const extendedTime = 0xffffff

// A Message is one RTMP message.
type Message struct {
	Type     byte
	StreamID uint32
	MS       uint32
	Body     []byte
}

type chunkStream struct {
	head     Message // Body is what has arrived
	length   int     // of the message
	delta    uint32  // milliseconds
	extended bool
}

// Reader reads messages from chunks (RTMP 1.0, 5.3.1).
type Reader struct {
	br      *bufio.Reader
	chunk   int // bytes
	streams map[uint32]*chunkStream
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, 4096), chunk: 128, streams: map[uint32]*chunkStream{}}
}

// Read returns the next message, whose Body the caller owns. It follows Set Chunk
// Size itself.
func (r *Reader) Read() (Message, error) {
	for {
		m, whole, err := r.readChunk()
		if err != nil {
			return Message{}, err
		}
		switch {
		case !whole:
		case m.Type == TypeSetChunkSize:
			if len(m.Body) < 4 {
				return Message{}, errors.New("rtmp: short Set Chunk Size")
			}
			n := binary.BigEndian.Uint32(m.Body)
			if n < minChunk || n > maxChunk {
				return Message{}, fmt.Errorf("rtmp: chunk size %d", n)
			}
			r.chunk = int(n)
		default:
			return m, nil
		}
	}
}

func (r *Reader) readChunk() (m Message, whole bool, err error) {
	b, err := r.br.ReadByte()
	if err != nil {
		return m, false, err
	}
	format, id := b>>6, uint32(b&0x3f)
	if id < 2 { // the id is 64 plus the next one or two bytes
		var ext [2]byte
		if _, err := io.ReadFull(r.br, ext[:1+id]); err != nil {
			return m, false, err
		}
		id = 64 + uint32(ext[0]) + uint32(ext[1])<<8
	}
	s := r.streams[id]
	if s == nil {
		if len(r.streams) == maxStreams {
			return m, false, fmt.Errorf("rtmp: more than %d chunk streams", maxStreams)
		}
		s = &chunkStream{}
		r.streams[id] = s
	}
	var h [11]byte
	n := [4]int{11, 7, 3, 0}[format]
	if _, err := io.ReadFull(r.br, h[:n]); err != nil {
		return m, false, err
	}
	if n >= 3 {
		s.delta = uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2])
		s.extended = s.delta == extendedTime
	}
	if n >= 7 {
		s.length = int(h[3])<<16 | int(h[4])<<8 | int(h[5])
		s.head.Type = h[6]
	}
	if n == 11 {
		s.head.StreamID = binary.LittleEndian.Uint32(h[7:])
	}
	if s.extended {
		var ext [4]byte
		if _, err := io.ReadFull(r.br, ext[:]); err != nil {
			return m, false, err
		}
		s.delta = binary.BigEndian.Uint32(ext[:])
	}
	if s.length > maxMessage {
		return m, false, fmt.Errorf("rtmp: message of %d bytes", s.length)
	}
	if len(s.head.Body) == 0 { // a message starts
		if format == 0 {
			s.head.MS = s.delta
		} else {
			s.head.MS += s.delta
		}
	}
	have := len(s.head.Body)
	want := min(r.chunk, s.length-have)
	if want < 0 {
		return m, false, errors.New("rtmp: message shrank between chunks")
	}
	s.head.Body = slices.Grow(s.head.Body, want)[:have+want]
	if _, err := io.ReadFull(r.br, s.head.Body[have:]); err != nil {
		return m, false, err
	}
	if len(s.head.Body) < s.length {
		return m, false, nil
	}
	m, s.head.Body = s.head, nil
	return m, true, nil
}

// Writer writes messages as chunks, each message with a full header and one Write.
type Writer struct {
	w     io.Writer
	chunk int // bytes
	buf   []byte
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, chunk: 128} }

// Write sends m on a chunk stream (2..63).
func (w *Writer) Write(stream byte, m Message) error {
	n, ms := len(m.Body), min(m.MS, extendedTime)
	b := append(w.buf[:0], stream, byte(ms>>16), byte(ms>>8), byte(ms), byte(n>>16), byte(n>>8), byte(n), m.Type)
	b = binary.LittleEndian.AppendUint32(b, m.StreamID)
	if ms == extendedTime {
		b = binary.BigEndian.AppendUint32(b, m.MS)
	}
	for body := m.Body; ; {
		k := min(len(body), w.chunk)
		b = append(b, body[:k]...)
		if body = body[k:]; len(body) == 0 {
			break
		}
		b = append(b, 0xc0|stream)
		if ms == extendedTime {
			b = binary.BigEndian.AppendUint32(b, m.MS)
		}
	}
	w.buf = b
	_, err := w.w.Write(b)
	return err
}

// SetChunkSize announces and uses chunks of n bytes.
func (w *Writer) SetChunkSize(n int) error {
	if n < minChunk || n > maxChunk {
		return fmt.Errorf("rtmp: chunk size %d", n)
	}
	err := w.Write(2, Message{Type: TypeSetChunkSize, Body: binary.BigEndian.AppendUint32(nil, uint32(n))})
	w.chunk = n
	return err
}
