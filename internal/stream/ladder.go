package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/transcode"
)

// Transcode is how a node makes the renditions that encoders do not send.
type Transcode struct {
	transcode.Config
	Budget *transcode.Budget // of the node
	OnView bool              // begin when somebody watches
}

const (
	// ladderTime is how long a stream that can be played waits for its ladder: a player
	// reads the list of renditions once.
	ladderTime = 4 * time.Second
	// tailTime is how long what ffmpeg still holds may take at the end of a stream.
	tailTime = 2 * time.Second
)

// A ladder is the renditions that are encoded from a stream's source.
type ladder struct {
	stream *Stream
	enc    *transcode.Transcoder
	rungs  []transcode.Rung
	outs   []*rung // by rung; nil for one that is not encoded
	sounds bool    // the source had sound at the start

	once    sync.Once
	release func() // what was taken of the budget
	cancel  context.CancelFunc
	started chan struct{} // closed when Run has been called
	done    chan struct{} // closed when nothing is encoded any more
}

// A rung is one of them. Its pictures come from ffmpeg; its sound from there too, or it is
// the source's, which comes earlier and waits for the pictures that it goes with.
type rung struct {
	rendition *packager.Rendition
	audio     int64 // bits per second; 0 for the source's
	alone     bool  // it has no pictures

	mu     sync.Mutex // guards the fields below and writing
	held   []media.Unit
	newest time.Duration // decode time of the newest picture
	any    bool          // there was a picture
	gone   bool          // it is not made any more
}

// maxHeldAudio is some seconds of sound that wait for pictures; the oldest give way.
const maxHeldAudio = 512

// planLadder decides which renditions a stream of track t gets beside its source: nil for
// none. fallback is 0 where the source is one of the renditions that players are promised.
// Where it is not, it stands in for those of that many pixels' shorter edge that are
// missing: on a STANDARD channel for the largest one, which is about as large; on an
// ADVANCED one, which promises no more than its own sizes, only for all of them.
func (st *Stream) planLadder(t *media.Track, announced float64) (rungs []transcode.Rung, fallback int) {
	if st.owner.cfg.Transcode == nil || t.Codec != media.H264 {
		return nil, 0
	}
	in := transcode.Input{Width: t.Width, Height: t.Height, FrameRate: t.FrameRate}
	if in.FrameRate == 0 {
		in.FrameRate = announced
	}
	listed := false
	for _, r := range transcode.Ladder(&st.channel, in) {
		if r.Source {
			listed = true
		} else {
			rungs = append(rungs, r)
		}
	}
	switch {
	case listed || len(rungs) == 0:
		return rungs, 0
	case st.ListsAudioOnly():
		return rungs, 1
	}
	return rungs, min(rungs[0].Width, rungs[0].Height)
}

// newLadder makes the renditions of rungs, which follow source, and begins to encode them
// as far as the node has room. mu is held.
func (st *Stream) newLadder(rungs []transcode.Rung, source *packager.Rendition, audio *media.Track) (*ladder, error) {
	cfg := st.owner.cfg.Transcode
	admitted, release := cfg.Budget.Admit(rungs)
	l := &ladder{stream: st, rungs: rungs, outs: make([]*rung, len(rungs)), sounds: audio != nil, release: release, started: make(chan struct{}), done: make(chan struct{})}
	shed := 0
	for i := range rungs {
		if !admitted[i] {
			rungs[i].Video, rungs[i].Audio = 0, 0
			shed++
			continue
		}
		r, err := st.addRendition(rungs[i].Name, packager.Config{AudioOnly: rungs[i].AudioOnly, Bandwidth: bandwidth(&rungs[i])})
		if err != nil {
			release()
			return nil, err
		}
		r.Follow(source)
		l.outs[i] = &rung{rendition: r, audio: rungs[i].Audio, alone: rungs[i].AudioOnly}
	}
	if shed > 0 {
		st.owner.metrics.shed.Add(float64(shed))
		st.log.Warn("not all renditions are made: the node has no room for more", "shed", shed, "of", len(rungs))
	}
	l.enc = transcode.New(st.log, cfg.Config, rungs, audio, l)
	if shed == len(rungs) {
		release()
		close(l.started)
		close(l.done)
		l.once.Do(func() {})
		return l, nil
	}
	if !cfg.OnView {
		l.start()
	}
	return l, nil
}

// bandwidth is what an encoded rung may use by design, bits per second; 0 for another one.
// Pictures that are easy to encode use less, at first, and would show renditions in the
// wrong order to players that choose by it.
func bandwidth(r *transcode.Rung) int64 {
	if !r.Encodes() {
		return 0
	}
	const passed = 128_000 // of sound that is the source's; a guess
	audio := r.Audio
	if audio == 0 {
		audio = passed
	}
	return r.Video + audio
}

