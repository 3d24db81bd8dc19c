package testmedia

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadIsTheInverseOfDraw(t *testing.T) {
	for name, size := range map[string][2]int{
		"default":            {640, 360},
		"smallest":           {64, 48},
		"blocks of odd size": {426, 240},
		"full HD":            {1920, 1080},
		"portrait":           {720, 1280},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPicture(size[0], size[1])
			for _, want := range []Code{
				{time.UnixMilli(0), 0},
				{time.UnixMilli(1_800_000_000_123), 4_294_967_295},
				{time.UnixMilli(1<<48 - 1), 7},
			} {
				got, ok := Read(p.draw(want.Time, want.Frame), size[0], size[1])
				if !ok || got != want {
					t.Errorf("Read = %v, %t, want %v", got, ok, want)
				}
			}
		})
	}
}

func TestReadRefusesWhatIsNoCode(t *testing.T) {
	for name, luma := range map[string][]byte{
		"black": bytes.Repeat([]byte{black}, 640*360),
		"white": bytes.Repeat([]byte{white}, 640*360),
		"ramp":  newPicture(640, 360).data,
		"short": make([]byte, 100),
	} {
		t.Run(name, func(t *testing.T) {
			if c, ok := Read(luma, 640, 360); ok {
				t.Errorf("Read = %v, want nothing", c)
			}
		})
	}
	damaged := newPicture(640, 360)
	damaged.draw(time.UnixMilli(1), 1)
	for y := range 15 { // one block turned over
		for x := range 20 {
			damaged.data[y*640+x] = white - damaged.data[y*640+x] + black
		}
	}
	if c, ok := Read(damaged.data, 640, 360); ok {
		t.Errorf("Read of a damaged picture = %v, want nothing", c)
	}
}

// FuzzRead: any plane is refused or read; what is read draws the same code again.
func FuzzRead(f *testing.F) {
	f.Add(newPicture(64, 48).draw(time.UnixMilli(1), 1)[:64*48], 64, 48)
	f.Add([]byte{}, 0, -1)
	f.Fuzz(func(t *testing.T, luma []byte, width, height int) {
		if width > 256 || height > 256 {
			return
		}
		c, ok := Read(luma, width, height)
		if !ok {
			return
		}
		again := make([]byte, width*height)
		c.paint(again, width, height)
		if got, ok := Read(again, width, height); !ok || got != c {
			t.Errorf("read %v, drew it, read %v", c, got)
		}
	})
}

func TestContinuous(t *testing.T) {
	of := func(frames ...uint32) (codes []Code) {
		for _, n := range frames {
			codes = append(codes, Code{Frame: n})
		}
		return codes
	}
	for name, tt := range map[string]struct {
		codes []Code
		ok    bool
	}{
		"none":     {nil, true},
		"a run":    {of(7, 8, 9), true},
		"a gap":    {of(7, 9), false},
		"repeated": {of(7, 7), false},
		"backward": {of(8, 7), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Continuous(tt.codes); (err == nil) != tt.ok {
				t.Errorf("Continuous(%v) = %v, want ok=%t", tt.codes, err, tt.ok)
			}
		})
	}
}

func TestEveryFrameOfAClipComesBack(t *testing.T) {
	for name, s := range map[string]Source{
		"default":            {},
		"B-frames and audio": {BFrames: 2, GOP: 15, Audio: true},
		"MP4":                {Format: []string{"-f", "mp4"}},
		"MPEG-TS":            {Format: []string{"-f", "mpegts"}, Audio: true},
		"small and starved":  {Width: 256, Height: 144, BitRate: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const frames = 45
			d := Decode(t, ClipFile(t, s, frames))
			var want []Code
			for n := range frames {
				want = append(want, ClipCode(s, n))
			}
			if diff := cmp.Diff(want, d.Codes); diff != "" || d.Unread != 0 {
				t.Errorf("%d unreadable, codes (-want +got):\n%s", d.Unread, diff)
			}
			if d.Stderr != "" {
				t.Errorf("ffmpeg said %q", d.Stderr)
			}
		})
	}
}

func TestClipIsMadeOnce(t *testing.T) {
	a, b := Clip(t, Source{Width: 128, Height: 96}, 5), Clip(t, Source{Width: 128, Height: 96}, 5)
	if &a[0] != &b[0] {
		t.Error("the second Clip encoded again")
	}
	if c := Clip(t, Source{Width: 128, Height: 96}, 6); bytes.Equal(a, c) {
		t.Error("5 and 6 frames give the same clip")
	}
}

func TestPublishSendsFramesAsTheyAreDue(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out.flv")
	before := time.Now().Truncate(time.Millisecond)
	p := Publish(t, Source{URL: name, Width: 128, Height: 96, Duration: time.Second, Audio: true})
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	d := Decode(t, name)
	if err := Continuous(d.Codes); err != nil || len(d.Codes) != 30 || p.Frames() != 30 {
		t.Fatalf("%d of %d frames came back: %v; %s", len(d.Codes), p.Frames(), err, d.Stderr)
	}
	for _, c := range d.Codes { // none before its time
		if due := before.Add(time.Duration(c.Frame) * time.Second / 30).Truncate(time.Millisecond); c.Time.Before(due) {
			t.Errorf("%v was due at %v", c, due)
		}
	}
}

func TestStopSendsWhatWasTakenAndEndsCleanly(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := Publish(t, Source{URL: "tcp://" + ln.Addr().String(), Width: 128, Height: 96})
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make([]byte, 1024) // some frames have come through
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	var rest []byte
	var reading sync.WaitGroup
	reading.Go(func() { rest, _ = io.ReadAll(c) })
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	name := filepath.Join(t.TempDir(), "got.flv")
	if err := os.WriteFile(name, append(first, rest...), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := Decode(t, name); len(d.Codes) != int(p.Frames()) || d.Stderr != "" {
		t.Errorf("%d of %d frames came back; ffmpeg said %q", len(d.Codes), p.Frames(), d.Stderr)
	}
}

func TestARefusedPublisherSaysSoWithoutTheURL(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	defer ln.Close()
	p := Publish(t, Source{URL: "rtmp://" + ln.Addr().String() + "/app/sk_secret"})
	err = p.Wait()
	if err == nil || strings.Contains(err.Error(), "sk_secret") {
		t.Errorf("Wait = %v, want an error without the stream key", err)
	}
}

func TestKillEndsAnEncoderThatIsStuck(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := Publish(t, Source{URL: "rtmp://" + ln.Addr().String() + "/app/sk_secret"})
	p.Kill()
	if err := p.Wait(); err == nil {
		t.Error("Wait after Kill = nil, want an error")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := &tail{}
	for range 3 {
		if n, err := w.Write(bytes.Repeat([]byte("x"), maxTail/2)); n != maxTail/2 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := io.WriteString(w, "end"); err != nil {
		t.Fatal(err)
	}
	if s := w.String(); len(s) != maxTail || !strings.HasSuffix(s, "xend") {
		t.Errorf("%d bytes kept, ending in %q", len(s), s[len(s)-4:])
	}
	if n, err := w.Write(bytes.Repeat([]byte("y"), 2*maxTail)); n != 2*maxTail || errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a long write took %d bytes: %v", n, err)
	}
}
