package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/restjson"
)

func open(t testing.TB, dir string, with ...func(*Config)) *Log {
	t.Helper()
	c := Config{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry()}
	for _, f := range with {
		f(&c)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs l; stop ends it and returns what Run returned.
func start(t testing.TB, l *Log) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

// names lists the events in dir that q selects, newest first.
func names(t testing.TB, dir string, q Query) (list []string) {
	t.Helper()
	damaged, err := Search(t.Context(), dir, q, func(e Entry) error {
		list = append(list, e.EventName)
		return nil
	})
	if err != nil || damaged != 0 {
		t.Fatalf("Search: %d damaged, %v", damaged, err)
	}
	return list
}

// Whoever is answered has a record: it is in the file when Record returns.
func TestWritesAreThereBeforeTheAnswer(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	stop := start(t, l)
	for i := range 50 {
		op := fmt.Sprint("Op", i)
		l.Record(called(op), from)
		if got := names(t, dir, Query{Limit: 1}); len(got) != 1 || got[0] != op {
			t.Fatalf("after the answer to %s the log begins with %v", op, got)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// What nobody waited for is there when the log has closed.
func TestNothingIsLostAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	stop := start(t, l)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 50 {
				l.Record(called("Read", func(r *restjson.Record) { r.ReadOnly = true }), from)
				if i%2 == 0 {
					l.Record(called("Write"), from)
				}
				l.Record(called("Attempt", unsignedCall), from)
			}
		})
	}
	wg.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for event, want := range map[string]int{"Read": 1000, "Write": 500, "Attempt": 1000} {
		if got := names(t, dir, Query{Event: event}); len(got) != want {
			t.Errorf("%d records of %s, want %d", len(got), event, want)
		}
	}
	if n := value(t, l.metrics.records.WithLabelValues("calls")); n != 1500 {
		t.Errorf("counted %v signed calls", n)
	}
	l.Record(called("Late"), from) // must not hang
	if n := value(t, l.metrics.lost); n != 1 {
		t.Errorf("counted %v lost, want the one that came too late", n)
	}
}

// Somebody who asks for nothing we have leaves no record: the port is open to scanners.
func TestScannersLeaveNoRecord(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	stop := start(t, l)
	l.Record(called("", unsignedCall), from)
	l.Record(called(""), from) // but a signed call of an unknown operation does
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir, Query{}); len(got) != 1 {
		t.Errorf("records %q", got)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	small := func(c *Config) { c.MaxSize, c.MaxFiles = 4000, 3 }
	l := open(t, dir, small)
	stop := start(t, l)
	for i := range 40 {
		l.Record(called(fmt.Sprint("Op", i)), from)
	}
	// Strangers rotate their own files only.
	for range 200 {
		l.Record(called("Attempt", unsignedCall), from)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range seriesNames() {
		files, err := filesOf(dir, name)
		if err != nil || len(files) != 3 || files[0] < 2 {
			t.Errorf("files of %s: %v, %v, want the last three", name, files, err)
		}
		for _, n := range files {
			info, err := os.Stat((&series{dir: dir, name: name}).path(n))
			if err != nil || info.Size() > 4000 || info.Mode().Perm() != 0o600 {
				t.Errorf("file %d of %s: %+v, %v", n, name, info, err)
			}
		}
	}
	got := names(t, dir, Query{Event: "", User: "alice"})
	if len(got) < 5 || got[0] != "Op39" || got[1] != "Op38" {
		t.Errorf("newest first across files: %v", got)
	}
	// The next start goes on in the newest file.
	before, _ := filesOf(dir, "calls")
	l = open(t, dir, small)
	stop = start(t, l)
	l.Record(called("Again"), from)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if after, _ := filesOf(dir, "calls"); after[0]-before[0] > 1 {
		t.Errorf("files %v after %v", after, before)
	}
	if got := names(t, dir, Query{Limit: 2, User: "alice"}); got[0] != "Again" || got[1] != "Op39" {
		t.Errorf("after a restart the log begins with %v", got)
	}
}

// A record longer than a file gets a file of its own, whole.
func TestLongRecord(t *testing.T) {
	dir := t.TempDir()
	s := &series{dir: dir, name: "x", maxSize: 10, maxFiles: 5, log: slog.New(slog.DiscardHandler)}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	lines := "12345\n" + strings.Repeat("a", 30) + "\n1234\n1234\n123456789\n"
	if n, err := s.write([]byte(lines)); n != len(lines) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := uint64(1); n <= 4; n++ {
		b, err := os.ReadFile(s.path(n))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	want := []string{"12345\n", strings.Repeat("a", 30) + "\n", "1234\n1234\n", "123456789\n"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("files %q, want %q", got, want)
	}
}

// A crash may cut the last line short. The next record must not be glued to it.
func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	stop := start(t, l)
	l.Record(called("First"), from)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "calls-000000000001.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, b[:len(b)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	stop = start(t, l)
	l.Record(called("Second"), from)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var got []string
	damaged, err := Search(t.Context(), dir, Query{}, func(e Entry) error { got = append(got, e.EventName); return nil })
	if err != nil || damaged != 1 || strings.Join(got, " ") != "Second First" {
		t.Errorf("found %v, %d damaged, %v, want both records and one damaged line", got, damaged, err)
	}
}

func TestOneProcessWrites(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if _, err := Open(Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second Open: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: filepath.Join(file, "x"), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}); err == nil {
		t.Error("a log below a file was opened")
	}
}

// disk is a series whose disk can be made to fail, or to take no bytes for a while.
type disk struct {
	mu   sync.Mutex
	got  bytes.Buffer
	fail error
	some int           // bytes that are taken before fail
	hang chan struct{} // while open, write waits
}

func (d *disk) write(lines []byte) (int, error) {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		n := min(d.some, len(lines))
		d.some = 0
		d.got.Write(lines[:n])
		return n, d.fail
	}
	d.got.Write(lines)
	return len(lines), nil
}

