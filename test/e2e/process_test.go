package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/servertest"
)

// scratch is where the program is built, if it must be. TestMain makes and removes it.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	scratch = dir
	m.Run()
}

// build returns the path of the program: that of SLUICE_TEST_BINARY, or one of its own.
var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("SLUICE_TEST_BINARY"); path != "" {
		return path, nil
	}
	path := filepath.Join(scratch, "sluice")
	out, err := exec.Command("go", "build", "-o", path, "github.com/sluice-live/sluice/cmd/sluice").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	return path, nil
})

// sluice is a command line of the program, in an environment without our own settings.
func sluice(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "SLUICE_") })
	return cmd
}

// run runs a command of the program to its end, which must come within a minute.
func run(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	cmd := sluice(ctx, t, args...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// A process is `sluice serve`.
type process struct {
	servertest.Server
	readyFile string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
	err       error         // of its end; read after done
}

// serve starts the program on a data directory and returns when it is ready. The end
// of the test stops it, if it still runs then, and fails the test if it does not stop well.
func serve(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return serveTo(t, dir, t.Output(), args...)
}

// serveTo is serve with a place for what the program says.
func serveTo(t testing.TB, dir string, log io.Writer, args ...string) *process {
	t.Helper()
	return serveIn(t, dir, log, nil, args...)
}

// serveIn is serveTo with additions to the environment.
func serveIn(t testing.TB, dir string, log io.Writer, env []string, args ...string) *process {
	t.Helper()
	p := &process{readyFile: filepath.Join(t.TempDir(), "ready.json"), done: make(chan struct{})}
	p.Dir = dir
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // the cleanup stops it first
	p.cmd = sluice(ctx, t, append([]string{
		"serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--rtmps", "127.0.0.1:0", "--srt", "127.0.0.1:0",
		"--ready-file", p.readyFile, "--log-format", "text", "--transcode", "off", // tests of the ladder turn it on
		"--webrtc", "127.0.0.1:0",
	}, args...)...)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		defer cancel()
		if err := p.terminate(); err != nil {
			t.Errorf("sluice stopped with: %v", err)
		}
	})
	servertest.Eventually(t, "the ready file is written", func() bool {
		select {
		case <-p.done:
			t.Fatalf("sluice did not start: %v", p.err)
		default:
		}
		b, err := os.ReadFile(p.readyFile)
		if errors.Is(err, os.ErrNotExist) {
			return false
		}
		if err == nil {
			err = json.Unmarshal(b, &p.Ready)
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	p.Base = "http://" + p.HTTP
	return p
}

// terminate sends SIGTERM and waits; the error tells of an exit code other than 0.
func (p *process) terminate() error {
	select {
	case <-p.done:
		var exit *exec.ExitError
		if errors.As(p.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return nil // the test did that
		}
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by now
	hung := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Signal(syscall.SIGQUIT) })
	defer hung.Stop()
	<-p.done
	return p.err
}

// kill ends it as kill -9 does.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// dataDir is a fresh data directory.
func dataDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}
