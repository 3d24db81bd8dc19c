// Package srt is the receiving side of SRT (draft-sharabayko-srt-01) in live mode: a
// listener that callers send to. It has the handshake of version 5, AES-CTR with keys of
// all sizes and their renewal, loss reports and retransmission, delivery by the sender's
// clock with that clock's drift, and too-late packet drop.
//
// It does not send media, and has no file mode, no rendezvous, no handshake of version 4
// (libsrt before 1.3), no packet filter (FEC) and no connection groups: a caller who asks
// for one is refused and told why. What the media is, who may send and what a stream id
// means is up to the caller of this package.
//
// A listener is one socket and one goroutine that reads it; a connection has only the
// goroutine that takes its packets by Conn.Next, which also answers in its name.
package srt

import (
	"strconv"
	"time"
)

// A Reason is why a caller is refused, as libsrt numbers it.
type Reason uint32

// Reasons. From 1000 on they are those of SRT's access control, which stand for the
// status of HTTP with the same last three digits.
const (
	Rogue      Reason = 4  // a handshake that makes no sense
	Backlog    Reason = 5  // too many handshakes at once
	Closing    Reason = 7  // the server is going down
	Version    Reason = 8  // an SRT older than 1.3
	BadSecret  Reason = 10 // wrong passphrase
	Unsecure   Reason = 11 // encryption is required
	MessageAPI Reason = 12 // file mode
	Congestion Reason = 13 // a congestion control other than live
	Filter     Reason = 14 // a packet filter
	Group      Reason = 15 // a connection group

	BadRequest  Reason = 1400
	Overload    Reason = 1402
	BadMode     Reason = 1405
	Conflict    Reason = 1409
	Unsupported Reason = 1415
	Internal    Reason = 1500
	Unavailable Reason = 1503
)

func (r Reason) String() string {
	switch r {
	case Rogue:
		return "rogue"
	case Backlog:
		return "backlog"
	case Closing:
		return "closing"
	case Version:
		return "version"
	case BadSecret:
		return "bad_secret"
	case Unsecure:
		return "unsecure"
	case MessageAPI:
		return "message_api"
	case Congestion:
		return "congestion"
	case Filter:
		return "filter"
	case Group:
		return "group"
	case BadRequest:
		return "bad_request"
	case Overload:
		return "overload"
	case BadMode:
		return "bad_mode"
	case Internal:
		return "internal"
	case Conflict:
		return "conflict"
	case Unsupported:
		return "unsupported"
	case Unavailable:
		return "unavailable"
	}
	return strconv.FormatUint(uint64(r), 10)
}

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		Rogue, Backlog, Closing, Version, BadSecret, Unsecure, MessageAPI, Congestion, Filter, Group,
		BadRequest, Overload, BadMode, Conflict, Unsupported, Internal, Unavailable,
	}
}

// Sizes in bytes.
const (
	headerSize = 16
	maxPacket  = 1500 - 28 // of a UDP datagram over IPv4 and Ethernet
	minMTU     = 256       // that a caller may name; a smaller one carries no media
)

// Times of the protocol (draft-sharabayko-srt-01 4.8, 4.10).
const (
	ackInterval  = 10 * time.Millisecond
	minNAK       = 20 * time.Millisecond
	keepalive    = time.Second
	initialRTT   = 100 * time.Millisecond
	unackedAgain = 300 * time.Millisecond // an acknowledgement whose receipt was not confirmed is repeated
)

// maxWindow is how many packets may wait for delivery or for one that is missing: 8 Mbit/s
// for ten seconds, 12 MB.
const maxWindow = 8192
