package rtmp

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the recordings in testdata; then review the diff")

// A tape records what passes from client to server.
type tape struct {
	net.Conn
	sent bytes.Buffer
}

func (c *tape) Write(p []byte) (int, error) {
	c.sent.Write(p)
	return c.Conn.Write(p)
}

// publishLikeOBS sends what OBS sends, in its order and layout (clients.md C.6).
func publishLikeOBS(c *Client) error {
	err := c.WriteMetadata(Object{
		{"duration", 0.0},
		{"fileSize", 0.0},
		{"width", 1280.0},
		{"height", 720.0},
		{"videocodecid", 7.0},
		{"videodatarate", 2500.0},
		{"framerate", 30.0},
		{"audiocodecid", 10.0},
		{"audiodatarate", 160.0},
		{"audiosamplerate", 48000.0},
		{"audiosamplesize", 16.0},
		{"audiochannels", 2.0},
		{"stereo", true},
		{"2.1", false},
		{"3.1", false},
		{"4.0", false},
		{"4.1", false},
		{"5.1", false},
		{"7.1", false},
		{"encoder", "obs-output module (libobs version 32.2.1)"},
	})
	audio := func(ts uint32, p Packet, data string) {
		if err == nil {
			err = c.WriteAudio(ts, AppendAudio(nil, Tag{Codec: AAC, Packet: p, Data: []byte(data)}))
		}
	}
	video := func(ts uint32, p Packet, key bool, data string) {
		if err == nil {
			err = c.WriteVideo(ts, AppendVideo(nil, Tag{Codec: AVC, Packet: p, Key: key, Data: []byte(data)}))
		}
	}
	audio(0, PacketConfig, "\x11\x90")
	video(0, PacketConfig, true, "\x01\x4d\x40\x1f\xff\xe1\x00\x17\x67\x4d\x40\x1f\xec\xa0\x28\x02\xdd\x80\x88\x00\x00\x1f\x48\x00\x07\x53\x00\x78\xc1\x8c\xb0\x01\x00\x05\x68\xeb\xe3\xcb\x20")
	video(0, PacketFrames, true, "\x00\x00\x00\x02\x65\x88")
	audio(0, PacketFrames, "raw0")
	audio(21, PacketFrames, "raw1")
	video(33, PacketFrames, false, "\x00\x00\x00\x02\x41\x9a")
	audio(42, PacketFrames, "raw2")
	video(66, PacketFrames, false, "\x00\x00\x17\x70"+"\x41"+strings.Repeat("\x9a", 5999))
	return err
}

// recordOBS returns the bytes of publishLikeOBS after the handshake.
func recordOBS(t testing.TB) []byte {
	server, client := ends(t)
	rec := &tape{Conn: client}
	go func() {
		c := NewServerConn(server, "app")
		if c.Handshake() != nil {
			return
		}
		if _, err := c.Publication(); err != nil || c.Accept() != nil {
			return
		}
		for {
			if _, err := c.Read(); err != nil {
				server.Close()
				return
			}
		}
	}()
	c, err := NewClient(t.Context(), rec, "rtmp://127.0.0.1/app/sk_us-west-2_abc_def?priority=3", ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Wait() }() // a pipe has no buffer: somebody must read
	if err := publishLikeOBS(c); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	return rec.sent.Bytes()[1+2*handshakeSize:]
}

func TestRecordedOBS(t *testing.T) {
	const file = "testdata/obs.bin"
	got := recordOBS(t)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the client no longer sends what was recorded; run with -update and review")
	}
	pub, msgs, err := readPublished(t, want)
	if !errors.Is(err, ErrUnpublished) {
		t.Errorf("ended with %v", err)
	}
	if d := cmp.Diff(Publication{"sk_us-west-2_abc_def", url.Values{"priority": {"3"}}, "FMLE/3.0 (compatible; FMSc/1.0)"}, pub); d != "" {
		t.Error(d)
	}
	wantMsgs := []string{"18/1@0", "8/1@0", "9/1@0", "9/1@0", "8/1@0", "8/1@21", "9/1@33", "8/1@42", "9/1@66"}
	for i := range msgs {
		msgs[i], _, _ = strings.Cut(msgs[i], " ")
	}
	if !slices.Equal(msgs, wantMsgs) {
		t.Errorf("got %q, want %q", msgs, wantMsgs)
	}
}

// TestRecordedFFmpeg reads what a real ffmpeg sent; -update records another.
func TestRecordedFFmpeg(t *testing.T) {
	const file = "testdata/ffmpeg.bin"
	if *update {
		if err := os.WriteFile(file, recordFFmpeg(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pub, msgs, err := readPublished(t, in)
	if !errors.Is(err, ErrUnpublished) {
		t.Errorf("ended with %v", err)
	}
	if pub.Key != "sk_x" || !strings.HasPrefix(pub.Agent, "FMLE/3.0 (compatible; Lavf") {
		t.Errorf("%+v", pub)
	}
	video := 0
	for _, m := range msgs {
		if strings.HasPrefix(m, "9/") {
			video++
		}
	}
	if video != 10+2 { // frames, sequence header, end of sequence
		t.Errorf("%d video messages, want 12", video)
	}
}

func recordFFmpeg(t *testing.T) []byte {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan []byte, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var rec bytes.Buffer
		c := NewServerConn(struct {
			io.Reader
			io.Writer
		}{io.TeeReader(conn, &rec), conn}, "app")
		if c.Handshake() == nil {
			if _, err := c.Publication(); err == nil && c.Accept() == nil {
				for err == nil {
					_, err = c.Read()
				}
			}
		}
		sent <- rec.Bytes()[1+2*handshakeSize:]
	}()
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:r=25", "-f", "lavfi", "-i", "sine",
		"-frames:v", "10", "-shortest", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", "rtmp://"+ln.Addr().String()+"/app/sk_x").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return <-sent
}

// Whatever a client sends, the server ends, says why, and holds no more than it may.
func FuzzServer(f *testing.F) {
	for _, file := range []string{"testdata/obs.bin", "testdata/ffmpeg.bin"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(cmds(connect("app/key?a=b"), createStream, []any{1, "publish", 3.0, nil, ""}, []any{"FCUnpublish", 4.0, nil}))
	f.Add(append(cmds(connect("app"), createStream, publishKey), chunk0(6, 5000, 12, TypeAggregate, 1, 9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)...))
	f.Add(slices.Concat(chunk0(2, 0, 4, TypeSetChunkSize, 0, 0, 0, 0, 200), cmds(connect("app"), []any{"play", 1.0, nil, "x"})))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := play(t, b)
		pub, err := c.Publication()
		if err == nil {
			if len(pub.Key) > maxName || len(pub.Agent) > maxAgent {
				t.Fatalf("key of %d bytes, agent of %d", len(pub.Key), len(pub.Agent))
			}
			err = c.Accept()
		}
		for err == nil {
			var m Message
			if m, err = c.Read(); err == nil && len(m.Payload) > maxMedia {
				t.Fatalf("message of %d bytes", len(m.Payload))
			}
			if c.r.buffered < 0 || c.r.buffered > maxBuffered || c.r.n > maxChunkStreams {
				t.Fatalf("%d bytes buffered in %d chunk streams", c.r.buffered, c.r.n)
			}
		}
		if _, ok := errors.AsType[*ProtocolError](err); !ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrUnpublished) {
			t.Errorf("ended with %v", err)
		}
	})
}
