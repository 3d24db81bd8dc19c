package bus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/bus/bustest"
)

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, c bus.Config) *bus.Bus {
	t.Helper()
	c.Log = quiet
	b, err := bus.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInProcess(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bustest.Server {
		dir := t.TempDir()
		return bustest.Server{Open: func(t *testing.T) *bus.Bus { return open(t, bus.Config{Dir: dir}) }}
	})
}

func TestExternal(t *testing.T) {
	binary := natsServer(t)
	bustest.Run(t, func(t *testing.T) bustest.Server {
		p := &process{binary: binary, dir: t.TempDir(), port: "-1"}
		p.start(t)
		t.Cleanup(p.stop)
		return bustest.Server{
			Open: func(t *testing.T) *bus.Bus {
				return open(t, bus.Config{URL: "nats://127.0.0.1:" + p.port, Name: "test"})
			},
			Restart: func(t *testing.T) { p.stop(); p.start(t) },
		}
	})
}

// natsServer finds the NATS server of the machine.
func natsServer(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nats-server", "/usr/sbin/nats-server"} { // Debian's is not in every PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("SLUICE_TEST_REQUIRE_NATS") != "" {
		t.Fatal("no nats-server on this machine, and SLUICE_TEST_REQUIRE_NATS is set")
	}
	t.Skip("no nats-server on this machine (Debian: apt-get install nats-server)")
	return ""
}

// process is one nats-server.
type process struct {
	binary, dir string
	port        string   // "-1" until the first start picked one
	args        []string // more of them
	cmd         *exec.Cmd
}

// start returns when the server takes connections.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.binary, append([]string{"-a", "127.0.0.1", "-p", p.port, "-js", "-sd", p.dir, "--ports_file_dir", p.dir}, p.args...)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() { // ends with the process
		defer close(ready)
		var said strings.Builder
		for s := bufio.NewScanner(stderr); s.Scan(); {
			said.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), "Server is ready") {
				break
			}
		}
		ready <- said.String()
		_, _ = io.Copy(io.Discard, stderr)
	}()
	said := <-ready
	if !strings.Contains(said, "Server is ready") {
		t.Fatalf("nats-server did not start:\n%s", said)
	}
	if p.port == "-1" {
		p.ports(t)
	}
}

// ports reads the port that the server picked from the file it writes.
func (p *process) ports(t *testing.T) {
	t.Helper()
	name := filepath.Join(p.dir, fmt.Sprintf("%s_%d.ports", filepath.Base(p.binary), p.cmd.Process.Pid))
	var ports struct{ Nats []string }
	for len(ports.Nats) == 0 { // written in a moment: the server has said that it is ready
		if b, err := os.ReadFile(name); err != nil || json.Unmarshal(b, &ports) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	p.port = ports.Nats[0][strings.LastIndexByte(ports.Nats[0], ':')+1:]
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // reports the kill
}

func TestOpenRefusesAClusterThatIsNotThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // so that the port is nobody's
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	b, err := bus.Open(t.Context(), bus.Config{URL: "nats://user:hunter2@" + addr, Log: quiet})
	if err == nil {
		b.Close()
		t.Fatal("Open worked")
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells the password: %v", err)
	}
}

func TestOpenNeedsItsDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := bus.Open(t.Context(), bus.Config{Dir: file, Log: quiet}); err == nil {
		b.Close()
		t.Error("Open in a file worked")
	}
}

