package roster

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/live"
)

func openBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// running starts a roster on b and stops it at cleanup.
func running(t *testing.T, b *bus.Bus, now func() time.Time) *Roster {
	t.Helper()
	r := New(b, now)
	ctx, cancel := context.WithCancel(t.Context())
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { close(up) }) }()
	<-up
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// eventually waits for another goroutine's work to show.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func channel(id string) live.ARN {
	return live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: "channel", ID: id}
}

func entry(id string, generation int64) Entry {
	return Entry{State: live.State{Channel: channel(id), Stream: "st-" + id, Health: live.Healthy}, Generation: generation}
}

func TestEveryNodeHears(t *testing.T) {
	b := openBus(t)
	one, two := running(t, b, time.Now), running(t, b, time.Now)
	if err := one.Announce(t.Context(), entry("a", 1)); err != nil {
		t.Fatal(err)
	}
	if _, ok := one.Get(channel("a")); !ok {
		t.Error("the node that announces does not know it at once")
	}
	eventually(t, "the other node hears it", func() bool { _, ok := two.Get(channel("a")); return ok })
	gone := entry("a", 1)
	gone.Gone = true
	if err := one.Announce(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node hears the end", func() bool { return two.Len() == 0 })
}

func TestANewNodeAsksWhoIsLive(t *testing.T) {
	b := openBus(t)
	one := running(t, b, time.Now)
	stop, err := one.OnSync(t.Context(), func(ctx context.Context) {
		if err := one.Announce(ctx, entry("a", 1)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	two := running(t, b, time.Now)
	eventually(t, "the new node learns of the stream", func() bool { return two.Len() == 1 })
}

func TestTheNewerOwnerWins(t *testing.T) {
	r := New(nil, time.Now)
	fresh, late := entry("a", 2), entry("a", 1)
	fresh.Node, late.Node, late.Gone = "new", "old", true
	r.apply(fresh)
	r.apply(late)
	if s, ok := r.Get(channel("a")); !ok || s.Node != "new" {
		t.Errorf("after a late word of the former owner: %+v, %t; want the new owner's", s, ok)
	}
}

func TestASilentOwnerDropsOut(t *testing.T) {
	now := time.Unix(1000, 0)
	r := New(nil, func() time.Time { return now })
	r.apply(entry("a", 1))
	now = now.Add(Expiry)
	r.expire()
	if r.Len() != 1 {
		t.Fatal("dropped before its time")
	}
	now = now.Add(time.Millisecond)
	r.expire()
	if r.Len() != 0 {
		t.Error("still there after its time")
	}
}

func TestList(t *testing.T) {
	r := New(nil, time.Now)
	for _, id := range []string{"c", "a", "b"} {
		r.apply(entry(id, 1))
	}
	sick, foreign := entry("d", 1), entry("e", 1)
	sick.Health, foreign.Channel.Account = live.Starving, "444455556666"
	r.apply(sick)
	r.apply(foreign)
	for name, tt := range map[string]struct {
		health live.Health
		after  string
		limit  int
		want   string
	}{
		"all, in order":      {"", "", 10, "abcd"},
		"limited":            {"", "", 2, "ab"},
		"behind a channel":   {"", "b", 10, "cd"},
		"by health":          {live.Starving, "", 10, "d"},
		"behind the last":    {"", "d", 10, ""},
		"by health, limited": {live.Healthy, "a", 1, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, s := range r.List("111122223333", "us-west-2", tt.health, tt.after, tt.limit) {
				got += s.Channel.ID
			}
			if got != tt.want {
				t.Errorf("List = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	b := openBus(t)
	r := New(b, time.Now)
	cmd := Command{Op: OpStop}
	if err := r.Send(t.Context(), channel("a"), cmd); !errors.Is(err, live.NotLive) {
		t.Errorf("nobody owns the channel: %v, want not live", err)
	}
	answer := error(nil)
	stop, err := r.Serve(t.Context(), channel("a"), func(_ context.Context, c Command) error {
		if c != cmd {
			t.Errorf("owner got %+v, want %+v", c, cmd)
		}
		return answer
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Send(t.Context(), channel("a"), cmd); err != nil {
		t.Errorf("owner did it: %v", err)
	}
	answer = live.Errorf(live.Conflict, "not now")
	if err := r.Send(t.Context(), channel("a"), cmd); !errors.Is(err, live.Conflict) || errors.Is(err, live.NotLive) {
		t.Errorf("owner refused with conflict: %v", err)
	}
	answer = errors.New("secret cause")
	if err := r.Send(t.Context(), channel("a"), cmd); !errors.Is(err, live.Unavailable) {
		t.Errorf("owner failed: %v, want unavailable", err)
	}
	stop()
	if err := r.Send(t.Context(), channel("a"), cmd); !errors.Is(err, live.NotLive) {
		t.Errorf("after the stream: %v, want not live", err)
	}
}
