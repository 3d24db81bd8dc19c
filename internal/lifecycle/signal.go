package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// Signals returns a context that is done at the first of sigs, with a cause that
// names it, and a channel that is closed at the second: what Run takes as ctx and
// Config.Cut. The returned function gives the signals back to the system and waits
// until nothing here listens any more.
func Signals(ctx context.Context, sigs ...os.Signal) (stopped context.Context, cut <-chan struct{}, release func()) {
	ch := make(chan os.Signal, 2) // both may come before the first is read
	signal.Notify(ch, sigs...)
	stopped, cut, end := twice(ctx, ch)
	return stopped, cut, func() { signal.Stop(ch); end() }
}

// twice is Signals without the process: ch brings the signals.
func twice(ctx context.Context, ch <-chan os.Signal) (context.Context, <-chan struct{}, func()) {
	stopped, cancel := context.WithCancelCause(ctx)
	cut, over, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { // ends at the second signal or at release
		defer close(done)
		select {
		case s := <-ch:
			cancel(fmt.Errorf("lifecycle: got signal %q", s))
		case <-over:
			return
		}
		select {
		case <-ch:
			close(cut)
		case <-over:
		}
	}()
	return stopped, cut, func() { close(over); <-done; cancel(nil) }
}
