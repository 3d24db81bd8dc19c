package testmedia

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Publisher is an encoder at work: ffmpeg, fed with one picture at a time at the
// moment that picture is due.
type Publisher struct {
	cancel context.CancelFunc // ends ffmpeg at once
	stop   chan struct{}      // closed to end the pictures
	once   sync.Once          // closes stop
	done   chan struct{}      // closed when ffmpeg has ended
	err    error              // why; read after done
	frames atomic.Uint32
	log    tail
}

// flushTime is how long ffmpeg may take to send its last frames and say goodbye.
const flushTime = 5 * time.Second

// Publish starts an encoder that sends s to s.URL until Stop, or for s.Duration. The
// end of the test stops it. A server that refuses is no failure here: Wait tells.
func Publish(t testing.TB, s Source) *Publisher {
	t.Helper()
	s = s.withDefaults()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // Stop runs after the test's own context
	p := &Publisher{cancel: cancel, stop: make(chan struct{}), done: make(chan struct{}), log: tail{secret: s.URL}}
	cmd := exec.CommandContext(ctx, FFmpeg(t), s.args(s.URL)...)
	cmd.Stderr = &p.log
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatalf("testmedia: start ffmpeg: %v", err)
	}
	go p.run(cmd, in, s)
	t.Cleanup(func() {
		err := p.Stop()
		if t.Failed() {
			t.Logf("testmedia: publisher ended after %d frames: %v", p.Frames(), err)
		}
	})
	return p
}

// run feeds ffmpeg and waits for its end; done tells when it returned.
func (p *Publisher) run(cmd *exec.Cmd, in io.WriteCloser, s Source) {
	defer close(p.done)
	defer p.cancel()
	feedErr := p.feed(in, s)
	// Closing its input makes ffmpeg finish; then it has flushTime.
	defer time.AfterFunc(flushTime, p.cancel).Stop()
	err := errors.Join(in.Close(), cmd.Wait())
	if err != nil {
		p.err = fmt.Errorf("testmedia: ffmpeg: %w: %s", err, p.log.String())
	} else if feedErr != nil {
		p.err = fmt.Errorf("testmedia: ffmpeg took no more pictures: %w: %s", feedErr, p.log.String())
	}
}

// feed writes picture n when n/FPS seconds have passed. A picture that could not be
// written in time is late, not dropped.
func (p *Publisher) feed(w io.Writer, s Source) error {
	pic := newPicture(s.Width, s.Height)
	start := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for n := uint32(0); ; n++ {
		at := time.Duration(n) * time.Second / time.Duration(s.FPS)
		if s.Duration > 0 && at >= s.Duration {
			return nil
		}
		due.Reset(time.Until(start.Add(at)))
		select {
		case <-p.stop:
			return nil
		case <-due.C:
		}
		if _, err := w.Write(pic.draw(time.Now(), n)); err != nil {
			return err
		}
		p.frames.Add(1)
	}
}

// Frames is how many pictures ffmpeg has taken; they are numbered from 0.
func (p *Publisher) Frames() uint32 { return p.frames.Load() }

// Stop ends the broadcast as an encoder does that is told to: ffmpeg sends what it
// has and says goodbye. It returns what Wait does.
func (p *Publisher) Stop() error {
	p.once.Do(func() {
		close(p.stop)
		time.AfterFunc(flushTime, p.cancel) // it may be stuck in a write
	})
	return p.Wait()
}

// Kill ends it as a crash does: the connection breaks in the middle of it all.
func (p *Publisher) Kill() {
	p.cancel()
	<-p.done
}

// Done is closed when the encoder has ended.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Wait waits for the encoder's end. It returns an error, with what ffmpeg said, when
// ffmpeg failed: because the server refused the stream or closed it, or by Kill.
func (p *Publisher) Wait() error {
	<-p.done
	return p.err
}

// Stderr is the end of what ffmpeg has said, without the URL.
func (p *Publisher) Stderr() string { return p.log.String() }
