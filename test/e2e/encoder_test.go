package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// The clip that encoders of this package send: small, because what is tested is not
// the encoding, with a keyframe a second and a tone.
const (
	clipFPS     = 15
	clipSeconds = 90
)

func clip(t testing.TB) []byte {
	t.Helper()
	return testmedia.Clip(t, testmedia.Source{Width: 320, Height: 180, FPS: clipFPS, BitRate: 200_000, Audio: true}, clipFPS*clipSeconds)
}

// dial asks to publish and sends nothing yet.
func dial(t testing.TB, url string) (*rtmp.Client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return rtmp.Dial(ctx, url, rtmp.ClientConfig{
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, //nolint:gosec // the certificate is self-made
	})
}

// refused asks to publish and returns the words of the refusal.
func refused(t testing.TB, url string) *rtmp.StatusError {
	t.Helper()
	c, err := dial(t, url)
	if err == nil {
		_ = c.Abort()
		t.Error("the server took a publisher that it had to refuse")
		return &rtmp.StatusError{}
	}
	s, ok := errors.AsType[*rtmp.StatusError](err)
	if !ok {
		t.Errorf("refused with %v, want a status in protocol", err)
		return &rtmp.StatusError{}
	}
	return s
}

// An encoder sends the clip in real time from this process.
type encoder struct {
	conn *rtmp.Client
	says chan string   // text to send within the stream
	stop chan struct{} // closed to end the broadcast
	once sync.Once     // closes stop
	sent chan struct{} // closed when nothing is sent any more
	over chan struct{} // closed when the server has ended the broadcast, or the connection has
	word error         // what the server said; read after over
}

// broadcast starts an encoder that must be taken. The end of the test stops it.
func broadcast(t testing.TB, url string) *encoder {
	t.Helper()
	media := clip(t)
	c, err := dial(t, url)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	e := &encoder{conn: c, says: make(chan string), stop: make(chan struct{}), sent: make(chan struct{}), over: make(chan struct{})}
	go func() { // ends with the connection
		defer close(e.over)
		e.word = c.Wait()
	}()
	go func() { // ends with stop, with the connection or with the clip
		defer close(e.sent)
		defer c.Close()
		e.send(t, media)
	}()
	t.Cleanup(e.finish)
	return e
}

func (e *encoder) send(t testing.TB, media []byte) {
	r, err := rtmp.NewFileReader(bytes.NewReader(media))
	if err != nil {
		t.Error(err)
		return
	}
	start := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		tag, err := r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			return
		}
		due.Reset(time.Until(start.Add(time.Duration(tag.Timestamp) * time.Millisecond)))
		for wait := true; wait; {
			select {
			case <-e.stop:
				return
			case <-e.over:
				return
			case text := <-e.says:
				if err := e.conn.WriteText(tag.Timestamp, text); err != nil {
					return
				}
			case <-due.C:
				wait = false
			}
		}
		switch tag.Type {
		case rtmp.TypeVideo:
			err = e.conn.WriteVideo(tag.Timestamp, tag.Body)
		case rtmp.TypeAudio:
			err = e.conn.WriteAudio(tag.Timestamp, tag.Body)
		case rtmp.TypeData:
			var o rtmp.Object
			var ok bool
			if o, ok, err = rtmp.ParseMetadata(rtmp.Message{Type: tag.Type, Payload: tag.Body}); ok {
				err = e.conn.WriteMetadata(o)
			}
		}
		if err != nil {
			return // the server closed the connection; over tells why
		}
	}
}

// say sends text within the stream.
func (e *encoder) say(t testing.TB, text string) {
	t.Helper()
	select {
	case e.says <- text:
	case <-e.sent:
		t.Fatal("the broadcast is over")
	}
}

// finish ends the broadcast with a goodbye.
func (e *encoder) finish() {
	e.once.Do(func() { close(e.stop) })
	<-e.sent
	<-e.over
}

// live reports whether the server still takes the broadcast.
func (e *encoder) live() bool {
	select {
	case <-e.over:
		return false
	case <-e.sent:
		return false
	default:
		return true
	}
}

// ended waits until the server has ended the broadcast and returns its words.
func (e *encoder) ended(t testing.TB) *rtmp.StatusError {
	t.Helper()
	select {
	case <-e.over:
	case <-time.After(time.Minute):
		t.Fatal("the server did not disconnect the encoder")
	}
	s, ok := errors.AsType[*rtmp.StatusError](e.word)
	if !ok {
		t.Errorf("the encoder was disconnected with %v, want a status in protocol", e.word)
		return &rtmp.StatusError{}
	}
	return s
}
