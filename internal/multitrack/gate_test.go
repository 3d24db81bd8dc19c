package multitrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// Pictures of a track: an IDR with metrics, one without, and one between keyframes.
var (
	metricsSEI = append([]byte("\x06\x05\x12"), append(tsUUID[:], 0, 1, 0x80)...)
	tsUUID     = [16]byte{0x0a, 0xec, 0xff, 0xe7, 0x52, 0x72, 0x4e, 0x2f, 0xa6, 0x2f, 0xd1, 0x9c, 0xd6, 0x1a, 0x93, 0xb5}
	keyPicture = nals([]byte("\x65abc"), metricsSEI)
	bareKey    = nals([]byte("\x65abc"))
	picture    = nals([]byte("\x41abc"))
)

func nals(all ...[]byte) (b []byte) {
	for _, n := range all {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

// A rig is an encoder of tracks that follow a ladder, at a gate.
type rig struct {
	gate   *Gate
	ladder Ladder
	tracks []*media.Track
	sound  *media.Track
	passed []media.Unit

	// What this encoder does wrong; all for track 1.
	bare    int // the keyframe without metrics, from 1
	late    int64
	missing bool
	stops   int64 // seconds until it stops
	heavy   int   // bytes of every picture
	fast    int64 // times as many pictures
}

func newRig(ch live.Channel, l Ladder) *rig {
	r := &rig{gate: NewGate(ch, l), ladder: l, sound: &media.Track{Kind: media.Audio, Codec: media.AAC, Timescale: 48000}}
	if l == nil {
		r.ladder = testLadder()
	}
	for i, t := range r.ladder {
		r.tracks = append(r.tracks, &media.Track{
			Kind: media.Video, ID: i, Codec: t.Codec, Timescale: media.VideoTimescale, Width: t.Width, Height: t.Height, FrameRate: float64(t.FrameRate),
		})
	}
	return r
}

func (r *rig) take(u media.Unit) error {
	return r.gate.Take(u, func(u media.Unit) error {
		r.passed = append(r.passed, u)
		return nil
	})
}

// send sends the first n tracks for some seconds, with a keyframe every second, and
// returns the code of the first violation.
func (r *rig) send(t *testing.T, n int, seconds int64) event.Code {
	t.Helper()
	const most = 120 // pictures a second that the clock has places for
	for k := range seconds * most {
		for i, tr := range r.tracks[:n] {
			rate, off := int64(r.ladder[i].FrameRate), int64(0)
			if i == 1 {
				if r.missing || r.stops > 0 && k >= r.stops*most {
					continue
				}
				if r.fast > 0 {
					rate *= r.fast
				}
				off = r.late
			}
			if k%(most/rate) != 0 {
				continue
			}
			at := k*media.VideoTimescale/most + off
			u := media.Unit{Track: tr, DTS: at, PTS: at, Data: picture}
			if k%most == 0 {
				u.Key, u.Data = true, keyPicture
				if i == 1 && r.bare == int(k/most)+1 {
					u.Data = bareKey
				}
			} else if i == 1 && r.heavy > 0 {
				u.Data = make([]byte, r.heavy)
			}
			if err := r.take(u); err != nil {
				v, ok := errors.AsType[*Violation](err)
				if !ok {
					t.Fatal(err)
				}
				return v.Code
			}
		}
		if err := r.take(media.Unit{Track: r.sound, DTS: k * 400, PTS: k * 400, Key: true, Data: []byte("raw")}); err != nil {
			t.Fatal(err)
		}
	}
	return ""
}

func h264Ladder() Ladder {
	l := testLadder()
	l[1].Codec = media.H264
	return l
}

func TestGate(t *testing.T) {
	off := func(c *live.Channel) { c.Multitrack = nil }
	disabled := func(c *live.Channel) { c.Multitrack.Enabled = false }
	require := func(c *live.Channel) { c.Multitrack.Policy = live.MultitrackRequire }
	allow := func(*live.Channel) {}
	l := h264Ladder()
	edit := func(f func(*media.Track)) func(*rig) { return func(r *rig) { f(r.tracks[1]) } }
	for name, tt := range map[string]struct {
		channel func(*live.Channel)
		ladder  Ladder
		tracks  int
		wrong   func(*rig)
		want    event.Code
	}{
		"one track, not enabled":                      {off, nil, 1, nil, ""},
		"one track, allowed":                          {allow, nil, 1, nil, ""},
		"one track where several must be":             {require, nil, 1, nil, event.MultitrackRequired},
		"several tracks, not enabled":                 {off, nil, 2, nil, event.MultitrackNotAllowed},
		"several tracks, disabled":                    {disabled, nil, 2, nil, event.MultitrackNotAllowed},
		"a ladder, not enabled any more":              {disabled, l, 2, nil, event.MultitrackNotAllowed},
		"several tracks with a plain key":             {allow, nil, 2, nil, event.MultitrackKeyRequired},
		"the same where they must be":                 {require, nil, 2, nil, event.MultitrackKeyRequired},
		"the tracks of the ladder":                    {allow, l, 2, nil, ""},
		"the same where they must be, with a ladder":  {require, l, 2, nil, ""},
		"a track too few":                             {allow, l, 1, nil, event.MultitrackTrackCount},
		"a track too few in the middle":               {allow, l, 2, func(r *rig) { r.missing = true }, event.MultitrackTrackCount},
		"a track too many":                            {allow, l[:1], 2, func(r *rig) { *r = *withTracks(r.gate, l) }, event.MultitrackTrackCount},
		"a track that stops":                          {allow, l, 2, func(r *rig) { r.stops = 3 }, event.MultitrackTrackCount},
		"another codec":                               {allow, l, 2, edit(func(t *media.Track) { t.Codec = media.H265 }), event.MultitrackProperties},
		"another width":                               {allow, l, 2, edit(func(t *media.Track) { t.Width = 854 }), event.MultitrackProperties},
		"another height":                              {allow, l, 2, edit(func(t *media.Track) { t.Height = 482 }), event.MultitrackProperties},
		"another frame rate":                          {allow, l, 2, edit(func(t *media.Track) { t.FrameRate = 25 }), event.MultitrackProperties},
		"a frame rate nearly the same":                {allow, l, 2, edit(func(t *media.Track) { t.FrameRate = 29.97 }), ""},
		"a frame rate that is not told":               {allow, l, 2, edit(func(t *media.Track) { t.FrameRate = 0 }), ""},
		"more pictures than were told":                {allow, l, 2, func(r *rig) { r.fast = 2 }, event.MultitrackProperties},
		"more bits than were told":                    {allow, l, 2, func(r *rig) { r.heavy = 2 * 1_000_000 / 8 / 30 }, event.MultitrackProperties},
		"as many bits as were told":                   {allow, l, 2, func(r *rig) { r.heavy = 1_000_000 / 8 / 30 }, ""},
		"keyframes off by a frame":                    {allow, l, 2, func(r *rig) { r.late = media.VideoTimescale / 30 }, event.MultitrackProperties},
		"keyframes off by the rounding of timestamps": {allow, l, 2, func(r *rig) { r.late = media.VideoTimescale / 1000 }, ""},
		"no metrics on the first keyframe":            {allow, l, 2, func(r *rig) { r.bare = 1 }, event.MultitrackProperties},
		"no metrics on a later keyframe":              {allow, l, 2, func(r *rig) { r.bare = 5 }, event.MultitrackProperties},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(testChannel(tt.channel), tt.ladder)
			if tt.wrong != nil {
				tt.wrong(r)
			}
			if got := r.send(t, tt.tracks, 12); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// withTracks is an encoder of l at a gate for another ladder.
func withTracks(g *Gate, l Ladder) *rig {
	r := newRig(live.Channel{}, l)
	r.gate = g
	return r
}

// Nothing goes through before every track has begun; then all does, in order, from the
// first keyframe.
func TestGateHoldsBackUntilAllTracksHaveBegun(t *testing.T) {
	r := newRig(testChannel(), h264Ladder())
	unit := func(track int, at int64, key bool) media.Unit {
		u := media.Unit{Track: r.tracks[track], DTS: at, PTS: at, Key: key, Data: picture}
		if key {
			u.Data = keyPicture
		}
		return u
	}
	sound := media.Unit{Track: r.sound, DTS: 1, PTS: 1, Key: true, Data: []byte("raw")}
	for i, step := range []struct {
		u    media.Unit
		want int // units that have gone through
	}{
		{sound, 0},
		{unit(1, 0, false), 0}, // no keyframe yet: of no use
		{unit(1, 3000, true), 0},
		{sound, 0},
		{unit(1, 6000, false), 0},
		{unit(0, 3000, true), 4},
		{sound, 5},
		{unit(0, 6000, false), 6},
	} {
		if err := r.take(step.u); err != nil {
			t.Fatal(err)
		}
		if len(r.passed) != step.want {
			t.Fatalf("after unit %d: %d have gone through, want %d", i, len(r.passed), step.want)
		}
		if open := r.gate.Tracks() != nil; open != (step.want > 0) {
			t.Fatalf("after unit %d: Tracks says %t", i, open)
		}
	}
	if !slices.Equal(r.gate.Tracks(), r.tracks) {
		t.Errorf("tracks %v, want %v", r.gate.Tracks(), r.tracks)
	}
	var ids []string
	for _, u := range r.passed {
		ids = append(ids, fmt.Sprintf("%v%d%t", u.Track.Kind, u.Track.ID, u.Key))
	}
	if want := []string{"video1true", "audio0true", "video1false", "video0true", "audio0true", "video0false"}; !slices.Equal(ids, want) {
		t.Errorf("order %v, want %v", ids, want)
	}
}

func TestGateBoundsWhatItHolds(t *testing.T) {
	for name, n := range map[string]int{"by units": 1, "by bytes": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			r := newRig(testChannel(), h264Ladder())
			err := r.take(media.Unit{Track: r.tracks[0], Key: true, Data: keyPicture})
			for i := 0; err == nil && i < 2*maxHeldUnits; i++ { // a clock that stands still
				err = r.take(media.Unit{Track: r.sound, Key: true, Data: make([]byte, n)})
			}
			if v, ok := errors.AsType[*Violation](err); !ok || v.Code != event.MultitrackTrackCount {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGatePassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	for name, l := range map[string]Ladder{"one track": nil, "several": h264Ladder()[:1]} {
		r := newRig(testChannel(), l)
		err := r.gate.Take(media.Unit{Track: r.tracks[0], Key: true, Data: keyPicture}, func(media.Unit) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stream of one track costs nothing.
func TestGateDoesNotAllocate(t *testing.T) {
	g := NewGate(testChannel(), nil)
	u := media.Unit{Track: &media.Track{Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale}, Data: picture}
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		u.DTS += 3000
		if err := g.Take(u, func(media.Unit) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 || n == 0 {
		t.Errorf("%v allocations a unit, %d units", allocs, n)
	}
}
