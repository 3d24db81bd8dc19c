package transcode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/media"
)

// Config is how a node runs ffmpeg. Zero means the default named on each field.
type Config struct {
	FFmpeg  string  // its path or name; "" means "ffmpeg"
	Encoder Encoder // "" means Software
	Threads int     // of each codec; 0 lets ffmpeg decide
}

// Sink takes what is encoded. Each output has a goroutine of its own that calls it;
// units of one rung, or of one rate of audio, come from one goroutine, in order. An error
// ends the run.
type Sink interface {
	Video(rung int, u media.Unit) error      // rung is the index in the ladder given to New
	Audio(bitRate int64, u media.Unit) error // for every rung with that Audio
	// Making says which rungs are being made from now on: none while ffmpeg is down. A rung
	// that others are made without will not come back, and none does when Run fails.
	Making(rungs []bool)
}

// How ffmpeg is watched.
const (
	look       = 500 * time.Millisecond // between looks
	stallAfter = 5 * time.Second        // of input without output: it hangs
	startIn    = 15 * time.Second       // before the first output that is no hang yet
	lagMost    = 4 * time.Second        // of output behind input
	lagLooks   = 6                      // in a row before the top rung is shed
	firstWait  = 250 * time.Millisecond // before it is started again
	mostWait   = 10 * time.Second
	goodRun    = 30 * time.Second       // after one as long, waits start small again
	soundIn    = 500 * time.Millisecond // for the first sound: ffmpeg is told of it at its start only
)

var (
	errStalled = errors.New("transcode: ffmpeg takes input and gives nothing")
	errSlow    = errors.New("transcode: ffmpeg falls behind")
	errEnded   = errors.New("transcode: ffmpeg ended")
)

// Transcoder makes the rungs of one stream.
type Transcoder struct {
	log   *slog.Logger
	cfg   Config
	rungs []Rung
	sink  Sink
	queue *queue

	newest atomic.Int64                // DTS of the newest picture of the input, with offset
	audio  atomic.Pointer[media.Track] // of the input; nil before the first sound
	silent chan struct{}               // holds one: the audio track changed

	last   sync.Once
	finish chan struct{} // closed by Finish
}

// New returns a Transcoder for the rungs that encode something; the others are passed
// over. audio is the input's, nil if there is none yet: ffmpeg has to be started again
// when it comes. Run does the work.
func New(log *slog.Logger, c Config, rungs []Rung, audio *media.Track, sink Sink) *Transcoder {
	if c.Encoder == "" {
		c.Encoder = Software
	}
	t := &Transcoder{log: log, cfg: c, rungs: slices.Clone(rungs), sink: sink, queue: newQueue(), silent: make(chan struct{}, 1), finish: make(chan struct{})}
	t.audio.Store(audio)
	return t
}

// Write hands over a unit of the source. It never waits.
func (t *Transcoder) Write(u media.Unit) {
	if u.Track.Kind == media.Video {
		t.newest.Store(u.DTS + offset)
	} else if old := t.audio.Load(); old == nil || old.Timescale != u.Track.Timescale || old.Channels != u.Track.Channels {
		t.audio.Store(u.Track)
		select {
		case t.silent <- struct{}{}:
		default:
		}
	}
	t.queue.put(u)
}

// Finish says that nothing more will be written: ffmpeg gives what it still has, and Run
// returns.
func (t *Transcoder) Finish() { t.last.Do(func() { close(t.finish) }) }

func (t *Transcoder) finished() bool {
	select {
	case <-t.finish:
		return true
	default:
		return false
	}
}

// Run keeps ffmpeg going until ctx is done, and then returns nil; nothing it started is
// left. It returns an error when there is no ffmpeg, or when no rung is left to make.
func (t *Transcoder) Run(ctx context.Context) error {
	path, err := ffmpeg.Find(t.cfg.FFmpeg)
	if err != nil {
		return fmt.Errorf("transcode: %w", err)
	}
	active := make([]bool, len(t.rungs))
	for i := range t.rungs {
		active[i] = t.rungs[i].Encodes()
	}
	t.awaitSound(ctx)
	wait := firstWait
	for slices.Contains(active, true) {
		t.sink.Making(slices.Clone(active))
		start := time.Now()
		err := t.once(ctx, path, active)
		if ctx.Err() != nil || t.finished() {
			return nil
		}
		if errors.Is(err, errAudio) {
			continue // at once: nothing is wrong
		}
		if time.Since(start) >= goodRun {
			wait = firstWait
		}
		if errors.Is(err, errSlow) {
			shed(t.rungs, active)
		}
		t.sink.Making(make([]bool, len(t.rungs)))
		t.log.WarnContext(ctx, "transcoder ended; starting it again", "err", err, "wait", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, mostWait)
	}
	return errors.New("transcode: the machine is too slow for every rung")
}

