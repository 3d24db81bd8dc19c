package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

// A paper is the log on a bus that can be away.
type paper struct {
	mu   sync.Mutex
	how  func(id string) error // nil: takes everything; an error says that it may have it
	said []string              // "subject id"
}

func (p *paper) Append(_ context.Context, log, subject, id string, _ []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how != nil {
		if err := p.how(id); err != nil {
			return err
		}
	}
	p.said = append(p.said, log+" "+subject+" "+id)
	return nil
}

func (p *paper) fails(how func(id string) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how = how
}

// ids are those of what was said, in order.
func (p *paper) ids() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, s := range p.said {
		all = append(all, s[len(Log+" s "):])
	}
	return all
}

type line struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *line) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(what))
}

// A station is a store and a bus, on which any number of relays run.
type station struct {
	*store.Store
	paper
	log line
}

// emit puts messages with the given ids into the outbox.
func (s *station) emit(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := s.Emit(t.Context(), store.Message{UID: id, Subject: "s", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

// metric is the value of one metric.
func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "sluice_events_"+name {
			return f.Metric[0].GetCounter().GetValue() + f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// relay runs a relay until stop or kill, which leaves the claim as it is.
func (s *station) relay(t *testing.T, node string) (reg *prometheus.Registry, stop, kill func()) {
	t.Helper()
	reg = prometheus.NewRegistry()
	r := NewRelay(slog.New(slog.NewTextHandler(&s.log, nil)), node, s.Store, &s.paper, reg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return reg, stop, func() {
		claim, err := s.LeaseOf(t.Context(), relayClaim, time.Now())
		stop()
		if err != nil {
			t.Fatal(err)
		}
		// As if Run had not let go: the claim is another process's until it runs out.
		if _, err := s.Acquire(t.Context(), relayClaim, "dead", "", time.Now(), time.Until(claim.Expires)); err != nil {
			t.Fatal(err)
		}
	}
}

// within waits until the log has so many messages, d at most.
func (s *station) within(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := s.ids(); !slices.Equal(got, want) {
		t.Errorf("after %v the bus has %q, want %q", d, got, want)
	}
}

func TestRelay(t *testing.T) {
	down := func(string) error { return bus.ErrDisconnected }
	for name, f := range map[string]func(t *testing.T, s *station){
		"what waits is told in order, and what comes later soon": func(t *testing.T, s *station) {
			s.emit(t, "1", "2")
			reg, _, _ := s.relay(t, "a")
			s.within(t, 0, "1", "2")
			s.emit(t, "3")
			s.within(t, relayEvery, "1", "2", "3")
			if n := metric(t, reg, "relayed_total"); n != 3 {
				t.Errorf("relayed %v, want 3", n)
			}
		},
		"more than a batch": func(t *testing.T, s *station) {
			var want []string
			for i := range 3*relayBatch + 1 {
				want = append(want, fmt.Sprint(i))
			}
			s.emit(t, want...)
			s.relay(t, "a")
			s.within(t, 0, want...)
		},
		"a bus that is away loses nothing, and one line of log": func(t *testing.T, s *station) {
			s.fails(down)
			s.emit(t, "1")
			reg, _, _ := s.relay(t, "a")
			time.Sleep(time.Minute)
			s.emit(t, "2")
			time.Sleep(relayPause)
			synctest.Wait()
			if d := metric(t, reg, "delay_seconds"); d < 60 || d > 66 {
				t.Errorf("the oldest event is %v s old, want about 65", d)
			}
			s.fails(nil)
			s.within(t, relayPause, "1", "2")
			if a, b := s.log.count("events wait"), s.log.count("relayed again"); a != 1 || b != 1 {
				t.Errorf("%d and %d lines of log, want one each", a, b)
			}
		},
		"an answer that is lost is asked for again, under the same id": func(t *testing.T, s *station) {
			lost := false
			s.fails(func(id string) error {
				if id == "2" && !lost {
					lost = true
					s.said = append(s.said, Log+" s "+id)
					return errors.New("no answer")
				}
				return nil
			})
			s.emit(t, "1", "2", "3")
			s.relay(t, "a")
			s.within(t, relayPause, "1", "2", "2", "3")
		},
		"of two nodes one relays": func(t *testing.T, s *station) {
			s.relay(t, "a")
			s.relay(t, "b")
			var want []string
			for i := range 20 {
				want = append(want, fmt.Sprint(i))
				s.emit(t, want[i])
				time.Sleep(time.Second)
			}
			s.within(t, relayEvery, want...)
		},
		"a node that stops hands over at once": func(t *testing.T, s *station) {
			_, stop, _ := s.relay(t, "a")
			s.within(t, 0)
			s.relay(t, "b")
			s.emit(t, "1")
			stop() // it tells what is there before it goes
			s.within(t, 0, "1")
			s.emit(t, "2")
			s.within(t, claimEvery, "1", "2")
		},
		"a node that dies hands over when its claim has run out": func(t *testing.T, s *station) {
			_, _, kill := s.relay(t, "a")
			s.within(t, 0)
			kill()
			s.emit(t, "1")
			s.relay(t, "b")
			s.within(t, claimTTL+claimEvery, "1")
		},
		"a claim that was lost is not used": func(t *testing.T, s *station) {
			s.relay(t, "a")
			s.within(t, 0)
			if err := s.ReleaseNode(t.Context(), "a"); err != nil { // as another process of that name does
				t.Fatal(err)
			}
			if _, err := s.Acquire(t.Context(), relayClaim, "b", "", time.Now(), time.Minute); err != nil {
				t.Fatal(err)
			}
			time.Sleep(claimEvery + relayEvery)
			s.emit(t, "1")
			s.within(t, 30*time.Second)
			s.within(t, 40*time.Second, "1")
		},
		"what nobody took for a day is given up": func(t *testing.T, s *station) {
			old := store.Message{UID: "old", Subject: "s", Created: time.Now().Add(-outboxAge - time.Second)}
			if err := s.Emit(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			s.emit(t, "new")
			reg, _, _ := s.relay(t, "a")
			s.within(t, 0, "new")
			if n := metric(t, reg, "dropped_total"); n != 1 || s.log.count("given up") != 1 {
				t.Errorf("%v given up in %d lines, want one", n, s.log.count("given up"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, &station{Store: storetest.SQLite(t)}) })
		})
	}
}
