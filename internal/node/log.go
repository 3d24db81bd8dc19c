package node

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/config"
)

// NewLogger is the process's logger as configured. A duration is logged in
// milliseconds, and its key says so: took_ms. What is a warning or worse is flushed
// if w is a *Lines.
func NewLogger(w io.Writer, cfg config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	h := handler{}
	h.lines, _ = w.(*Lines)
	if cfg.LogFormat == "text" {
		h.Handler = slog.NewTextHandler(w, o)
	} else {
		h.Handler = slog.NewJSONHandler(w, o)
	}
	return slog.New(h)
}

// A handler renames durations. slog's own way to do that calls a function for each
// attribute of each line, which costs more than the line.
type handler struct {
	slog.Handler
	lines *Lines // nil for none
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	durations := false
	r.Attrs(func(a slog.Attr) bool {
		durations = hasDuration(a)
		return !durations
	})
	if durations {
		renamed := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		r.Attrs(func(a slog.Attr) bool {
			renamed.AddAttrs(inMilliseconds(a))
			return true
		})
		r = renamed
	}
	err := h.Handler.Handle(ctx, r)
	if h.lines != nil && r.Level >= slog.LevelWarn {
		h.lines.Flush()
	}
	return err
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	renamed := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		renamed = append(renamed, inMilliseconds(a))
	}
	return handler{h.Handler.WithAttrs(renamed), h.lines}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.lines}
}

// hasDuration tells whether inMilliseconds may change a.
func hasDuration(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindDuration, slog.KindLogValuer, slog.KindGroup:
		return true
	}
	return false
}

func inMilliseconds(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindDuration:
		return slog.Float64(a.Key+"_ms", float64(v.Duration().Microseconds())/1000)
	case slog.KindGroup:
		members := v.Group()
		renamed := make([]slog.Attr, 0, len(members))
		for _, m := range members {
			renamed = append(renamed, inMilliseconds(m))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(renamed...)}
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}

// Lines gathers the lines of a log for some milliseconds, and writes them at once: a write
// for each request costs a server that answers thousands a second more than to make the
// line. A process that is killed loses what it gathered.
type Lines struct {
	w io.Writer

	mu    sync.Mutex // guards the fields below
	kept  []byte
	timed bool // a flush will come
}

const (
	linesAge = 10 * time.Millisecond
	linesMax = 64 << 10 // bytes
)

// NewLines returns a Lines that writes to w. Who is done with it calls Flush.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Write keeps a line. It never fails: who logs could not do anything about it.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept)+len(line) > linesMax {
		l.flush()
	}
	l.kept = append(l.kept, line...)
	if !l.timed {
		l.timed = true
		time.AfterFunc(linesAge, l.Flush)
	}
	return len(line), nil
}

// Flush writes what was kept.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timed = false
	l.flush()
}

// flush is for who has the lock. While the writer does not take lines, nobody logs: as
// without a Lines.
func (l *Lines) flush() {
	if len(l.kept) == 0 {
		return
	}
	_, _ = l.w.Write(l.kept) // see Write
	l.kept = l.kept[:0]
	if cap(l.kept) > linesMax { // a line was longer
		l.kept = nil
	}
}
