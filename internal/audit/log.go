package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/restjson"
)

// Config is what an operator decides about a Log.
type Config struct {
	Dir      string
	MaxSize  int64 // bytes of one file; 0 means 32 MiB
	MaxFiles int   // of each series; 0 means 10
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// The two series, and the names of their files.
const (
	signed   = iota // calls with a valid signature
	unsigned        // the others
	kinds           // how many there are
)

func seriesNames() [kinds]string { return [kinds]string{"calls", "unsigned"} }

const (
	// maxQueued bounds the records of one series that wait for the disk, in bytes.
	maxQueued = 4 << 20
	// maxSpare bounds the memory that is kept for the next records, in bytes. The writer
	// gathers no more than half of it.
	maxSpare = 256 << 10
	// maxReused bounds the memory of an encoder that is kept, in bytes.
	maxReused = 16 << 10
	// maxWait is how long a call waits for its record.
	maxWait = time.Second
	// linger is how long the writer gathers records for which nobody waits: one write of
	// many records is much cheaper than many of one.
	linger = 5 * time.Millisecond
	// syncEvery is how often the disk is told to keep what was written.
	syncEvery = time.Second
	// The writer waits this long before it tries again what failed.
	minRetry, maxRetry = 50 * time.Millisecond, 2 * time.Second
)

// A Log is an open audit log. Record queues, Run writes.
type Log struct {
	log      *slog.Logger
	metrics  *metrics
	shapes   shapes
	encoders sync.Pool // of *restjson.Encoder
	series   [kinds]appender
	unlock   func() error
	wake     chan struct{} // holds one: there is something to write
	urgent   chan struct{} // holds one: and somebody waits for it
	spare    [kinds][]byte // the writer's: room for the next batch

	mu     sync.Mutex   // guards the fields below
	queues [kinds]queue // what is to be written
	stuck  bool         // somebody waited in vain, and nothing was written since
	closed bool         // Run has ended: nothing is written any more
}

// appender is what a Log needs of a series.
type appender interface {
	write(lines []byte) (done int, err error)
	sync() error
	close() error
}

// A queue is the records of one series that the writer has not taken yet.
type queue struct {
	batch *batch
	lost  int64     // records that did not fit
	since time.Time // when the first of them was lost
}

// A batch is records that are written together.
type batch struct {
	lines   []byte
	records int64
	taken   chan struct{} // closed when the writer has it, so that there is room again
	written chan struct{} // closed when it is in the file
}

func newBatch() *batch {
	return &batch{taken: make(chan struct{}), written: make(chan struct{})}
}

// Open makes the directory if it must, and opens the log in it. One process at a time
// can have it open.
func Open(c Config) (*Log, error) {
	c.MaxSize, c.MaxFiles = cmp.Or(c.MaxSize, 32<<20), cmp.Or(c.MaxFiles, 10)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{log: c.Log, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
	var err error
	if l.unlock, err = lock(c.Dir); err != nil {
		return nil, err
	}
	for i, name := range seriesNames() {
		s := &series{dir: c.Dir, name: name, maxSize: c.MaxSize, maxFiles: c.MaxFiles, log: c.Log}
		if err := s.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("audit: %w", err), l.Close())
		}
		l.series[i], l.queues[i].batch = s, newBatch()
	}
	l.metrics = newMetrics(c.Metrics)
	return l, nil
}

// lock makes this process the only one that writes to dir.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("audit: %s is in use by another process", dir), f.Close())
	}
	return f.Close, nil
}

// Close gives back what Open took. Run does it, too; Close is for a Log that never ran.
func (l *Log) Close() error {
	var errs []error
	for _, s := range l.series {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	if err := errors.Join(append(errs, l.unlock())...); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Record adds the record of a call. It returns when the record is
// in the file, if the call had a valid signature and may have changed something, or when
// it is queued; see the package comment for how long that takes at most.
func (l *Log) Record(r restjson.Record, from Origin) {
	if r.Account == "" && r.Operation == "" {
		return // a stranger who asked for nothing that is there: no API call
	}
	kind := signed
	if r.Account == "" {
		kind = unsigned
	}
	now := time.Now()
	e, ok := l.encoders.Get().(*restjson.Encoder)
	if !ok {
		e = restjson.NewEncoder(1 << 10)
	}
	l.shapes.encode(e, &r, from, newStamp(now))
	l.add(kind, e.Bytes(), now, kind == signed && !r.ReadOnly)
	if cap(e.Bytes()) <= maxReused {
		e.Cut(0)
		l.encoders.Put(e)
	}
}

// add queues one line. Strangers never wait: when their queue is full, the line is lost.
func (l *Log) add(kind int, line []byte, now time.Time, wait bool) {
	var timeout <-chan time.Time
	for {
		b, room, waits := l.put(kind, line)
		switch {
		case room && (!wait || !waits):
			return
		case !room && !waits:
			l.lose(kind, now)
			return
		}
		event := b.taken
		if room {
			event = b.written
		}
		if timeout == nil {
			timeout = time.After(maxWait)
		}
		signal(l.urgent)
		select {
		case <-event:
			if room {
				return
			}
		case <-timeout:
			l.stall()
			if !room {
				l.lose(kind, now)
			}
			return
		}
	}
}

// put appends line to the queue if there is room; b is the batch that it is in, or that
// is in its way. waits tells whether it makes sense to wait for b.
func (l *Log) put(kind int, line []byte) (b *batch, room, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = l.queues[kind].batch
	room = !l.closed && (len(b.lines) == 0 || len(b.lines)+len(line) <= maxQueued)
	waits = !l.closed && !l.stuck && kind == signed
	if room {
		b.lines = append(b.lines, line...)
		b.records++
		signal(l.wake)
		if len(b.lines) > maxSpare/2 {
			signal(l.urgent)
		}
	}
	return b, room, waits
}

// signal leaves word in c, which holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is word already
	}
}

