// Package edge holds at this node what the streams of other nodes hold there, as far as
// viewers here ask for it: it finds the owner of a channel in the roster, fetches each
// playlist and each piece of media once, whatever the number of viewers, and keeps it in
// memory for as long as the owner says that it is good. It serves no HTTP and lets nobody
// in: package origin answers for its streams as it does for those of this node.
//
// Who waits, shares: a request that the owner parks, for a part that is still to come, is
// one request for all viewers here that wait for that part, and a segment that grows
// there grows here. A stream id is never used again and its media never changes, so what
// is kept cannot be wrong; it can only be too old, which for playlists is a tenth of a
// second.
//
// A node shows the owner that it is one by a Credential. Then the owner leaves the checks
// of viewers, and the counting of them, to it: what the checks need, About tells. The
// count goes to the owner over the bus.
package edge
