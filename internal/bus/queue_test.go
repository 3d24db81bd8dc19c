package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

func TestQueueIsBounded(t *testing.T) {
	b, err := Open(t.Context(), Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Enqueue(t.Context(), "jobs", "first", nil); err != nil {
		t.Fatal(err)
	}
	st, err := b.js.Stream(t.Context(), streamName+"jobs")
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	if cfg.MaxBytes != maxQueue {
		t.Errorf("the queue takes %d bytes, want %d", cfg.MaxBytes, maxQueue)
	}
	cfg.MaxBytes = 10_000 // for the test to get there
	if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}

	accepted := 1
	for err == nil && accepted < 100 {
		if err = b.Enqueue(t.Context(), "jobs", fmt.Sprint(accepted), make([]byte, 1000)); err == nil {
			accepted++
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d messages: %v, want %v", accepted, err, ErrFull)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handled := 0
	if err := b.Consume(ctx, "jobs", "g", func(context.Context, Msg) error {
		if handled++; handled == accepted { // nothing that was accepted made room for others
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Enqueue(t.Context(), "jobs", "last", make([]byte, 1000)); err != nil {
		t.Errorf("the empty queue refuses: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 9: 25600 * time.Millisecond,
		10: 51200 * time.Millisecond, 11: time.Minute, 64: time.Minute, 1 << 40: time.Minute,
	} {
		for range 100 {
			if got := backoff(attempt); got < want*8/10 || got > want*12/10 {
				t.Fatalf("backoff(%d) = %v, want %v within a fifth", attempt, got, want)
			}
		}
	}
}

// Whatever check lets through is one subject to NATS, and of one line.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"a.b", "a b", "a..b", "*", ">", "a\r\nPUB", "arn:aws:ivs:us-west-2:1:channel/x"} {
		f.Add(s)
	}
	b, err := Open(f.Context(), Config{Dir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	f.Fuzz(func(t *testing.T, subject string) {
		if check(subject, nil, false) != nil {
			return
		}
		got := make(chan string, 1)
		stop, err := b.Subscribe(t.Context(), subject, "", func(_ context.Context, m Msg) { got <- m.Subject })
		if err != nil {
			t.Fatalf("Subscribe(%q): %v", subject, err)
		}
		defer stop()
		if err := b.Publish(t.Context(), subject, nil); err != nil {
			t.Fatalf("Publish(%q): %v", subject, err)
		}
		if s := <-got; s != subject {
			t.Errorf("published on %q, came on %q", subject, s)
		}
	})
}
