package playback

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/sluice-live/sluice/internal/live"
)

// SecretName is what the store keeps the key of the sessions under.
const SecretName = "viewer-sessions"

// SessionPrefix begins the path element of a session. Stream ids begin differently.
const SessionPrefix = live.SessionPrefix

// maxElement bounds the path element of a session, in bytes. What it seals comes from a
// token, which a request's header had room for.
const maxElement = 64 << 10

// IsSession reports whether a path element stands where a session does. It may be false.
func IsSession(element string) bool { return strings.HasPrefix(element, SessionPrefix) }

// A Session is one viewer's right to play one stream. Its methods may be called from
// anywhere, and none but Gate.Open's first use of it costs more than a few loads.
type Session struct {
	ID      uint64 // random; tells views apart
	Element string // how it stands in a path; whoever has it may play, so it is not logged

	stream  string
	origins Origins // that each request must come from; any without strict enforcement
	class   string  // largest resolution class; "" for any
	height  int     // the same, as the shorter edge in pixels
	version int64
	viewer  *viewer      // nil when the token named none, and the session cannot be revoked
	checked atomic.Bool  // the store was asked about the viewer, after whom revocations are heard of
	used    atomic.Int64 // tick of the newest use
}

// A viewer is one viewer of one channel, as long as this node knows a session of theirs.
type viewer struct {
	key     viewerKey
	revoked atomic.Int64 // session versions up to this one are
	held    int          // sessions that point here; guarded by sessions.mu
}

type viewerKey struct {
	channel live.ARN
	id      string
}

// Revoked reports whether the session's viewer may not play any more.
func (s *Session) Revoked() bool { return s.viewer != nil && s.version <= s.viewer.revoked.Load() }

// Strict reports whether each request needs an origin.
func (s *Session) Strict() bool { return !s.origins.Any() }

// Allow refuses a request that the session does not cover any more: after a revocation,
// or from another page than the token names. origin is the request's header.
func (s *Session) Allow(origin string) error {
	switch {
	case s.Revoked():
		return refuse(Revoked, "viewer session is revoked")
	case !s.origins.Allow(origin):
		return refuse(BadOrigin, "origin is not allowed by the token")
	}
	return nil
}

// Limited reports whether there is a resolution that Shows does not allow.
func (s *Session) Limited() bool { return s.class != "" }

// Shows reports whether the session covers pictures of that size. Sound has none.
func (s *Session) Shows(width, height int) bool { return min(width, height) <= s.height }

// sealed is what a session's path element holds, with short names.
type sealed struct {
	Viewer  string   `json:"v,omitempty"`
	Version int64    `json:"n,omitempty"`
	Origins []string `json:"o,omitempty"`
	Class   string   `json:"m,omitempty"`
}

// session makes the path element of a new session. Each stream has a key of its own, so what
// was made for one opens for no other.
func (s sealer) session(stream string, x sealed) (element string, err error) {
	text, err := json.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("playback: %w", err)
	}
	element, err = s.seal("viewer session "+stream, text)
	return SessionPrefix + element, err
}

// openSession reads the path element of a session for a stream, and returns false for any other.
func (s sealer) openSession(element, stream string) (x sealed, id uint64, ok bool, err error) {
	text, ours := strings.CutPrefix(element, SessionPrefix)
	if !ours || len(element) > maxElement {
		return sealed{}, 0, false, nil
	}
	plain, nonce, ok, err := s.open("viewer session "+stream, text)
	if err != nil || !ok {
		return sealed{}, 0, false, err
	}
	if err := json.Unmarshal(plain, &x); err != nil {
		return sealed{}, 0, false, fmt.Errorf("playback: a session of ours: %w", err)
	}
	return x, binary.BigEndian.Uint64(nonce), true, nil
}

// newSession is the session of x. Whoever keeps it gives it its viewer.
func newSession(element, stream string, id uint64, x sealed) *Session {
	return &Session{
		ID: id, Element: strings.Clone(element), stream: stream,
		origins: ParseOrigins(x.Origins), class: x.Class, height: height(x.Class), version: x.Version,
	}
}

// newViewer is a viewer of whom nothing is revoked.
func newViewer(key viewerKey) *viewer {
	v := &viewer{key: key}
	v.revoked.Store(math.MinInt64)
	return v
}

// revoke revokes session versions up to one.
func (v *viewer) revoke(version int64) {
	for {
		was := v.revoked.Load()
		if version <= was || v.revoked.CompareAndSwap(was, version) {
			return
		}
	}
}
