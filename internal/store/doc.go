// Package store keeps what must survive a restart: resources (channels, stream keys
// and whatever else has an ARN), stream sessions with their events, leases on live
// channels, access keys and whose they are, and an outbox of messages that commit with
// the write that caused them. It runs on a SQLite file or on PostgreSQL, with one SQL
// text, and its callers cannot tell which.
//
// It knows no rule of the service: a resource is a row with a JSON body, and quotas,
// validation and what may be deleted are the caller's, who checks them inside a Tx.
// It sends no message (it only keeps them until they are delivered) and holds no
// live state (who watches, how healthy a stream is).
//
// # Consistency
//
// A Tx is serializable: what it read still holds when it commits, or it runs again.
// A write that returned is on disk. Deleting a resource deletes its children (rows
// whose Parent it is) and their links; sessions, leases and links that point at it stay.
//
// # Leases and fencing
//
// At most one node holds the lease of a channel at a time. Each change of hands gives
// the lease a higher generation, every write of a session carries the generation it
// runs under, and a write whose generation has passed fails with ErrFenced. So a node
// that was paused beyond its lease can do no harm when it wakes up. Time is always an
// argument: the store reads no clock to decide about a lease.
package store
