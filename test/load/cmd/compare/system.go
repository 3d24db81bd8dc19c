//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

// container is how a channel's media is packaged.
type container string

// Containers.
const (
	fmp4 container = "fMP4"
	ts   container = "TS"
)

// mode is what a server should do without viewers.
type mode int

const (
	asShipped     mode = iota // the default: what its users get
	alwaysPackage             // package every stream, watched or not, as Sluice does
)

// A system is a server that can be measured.
type system interface {
	name() string
	version(ctx context.Context) string
	// start starts a fresh server that keeps everything in dir; start again in the
	// same dir finds what was there. It returns when the server takes connections.
	start(ctx context.Context, dir string, m mode) (*instance, error)
	// channels makes n channels on a running instance.
	channels(ctx context.Context, in *instance, n int, c container) ([]channel, error)
	// containers are those it can serve LL-HLS in.
	containers() []container
	// measures names the measurements that it can take part in.
	measures() []string
}

// channel is where to publish and where to watch.
type channel struct{ publish, play string }

// instance is a running server.
type instance struct {
	process    *os.Process
	exited     chan struct{} // closed when the process ended
	ready      time.Duration // from the start of the process until it took connections
	http, rtmp string        // host:port
	access     access
	helpers    []int // processes that work for it, as a database does
}

// access is how to call an AWS API; empty where there is none.
type access struct{ keyID, secret, region, account string }

const (
	startTimeout = time.Minute // a peer that fills itself, on a busy machine
	stopTimeout  = 15 * time.Second
	look         = time.Millisecond // between looks at whether a server is ready
	logTail      = 2 << 10          // bytes of its log shown when it is not
)

// launch starts bin in dir, with its output in a file there, and waits until ready
// reports true.
func launch(ctx context.Context, bin, dir string, args []string, ready func() (bool, error), with ...func(*exec.Cmd)) (*instance, error) {
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()                 // the process has its own
	cmd := exec.Command(bin, args...) // ended by stop, which lets it drain
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	for _, kv := range os.Environ() { // no configuration by accident
		if !strings.HasPrefix(kv, "SLUICE_") && !strings.HasPrefix(kv, "MTX_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	for _, f := range with {
		f(cmd)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	in := &instance{process: cmd.Process, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ends is not measured
		close(in.exited)
	}()
	tick := time.NewTicker(look)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		ok, err := ready()
		in.ready = time.Since(begin)
		if ok {
			return in, nil
		}
		if err == nil {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			case <-in.exited:
				err = errors.New("it ended")
			}
		}
		return nil, errors.Join(fmt.Errorf("%s is not ready: %w; it said: %s", filepath.Base(bin), err, tail(log)), in.stop())
	}
}

// tail is the end of a log.
func tail(f *os.File) string {
	b := make([]byte, logTail)
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	n, err := f.ReadAt(b, max(0, end-logTail))
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(b[:n])
}

func (in *instance) pid() int { return in.process.Pid }

// stop asks the server to end and waits for it. One that takes longer than
// stopTimeout is killed, which is an error.
func (in *instance) stop() error {
	if err := in.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-in.exited:
		return nil
	case <-time.After(stopTimeout):
	}
	err := in.process.Kill()
	<-in.exited
	return errors.Join(fmt.Errorf("the server did not stop within %v", stopTimeout), err)
}

// listening reports whether all addresses take connections.
func listening(ctx context.Context, addrs ...string) (bool, error) {
	for _, a := range addrs {
		c, err := loopback.DialContext(ctx, "tcp", a)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		c.Close()
	}
	return true, nil
}

// versionOf is the first line that a program prints about itself, or "unknown".
func versionOf(ctx context.Context, bin string, args ...string) string {
	out, err := exec.CommandContext(ctx, bin, args...).Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

// freeAddrs returns n loopback addresses that nothing listens on. They are for servers
// that cannot pick a port themselves and say which.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // together, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}
