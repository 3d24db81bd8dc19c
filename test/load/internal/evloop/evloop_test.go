//go:build linux

package evloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// echo serves one connection: it sends back what it reads, and closes after n bytes.
func echo(t *testing.T, n int64) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.CopyN(c, c, n) // the test sees what is missing
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

type recorder struct {
	data      []byte
	discarded int
	closed    error
	after     func()
}

func (r *recorder) Data(b []byte)    { r.data = append(r.data, b...) }
func (r *recorder) Discarded(n int)  { r.discarded += n }
func (r *recorder) Closed(err error) { r.closed = err; r.after() }

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestEveryByteComesBack(t *testing.T) {
	l := newLoop(t)
	want := bytes.Repeat([]byte("0123456789"), 60_000) // more than the sockets hold
	r := &recorder{after: l.Stop}
	c, err := l.Dial(echo(t, int64(len(want))), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(want[:400_000]); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(want[400_000:]); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.data, want) || !errors.Is(r.closed, io.EOF) {
		t.Errorf("%d bytes and %v, want %d and EOF", len(r.data), r.closed, len(want))
	}
}

func TestDiscardDropsExactlyThat(t *testing.T) {
	l := newLoop(t)
	r := &recorder{after: l.Stop}
	c, err := l.Dial(echo(t, 100_000), r)
	if err != nil {
		t.Fatal(err)
	}
	c.Discard(99_990)
	if err := c.Write(append(make([]byte, 99_990), "0123456789"...)); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	if r.discarded != 99_990 || string(r.data) != "0123456789" {
		t.Errorf("dropped %d, kept %q", r.discarded, r.data)
	}
}

func TestTimersFireInOrder(t *testing.T) {
	l := newLoop(t)
	now := time.Now()
	var got []int
	l.At(now.Add(3*time.Millisecond), func() { got = append(got, 3); l.Stop() })
	l.At(now.Add(time.Millisecond), func() { got = append(got, 1) })
	l.At(now.Add(time.Millisecond), func() { got = append(got, 2) })
	l.At(now.Add(time.Hour), func() { got = append(got, 4) })
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
}

func TestDialRefusesOtherMachines(t *testing.T) {
	if _, err := newLoop(t).Dial(netip.MustParseAddrPort("192.0.2.1:80"), nil); err == nil {
		t.Error("Dial to a public address: no error")
	}
}
