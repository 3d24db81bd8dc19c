package webrtc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/media"
)

// aacPriming is what ffmpeg's AAC encoder puts before the first sample: the first frame
// decodes to it, and so begins that much before the sound (ISO 14496-24).
const aacPriming = media.SamplesPerFrame

// maxGap is the longest gap in the sound that is filled with silence, in samples. After
// a longer one the encoder starts over.
const maxGap = opusRate

// How often to start an encoder that failed.
const (
	firstWait = 250 * time.Millisecond
	mostWait  = 8 * time.Second
	goodRun   = 10 * time.Second // after one as long, waits start small again
)

// An opusPacket is coded sound at ts, the session's time in samples. One without data
// holds nothing.
type opusPacket struct {
	ts   int64
	data []byte
}

// An aacFrame is coded sound at ts, the session's time in samples.
type aacFrame struct {
	ts     int64
	data   []byte
	config [2]byte // AudioSpecificConfig
}

// A transcoder makes AAC of Opus, with one ffmpeg after another. Timestamps survive to
// the sample: the child gets sound without gaps, and what it writes is counted.
type transcoder struct {
	log     *slog.Logger
	path    string // of ffmpeg
	in      chan opusPacket
	out     chan aacFrame
	starts  atomic.Int64 // children started
	dropped atomic.Int64 // packets that found no room, or could not be used
}

// Queues of a transcoder. What finds them full is dropped: the child hangs.
const (
	opusQueue = 128 // packets: 2.5 s as browsers send them
	aacQueue  = 64  // frames: 1.3 s
)

func newTranscoder(log *slog.Logger, path string) *transcoder {
	return &transcoder{log: log, path: path, in: make(chan opusPacket, opusQueue), out: make(chan aacFrame, aacQueue)}
}

// put hands over the next packet and never blocks.
func (t *transcoder) put(p opusPacket) {
	select {
	case t.in <- p:
	default:
		t.dropped.Add(1)
	}
}

// run transcodes until ctx is done. When it returns, no child is left. A child that
// fails is replaced; the sound meanwhile is lost.
func (t *transcoder) run(ctx context.Context) {
	wait := firstWait
	var next opusPacket
	for ctx.Err() == nil {
		if next.data == nil {
			select {
			case next = <-t.in:
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		var err error
		next, err = t.once(ctx, next)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if time.Since(began) >= goodRun {
			wait = firstWait
		}
		t.log.LogAttrs(ctx, slog.LevelWarn, "the encoder of sound ended; starting it again", slog.Any("err", err), slog.Duration("wait", wait))
		t.pause(ctx, wait)
		wait = min(2*wait, mostWait)
	}
}

// pause lets sound pass for a while.
func (t *transcoder) pause(ctx context.Context, d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case <-t.in:
			t.dropped.Add(1)
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// once runs a child from packet p on. It returns the packet that the next child begins
// with, after a gap.
func (t *transcoder) once(ctx context.Context, p opusPacket) (next opusPacket, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := ffmpeg.NewCommand(ctx, t.log, t.path, opusToAAC()...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return next, fmt.Errorf("webrtc: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return next, fmt.Errorf("webrtc: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return next, fmt.Errorf("webrtc: start ffmpeg: %w", err)
	}
	t.starts.Add(1)
	fed := make(chan struct{})
	go func() { // ends with cancel, with the child's input, or after a gap
		defer close(fed)
		next = t.feed(ctx, in, p)
		_ = in.Close() // makes ffmpeg finish what it has
	}()
	err = t.collect(ctx, out, p.ts-aacPriming)
	if !errors.Is(err, io.EOF) {
		cancel()
	}
	select {
	case <-fed:
	default:
		cancel() // its output ended before its input did
		<-fed
	}
	switch ended := cmd.Wait(); {
	case next.data != nil && errors.Is(err, io.EOF):
		return next, nil
	case ended != nil:
		return next, fmt.Errorf("webrtc: ffmpeg ended: %w: %s", ended, cmd.Said())
	}
	return next, fmt.Errorf("webrtc: ffmpeg ended: %w", err)
}

// feed writes sound to w, without gaps: short ones become silence. It returns the first
// packet after a long one.
func (t *transcoder) feed(ctx context.Context, w io.Writer, p opusPacket) (next opusPacket) {
	var ogg oggWriter
	b := ogg.begin(nil)
	for due := p.ts; ; {
		samples, err := opusSamples(p.data)
		gap := p.ts - due
		switch {
		case err != nil || len(p.data) > maxOpusPacket || gap <= -samples/2: // a part of it has passed
			t.dropped.Add(1)
		case gap > maxGap:
			return p
		default:
			for {
				quiet, n := silence(p.ts - due)
				if quiet == nil {
					break
				}
				b = ogg.packet(b, quiet, n)
				due += n
			}
			b = ogg.packet(b, p.data, samples)
			due += samples
			if _, err := w.Write(b); err != nil {
				return opusPacket{} // the child's end tells why
			}
			b = b[:0]
		}
		select {
		case p = <-t.in:
		case <-ctx.Done():
			return opusPacket{}
		}
	}
}

// collect reads what the child writes, whose first frame is at ts, to its end.
func (t *transcoder) collect(ctx context.Context, r io.Reader, ts int64) error {
	frames := adtsReader{bufio.NewReader(r)}
	for ; ; ts += media.SamplesPerFrame {
		data, config, err := frames.next()
		if err != nil {
			return err
		}
		select {
		case t.out <- aacFrame{ts, data, config}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// opusToAAC is ffmpeg's whole command line: Ogg on standard input, ADTS on standard
// output, and nothing waits for more than it needs.
func opusToAAC() []string {
	return []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning",
		"-probesize", "32", "-analyzeduration", "0", "-threads", "1",
		"-f", "ogg", "-i", "pipe:0", "-map", "0:a:0",
		"-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2",
		"-flush_packets", "1", "-f", "adts", "pipe:1",
	}
}
