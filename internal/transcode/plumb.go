package transcode

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"

	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/media"
)

// pipes are the outputs of one run.
type pipes struct{ read, write []*os.File }

// plumb gives cmd a standard input and n outputs from firstPipe on.
func plumb(cmd *ffmpeg.Command, n int) (in *os.File, p *pipes, err error) {
	p = new(pipes)
	r, in, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("transcode: %w", err)
	}
	cmd.Stdin = r
	p.write = append(p.write, r)
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, nil, errors.Join(fmt.Errorf("transcode: %w", err), in.Close())
		}
		p.read, p.write = append(p.read, r), append(p.write, w)
		cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	}
	return in, p, nil
}

// started closes the child's ends, so that its end is seen at ours.
func (p *pipes) started() {
	for _, f := range p.write {
		f.Close()
	}
	p.write = nil
}

func (p *pipes) close() {
	p.started()
	for _, f := range p.read {
		f.Close()
	}
}

// progress is how far each video output has come: sound may pause, pictures do not.
type progress struct{ at []atomic.Int64 } // with offset; 0 before the first unit

// newProgress is of outs, whose videos come first.
func newProgress(outs []output) *progress {
	n := 0
	for _, o := range outs {
		if o.audio == 0 {
			n++
		}
	}
	return &progress{at: make([]atomic.Int64, n)}
}

func (p *progress) note(i int, u media.Unit) { p.at[i].Store(u.DTS + offset) }

// slowest is the time of the output that is furthest behind, and whether all have begun.
func (p *progress) slowest() (at int64, all bool) {
	if len(p.at) == 0 {
		return 0, false
	}
	at = math.MaxInt64
	for i := range p.at {
		at = min(at, p.at[i].Load())
	}
	return at, at > 0
}
