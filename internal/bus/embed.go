package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Most that the queues of the server in this process keep, in bytes, on disk. It is
// a bound, not a reservation; each queue has its own below it.
const maxStore = 16 << 30

// embed starts a server that opens no port and keeps its queues in dir.
func embed(log *slog.Logger, dir string) (*server.Server, error) {
	ns, err := server.NewServer(&server.Options{
		ServerName:             "sluice",
		DontListen:             true,
		NoSigs:                 true,
		MaxPayload:             MaxData + 4<<10, // headers count, too
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxStore:      maxStore,
		JetStreamMaxMemory:     1 << 20, // queues are on disk
		SyncAlways:             true,    // what Enqueue accepted survives a loss of power
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("bus: embedded server: %w", err)
	}
	l := &serverLog{log: log}
	ns.SetLoggerV2(l, false, false, false)
	ns.Start() // returns; Close stops it and waits
	err = l.failed()
	if err == nil && !ns.ReadyForConnections(10*time.Second) {
		err = errors.New("not ready in 10s")
	}
	if err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("bus: embedded server in %s: %w", dir, err)
	}
	return ns, nil
}

// serverLog is the log of the server in this process. Its notices are of interest
// only to who debugs it; what is fatal to it is kept for embed.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // the first
}

func (l *serverLog) Noticef(format string, v ...any) { put(l.log.Debug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { put(l.log.Warn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { put(l.log.Error, format, v) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if !l.fatal.CompareAndSwap(nil, &text) {
		put(l.log.Error, format, v)
	}
}

func (l *serverLog) failed() error {
	if text := l.fatal.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}

func put(to func(string, ...any), format string, v []any) {
	to("bus server", slog.String("text", fmt.Sprintf(format, v...)))
}