// awaitSound gives the first sound some time: many encoders send a picture before it, and
// an ffmpeg that is started again misses all up to the next keyframe. What comes waits in
// the queue.
func (t *Transcoder) awaitSound(ctx context.Context) {
	if t.audio.Load() != nil || !slices.ContainsFunc(t.rungs, func(r Rung) bool { return r.Audio > 0 }) {
		return
	}
	timer := time.NewTimer(soundIn)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-t.finish:
	case <-t.silent:
	case <-timer.C:
	}
}

// shed gives up the most expensive rung that is being made.
func shed(rungs []Rung, active []bool) {
	top := -1
	for i := range rungs {
		if active[i] && (top < 0 || rungs[i].Cost() > rungs[top].Cost()) {
			top = i
		}
	}
	if top >= 0 {
		active[top] = false
	}
}

// errAudio means that the input's audio appeared or changed, which ffmpeg is told at its
// start only.
var errAudio = errors.New("transcode: the audio of the input changed")

// once runs ffmpeg until it ends, hangs, falls behind, or ctx is done.
func (t *Transcoder) once(ctx context.Context, path string, active []bool) error {
	audio := t.audio.Load()
	select { // what changed before is known now
	case <-t.silent:
	default:
	}
	rungs := slices.Clone(t.rungs)
	for i := range rungs {
		if !active[i] {
			rungs[i].Video, rungs[i].Audio = 0, 0
		}
		if audio == nil {
			rungs[i].Audio = 0
		}
	}
	outs := outputs(rungs)
	if len(outs) == 0 { // sound alone, and none yet
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.finish:
			return nil
		case <-t.silent:
			return errAudio
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := ffmpeg.NewCommand(ctx, t.log, path, arguments(rungs, outs, t.cfg.Encoder, t.cfg.Threads)...)
	in, pipes, err := plumb(cmd, len(outs))
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		pipes.close()
		in.Close()
		return fmt.Errorf("transcode: start ffmpeg: %w", err)
	}
	pipes.started()
	var work sync.WaitGroup
	seen := newProgress(outs)
	for i, o := range outs {
		work.Go(func() {
			rd := reader{near: t.newest.Load, emit: func(u media.Unit) error {
				if o.audio > 0 {
					return t.sink.Audio(o.audio, u)
				}
				seen.note(i, u)
				return t.sink.Video(o.rung, u)
			}}
			if err := rd.read(pipes.read[i]); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	work.Go(func() {
		if err := t.feed(ctx, in, audio); err != nil {
			cancel(err)
			return
		}
		in.Close() // ffmpeg comes to its end
	})
	work.Go(func() {
		if err := t.watch(ctx, seen); err != nil {
			cancel(err)
		}
	})
	ended := cmd.Wait()
	cause := context.Cause(ctx)
	cancel(nil)
	in.Close()
	work.Wait() // what it wrote last is still in the pipes
	pipes.close()
	t.queue.reset() // what waits follows on pictures that the next ffmpeg does not get
	if cause != nil {
		return cause
	}
	if ended != nil {
		return fmt.Errorf("%w: %w: %s", errEnded, ended, cmd.Said())
	}
	return fmt.Errorf("%w: %s", errEnded, cmd.Said())
}

// feed writes what comes to ffmpeg until ctx is done or nothing more will come. A pipe that is full holds up only
// this goroutine: the queue is what overflows.
func (t *Transcoder) feed(ctx context.Context, in *os.File, audio *media.Track) error {
	f, err := newFeeder(audio)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = in.SetWriteDeadline(time.Now()) })
	defer stop()
	var units []media.Unit
	ending := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.silent:
			return errAudio
		case <-t.queue.wake:
		case <-t.finish:
			ending = true
		}
		if units = t.queue.take(units); len(units) == 0 {
			if ending {
				return nil
			}
			continue
		}
		err := f.write(in, units)
		clear(units)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) { // its end tells why
				return nil
			}
			return err
		}
	}
}

// watch returns why ffmpeg must go; nil when ctx is done first.
func (t *Transcoder) watch(ctx context.Context, seen *progress) error {
	if len(seen.at) == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	began, late := time.Now(), 0
	last, lastAt := int64(-1), began
	input := t.newest.Load()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		newest := t.newest.Load()
		slowest, all := seen.slowest()
		if slowest != last || newest == input { // nothing in, nothing to expect
			last, lastAt = slowest, now
		}
		input = newest
		limit := stallAfter
		if !all {
			limit = startIn
		}
		if now.Sub(lastAt) > limit {
			return errStalled
		}
		if all && media.Time(newest-slowest, media.VideoTimescale) > lagMost {
			late++
		} else {
			late = 0
		}
		if late >= lagLooks {
			return errSlow
		}
	}
}
