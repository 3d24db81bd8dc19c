// Package packager turns the access units of one rendition into parts, segments and
// playlists, and hands them to whoever asks, blocking until they exist. It knows no
// HTTP, no channel and no viewer: package stream writes, package origin reads.
//
// # States
//
// A Rendition waits for a keyframe; gathers its first segment, at whose end it decides
// what stays fixed (tracks, target duration, part target); then cuts parts and segments
// as units come; and ends with Close. A change of parameter sets, a track that appears
// or falls silent, and a jump of the clock close the segment; the next one begins with
// a keyframe behind an EXT-X-DISCONTINUITY.
//
// # Owners
//
// All that Write and Close touch belongs to the one goroutine that calls them. After
// every part they publish an immutable snapshot with one atomic store and wake all who
// wait by closing one channel. Readers never lock: they load the snapshot. Playlists
// are rendered and compressed by the first reader of a snapshot and shared by the rest,
// so without viewers a part costs little more than its mux. Media is kept once, in one
// buffer per part, which segments and parts both refer to.
//
// # Metadata
//
// What Presentation.Insert takes waits for the next picture of the first rendition and
// gets its time. Each rendition carries it in the part that shows that time, however far
// it is behind the first: one media time for all viewers. Every segment begins with a tag
// of ours, from which the IVS player knows how late it is.
package packager