// stall notes that a call waited in vain: until something is written, nobody else does.
func (l *Log) stall() {
	l.mu.Lock()
	first := !l.stuck
	l.stuck = true
	l.mu.Unlock()
	if first {
		l.log.Error("the audit log takes no records; calls go on without waiting for it")
	}
}

// lose counts a record that will never be written.
func (l *Log) lose(kind int, now time.Time) {
	l.metrics.lost.Inc()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues[kind].lose(1, now)
	signal(l.wake)
}

func (q *queue) lose(n int64, since time.Time) {
	if q.lost == 0 || since.Before(q.since) {
		q.since = since
	}
	q.lost += n
}

// Run writes what Record queues until ctx is done, and then what is left. It returns an
// error if records could not be written in the end.
func (l *Log) Run(ctx context.Context) error {
	var syncer sync.WaitGroup
	syncCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	syncer.Go(func() { l.syncOften(syncCtx) })
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-l.wake:
		}
		select {
		case <-ctx.Done():
		case <-l.urgent:
		case <-time.After(linger):
		}
		l.flush(ctx)
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	left := l.flush(ctx)
	stop()
	syncer.Wait()
	err := l.Close()
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("audit: %d records could not be written", left))
	}
	return err
}

func (l *Log) syncOften(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range l.series {
			if err := s.sync(); err != nil {
				l.metrics.failures.Inc()
				l.log.Error("audit log not synced", "err", err)
			}
		}
	}
}

// flush writes what is queued. It tries until it succeeds or ctx is done, and returns how
// many records it has given up.
func (l *Log) flush(ctx context.Context) (left int64) {
	for kind, s := range l.series {
		b, lost, since := l.take(kind)
		if b == nil {
			continue
		}
		lines := b.lines
		if lost > 0 { // they came when the batch was full
			lines = append(lines, lostRecords(lost, since, newStamp(time.Now()))...)
		}
		if err := l.write(ctx, s, lines); err != nil {
			l.log.Error("audit records not written", "records", b.records, "err", err)
			l.giveUp(kind, b.records, lost, since)
			left += b.records + lost
			continue
		}
		if cap(lines) <= maxSpare {
			l.spare[kind] = lines[:0]
		}
		l.metrics.records.WithLabelValues(seriesNames()[kind]).Add(float64(b.records))
		if lost > 0 {
			l.log.Error("audit records were lost, as the log now tells", "records", lost, "since", since)
		}
		l.wrote()
		close(b.written)
	}
	return left
}

// giveUp keeps the count of records that were taken from a queue and not written.
func (l *Log) giveUp(kind int, records, lost int64, since time.Time) {
	l.metrics.lost.Add(float64(records))
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost > 0 {
		l.queues[kind].lose(lost, since)
	}
	if records > 0 {
		l.queues[kind].lose(records, time.Now())
	}
}

// wrote notes that records are taken, so that calls wait for theirs again.
func (l *Log) wrote() {
	l.mu.Lock()
	was := l.stuck
	l.stuck = false
	l.mu.Unlock()
	if was {
		l.log.Info("the audit log takes records again")
	}
}

// take takes the batch of a queue, nil when it is empty, and makes room for the next.
func (l *Log) take(kind int) (b *batch, lost int64, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.queues[kind]
	if q.batch.records == 0 && q.lost == 0 {
		return nil, 0, time.Time{}
	}
	b, lost, since = q.batch, q.lost, q.since
	q.batch, q.lost = newBatch(), 0
	q.batch.lines, l.spare[kind] = l.spare[kind], nil
	close(b.taken)
	return b, lost, since
}

// write puts lines into the files of s.
func (l *Log) write(ctx context.Context, s appender, lines []byte) error {
	for retry := minRetry; ; retry = min(2*retry, maxRetry) {
		n, err := s.write(lines)
		if lines = lines[n:]; len(lines) == 0 {
			return nil
		}
		l.metrics.failures.Inc()
		if retry == minRetry {
			l.log.Error("audit log not written, will try again", "err", err)
		}
		if ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}
