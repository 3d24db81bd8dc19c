package stream

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// A challenger is an encoder that connected to a live channel with a priority above that
// of the running one. It is on trial: its media waits until it has shown the same kinds
// of tracks. Then it is the stream's encoder, from its first keyframe on, and the former
// one is disconnected. Viewers notice nothing (low-latency.md 3.3).
type challenger struct {
	*encoder
	since time.Time    // when it came
	held  []media.Unit // from its first keyframe on
	size  int          // bytes of held
	first int64        // DTS of that keyframe; ticks of video
}

// Bounds of a trial.
const (
	trialTime  = 10 * time.Second       // until the challenger must have shown its tracks
	trialMedia = 2 * time.Second        // of its pictures, in which all of its tracks must have come
	trialSound = 500 * time.Millisecond // of its pictures, in which sound must have come that is one track too many
	maxHeld    = 32 << 20               // bytes
	maxUnits   = 4096

	refusals = 20 // that are told at once; beyond, one for each second of the stream
)

// paramPriority is the parameter of the publish name, or of the streamid, that asks for
// a takeover.
const paramPriority = "priority"

// priorityOf is the priority that r asks for, 0 for none or one out of range.
func priorityOf(r ingest.Request) int64 {
	n, err := strconv.ParseInt(r.Params.Get(paramPriority), 10, 64)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return 0
	}
	return n
}

func errTakeover(code event.Code) error {
	return live.Errorf(live.Conflict, "the channel is already live, and the takeover failed: %s", code)
}

// errReplaced ends the connection of an encoder that another one took over from.
var errReplaced = live.Errorf(live.Conflict, "another encoder took over")

// challenge admits an encoder that wants to take over, or refuses it with the reason
// that the stream's owner finds in its events.
func (st *Stream) challenge(r ingest.Request, p pass) (*encoder, error) {
	if !r.Params.Has(paramPriority) {
		return nil, errBusy
	}
	e := newEncoder(st, r, p.ladder)
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.ended:
		return nil, errBusy
	case p.err != nil:
		return nil, errKey
	case e.priority == 0 || e.priority <= st.encoder.priority || st.trial != nil && e.priority < st.trial.priority:
		return nil, st.takeoverFailed(event.TakeoverInvalidPriority)
	case st.owner.cfg.MaxTakeovers > 0 && st.takeovers >= st.owner.cfg.MaxTakeovers:
		return nil, st.takeoverFailed(event.TakeoverLimitBreached)
	}
	if st.trial != nil { // it was no better, or hangs
		close(st.trial.done)
		_ = st.takeoverFailed(event.TakeoverInvalidPriority)
	}
	st.trial = &challenger{encoder: e, since: time.Now()}
	st.log.Info("takeover under way", "protocol", r.Protocol, "remote", r.Remote, "agent", r.Agent, "priority", e.priority)
	return e, nil
}

// takeoverFailed tells of it and returns what the encoder hears. The world does not hear
// of every one: an encoder may ask for ever. mu is held.
func (st *Stream) takeoverFailed(code event.Code) error {
	if st.refused < refusals+int(time.Since(st.born)/time.Second) {
		st.refused++
		st.emit(event.State{Name: event.TakeoverFailure, Code: code})
	}
	st.owner.metrics.takeovers.WithLabelValues(string(code)).Inc()
	st.log.Info("takeover failed", "code", string(code))
	return errTakeover(code)
}

// dismiss ends the trial. A stream whose encoder left while it waited for the outcome
// ends, too. mu is held.
func (st *Stream) dismiss() {
	if st.trial == nil {
		return
	}
	close(st.trial.done)
	st.trial = nil
	if st.encoder.gone {
		st.conclude("encoder disconnected", "")
	}
}

// probe takes a unit of the challenger. It returns an error when the trial has failed. mu
// is held.
func (st *Stream) probe(u media.Unit) error {
	c := st.trial
	if len(st.sources) == 0 { // nobody has seen anything of the running stream
		return st.switchTo(c)
	}
	switch {
	case u.Track.Kind == media.Video && u.Track.ID == 0 && u.Key && len(c.held) == 0:
		c.first = u.DTS
	case len(c.held) == 0:
		return nil
	}
	c.held = append(c.held, u)
	c.size += len(u.Data)
	var seen time.Duration // of its pictures
	if u.Track.Kind == media.Video {
		seen = media.Time(u.DTS-c.first, media.VideoTimescale)
	}
	switch same, whole := c.tracks.like(st.encoder.tracks); {
	case !same:
		return errMismatch
	case whole && (len(st.encoder.tracks.audio) > 0 || seen >= trialSound):
		return st.switchTo(c)
	case seen > trialMedia, c.size > maxHeld, len(c.held) >= maxUnits:
		return errMismatch
	}
	return nil
}

// errMismatch ends a trial.
var errMismatch = errTakeover(event.TakeoverMediaMismatch)

