package rtmp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// A FileTag is one tag of an FLV file; its Body is the payload of a message of Type.
type FileTag struct {
	Type      MessageType // TypeAudio, TypeVideo, TypeData
	Timestamp uint32      // ms
	Body      []byte      // fresh
}

// A FileReader reads an FLV file or pipe, so that a recording or an encoder's output
// can be published. It is for files we made ourselves.
type FileReader struct{ br *bufio.Reader }

// NewFileReader reads the header of an FLV file (FLV E.2).
func NewFileReader(r io.Reader) (*FileReader, error) {
	br := bufio.NewReaderSize(r, readBuffer)
	var h [9]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return nil, fmt.Errorf("rtmp: FLV header: %w", err)
	}
	size := binary.BigEndian.Uint32(h[5:])
	if string(h[:3]) != "FLV" || size < uint32(len(h)) || size > 1024 {
		return nil, fmt.Errorf("rtmp: not an FLV file")
	}
	if _, err := br.Discard(int(size) - len(h) + 4); err != nil { // and the first back pointer
		return nil, fmt.Errorf("rtmp: FLV header: %w", err)
	}
	return &FileReader{br}, nil
}

// Next returns the next tag, io.EOF at the end.
func (f *FileReader) Next() (FileTag, error) {
	var h [11]byte
	if _, err := io.ReadFull(f.br, h[:]); err != nil {
		return FileTag{}, err
	}
	t := FileTag{
		Type:      MessageType(h[0] & 0x1f),
		Timestamp: uint24(h[4:]) | uint32(h[7])<<24,
	}
	n := uint24(h[1:])
	if n > maxMedia {
		return FileTag{}, fmt.Errorf("rtmp: FLV tag of %d bytes", n)
	}
	t.Body = make([]byte, n)
	if _, err := io.ReadFull(f.br, t.Body); err != nil {
		return FileTag{}, fmt.Errorf("rtmp: FLV tag: %w", noEOF(err))
	}
	if _, err := f.br.Discard(4); err != nil {
		return FileTag{}, fmt.Errorf("rtmp: FLV tag: %w", noEOF(err))
	}
	return t, nil
}
