// Package ingest is the contract between the protocols that encoders speak and the
// streams that take their media. A protocol (ingest/rtmp, ...) reads bytes and calls
// a Handler; it knows no channel, no key rule and no state. Package stream is the
// Handler; it knows no protocol.
package ingest

import (
	"context"
	"net/url"

	"github.com/sluice-live/sluice/internal/media"
)

// Protocol is how an encoder reached us.
type Protocol string

// Protocols that encoders speak.
const (
	RTMP   Protocol = "RTMP"
	RTMPS  Protocol = "RTMPS"
	SRT    Protocol = "SRT"
	WebRTC Protocol = "WebRTC"
)

// A Request is one encoder asking to publish.
type Request struct {
	Protocol Protocol
	// Encrypted says that the media travels encrypted: TLS, DTLS, or SRT with the
	// channel's passphrase. A channel without insecureIngest takes nothing else
	// (low-latency.md 3.1).
	Encrypted bool
	// Unlock reports whether passphrase is the one that the encoder encrypts with; nil
	// when its transport knows none. Then who has the right key but another passphrase
	// than the channel's is refused like one with a wrong key. It takes a millisecond.
	Unlock func(passphrase string) bool
	Key    string     // the stream key; secret, never logged
	Params url.Values // query of the publish name: priority, keyframeInterval, ...
	Remote string     // host:port of the encoder
	Agent  string     // what the encoder calls itself (RTMP flashVer); may be ""
}

// Announcement is what the encoder said of itself before its media (RTMP onMetaData);
// zero where it said nothing. It is shown by GetStreamSession, not believed.
type Announcement struct {
	Encoder         string
	Width, Height   int
	FrameRate       float64 // frames per second
	VideoBitRate    int64   // bits per second
	AudioBitRate    int64   // bits per second
	AudioSampleRate int     // Hz
	AudioChannels   int
}

// Handler decides about encoders. Publish returns the session that takes the
// encoder's media, or an error that the protocol puts in its own words: a *live.Error
// of kind Denied (bad, deleted or foreign key; plain transport not allowed), Conflict
// (another encoder is live), Unsupported or Unavailable. ctx ends when the connection does.
type Handler interface {
	Publish(ctx context.Context, r Request) (Session, error)
}

// MaxMetadata is the most that one piece of timed metadata may be, in bytes.
const MaxMetadata = 1024

// Session takes one encoder's media. Its methods are called from one goroutine, in
// the order the encoder sent; a non-nil error means that the protocol must end the
// connection, and is final.
type Session interface {
	// Announce hands over the encoder's description; it may be called again.
	Announce(Announcement)
	// Metadata takes text that came within the encoder's stream (low-latency.md 3.6), to
	// be shown with the unit that was written last: UTF-8 of 1 to MaxMetadata bytes. It
	// is never logged. What the session cannot carry it drops.
	Metadata(text string)
	// Write takes one access unit. A Unit whose Track differs from the last one of
	// that kind is a change of parameters.
	Write(media.Unit) error
	// Done is closed when the server ends the session (StopStream, shutdown, lost
	// lease); the protocol then closes the connection.
	Done() <-chan struct{}
	// Close says that the encoder is gone: clean when it said goodbye (FCUnpublish,
	// deleteStream, end of stream), false when the connection just ended.
	Close(clean bool)
}