// switchTo makes c the stream's encoder and puts in what it has sent. mu is held.
func (st *Stream) switchTo(c *challenger) error {
	former, e := st.encoder, c.encoder
	st.encoder, st.trial = e, nil
	st.takeovers++
	st.swapped = true // run writes it down
	if !former.gone {
		close(former.done)
	}
	if len(c.held) > 0 {
		e.shift = st.edge.splice(c.held)
		e.quiet = st.edge.sound
	}
	for _, s := range st.sources {
		s.rendition.Splice()
	}
	st.emit(event.State{Name: event.Takeover})
	st.owner.metrics.takeovers.WithLabelValues(takeoverDone).Inc()
	st.log.Info("takeover", "protocol", e.request.Protocol, "remote", e.request.Remote, "agent", e.request.Agent,
		"priority", e.priority, "number", st.takeovers)
	opened := make([]bool, maxTracks) // the video tracks whose keyframe has come
	for _, u := range c.held {
		if u.Track.Kind == media.Video {
			if opened[u.Track.ID] = opened[u.Track.ID] || u.Key; !opened[u.Track.ID] {
				continue
			}
		}
		if err := st.put(e, u); err != nil {
			return err
		}
	}
	return nil
}

// like compares the tracks of an encoder with those of the one it wants to take over
// from: whether none of them is of another kind or one too many, and whether all are
// there. Frame rates, bit rates and parameter sets may differ.
func (s tracks) like(of tracks) (same, whole bool) {
	same, whole = true, true
	compare := func(mine, theirs []*media.Track) {
		for i := range max(len(mine), len(theirs)) {
			var a, b *media.Track
			if i < len(mine) {
				a = mine[i]
			}
			if i < len(theirs) {
				b = theirs[i]
			}
			switch {
			case a == nil && b != nil:
				whole = false
			case a != nil && (b == nil || a.Codec != b.Codec || a.Width != b.Width || a.Height != b.Height):
				same = false
			}
		}
	}
	compare(s.video, of.video)
	compare(s.audio, of.audio)
	return same, whole
}

// An edge is how far the media of a stream has come, all in ticks of video.
type edge struct {
	dts, pts int64 // of the newest picture, and the latest one shown
	frame    int64 // from the picture before the newest to it
	sound    int64 // end of the newest audio
}

// note moves the edge on with u.
func (g *edge) note(u *media.Unit) {
	if u.Track.Kind == media.Audio {
		g.sound = max(g.sound, clock(u.DTS+media.SamplesPerFrame, u.Track.Timescale))
		return
	}
	if d := u.DTS - g.dts; d > 0 && d <= maxFrame {
		g.frame = d
	}
	g.dts, g.pts = max(g.dts, u.DTS), max(g.pts, u.PTS)
}

// maxFrame is the longest a picture counts to last, in ticks.
const maxFrame = media.VideoTimescale

// splice is what to add to the times of an encoder, whose units begin with a keyframe,
// so that they follow at once: no picture is decoded or shown before one that is there.
// What nobody sent in between is no gap in the media, only in the wall clock.
func (g *edge) splice(units []media.Unit) (shift int64) {
	first := &units[0]
	next := max(g.frame, 1)
	shift = g.dts + next - first.DTS
	for i := range units {
		if u := &units[i]; u.Track.Kind == media.Video {
			shift = max(shift, g.pts+next-u.PTS)
			if i > 0 && u.Track.ID == 0 && u.Key {
				break
			}
		}
	}
	return shift
}

// clock converts ticks of scale to those of video, to the nearest.
func clock(ticks, scale int64) int64 {
	sec, rest := ticks/scale, ticks%scale
	return sec*media.VideoTimescale + (rest*media.VideoTimescale+scale/2)/scale
}

// place puts a unit of e on the stream's timeline. It returns false for sound of a time
// whose sound is there. mu is held.
func (e *encoder) place(u *media.Unit) bool {
	if e.shift == 0 {
		return true
	}
	if u.Track.Kind == media.Video {
		u.DTS += e.shift
		u.PTS += e.shift
		return true
	}
	by := media.Ticks(media.Time(e.shift, media.VideoTimescale), u.Track.Timescale)
	u.DTS += by
	u.PTS += by
	if e.quiet == 0 {
		return true
	}
	half := int64(media.SamplesPerFrame/2) * media.VideoTimescale / u.Track.Timescale
	if clock(u.DTS, u.Track.Timescale) < e.quiet-half {
		return false
	}
	e.quiet = 0
	return true
}

// elsewhereBusy says that the channel is live on another node. An encoder that wants to
// take over must reach the node of the running stream, which has its timeline.
func (st *Stream) elsewhereBusy(ctx context.Context, r ingest.Request) error {
	if !r.Params.Has(paramPriority) {
		return errBusy
	}
	node := ""
	if l, err := st.owner.store.LeaseOf(ctx, st.channel.ARN.String(), time.Now()); err == nil {
		node = l.Node
	}
	st.log.Warn("takeover refused: the channel is live on another node, to which the encoder must connect", "node", node)
	return live.Errorf(live.Conflict, "the channel is already live on another server; a takeover must reach that one")
}
