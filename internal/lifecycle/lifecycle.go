// Package lifecycle starts the parts of the program in order and stops them in
// reverse, so that nothing outlives what it depends on, within a budget of time.
// It knows nothing of what the parts do, and it handles no failure beyond
// stopping everything: a part that can recover does so itself.
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// DefaultBudget is how long a stop may take when nobody says otherwise. The
// command line promises it for SIGTERM.
const DefaultBudget = 10 * time.Second

var (
	// ErrReturned means that a service ended without having been told to.
	ErrReturned = errors.New("lifecycle: returned without being stopped")
	// ErrBudget is the cause of a Drain context whose time is up, and the error of a
	// service that was still running then.
	ErrBudget = errors.New("lifecycle: the time to stop is up")
	// ErrCut is the cause of a Drain context that was cut short.
	ErrCut = errors.New("lifecycle: told to stop at once")
)

// A Service is one long-running part of the program.
type Service struct {
	Name string
	// Run blocks until its context is done, then finishes what it must, watching
	// Drain, and returns nil once everything it started has returned.
	Run func(context.Context) error
}

// Config tunes Run. The zero value works.
type Config struct {
	// Budget is how long stopping all services together may take; 0 means
	// DefaultBudget. Drain contexts end a tenth earlier, so that a service that
	// uses its time up can still close what it holds.
	Budget time.Duration
	// Cut, when closed, ends the drain early (a second signal); nil never does.
	Cut <-chan struct{}
	Log *slog.Logger // nil discards
}

// Run starts all in order and runs them until ctx is done or one of them returns.
// Then it stops them from last to first, waiting for each before it tells the next.
// Its error joins those of the services, each under the service's name; a service
// that reports the cancellation it was sent has stopped well. A service that does
// not return within the budget is left running and reported as ErrBudget: the
// process is expected to exit.
func Run(ctx context.Context, c Config, all ...Service) error {
	c.Budget = cmp.Or(c.Budget, DefaultBudget)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}

	type running struct {
		name string
		stop context.CancelCauseFunc
		done chan error // receives once
	}
	first, up := make(chan struct{}, len(all)), make([]running, 0, len(all))
	for _, s := range all {
		own, stop := context.WithCancelCause(context.WithoutCancel(ctx)) // stopped by order, not by ctx
		r := running{s.Name, stop, make(chan error, 1)}
		go func() { // ends with the service, which is told to below
			err := s.Run(own)
			switch {
			case own.Err() == nil && err == nil:
				err = ErrReturned
			case own.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(own))):
				err = nil
			}
			r.done <- err
			first <- struct{}{}
		}()
		up = append(up, r)
	}

	select {
	case <-ctx.Done():
		c.Log.LogAttrs(ctx, slog.LevelInfo, "stopping", slog.Any("cause", context.Cause(ctx)), slog.Duration("budget", c.Budget))
	case <-first:
		c.Log.LogAttrs(ctx, slog.LevelError, "stopping: a service ended", slog.Duration("budget", c.Budget))
	}

	began := time.Now()
	drain, endDrain := context.WithDeadlineCause(context.WithoutCancel(ctx), began.Add(c.Budget-c.Budget/10), ErrBudget)
	defer endDrain()
	drain, cut := context.WithCancelCause(drain)
	defer cut(nil)
	// Past it nobody is waited for. It comes a tenth of the budget after the drain
	// ended, however that came about.
	giveUp := make(chan struct{})
	defer context.AfterFunc(drain, func() { time.AfterFunc(c.Budget/10, func() { close(giveUp) }) })()
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with Run
		select {
		case <-c.Cut:
			cut(ErrCut)
		case <-over:
		}
	}()

	var errs []error
	why := &stopping{drain.Done(), func() error { return context.Cause(drain) }, began.Add(c.Budget - c.Budget/10)}
	for i := len(up) - 1; i >= 0; i-- {
		r, since := up[i], time.Now()
		r.stop(why)
		var err error
		select {
		case err = <-r.done:
		case <-giveUp:
			select {
			case err = <-r.done: // both were ready
			default:
				err = ErrBudget
			}
		}
		c.Log.LogAttrs(ctx, slog.LevelDebug, "stopped", slog.String("service", r.name), slog.Duration("took", time.Since(since)))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	return errors.Join(errs...)
}

// stopping is the cause of a service's context once it has been told to stop. It
// carries the drain to Drain through any context derived from the service's.
type stopping struct {
	done     <-chan struct{} // closed when the time is up or cut short
	cause    func() error    // why done is closed
	deadline time.Time
}

func (*stopping) Error() string { return "lifecycle: stopping" }

// Is makes errors.Is(context.Cause(ctx), context.Canceled) hold, as it does for
// a context cancelled without a cause.
func (*stopping) Is(target error) bool { return target == context.Canceled }

// Drain returns the context for the work that is left once ctx, a service's
// context, is done: it holds until the budget is used up or the drain is cut short,
// and has the deadline to plan with. Under a ctx that Run did not make, or that has
// not been told to stop, it gives DefaultBudget from now. It keeps ctx's values.
func Drain(ctx context.Context) (context.Context, context.CancelFunc) {
	kept := context.WithoutCancel(ctx)
	s, ok := errors.AsType[*stopping](context.Cause(ctx))
	if !ok {
		return context.WithTimeoutCause(kept, DefaultBudget, ErrBudget)
	}
	timed, stopTimer := context.WithDeadlineCause(kept, s.deadline, ErrBudget)
	drain, cancel := context.WithCancelCause(timed)
	go func() { // ends with drain, at the deadline at the latest
		select {
		case <-s.done:
			cancel(s.cause())
		case <-drain.Done():
		}
	}()
	return drain, func() { cancel(nil); stopTimer() }
}
