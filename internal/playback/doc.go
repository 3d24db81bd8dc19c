// Package playback decides who may watch: the tokens of private channels, the sessions
// that follow from them, their revocation, and the restriction policies of public
// channels (low-latency.md 5, 6). It knows nothing of HTTP: whoever serves media asks it,
// with what the request said, and gets a Session or a *Refusal.
//
// A viewer of a private channel comes once with a token, a JWT that the channel's owner
// signed. From then on a Session speaks for them: a path element that only this service
// can make, sealed for one stream, which holds all that the later requests are checked
// by. Nothing is written for a session, so it costs no node anything but a place in a
// cache, and any node that has the key can open it.
//
// What takes effect on sessions that already run is revocation. A node hears of it on
// the bus, reads it from the store once a second in case it did not hear, and asks the
// store about each viewer whose session it meets for the first time.
package playback
