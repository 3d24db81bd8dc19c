package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The publishers.
const (
	Broadcast = "broadcast" // amazon-ivs-web-broadcast
	WHIP      = "whip"      // a page that speaks WHIP
)

// PublishOptions say what to publish: Chromium's fake camera, which moves, and its fake
// microphone, which beeps.
type PublishOptions struct {
	Publisher string // Broadcast or WHIP
	Endpoint  string // of the server, without a path; HTTPS for Broadcast
	Key       string // the stream key
	FPS       int    // 0 means 30
}

// A Publication is what happened.
type Publication struct {
	Publisher, Chromium string
	Began               bool     // the server took it
	ID                  string   // of the session: the SDK's, or the path of WHIP's
	States              []string // of the connection, in the publisher's own words
	Errors              []PublishError
	Console             []string
}

// A PublishError is an error in the publisher's own words.
type PublishError struct {
	Name, Message string
	Code          int
}

// A Publisher is a page that publishes.
type Publisher struct {
	in   io.WriteCloser // a line ends the publication
	once sync.Once      // closes in
	up   chan struct{}  // closed when the server has taken it, or at the end without that
	done chan struct{}  // closed at the end
	pub  Publication    // read after done, as err
	err  error
}

// Publish starts a publication. The end of the test ends it. A server that refuses is no
// failure here: Stop tells.
func Publish(t testing.TB, o PublishOptions) *Publisher {
	t.Helper()
	dir := install(t)
	if o.FPS == 0 {
		o.FPS = 30
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "node", "publish.mjs", "--publisher", o.Publisher, "--endpoint", o.Endpoint, "--fps", strconv.Itoa(o.FPS))
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it takes Chromium with it
	cmd.WaitDelay = 5 * time.Second
	p := &Publisher{up: make(chan struct{}), done: make(chan struct{})}
	var out bytes.Buffer
	said := &announcer{started: p.up}
	cmd.Stdout, cmd.Stderr = &out, said
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		p.in = in
		_, err = io.WriteString(in, o.Key+"\n") // not an argument, which others can see
	}
	if err != nil {
		cancel()
		t.Fatalf("browser: %v", err)
	}
	go func() { // ends with the program
		defer close(p.done)
		defer cancel()
		err := cmd.Wait()
		said.announce()
		if err == nil {
			err = json.Unmarshal(out.Bytes(), &p.pub)
		}
		if err != nil {
			p.err = fmt.Errorf("browser: %w: %s", err, said.buf.String())
		}
	}()
	t.Cleanup(func() {
		p.end()
		<-p.done
	})
	return p
}

// Began waits for the server's answer.
func (p *Publisher) Began() { <-p.up }

// Done is closed when the publication has ended, whoever ended it.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Stop ends the publication as the page's user does, if it goes on, and returns what
// happened.
func (p *Publisher) Stop(t testing.TB) Publication {
	t.Helper()
	p.end()
	<-p.done
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.pub
}

func (p *Publisher) end() {
	p.once.Do(func() { _ = p.in.Close() }) // the program may have ended
}
