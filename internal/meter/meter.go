// Package meter measures what one encoder sends, second by second, and judges it: is
// it more than the channel's type allows, and is it as much as was to be expected? It
// is arithmetic on units and times that it is given. It reads no clock, tells nobody
// and ends no stream.
package meter

import (
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// Bounds of what a Meter remembers.
const (
	maxTracks  = 16 // of each kind; what more there are count with the last
	maxSeconds = 8  // that are over and were not drained; the oldest go first

	maxInterval = 5 * time.Minute // between keyframes; a longer one is a jump of the clock
)

// A Meter measures one encoder. It is safe for concurrent use.
type Meter struct {
	limits func(multitrack bool) Limits
	start  time.Time // what times are counted from, so that a clock that is set starves nobody

	mu        sync.Mutex // guards the fields below
	several   bool       // there is more than one video track
	limit     Limits
	breached  bool                   // a limit was exceeded
	bits      window                 // of all tracks
	video     [maxTracks]*videoTrack // nil before the first picture
	audio     [maxTracks]bool        // those that were heard
	condition condition
	current   Second
	over      []Second // seconds to be drained, oldest first
}

type videoTrack struct {
	track    *media.Track // of its newest picture
	pictures window
	key      time.Duration // DTS of the newest keyframe
	keyed    bool
}

// A Second is what arrived during one second of the wall clock.
type Second struct {
	Unix   int64 // its start, in seconds since 1970 UTC
	Tracks []Track
}

// A Track is what one track brought.
type Track struct {
	Kind      media.Kind
	ID        int
	Bits      int64
	Pictures  int64           // of a video track
	Intervals []time.Duration // between keyframes, each at the second of the later one
}

// maxIntervals bounds the intervals of one second.
const maxIntervals = 64

// New returns a meter of a stream that starts at now. limits says what the encoder may
// send in one video track, and in several; nil allows anything.
func New(limits func(multitrack bool) Limits, now time.Time) *Meter {
	m := &Meter{limits: limits, start: now}
	if m.limits == nil {
		m.limits = func(bool) Limits { return Limits{} }
	}
	m.limit = m.limits(false)
	return m
}

// Unit takes a unit that arrived. ok is false when a limit is exceeded for the first
// time: then b says which. The unit counts either way.
func (m *Meter) Unit(u *media.Unit) (b Breach, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, bits := u.Received.Sub(m.start), int64(len(u.Data))*8
	m.condition.unit(now)
	m.roll(u.Received.Unix())
	t := m.track(u.Track)
	t.Bits += bits
	m.bits.add(now, bits)
	found := false
	if u.Track.Kind == media.Video {
		t.Pictures++
		b, found = m.picture(u, t, now)
	}
	if !found {
		b, found = m.limit.bits(&m.bits, m.edge())
	}
	if !found || m.breached {
		return Breach{}, true
	}
	m.breached = true
	return b, false
}

// picture takes note of a picture.
func (m *Meter) picture(u *media.Unit, t *Track, now time.Duration) (b Breach, found bool) {
	v := m.video[t.ID]
	if v == nil {
		v = &videoTrack{}
		m.video[t.ID] = v
	}
	at := media.Time(u.DTS, u.Track.Timescale)
	if t.ID == 0 {
		m.bits.play(at)
	}
	if u.Key {
		if d := at - v.key; v.keyed && d > 0 && d <= maxInterval && len(t.Intervals) < maxIntervals {
			t.Intervals = append(t.Intervals, d)
		}
		v.key, v.keyed = at, true
	}
	v.pictures.add(now, 1)
	v.pictures.play(at)
	if v.track != u.Track {
		v.track = u.Track
		if b, found = m.sizes(u.Track); found {
			return b, true
		}
	}
	return m.limit.pictures(&v.pictures)
}

// sizes checks the pictures of a new track, and those of all when it is the first of
// several, because others limits hold then.
func (m *Meter) sizes(t *media.Track) (Breach, bool) {
	if t.ID == 0 || m.several {
		return m.limit.picture(t)
	}
	m.several, m.limit = true, m.limits(true)
	for _, v := range m.video {
		if v != nil {
			if b, found := m.limit.picture(v.track); found {
				return b, true
			}
		}
	}
	return Breach{}, false
}

// edge is the shorter edge of the largest picture, 0 before there is one.
func (m *Meter) edge() int {
	edge := 0
	for _, v := range m.video {
		if v != nil {
			edge = max(edge, min(v.track.Width, v.track.Height))
		}
	}
	return edge
}

func index(t *media.Track) int { return min(max(t.ID, 0), maxTracks-1) }

// track returns what the second has of the track of t.
func (m *Meter) track(t *media.Track) *Track {
	id := index(t)
	if t.Kind == media.Audio {
		m.audio[id] = true
	}
	for i := range m.current.Tracks {
		if x := &m.current.Tracks[i]; x.Kind == t.Kind && x.ID == id {
			return x
		}
	}
	m.current.Tracks = append(m.current.Tracks, Track{Kind: t.Kind, ID: id})
	return &m.current.Tracks[len(m.current.Tracks)-1]
}

// roll begins the second unix, if it is not there. Those before it are over, also the
// ones in which nothing came: then each track that there is brought nothing.
func (m *Meter) roll(unix int64) {
	if m.current.Unix == 0 {
		m.current.Unix = unix
		return
	}
	for m.current.Unix < unix {
		m.over = append(m.over, m.current)
		if len(m.over) > maxSeconds {
			m.over = m.over[1:]
		}
		next := max(m.current.Unix+1, unix-maxSeconds)
		m.current = Second{Unix: next}
		for i, v := range m.video {
			if v != nil {
				m.current.Tracks = append(m.current.Tracks, Track{Kind: media.Video, ID: i})
			}
		}
		for i, heard := range m.audio {
			if heard {
				m.current.Tracks = append(m.current.Tracks, Track{Kind: media.Audio, ID: i})
			}
		}
	}
}

// Drain returns the seconds that are over at now and were not drained before, oldest
// first. Before the first unit there are none.
func (m *Meter) Drain(now time.Time) []Second {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current.Unix == 0 {
		return nil
	}
	m.roll(now.Unix())
	over := m.over
	m.over = nil
	return over
}

// Health is how the stream is at now. announced is the bit rate that the encoder says it
// sends, in bits per second, all tracks together; 0 for unknown. The answer depends on
// those before: STARVING becomes HEALTHY only after media has come as expected for a
// while. So it is to be asked for regularly.
func (m *Meter) Health(now time.Time, announced int64) live.Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.condition.judge(now.Sub(m.start), &m.bits, announced)
}
