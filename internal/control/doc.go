// Package control is the behaviour behind the IVS API: rules, defaults, references,
// pages and tags over the rows in package store. What is live it asks the roster;
// what is live elsewhere it changes by a command to the owner. It serves no HTTP and
// touches no media.
//
// Every write to a channel happens under the channel's lease, taken for the moment of
// the write: an encoder that goes live and a call that changes the channel cannot
// overlap, on any number of nodes.
package control
