// Package rtmp is the RTMP protocol on bytes: handshake, chunk streams, control
// messages, AMF0 commands and the bodies of FLV audio and video tags. ServerConn is
// the publishing side of a server, Client the encoder that tests and load tools play.
//
// It opens no listener, knows no stream key rule and interprets no codec: package
// ingest/rtmp does the first two and package media the third. Nothing in it starts a
// goroutine or sets a deadline, so a caller bounds time on its own net.Conn.
//
// Everything a peer can make it hold is bounded: see Limits and the constants in
// chunk.go and amf0.go. References are to Adobe's "RTMP Specification 1.0" (2012),
// "AMF 0" (2007), "FLV 10.1", and Veovera's "Enhanced RTMP v2".
package rtmp