func (d *disk) sync() error  { return nil }
func (d *disk) close() error { return nil }

func (d *disk) set(fail error, hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.hang = fail, hang
}

func (d *disk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.got.String()
}

// onDisks is a Log over disks for its two series.
func onDisks(said io.Writer) (*Log, *disk, *disk) {
	calls, strangers := &disk{}, &disk{}
	l := &Log{
		log: slog.New(slog.NewTextHandler(said, nil)), metrics: newMetrics(prometheus.NewRegistry()),
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), unlock: func() error { return nil }, series: [kinds]appender{calls, strangers},
	}
	for i := range l.queues {
		l.queues[i].batch = newBatch()
	}
	return l, calls, strangers
}

// value is what a counter says.
func value(t testing.TB, c prometheus.Collector) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	all, err := reg.Gather()
	if err != nil || len(all) != 1 || len(all[0].GetMetric()) != 1 {
		t.Fatalf("gathered %v, %v", all, err)
	}
	return all[0].GetMetric()[0].GetCounter().GetValue()
}

// took is how long f takes, to the millisecond.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start).Round(time.Millisecond)
}

// A disk that hangs costs one second once, and no record as long as there is room.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said syncBuffer
		l, calls, _ := onDisks(&said)
		stop := start(t, l)
		hang := make(chan struct{})
		calls.set(nil, hang)
		if d := took(func() { l.Record(called("First"), from) }); d != maxWait {
			t.Errorf("the first call waited %v, want %v", d, maxWait)
		}
		for range 100 {
			if d := took(func() { l.Record(called("Next"), from) }); d != 0 {
				t.Fatalf("a further call waited %v", d)
			}
		}
		if n := strings.Count(said.String(), "takes no records"); n != 1 {
			t.Errorf("the log says %d times that it is stuck:\n%s", n, said.String())
		}
		calls.set(nil, nil)
		close(hang)
		time.Sleep(linger) // in the bubble
		synctest.Wait()
		if n := strings.Count(calls.text(), "\n"); n != 101 {
			t.Errorf("%d records, want all 101", n)
		}
		// And from now on calls wait again.
		hang = make(chan struct{})
		calls.set(nil, hang)
		if d := took(func() { l.Record(called("Later"), from) }); d != maxWait {
			t.Errorf("a call after that waited %v, want %v", d, maxWait)
		}
		close(hang)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Reads are queued; they do not wait for the disk.
func TestReadsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, calls, _ := onDisks(io.Discard)
		stop := start(t, l)
		hang := make(chan struct{})
		calls.set(nil, hang)
		if d := took(func() { l.Record(called("Read", func(r *restjson.Record) { r.ReadOnly = true }), from) }); d != 0 {
			t.Errorf("a read waited %v", d)
		}
		close(hang)
		if err := stop(); err != nil || !strings.Contains(calls.text(), `"Read"`) {
			t.Errorf("%v; log %q", err, calls.text())
		}
	})
}

