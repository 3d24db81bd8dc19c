// Package stream owns live channels. A Stream is one go-live: it holds the channel's
// lease, takes the encoder's media, feeds the packager, keeps the session's record
// and says on the roster that the channel is live. It knows no ingest protocol and
// serves no HTTP. An encoder is one connection, and what a protocol writes into.
//
// States of a Stream, in order, never back:
//
//	created  the key was accepted and the lease taken; no viewer can see it
//	live     the first segment is complete ("Stream Start")
//	ended    the encoder left, or was made to; the playlist says so
//
// The encoder's goroutine calls Write, which runs through the packager and returns;
// it never waits for a viewer, the database or the bus. One goroutine per stream
// (Stream.run) does what waits for the database: lease and record. It is started by
// Streams.Publish and ends after the session is closed. Streams.Run repeats to the
// roster who is live, and waits for all others when it ends.
package stream
