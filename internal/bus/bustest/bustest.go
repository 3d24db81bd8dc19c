// Package bustest is the suite that package bus passes on either side: with the server
// in the process and with a NATS cluster outside.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/bus"
)

// A Server is what buses of one test connect to.
type Server struct {
	// Open returns another handle on the server; the suite closes it.
	Open func(t *testing.T) *bus.Bus
	// Restart stops the server and starts it again with what it keeps, while handles
	// are open; nil where the server lives and dies with its one handle.
	Restart func(t *testing.T)
}

// Run runs the suite. start gives each test a server of its own, which lasts as long
// as the test.
func Run(t *testing.T, start func(t *testing.T) Server) {
	for name, test := range map[string]func(t *testing.T, s Server){
		"every subscriber gets every message":         fanout,
		"messages keep their order":                   order,
		"wildcards stand for words":                   wildcards,
		"a queue group shares":                        group,
		"a request gets its answer":                   request,
		"a request to nobody fails at once":           noResponders,
		"a request without an answer ends with ctx":   noAnswer,
		"stop waits for the handler":                  stopWaits,
		"stop ends the handler's context":             stopCancels,
		"close stops subscriptions":                   closeStops,
		"what is no subject is refused":               badInput,
		"a large message passes, a larger one cannot": size,
		"a slow handler loses messages, countably":    slow,
		"a queue delivers what was there before":      enqueueFirst,
		"a queue takes an id once":                    dedupe,
		"a failed message comes again":                redelivery,
		"a queue survives a restart":                  reopen,
		"a consumer that stops gives back":            giveBack,
		"consumers of a group share":                  share,
		"a second group is refused":                   secondGroup,
		"each group follows a log from its start":     followers,
		"a log goes on after a failure, in order":     logOrder,
		"a log survives a restart":                    logReopen,
		"what is no log is refused":                   badLog,
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
	t.Run("between handles", func(t *testing.T) {
		s := start(t)
		if s.Restart == nil {
			return // one process, one handle: there is nothing between
		}
		twoHandles(t, s)
		reconnect(t, s)
	})
}

// open returns a handle that is closed with the test.
func open(t *testing.T, s Server) *bus.Bus {
	t.Helper()
	b := s.Open(t)
	t.Cleanup(b.Close)
	if err := b.Ready(t.Context()); err != nil {
		t.Fatalf("Ready: %v", err)
	}
	return b
}

// collect subscribes and hands over what comes as "subject data".
func collect(t *testing.T, b *bus.Bus, subject, queue string) <-chan string {
	t.Helper()
	ch := make(chan string, 10000)
	stop, err := b.Subscribe(t.Context(), subject, queue, func(_ context.Context, m bus.Msg) {
		ch <- m.Subject + " " + string(m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return ch
}

func publish(t *testing.T, b *bus.Bus, subject string, data string) {
	t.Helper()
	if err := b.Publish(t.Context(), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// receive waits for the next value; the test's own deadline bounds it.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came in 30s")
		panic("unreachable")
	}
}

func fanout(t *testing.T, s Server) {
	b := open(t, s)
	one, two := collect(t, b, "live.state", ""), collect(t, b, "live.state", "")
	publish(t, b, "live.other", "x")
	publish(t, b, "live.state", "a")
	for _, ch := range []<-chan string{one, two} {
		if got := receive(t, ch); got != "live.state a" {
			t.Errorf("got %q, want %q", got, "live.state a")
		}
	}
}

func order(t *testing.T, s Server) {
	b := open(t, s)
	const n = 5000
	ch := collect(t, b, "n", "")
	for i := range n {
		publish(t, b, "n", strconv.Itoa(i))
	}
	for i := range n {
		if got, want := receive(t, ch), "n "+strconv.Itoa(i); got != want {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
}

func wildcards(t *testing.T, s Server) {
	b := open(t, s)
	word, rest := collect(t, b, "a.*.c", ""), collect(t, b, "a.>", "")
	for _, subject := range []string{"a.b.c", "a.b.c.d", "a.arn:aws:ivs:r:1:channel/x.c"} {
		publish(t, b, subject, "")
	}
	got := []string{receive(t, word), receive(t, word), receive(t, rest), receive(t, rest), receive(t, rest)}
	want := []string{"a.b.c ", "a.arn:aws:ivs:r:1:channel/x.c ", "a.b.c ", "a.b.c.d ", "a.arn:aws:ivs:r:1:channel/x.c "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func group(t *testing.T, s Server) {
	b := open(t, s)
	const n = 200
	all := make(chan string, 2*n)
	for range 2 {
		stop, err := b.Subscribe(t.Context(), "job", "workers", func(_ context.Context, m bus.Msg) { all <- string(m.Data) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	last := collect(t, b, "end", "")
	seen := map[string]bool{}
	for i := range n {
		publish(t, b, "job", strconv.Itoa(i))
	}
	for range n {
		d := receive(t, all)
		if seen[d] {
			t.Fatalf("message %s came twice", d)
		}
		seen[d] = true
	}
	publish(t, b, "end", "")
	receive(t, last)
	if len(all) > 0 {
		t.Errorf("%d messages too many", len(all))
	}
}

func request(t *testing.T, s Server) {
	b := open(t, s)
	stop, err := b.Subscribe(t.Context(), "ask.*", "", func(_ context.Context, m bus.Msg) {
		if err := m.Respond(append([]byte(m.Subject+" "), m.Data...)); err != nil {
			t.Errorf("Respond: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	got, err := b.Request(t.Context(), "ask.me", []byte("hi"))
	if err != nil || string(got) != "ask.me hi" {
		t.Errorf("Request = %q, %v, want %q", got, err, "ask.me hi")
	}
	publish(t, b, "ask.nobody", "") // Respond to what is no request does no harm
	if _, err := b.Request(t.Context(), "ask.me", nil); err != nil {
		t.Error(err)
	}
}

func noResponders(t *testing.T, s Server) {
	b := open(t, s)
	ch := collect(t, b, "a", "")
	if got, err := b.Request(t.Context(), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("Request = %q, %v, want %v", got, err, bus.ErrNoResponders)
	}
	if len(ch) > 0 {
		t.Errorf("a neighbour got %q", <-ch)
	}
}

func noAnswer(t *testing.T, s Server) {
	b := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	stop, err := b.Subscribe(t.Context(), "mute", "", func(context.Context, bus.Msg) { cancel() })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if got, err := b.Request(ctx, "mute", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Request = %q, %v, want %v", got, err, context.Canceled)
	}
}

func stopWaits(t *testing.T, s Server) {
	b := open(t, s)
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	var running, runs atomic.Int32
	stop, err := b.Subscribe(t.Context(), "x", "", func(context.Context, bus.Msg) {
		running.Add(1)
		runs.Add(1)
		entered <- struct{}{}
		<-leave
		running.Add(-1)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		publish(t, b, "x", "")
	}
	receive(t, entered)
	stopped := make(chan int32)
	go func() { stop(); stopped <- running.Load() }()
	for range 100 { // round trips, in which a stop that does not wait would return
		if err := b.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(stopped) > 0 {
			t.Fatal("stop returned while the handler ran")
		}
	}
	close(leave)
	if n := receive(t, stopped); n != 0 {
		t.Errorf("stop returned while %d handlers ran", n)
	}
	before := runs.Load()
	publish(t, b, "x", "")
	if err := b.Ready(t.Context()); err != nil { // a round trip: it would have come by now
		t.Fatal(err)
	}
	stop() // again does nothing
	if n := runs.Load(); n != before {
		t.Errorf("the handler ran %d times after stop", n-before)
	}
}

func stopCancels(t *testing.T, s Server) {
	b := open(t, s)
	type key struct{}
	entered := make(chan any, 1)
	stop, err := b.Subscribe(context.WithValue(t.Context(), key{}, "v"), "x", "", func(ctx context.Context, _ bus.Msg) {
		entered <- ctx.Value(key{})
		<-ctx.Done()
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "x", "")
	if v := receive(t, entered); v != "v" {
		t.Errorf("the handler's context has lost its values: %v", v)
	}
	stop() // returns only because the handler's context ends
}

func closeStops(t *testing.T, s Server) {
	b := s.Open(t)
	var running atomic.Int32
	entered := make(chan struct{}, 1)
	if _, err := b.Subscribe(t.Context(), "x", "", func(ctx context.Context, _ bus.Msg) {
		running.Add(1)
		entered <- struct{}{}
		<-ctx.Done()
		running.Add(-1)
	}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "x", "")
	receive(t, entered)
	b.Close()
	if n := running.Load(); n != 0 {
		t.Errorf("Close returned while %d handlers ran", n)
	}
	if err := b.Publish(t.Context(), "x", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Publish after Close = %v, want %v", err, bus.ErrClosed)
	}
	if _, err := b.Subscribe(t.Context(), "x", "", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Subscribe after Close = %v, want %v", err, bus.ErrClosed)
	}
	if _, err := b.Request(t.Context(), "x", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Request after Close = %v, want %v", err, bus.ErrClosed)
	}
	if err := b.Enqueue(t.Context(), "q", "1", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Enqueue after Close = %v, want %v", err, bus.ErrClosed)
	}
	if err := b.Ready(t.Context()); err == nil {
		t.Error("Ready after Close")
	}
	b.Close() // again does nothing
}

func badInput(t *testing.T, s Server) {
	b := open(t, s)
	for _, subject := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\nPUB x 1", "a\x00", "ü", "*", "a.*", ">", "a.>", strings.Repeat("x", 257)} {
		if err := b.Publish(t.Context(), subject, nil); err == nil {
			t.Errorf("Publish(%q) worked", subject)
		}
		if _, err := b.Request(t.Context(), subject, nil); err == nil || errors.Is(err, bus.ErrNoResponders) {
			t.Errorf("Request(%q) = %v", subject, err)
		}
	}
	for _, subject := range []string{"", "a..b", "a.>.b", "a b", "a*", ">>"} {
		if stop, err := b.Subscribe(t.Context(), subject, "", nil); err == nil {
			stop()
			t.Errorf("Subscribe(%q) worked", subject)
		}
	}
	if stop, err := b.Subscribe(t.Context(), "a", "q q", nil); err == nil {
		stop()
		t.Error(`Subscribe to group "q q" worked`)
	}
	for _, queue := range []string{"", "a.b", "a*", "a/b", "../x", strings.Repeat("q", 65)} {
		if err := b.Enqueue(t.Context(), queue, "1", nil); err == nil {
			t.Errorf("Enqueue in %q worked", queue)
		}
		if err := b.Consume(t.Context(), queue, "g", nil); err == nil {
			t.Errorf("Consume of %q worked", queue)
		}
	}
	for _, id := range []string{"", "a b", "a\r\nX: y", strings.Repeat("i", 257)} {
		if err := b.Enqueue(t.Context(), "q", id, nil); err == nil {
			t.Errorf("Enqueue with id %q worked", id)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Publish(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with an ended context = %v", err)
	}
}

func size(t *testing.T, s Server) {
	b := open(t, s)
	ch := collect(t, b, "big", "")
	big := strings.Repeat("x", bus.MaxData)
	publish(t, b, "big", big)
	if got := receive(t, ch); got != "big "+big {
		t.Errorf("%d bytes came, want %d", len(got)-4, len(big))
	}
	larger := []byte(big + "x")
	if err := b.Publish(t.Context(), "big", larger); err == nil {
		t.Error("Publish of a larger message worked")
	}
	if err := b.Enqueue(t.Context(), "q", "1", larger); err == nil {
		t.Error("Enqueue of a larger message worked")
	}
}

func slow(t *testing.T, s Server) {
	b := open(t, s)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	var handled atomic.Int64
	stop, err := b.Subscribe(t.Context(), "x", "", func(context.Context, bus.Msg) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-leave
		handled.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 12000
	fast := collect(t, b, "end", "")
	for range n {
		publish(t, b, "x", "")
	}
	publish(t, b, "end", "")
	receive(t, entered)
	receive(t, fast) // a neighbour is not held up
	dropped := b.Dropped()
	if dropped <= 0 || dropped >= n {
		t.Errorf("%d of %d messages dropped, want some", dropped, n)
	}
	close(leave)
	stop()
	if after := b.Dropped(); after != dropped {
		t.Errorf("stop changed the count from %d to %d", dropped, after)
	}
}

// consume runs Consume until the test ends or stop is called.
func consume(t *testing.T, b *bus.Bus, queue, group string, f func(context.Context, bus.Msg) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Consume(ctx, queue, group, f); err != nil {
			t.Errorf("Consume: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop) // before the bus is closed: cleanups run last to first
	return stop
}

func enqueue(t *testing.T, b *bus.Bus, id string) {
	t.Helper()
	if err := b.Enqueue(t.Context(), "jobs", id, []byte("data "+id)); err != nil {
		t.Fatal(err)
	}
}

func enqueueFirst(t *testing.T, s Server) {
	b := open(t, s)
	enqueue(t, b, "1")
	enqueue(t, b, "2")
	ch := make(chan bus.Msg, 10)
	consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error { ch <- m; return nil })
	enqueue(t, b, "3")
	for _, id := range []string{"1", "2", "3"} {
		if m := receive(t, ch); m.ID != id || string(m.Data) != "data "+id || m.Attempt != 1 {
			t.Errorf("got %q %q, attempt %d, want %s, attempt 1", m.ID, m.Data, m.Attempt, id)
		}
	}
}

func dedupe(t *testing.T, s Server) {
	b := open(t, s)
	for _, id := range []string{"1", "1", "2", "1", "3"} {
		enqueue(t, b, id)
	}
	ch := make(chan string, 10)
	stop := consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error { ch <- m.ID; return nil })
	got := []string{receive(t, ch), receive(t, ch), receive(t, ch)}
	enqueue(t, b, "2") // handled by now, and still known
	enqueue(t, b, "4")
	got = append(got, receive(t, ch))
	stop()
	if want := []string{"1", "2", "3", "4"}; !slices.Equal(got, want) || len(ch) > 0 {
		t.Errorf("got %q and %d more, want %q", got, len(ch), want)
	}
}

func redelivery(t *testing.T, s Server) {
	b := open(t, s)
	enqueue(t, b, "bad")
	enqueue(t, b, "good")
	ch := make(chan string, 10)
	consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error {
		ch <- fmt.Sprint(m.ID, " ", m.Attempt)
		if m.ID == "bad" && m.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	var got []string
	for range 4 {
		got = append(got, receive(t, ch))
	}
	// The failure does not hold up the others.
	if want := []string{"bad 1", "good 1", "bad 2", "bad 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func reopen(t *testing.T, s Server) {
	b := s.Open(t)
	ch := make(chan string, 10)
	handle := func(_ context.Context, m bus.Msg) error { ch <- m.ID; return nil }
	stop := consume(t, b, "jobs", "g", handle)
	enqueue(t, b, "1")
	receive(t, ch)
	stop()
	enqueue(t, b, "2")
	b.Close()

	b = open(t, s)
	enqueue(t, b, "2") // the id is remembered, too
	enqueue(t, b, "3")
	stop = consume(t, b, "jobs", "g", handle)
	got := []string{receive(t, ch), receive(t, ch)}
	stop()
	if want := []string{"2", "3"}; !slices.Equal(got, want) || len(ch) > 0 {
		t.Errorf("after reopening: %q and %d more, want %q", got, len(ch), want)
	}
}

func giveBack(t *testing.T, s Server) {
	b := open(t, s)
	enqueue(t, b, "1")
	entered := make(chan struct{})
	stop := consume(t, b, "jobs", "g", func(ctx context.Context, _ bus.Msg) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	receive(t, entered)
	stop() // ends the handler's context and waits for it
	ch := make(chan int, 1)
	consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error { ch <- m.Attempt; return nil })
	if attempt := receive(t, ch); attempt != 2 {
		t.Errorf("attempt %d, want 2", attempt)
	}
}

func share(t *testing.T, s Server) {
	b := open(t, s)
	const n = 50
	ch := make(chan string, 2*n)
	both := make(chan struct{}) // closed when two handlers run at a time
	var running atomic.Int32
	for range 2 {
		var once sync.Once
		consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error {
			if running.Add(1) == 2 {
				close(both)
			}
			once.Do(func() { <-both })
			ch <- m.ID
			return nil
		})
	}
	for i := range n {
		enqueue(t, b, strconv.Itoa(i))
	}
	seen := map[string]bool{}
	for range n {
		id := receive(t, ch)
		if seen[id] {
			t.Errorf("%s came twice", id)
		}
		seen[id] = true
	}
}

func secondGroup(t *testing.T, s Server) {
	b := open(t, s)
	ch := make(chan string, 1)
	consume(t, b, "jobs", "one", func(_ context.Context, m bus.Msg) error { ch <- m.ID; return nil })
	enqueue(t, b, "1")
	receive(t, ch)
	if err := b.Consume(t.Context(), "jobs", "two", nil); !errors.Is(err, bus.ErrGroup) {
		t.Errorf("Consume as a second group = %v, want %v", err, bus.ErrGroup)
	}
}

func twoHandles(t *testing.T, s Server) {
	one, two := open(t, s), open(t, s)
	ch := collect(t, two, "hello", "")
	publish(t, one, "hello", "two")
	if got := receive(t, ch); got != "hello two" {
		t.Errorf("got %q", got)
	}
	stop, err := one.Subscribe(t.Context(), "ask", "", func(_ context.Context, m bus.Msg) { _ = m.Respond([]byte("one")) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if got, err := two.Request(t.Context(), "ask", nil); err != nil || string(got) != "one" {
		t.Errorf("Request = %q, %v", got, err)
	}
}

// reconnect: subscriptions and consumers outlive the server they were made on.
func reconnect(t *testing.T, s Server) {
	b := open(t, s)
	ch := collect(t, b, "again", "")
	jobs := make(chan string, 10)
	consume(t, b, "jobs", "g", func(_ context.Context, m bus.Msg) error { jobs <- m.ID; return nil })
	enqueue(t, b, "before")
	if id := receive(t, jobs); id != "before" {
		t.Fatalf("got %q", id)
	}
	s.Restart(t)
	for b.Ready(t.Context()) != nil { // reconnecting is not ours to hurry
		time.Sleep(10 * time.Millisecond)
	}
	publish(t, b, "again", "x")
	if got := receive(t, ch); got != "again x" {
		t.Errorf("got %q", got)
	}
	enqueue(t, b, "after")
	for receive(t, jobs) == "before" { // may come twice: the server went before it knew
	}
}
