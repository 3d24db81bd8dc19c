package httpserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// RequestIDHeader carries the request id, as AWS services send it.
const RequestIDHeader = "x-amzn-RequestId"

// requestIDKey is RequestIDHeader in the form that net/http keeps names in.
const requestIDKey = "X-Amzn-Requestid"

// An Event is one request as its log line will tell it. Handlers fill it while they
// work, from the goroutine that serves the request; the methods of a nil Event do
// nothing, so code works the same on routes that are not logged.
type Event struct {
	id     string // UUID
	op     string
	err    error
	attrs  []slog.Attr
	room   [eventRoom]slog.Attr // of attrs, unless there are more
	client *ClientInfo          // once somebody asked
}

const (
	// eventRoom is as many attributes as an API request has.
	eventRoom = 16
	// commonAttrs are those that every request has; they stand first.
	commonAttrs = 8
)

// RequestID is the request's id, "" on routes without.
func (e *Event) RequestID() string {
	if e == nil {
		return ""
	}
	return e.id
}

// SetOp names what was asked for, such as an API operation.
func (e *Event) SetOp(op string) {
	if e != nil {
		e.op = op
	}
}

// SetErr keeps the cause of a failed request: it is logged, never sent.
func (e *Event) SetErr(err error) {
	if e != nil {
		e.err = err
	}
}

// Add appends to the line. Secrets have no place in it.
func (e *Event) Add(attrs ...slog.Attr) {
	if e != nil {
		e.attrs = append(e.attrs, attrs...)
	}
}

type eventKey struct{}

// EventOf returns the Event of the request that ctx belongs to, nil on a route that
// is not logged.
func EventOf(ctx context.Context) *Event {
	e, _ := ctx.Value(eventKey{}).(*Event)
	return e
}

// RequestID returns the id of the request that ctx belongs to, "" on a route that is
// not logged.
func RequestID(ctx context.Context) string { return EventOf(ctx).RequestID() }

// Logged serves h with a request id, one log line per request, and a 500 in place of
// a panic. It is for the routes where each request matters: the API, the console. The
// line has the path but never the query, which may hold tokens; a request that fails
// by the server's fault (5xx) is an error, any other an info.
func Logged(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &Event{id: live.NewUUID()}
		e.attrs = e.room[:commonAttrs]
		start := time.Now()
		w.Header()[requestIDKey] = []string{e.id}
		ctx := context.WithValue(r.Context(), eventKey{}, e)
		r = r.WithContext(ctx)
		rec := &recorder{ResponseWriter: w}
		defer func() { // outside of guard, so that a panic is logged in the line, too
			level := slog.LevelInfo
			if rec.code() >= 500 {
				level = slog.LevelError
			}
			if !log.Enabled(ctx, level) {
				return
			}
			common := [commonAttrs]slog.Attr{
				slog.String("request_id", e.id), slog.String("method", r.Method), slog.String("path", loggable(r.URL.Path)),
				slog.Int("status", rec.code()), slog.Int64("bytes", rec.bytes),
				slog.Float64("took_ms", float64(time.Since(start).Microseconds())/1000), slog.String("remote", Client(r).RemoteIP.String()),
			}
			if e.op != "" {
				common[commonAttrs-1] = slog.String("op", e.op)
			} // otherwise the empty attribute, which is not shown
			copy(e.attrs, common[:])
			if e.err != nil {
				e.Add(slog.Any("err", e.err))
			}
			log.LogAttrs(ctx, level, "request", e.attrs...)
		}()
		guard(log, rec, r, h)
	})
}

// Quiet serves h with nothing but a 500 in place of a panic. It is for the routes
// that viewers ask many thousand times a second, where metrics must tell the story.
func Quiet(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(log, &recorder{ResponseWriter: w}, r, h)
	})
}

// guard serves r, turning a panic into a 500, or into a broken connection when the
// answer has begun: half an answer must not look whole.
func guard(log *slog.Logger, w *recorder, r *http.Request, h http.Handler) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // a handler's way to break the connection; net/http keeps silent
		}
		err := fmt.Errorf("httpserver: panic: %v", v)
		log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", RequestID(r.Context())),
			slog.String("path", loggable(r.URL.Path)), slog.Any("err", err), slog.String("stack", string(debug.Stack())))
		EventOf(r.Context()).SetErr(err)
		if w.status != 0 {
			panic(http.ErrAbortHandler)
		}
		http.Error(w, "internal error", http.StatusInternalServerError)
	}()
	h.ServeHTTP(w, r)
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int   // 0 before the header is written
	bytes  int64 // of the body
}

func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) { // other 1xx come before the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.status = w.code()
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps the way from a file to a socket short.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	w.status = w.code()
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Flush sends what is written; an answer that cannot flush does not fail for it.
func (w *recorder) Flush() {
	w.status = w.code()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is what WebSocket libraries ask for directly.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController do the rest.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clip bounds what the log repeats of a hostile path, in bytes.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