// A cluster keeps a queue on three servers: one may die with nothing lost.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("servers take seconds to elect their leaders")
	}
	binary := natsServer(t)
	var servers []*process
	var urls []string
	routes := freeURLs(t, 3) // they must know each other before they start
	for i, own := range routes {
		p := &process{binary: binary, dir: t.TempDir(), port: "-1", args: []string{
			"--cluster_name", "test", "--cluster", own, "--routes", strings.Join(routes, ","), "-n", fmt.Sprint("s", i),
		}}
		p.start(t)
		t.Cleanup(p.stop)
		servers, urls = append(servers, p), append(urls, "127.0.0.1:"+p.port)
	}
	b := open(t, bus.Config{URL: "nats://" + strings.Join(urls, ",")})
	defer b.Close()
	ch := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	enqueue := func(id string) {
		t.Helper()
		for { // the servers elect a leader first, and again below
			try, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			err := b.Enqueue(try, "jobs", id, nil)
			cancel()
			if err == nil {
				return
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	enqueue("1")
	servers[2].stop()
	enqueue("2")
	go func() {
		done <- b.Consume(ctx, "jobs", "g", func(_ context.Context, m bus.Msg) error { ch <- m.ID; return nil })
	}()
	for _, want := range []string{"1", "2"} {
		if got := <-ch; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Consume: %v", err)
	}
}

// freeURLs returns URLs with ports that were free a moment ago.
func freeURLs(t *testing.T, n int) (urls []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // all at the end, so that they differ
		urls = append(urls, "nats://"+ln.Addr().String())
	}
	return urls
}

// While the cluster is away nothing pretends to be sent.
func TestDisconnected(t *testing.T) {
	p := &process{binary: natsServer(t), dir: t.TempDir(), port: "-1"}
	p.start(t)
	b := open(t, bus.Config{URL: "nats://127.0.0.1:" + p.port})
	defer b.Close()
	p.stop()
	for b.Ready(t.Context()) == nil {
		time.Sleep(time.Millisecond)
	}
	for name, err := range map[string]error{
		"Publish": b.Publish(t.Context(), "x", nil),
		"Enqueue": b.Enqueue(t.Context(), "q", "1", nil),
		"Ready":   b.Ready(t.Context()),
	} {
		if !errors.Is(err, bus.ErrDisconnected) {
			t.Errorf("%s = %v, want %v", name, err, bus.ErrDisconnected)
		}
	}
	if _, err := b.Request(t.Context(), "x", nil); !errors.Is(err, bus.ErrDisconnected) {
		t.Errorf("Request = %v, want %v", err, bus.ErrDisconnected)
	}
}

// From a queue nothing is lost when the process is killed: what bustest cannot do to a
// server in its own process, this does to a copy of its directory.
func TestQueueOnDisk(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	defer b.Close()
	for i := range 10 {
		if err := b.Enqueue(t.Context(), "jobs", fmt.Sprint(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil { // the server still runs, as before a kill
		t.Fatal(err)
	}
	after := open(t, bus.Config{Dir: copied})
	defer after.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	if err := after.Consume(ctx, "jobs", "g", func(_ context.Context, m bus.Msg) error {
		if got = append(got, m.ID); len(got) == 10 {
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, " "); s != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("got %q", s)
	}
}

// BenchmarkOpen is the share of the bus in the start of the program.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		open(b, bus.Config{Dir: dir}).Close()
	}
}

// BenchmarkPublish measures from Publish until the handler has the message.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("one at a time, %d bytes", size), func(b *testing.B) {
			x := open(b, bus.Config{Dir: b.TempDir()})
			defer x.Close()
			got := make(chan struct{}, 1)
			stop, err := x.Subscribe(b.Context(), "x", "", func(context.Context, bus.Msg) { got <- struct{}{} })
			if err != nil {
				b.Fatal(err)
			}
			defer stop()
			data := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := x.Publish(b.Context(), "x", data); err != nil {
					b.Fatal(err)
				}
				<-got
			}
		})
		b.Run(fmt.Sprintf("stream of %d bytes", size), func(b *testing.B) {
			x := open(b, bus.Config{Dir: b.TempDir()})
			defer x.Close()
			const window = 256 // in flight, so that none is dropped
			room := make(chan struct{}, window)
			stop, err := x.Subscribe(b.Context(), "x", "", func(context.Context, bus.Msg) { <-room })
			if err != nil {
				b.Fatal(err)
			}
			defer stop()
			data := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				room <- struct{}{}
				if err := x.Publish(b.Context(), "x", data); err != nil {
					b.Fatal(err)
				}
			}
			for range window { // all have been delivered
				room <- struct{}{}
			}
		})
	}
}

func BenchmarkEnqueue(b *testing.B) {
	x := open(b, bus.Config{Dir: b.TempDir()})
	defer x.Close()
	data, i := make([]byte, 1000), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if err := x.Enqueue(b.Context(), "q", fmt.Sprint(i), data); err != nil {
			b.Fatal(err)
		}
	}
}
