package lifecycle

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes what happens, in order.
type recorder struct {
	mu  sync.Mutex
	got []string // guarded by mu
}

func (r *recorder) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, s)
}

func (r *recorder) service(name string) Service {
	return Service{name, func(ctx context.Context) error {
		<-ctx.Done()
		r.add(name)
		return nil
	}}
}

var errBoom = errors.New("boom")

func TestRun(t *testing.T) {
	fails := Service{"bad", func(context.Context) error { return errBoom }}
	for name, tt := range map[string]struct {
		services func(*recorder) []Service
		cancel   bool // end ctx from outside
		stopped  []string
		err      string
	}{
		"the end of ctx stops in reverse order": {
			services: func(r *recorder) []Service {
				return []Service{r.service("store"), r.service("bus"), r.service("http")}
			},
			cancel:  true,
			stopped: []string{"http", "bus", "store"},
		},
		"a failure stops the others and is named": {
			services: func(r *recorder) []Service { return []Service{r.service("store"), fails, r.service("http")} },
			stopped:  []string{"http", "store"},
			err:      "bad: boom",
		},
		"returning nil unasked is a failure": {
			services: func(r *recorder) []Service {
				return []Service{r.service("store"), {"gone", func(context.Context) error { return nil }}}
			},
			stopped: []string{"store"},
			err:     "gone: " + ErrReturned.Error(),
		},
		"every error is kept": {
			services: func(r *recorder) []Service {
				late := func(ctx context.Context) error { <-ctx.Done(); return errors.New("flush failed") }
				return []Service{{"late", late}, fails}
			},
			err: "bad: boom\nlate: flush failed",
		},
		"the cancellation itself is no error": {
			services: func(*recorder) []Service {
				return []Service{
					{"err", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
					{"cause", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }},
				}
			},
			cancel: true,
		},
		"no services": {services: func(*recorder) []Service { return nil }, cancel: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel {
					time.AfterFunc(time.Second, cancel)
				}
				var r recorder
				err := Run(ctx, Config{}, tt.services(&r)...)
				if got := text(err); got != tt.err {
					t.Errorf("Run = %q, want %q", got, tt.err)
				}
				if !slices.Equal(r.got, tt.stopped) {
					t.Errorf("stopped %q, want %q", r.got, tt.stopped)
				}
			})
		})
	}
}

// Each service is waited for before the one it depends on is told to stop.
func TestRunWaitsForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var r recorder
		slow := Service{"http", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(3 * time.Second)
			r.add("http")
			return nil
		}}
		if err := Run(ctx, Config{}, r.service("store"), slow); err != nil {
			t.Fatal(err)
		}
		if want := []string{"http", "store"}; !slices.Equal(r.got, want) {
			t.Errorf("stopped %q, want %q", r.got, want)
		}
	})
}

func TestBudget(t *testing.T) {
	for name, tt := range map[string]struct {
		cut     time.Duration // when Cut is closed; 0 never
		drained time.Duration // when Drain ends, from the start of the stop
		cause   error
		gaveUp  time.Duration // when Run returns, with one service hanging
	}{
		"a tenth is left to close things": {drained: 9 * time.Second, cause: ErrBudget, gaveUp: 10 * time.Second},
		"a cut ends the drain at once":    {cut: 2 * time.Second, drained: 2 * time.Second, cause: ErrCut, gaveUp: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				cut := make(chan struct{})
				if tt.cut > 0 {
					time.AfterFunc(tt.cut, func() { close(cut) })
				}
				start := time.Now()
				var drained time.Duration
				var cause error
				var deadline time.Time
				drains := Service{"http", func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx) // Drain must see through it
					defer cancel()
					<-ctx.Done()
					d, end := Drain(ctx)
					defer end()
					deadline, _ = d.Deadline()
					<-d.Done()
					drained, cause = time.Since(start), context.Cause(d)
					return nil
				}}
				free := make(chan struct{})
				defer close(free)
				hangs := Service{"bus", func(context.Context) error { <-free; return nil }}

				err := Run(ctx, Config{Cut: cut}, hangs, drains)
				if want := "bus: " + ErrBudget.Error(); text(err) != want {
					t.Errorf("Run = %v, want %q", err, want)
				}
				if drained != tt.drained || !errors.Is(cause, tt.cause) {
					t.Errorf("drain ended after %v: %v, want %v: %v", drained, cause, tt.drained, tt.cause)
				}
				if got := deadline.Sub(start); got != 9*time.Second {
					t.Errorf("drain deadline after %v, want 9s", got)
				}
				if took := time.Since(start); took != tt.gaveUp {
					t.Errorf("Run took %v, want %v", took, tt.gaveUp)
				}
			})
		})
	}
}

func TestDrainOutsideRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		cancel()
		start := time.Now()
		d, end := Drain(ctx)
		defer end()
		if d.Value(key{}) != "v" {
			t.Error("Drain lost the context's values")
		}
		<-d.Done()
		if took := time.Since(start); took != DefaultBudget {
			t.Errorf("drain ended after %v, want %v", took, DefaultBudget)
		}
	})
}

func TestSignals(t *testing.T) {
	ch := make(chan os.Signal, 2)
	ctx, cut, release := twice(t.Context(), ch)
	ch <- syscall.SIGTERM
	<-ctx.Done()
	if want := `lifecycle: got signal "terminated"`; text(context.Cause(ctx)) != want {
		t.Errorf("cause %q, want %q", context.Cause(ctx), want)
	}
	select {
	case <-cut:
		t.Fatal("cut after one signal")
	default:
	}
	ch <- syscall.SIGTERM
	<-cut
	release()

	ctx, _, release = twice(t.Context(), ch)
	release() // without any signal
	if ctx.Err() == nil {
		t.Error("released context is still live")
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
