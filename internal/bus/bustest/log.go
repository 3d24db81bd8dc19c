package bustest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/internal/bus"
)

// follow runs Follow until the test ends or stop is called.
func follow(t *testing.T, b *bus.Bus, subject, group string, f func(context.Context, bus.Msg) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Follow(ctx, "news", subject, group, f); err != nil {
			t.Errorf("Follow: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop) // before the bus is closed: cleanups run last to first
	return stop
}

// said follows a log and hands over what comes as "subject id data".
func said(t *testing.T, b *bus.Bus, subject, group string) (ch chan string, stop func()) {
	t.Helper()
	ch = make(chan string, 100)
	return ch, follow(t, b, subject, group, func(_ context.Context, m bus.Msg) error {
		ch <- m.Subject + " " + m.ID + " " + string(m.Data)
		return nil
	})
}

func appendTo(t *testing.T, b *bus.Bus, subject, id string) {
	t.Helper()
	if err := b.Append(t.Context(), "news", subject, id, []byte("data")); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, ch <-chan string, all ...string) {
	t.Helper()
	for _, w := range all {
		if got := receive(t, ch); got != w {
			t.Errorf("got %q, want %q", got, w)
		}
	}
}

func followers(t *testing.T, s Server) {
	b := open(t, s)
	appendTo(t, b, "a.x", "1")
	appendTo(t, b, "a.x", "1") // again, because the answer was lost
	appendTo(t, b, "b.x", "2")
	one, stop := said(t, b, ">", "one")
	want(t, one, "a.x 1 data", "b.x 2 data")
	stop()
	appendTo(t, b, "a.y", "3")
	one, _ = said(t, b, ">", "one")
	want(t, one, "a.y 3 data")
	two, _ := said(t, b, "a.*", "two")
	want(t, two, "a.x 1 data", "a.y 3 data")
	appendTo(t, b, "a.z", "4")
	want(t, one, "a.z 4 data")
	want(t, two, "a.z 4 data")
}

func logOrder(t *testing.T, s Server) {
	b := open(t, s)
	for _, id := range []string{"1", "2", "3"} {
		appendTo(t, b, "a", id)
	}
	ch := make(chan string, 10)
	failed := false
	follow(t, b, "a", "g", func(_ context.Context, m bus.Msg) error {
		if m.ID == "2" && !failed {
			failed = true
			return errors.New("not yet")
		}
		ch <- m.ID
		return nil
	})
	if got := []string{receive(t, ch), receive(t, ch), receive(t, ch)}; !slices.Equal(got, []string{"1", "2", "3"}) || !failed {
		t.Errorf("handled %q, failed %t, want 1 2 3", got, failed)
	}
}

func logReopen(t *testing.T, s Server) {
	b := open(t, s)
	appendTo(t, b, "a", "1")
	ch, stop := said(t, b, "a", "g")
	want(t, ch, "a 1 data")
	stop()
	appendTo(t, b, "a", "2")
	b.Close()
	b = open(t, s)
	appendTo(t, b, "a", "3")
	ch, _ = said(t, b, "a", "g")
	want(t, ch, "a 2 data", "a 3 data")
}

func badLog(t *testing.T, s Server) {
	b := open(t, s)
	for name, in := range map[string][3]string{
		"no log":        {"", "a", "1"},
		"a log of two":  {"a.b", "a", "1"},
		"no subject":    {"news", "", "1"},
		"a wild one":    {"news", "a.*", "1"},
		"a long one":    {"news", strings.Repeat("a", 300), "1"},
		"no id":         {"news", "a", ""},
		"an id of text": {"news", "a", "1 2"},
	} {
		if err := b.Append(t.Context(), in[0], in[1], in[2], nil); err == nil {
			t.Errorf("Append with %s succeeded", name)
		}
	}
	if err := b.Append(t.Context(), "news", "a", "1", make([]byte, bus.MaxData+1)); err == nil {
		t.Error("Append of too much succeeded")
	}
	if b.Follow(t.Context(), "", "a", "g", nil) == nil || b.Follow(t.Context(), "news", "a..b", "g", nil) == nil || b.Follow(t.Context(), "news", "a", "", nil) == nil {
		t.Error("Follow of what is no log, subject or group succeeded")
	}
}
