package webrtc

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ingest/webrtc/webrtctest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// transcode has a transcoder make AAC of packets as fast as it takes them, and returns
// the frames when no more come.
func transcode(t *testing.T, path string, packets []opusPacket, log *slog.Logger) (frames []aacFrame, tc *transcoder) {
	t.Helper()
	tc = newTranscoder(log, path)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc.run(ctx)
	}()
	go func() { // the queue is for real time: this is faster
		for _, p := range packets {
			select {
			case tc.in <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	last := packets[len(packets)-1].ts
	for {
		select {
		case f := <-tc.out:
			frames = append(frames, f)
			// The encoder keeps two frames to itself until it gets more.
			if f.ts+4*1024 > last {
				cancel()
				<-done
				return frames, tc
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no more after %d frames", len(frames))
		}
	}
}

// decode returns the samples of frames that follow on each other, and where they begin.
func decode(t *testing.T, frames []aacFrame) (samples []int16, from int64) {
	t.Helper()
	var adts []byte
	for i, f := range frames {
		if want := frames[0].ts + int64(i)*1024; f.ts != want || f.config != [2]byte{0x11, 0x90} {
			t.Fatalf("frame %d is at %d of %x, want %d of 1190", i, f.ts, f.config, want)
		}
		n := len(f.data) + adtsHeader
		adts = append(adts, 0xff, 0xf1, 0x4c, 0x80|byte(n>>11), byte(n>>3), byte(n<<5)|0x1f, 0xfc)
		adts = append(adts, f.data...)
	}
	name := filepath.Join(t.TempDir(), "sound.aac")
	if err := os.WriteFile(name, adts, 0o600); err != nil {
		t.Fatal(err)
	}
	pcm, err := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), "-v", "error", "-i", name, "-f", "s16le", "-ac", "1", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for ; len(pcm) >= 2; pcm = pcm[2:] {
		samples = append(samples, int16(binary.LittleEndian.Uint16(pcm)))
	}
	return samples, frames[0].ts
}

// onset is the first sample from index on that is loud.
func onset(samples []int16, from int) int {
	for i := from; i < len(samples); i++ {
		if math.Abs(float64(samples[i])) > 8000 {
			return i
		}
	}
	return -1
}

// tone is a tone of 200 ms that begins a second after the start, and again each second.
const tone = "if(gte(t,1)*lt(mod(t,1),0.2),sin(2*PI*1000*t),0)"

func timed(packets [][]byte, start int64) (all []opusPacket) {
	for i, p := range packets {
		all = append(all, opusPacket{start + int64(i)*960, p})
	}
	return all
}

func TestSoundKeepsItsTimeToTheSample(t *testing.T) {
	const start = 123_457
	packets := timed(webrtctest.Sound(t, tone, 3*time.Second), start)
	for name, drop := range map[string]func(i int) bool{
		"all of it":                                  func(int) bool { return false },
		"gaps are filled, and move nothing":          func(i int) bool { return i >= 20 && i < 30 || i == 75 },
		"so are those at which a single one is lost": func(i int) bool { return i%9 == 3 && (i < 45 || i > 80 && i < 95) },
	} {
		t.Run(name, func(t *testing.T) {
			var in []opusPacket
			for i, p := range packets {
				if !drop(i) {
					in = append(in, p)
				}
			}
			frames, tc := transcode(t, testmedia.FFmpeg(t), in, quiet)
			samples, from := decode(t, frames)
			for second := int64(1); second < 3; second++ {
				want := start + second*opusRate + webrtctest.Delay
				got := from + int64(onset(samples, int(want-from)-opusRate/2))
				if d := got - want; d < -24 || d > 24 { // half a millisecond
					t.Errorf("tone %d begins at %d, want %d", second, got, want)
				}
			}
			if tc.starts.Load() != 1 || tc.dropped.Load() != 0 {
				t.Errorf("%d children, %d packets dropped", tc.starts.Load(), tc.dropped.Load())
			}
		})
	}
}

func TestALongGapIsKept(t *testing.T) {
	packets := webrtctest.Sound(t, tone, 2*time.Second)
	const later = 10 * opusRate
	in := append(timed(packets[:60], 0), timed(packets[60:], later)...)
	frames, tc := transcode(t, testmedia.FFmpeg(t), in, quiet)
	if tc.starts.Load() != 2 {
		t.Errorf("%d children, want one for each side of the gap", tc.starts.Load())
	}
	for i, f := range frames {
		if f.ts >= 60*960+2*1024 && f.ts < later+60*960-0 && f.ts < later-1024 {
			t.Errorf("frame %d is at %d, in the gap", i, f.ts)
		}
	}
	for i := 1; i < len(frames); i++ {
		if d := frames[i].ts - frames[i-1].ts; d != 1024 && d < 5*opusRate {
			t.Errorf("frame %d follows after %d samples", i, d)
		}
	}
}

func TestPacketsOfNoUseAreDropped(t *testing.T) {
	packets := timed(webrtctest.Sound(t, tone, time.Second), 0)
	in := append([]opusPacket{}, packets[:10]...)
	in = append(in, opusPacket{packets[10].ts, []byte{31<<3 | 3, 0}}, packets[3], opusPacket{packets[10].ts, make([]byte, maxOpusPacket+1)})
	in = append(in, packets[10:]...)
	frames, tc := transcode(t, testmedia.FFmpeg(t), in, quiet)
	if decode(t, frames); tc.dropped.Load() != 3 {
		t.Errorf("%d packets dropped, want 3", tc.dropped.Load())
	}
}

// TestAnEncoderThatDiesIsReplaced has the first child die, after some frames.
func TestAnEncoderThatDiesIsReplaced(t *testing.T) {
	dir, ffmpeg := t.TempDir(), testmedia.FFmpeg(t)
	name := filepath.Join(dir, "ffmpeg")
	script := fmt.Sprintf("#!/bin/sh\nif [ -e %[1]s/second ]; then exec %[2]s \"$@\"; fi\n: > %[1]s/second\necho it broke >&2\nexit 3\n", dir, ffmpeg)
	if err := os.WriteFile(name, []byte(script), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	packets := timed(webrtctest.Sound(t, tone, 2*time.Second), 0)
	var log strings.Builder
	tc := newTranscoder(slog.New(slog.NewTextHandler(&log, nil)), name)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc.run(ctx)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var first *aacFrame
	for n := 0; first == nil; {
		select {
		case <-tick.C:
			if n < len(packets) {
				tc.put(packets[n])
				n++
			}
		case f := <-tc.out:
			first = &f
		case <-time.After(20 * time.Second):
			t.Fatal("no sound")
		}
	}
	cancel()
	<-done
	if tc.starts.Load() != 2 || !strings.Contains(log.String(), "it broke") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%d children, log %s", tc.starts.Load(), log.String())
	}
	if (first.ts+aacPriming)%960 != 0 || first.ts <= 0 {
		t.Errorf("sound goes on at %d, want the time of a packet", first.ts)
	}
}

// A child that hangs costs sound, and no more than that.
func TestAChildThatHangsBlocksNobody(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(name, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	tc := newTranscoder(quiet, name)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc.run(ctx)
	}()
	for i := range int64(4096) {
		tc.put(opusPacket{i * 960, append([]byte{0xfc}, make([]byte, 1000)...)})
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("run does not end")
	}
	if tc.dropped.Load() == 0 {
		t.Error("nothing was dropped")
	}
}
