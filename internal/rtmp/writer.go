package rtmp

import (
	"encoding/binary"
	"io"
)

// A Writer splits messages into chunks. It gathers what Append is given and sends it
// with one write in Flush; it is not safe for concurrent use.
type Writer struct {
	w         io.Writer
	buf       []byte
	chunkSize int
	last      [64]sent // by chunk stream id
}

// sent is what a type 1 header may leave out.
type sent struct {
	stream    uint32
	timestamp uint32 // ms
	known     bool
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, chunkSize: defaultChunkSize} }

// SetChunkSize announces and uses chunks of n bytes.
func (w *Writer) SetChunkSize(n int) {
	w.Append(chunkControl, controlMessage(TypeSetChunkSize, uint32(n)))
	w.chunkSize = n
}

// Append adds m on the chunk stream id, 2 to 63, to what Flush sends.
func (w *Writer) Append(id uint8, m Message) {
	var (
		last   = &w.last[id]
		field  = uint32(m.Timestamp)
		n      = len(m.Payload)
		format = byte(0)
	)
	if last.known && last.stream == m.Stream && int32(field-last.timestamp) >= 0 {
		format = 1 // same stream, and time went on: send how far
		field -= last.timestamp
	}
	*last = sent{m.Stream, uint32(m.Timestamp), true}
	short := min(field, extendedMark)

	b := append(w.buf, format<<6|id, byte(short>>16), byte(short>>8), byte(short),
		byte(n>>16), byte(n>>8), byte(n), byte(m.Type))
	if format == 0 {
		b = binary.LittleEndian.AppendUint32(b, m.Stream)
	}
	for rest := m.Payload; ; {
		if short == extendedMark {
			b = binary.BigEndian.AppendUint32(b, field)
		}
		k := min(len(rest), w.chunkSize)
		b, rest = append(b, rest[:k]...), rest[k:]
		if len(rest) == 0 {
			break
		}
		b = append(b, 3<<6|id)
	}
	w.buf = b
}

// Flush writes what Append gathered.
func (w *Writer) Flush() error {
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}
