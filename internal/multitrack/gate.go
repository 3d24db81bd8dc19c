package multitrack

import (
	"fmt"
	"math"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// A Violation ends the stream of the encoder that committed it.
type Violation struct {
	Code   event.Code // on "Session Ended" (low-latency.md 3.4)
	Detail string     // for the encoder and the log
}

func (v *Violation) Error() string { return "multitrack: " + string(v.Code) + ": " + v.Detail }

func violation(c event.Code, format string, args ...any) error {
	return &Violation{c, fmt.Sprintf(format, args...)}
}

// What is tolerated of a ladder's numbers; the encoder follows them, the network and
// the content do not quite.
const (
	rateWindow    = 10 * media.VideoTimescale // over which a bit rate is judged; ticks
	rateTolerance = 1.5
	fpsTolerance  = 0.01                            // of what parameter sets say
	fpsMeasured   = 0.1                             // of what comes, above
	keySlack      = 5 * media.VideoTimescale / 1000 // between keyframes that belong together; ticks
)

// How long a Gate waits, in ticks of media.
const (
	secondTrack = media.VideoTimescale / 2     // for a second track that must come
	everyTrack  = 3 * media.VideoTimescale / 2 // for all tracks of a ladder
	trackAway   = 3 * media.VideoTimescale     // for one that has stopped
)

// Bounds of what a Gate holds back.
const (
	maxHeldUnits = 4096
	maxHeldBytes = 32 << 20
	maxKeys      = 8 // keyframes that a track may be behind the others
)

// A Gate lets through what one encoder may send to a channel. Media of a stream with
// one track goes through at once. That of a multitrack stream is held back until every
// track has begun with the same keyframe: until then nobody can play it, and what is
// wrong with a track shows there.
//
// A Gate belongs to the goroutine that calls Take.
type Gate struct {
	enabled, required bool
	ladder            Ladder // of the encoder's key; nil for a plain key

	open  bool // units go through
	began bool // first holds
	first int64
	held  []media.Unit // while not open, since the first keyframe of any track
	size  int          // bytes of held
	newst int64        // latest DTS of any track

	tracks []trackState // by number; one for each of ladder
	keys   []int64      // PTS of the newest keyframes that some track had
	gone   int64        // how many were before those
}

// A trackState is what a Gate knows of one track.
type trackState struct {
	track *media.Track
	keys  int64 // keyframes so far
	last  int64 // DTS of the newest unit

	// Since the window's first keyframe.
	start  int64 // its PTS
	frames int
	bytes  int64
	// Since the newest keyframe: leading pictures are shown before it.
	gopFrames int
	gopBytes  int64
}

// NewGate returns the Gate of an encoder that publishes to ch, with a key that carries
// l or, if l is nil, with a plain one.
func NewGate(ch live.Channel, l Ladder) *Gate {
	g := &Gate{ladder: l, tracks: make([]trackState, len(l))}
	if m := ch.Multitrack; m != nil && m.Enabled {
		g.enabled, g.required = true, m.Policy == live.MultitrackRequire
	}
	return g
}

// Ladder is that of the encoder's key; nil for a plain key.
func (g *Gate) Ladder() Ladder { return g.ladder }

// Tracks returns the tracks of a multitrack stream that has gone through, by number;
// nil for any other stream.
func (g *Gate) Tracks() []*media.Track {
	if g.ladder == nil || !g.open {
		return nil
	}
	all := make([]*media.Track, len(g.tracks))
	for i := range g.tracks {
		all[i] = g.tracks[i].track
	}
	return all
}

// Take takes the encoder's next unit and passes on, in order, what may go through by
// it. An error is a *Violation, or one of pass; it is final.
func (g *Gate) Take(u media.Unit, pass func(media.Unit) error) error {
	if u.Track.Kind != media.Video {
		return g.through(u, pass)
	}
	if err := g.check(&u); err != nil {
		return err
	}
	return g.through(u, pass)
}

func (g *Gate) through(u media.Unit, pass func(media.Unit) error) error {
	if g.open {
		return pass(u)
	}
	if g.ladder == nil || !g.began {
		return nil // of no use without a keyframe, or to a stream that is never let through
	}
	g.held = append(g.held, u)
	g.size += len(u.Data)
	if !g.complete() {
		if len(g.held) > maxHeldUnits || g.size > maxHeldBytes {
			return violation(event.MultitrackTrackCount, "not every track has begun after %d bytes", g.size)
		}
		return nil
	}
	g.open = true
	held := g.held
	g.held, g.size = nil, 0
	for i := range held {
		if err := pass(held[i]); err != nil {
			return err
		}
	}
	return nil
}

// complete reports whether every track of the ladder has had a keyframe.
func (g *Gate) complete() bool {
	for i := range g.tracks {
		if g.tracks[i].keys == 0 {
			return false
		}
	}
	return true
}

// check looks at a video unit.
func (g *Gate) check(u *media.Unit) error {
	several := u.Track.ID > 0
	switch {
	case (several || g.ladder != nil) && !g.enabled:
		return violation(event.MultitrackNotAllowed, "multitrack video is not enabled for the channel")
	case several && g.ladder == nil:
		return violation(event.MultitrackKeyRequired, "multitrack video needs the stream key that GetClientConfiguration returns")
	case g.ladder != nil:
		return g.checkTrack(u)
	case !g.required:
		g.open = true
		return nil
	}
	if !g.began {
		g.began, g.first = true, u.DTS
	}
	if u.DTS-g.first >= secondTrack {
		return violation(event.MultitrackRequired, "the channel takes multitrack video only")
	}
	return nil
}

// checkTrack looks at a unit of a stream that has a ladder.
func (g *Gate) checkTrack(u *media.Unit) error {
	if u.Track.ID >= len(g.tracks) {
		return violation(event.MultitrackTrackCount, "video track %d of a stream configured to have %d", u.Track.ID, len(g.tracks))
	}
	t := &g.tracks[u.Track.ID]
	if u.Track != t.track {
		if err := g.ladder[u.Track.ID].matches(u.Track); err != nil {
			return err
		}
		t.track = u.Track
	}
	if t.keys == 0 && !u.Key {
		return nil // the track has not begun
	}
	if !g.began {
		g.began, g.first, g.newst = true, u.DTS, u.DTS
	}
	t.last = u.DTS
	g.newst = max(g.newst, u.DTS)
	if u.Key {
		if err := g.key(u, t); err != nil {
			return err
		}
	}
	t.gopFrames++
	t.gopBytes += int64(len(u.Data))
	return g.present()
}

// matches reports a track that is not what the ladder says, as far as its parameter
// sets tell.
func (t Track) matches(m *media.Track) error {
	switch {
	case m.Codec != t.Codec:
		return violation(event.MultitrackProperties, "video track %d has codec %s, configured %s", m.ID, m.Codec, t.Codec)
	case m.Width != t.Width || m.Height != t.Height:
		return violation(event.MultitrackProperties, "video track %d has %dx%d pixels, configured %dx%d", m.ID, m.Width, m.Height, t.Width, t.Height)
	case m.FrameRate > 0 && math.Abs(m.FrameRate-float64(t.FrameRate)) > fpsTolerance*float64(t.FrameRate):
		return violation(event.MultitrackProperties, "video track %d has %.3f frames per second, configured %d", m.ID, m.FrameRate, t.FrameRate)
	}
	return nil
}

// key looks at a keyframe: the metrics that must come with it, and whether it is where
// those of the other tracks are.
func (g *Gate) key(u *media.Unit, t *trackState) error {
	id := u.Track.ID
	if !hasMetrics(*u) {
		return violation(event.MultitrackProperties, "a keyframe of video track %d has no broadcast performance metrics", id)
	}
	switch n := t.keys - g.gone; {
	case n == int64(len(g.keys)):
		g.keys = append(g.keys, u.PTS)
	case max(g.keys[n]-u.PTS, u.PTS-g.keys[n]) > keySlack:
		return violation(event.MultitrackProperties, "keyframes of video track %d are not where those of other tracks are", id)
	}
	t.keys++
	least := t.keys
	for i := range g.tracks {
		least = min(least, g.tracks[i].keys)
	}
	if n := least - g.gone; n > 0 {
		g.keys, g.gone = append(g.keys[:0], g.keys[n:]...), least
	}
	if len(g.keys) > maxKeys {
		return violation(event.MultitrackProperties, "keyframes of video track %d come without those of other tracks", id)
	}
	return t.judge(u.PTS, g.ladder[id], id)
}

// judge adds the group of pictures that ends before pts, and judges the track's rates
// when there is enough.
func (t *trackState) judge(pts int64, want Track, id int) error {
	if t.keys == 1 {
		t.start = pts
	}
	t.frames += t.gopFrames
	t.bytes += t.gopBytes
	t.gopFrames, t.gopBytes = 0, 0
	span := pts - t.start
	if span < rateWindow {
		return nil
	}
	seconds := float64(span) / media.VideoTimescale
	rate, fps := float64(t.bytes*8)/seconds/1000, float64(t.frames)/seconds
	t.start, t.frames, t.bytes = pts, 0, 0
	switch {
	case rate > rateTolerance*float64(want.BitRate):
		return violation(event.MultitrackProperties, "video track %d has %.0f kbit/s, configured %d", id, rate, want.BitRate)
	case fps > (1+fpsMeasured)*float64(want.FrameRate):
		return violation(event.MultitrackProperties, "video track %d has %.1f frames per second, configured %d", id, fps, want.FrameRate)
	}
	return nil
}

// present reports a track that has not come, or does not come any more.
func (g *Gate) present() error {
	for i := range g.tracks {
		t := &g.tracks[i]
		switch {
		case t.keys == 0 && g.newst-g.first >= everyTrack:
			return violation(event.MultitrackTrackCount, "video track %d of %d has not come", i, len(g.tracks))
		case t.keys > 0 && g.newst-t.last >= trackAway:
			return violation(event.MultitrackTrackCount, "video track %d of %d comes no more", i, len(g.tracks))
		}
	}
	return nil
}

// UUIDs of broadcast performance metrics, the SEI messages that come with every
// keyframe of a multitrack stream: times, and counters of the session and the encoder.
// OBS sends all three; any shows that the encoder measures.
func metricsID(id [16]byte) bool {
	switch id {
	case [16]byte{0x0a, 0xec, 0xff, 0xe7, 0x52, 0x72, 0x4e, 0x2f, 0xa6, 0x2f, 0xd1, 0x9c, 0xd6, 0x1a, 0x93, 0xb5},
		[16]byte{0xca, 0x60, 0xe7, 0x1c, 0x6a, 0x8b, 0x43, 0x88, 0xa3, 0x77, 0x15, 0x1d, 0xf7, 0xbf, 0x8a, 0xc2},
		[16]byte{0xf1, 0xfb, 0xc1, 0xd5, 0x10, 0x1e, 0x4f, 0xb5, 0xa6, 0x1e, 0xb8, 0xce, 0x3c, 0x07, 0xb8, 0xc0}:
		return true
	}
	return false
}

func hasMetrics(u media.Unit) bool {
	for id := range media.UserData(u) {
		if metricsID(id) {
			return true
		}
	}
	return false
}
