package rtmp

import (
	"errors"
	"fmt"
)

// A Reason classifies a peer's breach of the protocol. The set is closed, so it can
// label a metric.
type Reason string

// The reasons.
const (
	ReasonHandshake Reason = "handshake"  // not RTMP, or not a version we speak
	ReasonChunk     Reason = "chunk"      // a chunk header that cannot be right
	ReasonChunkSize Reason = "chunk_size" // Set Chunk Size out of bounds
	ReasonTooLarge  Reason = "too_large"  // a message, or all partial ones, over the limit
	ReasonStreams   Reason = "streams"    // too many chunk or message streams
	ReasonAMF       Reason = "amf"        // a command or data message that is not AMF0
	ReasonOrder     Reason = "order"      // a message that its state does not allow
	ReasonMedia     Reason = "media"      // an audio or video body that is cut short
	ReasonApp       Reason = "app"        // connect to another app than ours
	ReasonPlay      Reason = "play"       // asked to play; this is an ingest server
)

// Reasons lists every Reason.
func Reasons() []Reason {
	return []Reason{
		ReasonHandshake, ReasonChunk, ReasonChunkSize, ReasonTooLarge, ReasonStreams,
		ReasonAMF, ReasonOrder, ReasonMedia, ReasonApp, ReasonPlay,
	}
}

// ProtocolError says that the peer broke the protocol; the connection is of no more
// use. Its text never repeats what the peer sent: that can hold a stream key.
type ProtocolError struct {
	Reason Reason
	Detail string
}

func (e *ProtocolError) Error() string { return "rtmp: " + string(e.Reason) + ": " + e.Detail }

func protocolError(r Reason, format string, args ...any) error {
	return &ProtocolError{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// ErrUnpublished means that the publisher said goodbye: FCUnpublish, closeStream or
// deleteStream.
var ErrUnpublished = errors.New("rtmp: unpublished")

// StatusError is what a server refused a Client with.
type StatusError struct {
	Level, Code, Description string
}

func (e *StatusError) Error() string { return "rtmp: " + e.Code + ": " + e.Description }