// start begins to encode, the first time it is called. It may be called from anywhere.
func (l *ladder) start() {
	l.once.Do(func() {
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(context.Background())
		close(l.started)
		go func() { // ends with the stream: finish waits for it
			defer close(l.done)
			defer l.release()
			if err := l.enc.Run(ctx); err != nil {
				l.only(make([]bool, len(l.rungs)))
				l.stream.owner.metrics.failed.Inc()
				l.stream.log.Error("nothing is transcoded any more", "err", err)
			}
		}()
	})
}

// viewed is called for every request of a viewer.
func (l *ladder) viewed() {
	if l.stream.owner.cfg.Transcode.OnView {
		l.start()
	}
}

// write hands over a unit of the source. It never waits.
func (l *ladder) write(u media.Unit) {
	l.enc.Write(u)
	for _, o := range l.outs {
		switch {
		case o == nil:
		case u.Track.Kind == media.Audio && o.audio == 0:
			_ = o.sound(u) // a rung that cannot go on stops by itself
		case u.Track.Kind == media.Video && o.alone:
			_ = o.reach(u)
		}
	}
}

// settled is closed when every rung can be played, none is encoded any more, or limit
// has passed.
func (l *ladder) settled(limit time.Duration) <-chan struct{} {
	settled := make(chan struct{})
	if l.stream.owner.cfg.Transcode.OnView {
		close(settled) // there may be no viewer for a long time
		return settled
	}
	go func() { // ends within limit
		defer close(settled)
		timer := time.NewTimer(limit)
		defer timer.Stop()
		for _, o := range l.outs {
			if o == nil || o.alone && !l.sounds {
				continue
			}
			select {
			case <-o.rendition.Ready():
			case <-l.done:
				return
			case <-l.stream.done:
				return
			case <-timer.C:
				return
			}
		}
	}()
	return settled
}

// finish ends the renditions when what is still being encoded has arrived, or has taken
// too long.
func (l *ladder) finish() {
	l.once.Do(func() { // it never began
		close(l.done)
		l.release()
	})
	l.enc.Finish()
	timer := time.NewTimer(tailTime)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		l.cancel()
		<-l.done
	}
	for _, o := range l.outs {
		if o != nil {
			o.close()
		}
	}
}

// Video implements transcode.Sink.
func (l *ladder) Video(i int, u media.Unit) error { return l.outs[i].picture(u) }

// Audio implements transcode.Sink.
func (l *ladder) Audio(bitRate int64, u media.Unit) error {
	for _, o := range l.outs {
		if o != nil && o.audio == bitRate {
			if err := o.sound(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// Making implements transcode.Sink.
func (l *ladder) Making(rungs []bool) {
	n := 0
	for _, on := range rungs {
		if on {
			n++
		}
	}
	if n == 0 {
		l.stream.owner.metrics.restarts.Inc()
		return
	}
	l.only(rungs)
}

// only withdraws the encoded renditions but those of rungs: nothing more will come of the
// others, and whoever plays one is to take another.
func (l *ladder) only(rungs []bool) {
	for i, o := range l.outs {
		if o == nil || rungs[i] || !l.rungs[i].Encodes() || !o.withdraw() {
			continue
		}
		l.stream.owner.metrics.shed.Inc()
		l.stream.log.Warn("a rendition is given up: the node is too slow for it", "rendition", o.rendition.Name())
	}
}

func (o *rung) picture(u media.Unit) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return nil
	}
	if err := o.catchUp(u); err != nil {
		return err
	}
	if err := o.rendition.Write(u); err != nil {
		return fmt.Errorf("stream: rung: %w", err)
	}
	return nil
}

// reach lets go of the sound up to a picture that the rung does not show.
func (o *rung) reach(u media.Unit) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return nil
	}
	return o.catchUp(u)
}

// catchUp writes the sound that waited for picture u. mu is held.
func (o *rung) catchUp(u media.Unit) error {
	o.newest, o.any = media.Time(u.DTS, u.Track.Timescale), true
	n := 0
	for n < len(o.held) && media.Time(o.held[n].DTS, o.held[n].Track.Timescale) <= o.newest {
		if err := o.rendition.Write(o.held[n]); err != nil {
			return fmt.Errorf("stream: rung: %w", err)
		}
		n++
	}
	clear(o.held[:n])
	o.held = append(o.held[:0], o.held[n:]...)
	return nil
}

func (o *rung) sound(u media.Unit) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return nil
	}
	if o.any && media.Time(u.DTS, u.Track.Timescale) <= o.newest {
		if err := o.rendition.Write(u); err != nil {
			return fmt.Errorf("stream: rung: %w", err)
		}
		return nil
	}
	if len(o.held) == maxHeldAudio {
		o.held = append(o.held[:0], o.held[1:]...)
	}
	o.held = append(o.held, u)
	return nil
}

// withdraw ends the rung for good, false if it has been before.
func (o *rung) withdraw() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return false
	}
	o.gone, o.held = true, nil
	o.rendition.Withdraw()
	return true
}

func (o *rung) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rendition.Close()
}
