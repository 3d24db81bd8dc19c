// Package multitrack is multitrack video (low-latency.md 3.4): an encoder asks which
// renditions to make (GetClientConfiguration), gets a ladder and a stream key that
// carries it, and must then send exactly that. The package makes the ladder from what
// the encoder says it can, seals and opens such keys (Keys), answers the two HTTP
// requests (Handler), and checks what an encoder sends against its ladder and its
// channel's policy (Gate).
//
// It opens no listener, ends no connection and writes no session: package node routes
// to the Handler, and package stream asks the Gate and acts on what it says.
//
// # The ladder
//
// The rungs are those of the table in rungs.go. The highest one is limited by the
// encoder's canvas (nothing is scaled up), by its and its channel's maximum resolution,
// and by what encodes: a GPU that we know takes every rung; a CPU two of 480p with four
// cores, three of 720p with eight, three of 1080p with sixteen. Below it follow 720p,
// 480p, 360p and 160p, as many as the encoder and what encodes allow. If that is more
// than the encoder's bandwidth, or 15 Mbit/s, the highest goes, until it fits.
//
// Rungs below 720p have at most 30 frames per second. The codec is H.264, which plays
// everywhere, unless the encoder has only H.265.
package multitrack
