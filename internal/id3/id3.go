// Package id3 writes ID3v2.4 tags of one frame each, the form in which HLS carries timed
// metadata: as a PES packet in MPEG-TS, as the message of an emsg box in fragmented MP4.
// It reads no tags and knows no container.
package id3

// Owners of PRIV frames, by which the IVS player tells where metadata came from
// (low-latency.md 7.1).
const (
	OwnerAPI    = "metadata.live-video.net"        // PutMetadata
	OwnerInband = "inband.metadata.live-video.net" // the encoder's own stream
)

// Sizes of what stands before the content, in bytes.
const (
	header      = 10 // of a tag
	frameHeader = 10
)

// Private returns a tag with one PRIV frame (ID3v2.4.0-frames 4.27): an owner, which has
// no zero byte, and data that is the owner's own. They are no longer than 1<<28 bytes
// together, which is as much as a tag can say.
func Private[T string | []byte](owner string, data T) []byte {
	b := begin("PRIV", len(owner)+1+len(data))
	b = append(b, owner...)
	b = append(b, 0)
	return append(b, data...)
}

// Text returns a tag with one TXXX frame (ID3v2.4.0-frames 4.2.6): a text and its
// description, in UTF-8, without zero bytes.
func Text(description, text string) []byte {
	const utf8 = 3
	b := begin("TXXX", 1+len(description)+1+len(text)+1)
	b = append(b, utf8)
	b = append(b, description...)
	b = append(b, 0)
	b = append(b, text...)
	return append(b, 0)
}

// begin returns a tag up to the body of its frame, with room for that.
func begin(frame string, body int) []byte {
	b := make([]byte, 0, header+frameHeader+body)
	b = append(b, "ID3\x04\x00\x00"...) // version 2.4.0, no flags
	b = appendSize(b, frameHeader+body)
	b = append(b, frame...)
	b = appendSize(b, body)
	return append(b, 0, 0) // no flags
}

// appendSize appends a size of 28 bits in four bytes whose highest bit is never set
// (ID3v2.4.0-structure 6.2): no size looks like the start of an MPEG audio frame.
func appendSize(b []byte, n int) []byte {
	return append(b, byte(n>>21)&0x7f, byte(n>>14)&0x7f, byte(n>>7)&0x7f, byte(n)&0x7f)
}
