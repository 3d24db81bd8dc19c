package webrtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs gives pion loggers that write to ours. What a stranger's packets can cause
// is no event for an operator, so all of it is at level DEBUG; its traces are left out.
type pionLogs struct{ log *slog.Logger }

func (l pionLogs) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{l.log.With(slog.String("scope", scope))}
}

type pionLog struct{ log *slog.Logger }

func (l pionLog) write(msg string) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "webrtc", slog.String("line", msg))
}

func (l pionLog) writef(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.write(fmt.Sprintf(format, args...))
	}
}

func (pionLog) Trace(string)                        {}
func (pionLog) Tracef(string, ...any)               {}
func (pionLog) Debug(string)                        {}
func (pionLog) Debugf(string, ...any)               {}
func (l pionLog) Info(msg string)                   { l.write(msg) }
func (l pionLog) Infof(format string, args ...any)  { l.writef(format, args...) }
func (l pionLog) Warn(msg string)                   { l.write(msg) }
func (l pionLog) Warnf(format string, args ...any)  { l.writef(format, args...) }
func (l pionLog) Error(msg string)                  { l.write(msg) }
func (l pionLog) Errorf(format string, args ...any) { l.writef(format, args...) }
