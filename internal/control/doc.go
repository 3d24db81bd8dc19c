// Package control is the behaviour behind the IVS API: rules, defaults, references,
// pages and tags over the rows in package store. What is live it asks the roster;
// what is live elsewhere it changes by a command to the owner. It serves no HTTP and
// touches no media.
//
// Every write to a channel happens under the channel's lease, taken for the moment of
// the write: an encoder that goes live and a call that changes the channel cannot
// overlap, on any number of nodes. Whatever else a write depends on (a limit, a name that
// must be free, an attachment) it reads in the transaction that writes.
//
// What takes longer than a call is marked in the store and done by Run, on whichever
// control node looks first; Run also forgets history whose time has passed.
package control