// When the queue is full records are lost, but the log, the metric and the process's log
// tell how many and since when.
func TestLossIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said syncBuffer
		l, calls, strangers := onDisks(&said)
		stop := start(t, l)
		calls.set(errors.New("no space left"), nil)
		line := len(lineOf(&l.shapes, new(called("Fill")), from, newStamp(time.Now())))
		n := 0
		wait := took(func() {
			for value(t, l.metrics.lost) == 0 {
				l.Record(called("Fill"), from)
				n++
			}
			for range 9 {
				l.Record(called("Fill"), from)
				n++
			}
		})
		if wait > 2*maxWait {
			t.Errorf("%d calls waited %v together", n, wait)
		}
		if room := n - 10; room < maxQueued/line || room > 2*maxQueued/line {
			t.Errorf("kept %d records of %d bytes, which is not the bound", room, line)
		}
		l.Record(called("Attempt", unsignedCall), from)
		calls.set(nil, nil)
		time.Sleep(2 * maxRetry) // in the bubble: until the next try
		synctest.Wait()
		l.Record(called("After"), from)
		text := calls.text()
		if strings.Count(text, `"Fill"`) != n-10 || strings.Count(text, EventLost) != 1 || !strings.Contains(text, `"recordsLost":10,`) {
			t.Errorf("of %d records %d are there; the end is %s", n, strings.Count(text, `"Fill"`), text[max(0, len(text)-2000):])
		}
		if lost, after := strings.Index(text, EventLost), strings.Index(text, `"After"`); lost < 0 || after < lost {
			t.Error("the loss is not told where it was")
		}
		for _, want := range []string{"no space left", "records were lost", "takes records again"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("the process's log does not say %q:\n%s", want, said.String())
			}
		}
		if !strings.Contains(strangers.text(), "Attempt") {
			t.Error("and the other series lost its record")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Strangers have a queue of their own, never wait, and cost nobody else a record.
func TestFloodOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, calls, strangers := onDisks(io.Discard)
		stop := start(t, l)
		hang := make(chan struct{})
		strangers.set(nil, hang)
		if d := took(func() {
			for range 3 * maxQueued / 500 {
				l.Record(called("Attempt", unsignedCall), from)
			}
		}); d != 0 {
			t.Errorf("strangers waited %v", d)
		}
		lost := value(t, l.metrics.lost)
		if lost == 0 {
			t.Error("nothing was lost: the queue has no bound")
		}
		close(hang)
		strangers.set(nil, nil)
		synctest.Wait()
		if d := took(func() { l.Record(called("Call"), from) }); d != 0 || !strings.Contains(calls.text(), `"Call"`) {
			t.Errorf("a call waited %v, or has no record", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if want := fmt.Sprintf(`"recordsLost":%d,`, int(lost)); !strings.Contains(strangers.text(), want) {
			t.Errorf("the strangers' log does not say %s", want)
		}
	})
}

// A write that fails halfway goes on where it stopped.
func TestPartialWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, calls, _ := onDisks(io.Discard)
		stop := start(t, l)
		calls.fail, calls.some = errors.New("full"), 10
		go l.Record(called("Call"), from)
		time.Sleep(minRetry / 2)
		calls.set(nil, nil)
		time.Sleep(minRetry)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if text := calls.text(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, `{"eventVersion":`) || !strings.HasSuffix(text, "}\n") {
			t.Errorf("log %q", text)
		}
	})
}

// A process that stops while the disk is full says what it leaves unwritten.
func TestEndWithoutDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, calls, _ := onDisks(io.Discard)
		stop := start(t, l)
		calls.set(errors.New("full"), nil)
		for range 3 {
			l.Record(called("Call"), from)
		}
		err := stop()
		if err == nil || !strings.Contains(err.Error(), "3 records could not be written") {
			t.Errorf("Run = %v", err)
		}
		if n := value(t, l.metrics.lost); n != 3 {
			t.Errorf("counted %v lost", n)
		}
	})
}

// syncBuffer is a bytes.Buffer for two goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func BenchmarkRecord(b *testing.B) {
	for name, r := range map[string]restjson.Record{
		"write": called("CreateChannel", created),
		"read":  called("GetChannel", func(r *restjson.Record) { r.ReadOnly = true }),
	} {
		b.Run(name, func(b *testing.B) {
			l := open(b, b.TempDir())
			stop := start(b, l)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					l.Record(r, from)
				}
			})
			if err := stop(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
