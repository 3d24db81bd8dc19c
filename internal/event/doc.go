// Package event is what the service tells the world of streams: the events of
// EventBridge, in its envelope, each with the detail that AWS documents (low-latency.md
// 9). It also brings them there: a Relay moves what the store's outbox holds to the
// log of events on the bus.
//
// It decides nothing: when an event happens is up to package stream and its kind, who
// write it with the change that it tells of, in one transaction.
//
// # Delivery
//
// What is committed reaches the bus at least once, through crashes and outages of the
// bus of up to a day; an event that comes twice has the same id, and the bus drops the
// second one within ten minutes. Events of one channel arrive in the order they
// happened. Of the nodes of a cluster one relays at a time; if it dies another one goes
// on when its claim has run out.
package event
