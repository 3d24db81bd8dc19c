package stream

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
)

// told are the names of the events in the outbox, in order; of channels if any are
// given, and of accounts.
func (n *node) told(t *testing.T, of ...live.ARN) []string {
	t.Helper()
	all, err := n.db.Pending(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range all {
		var e struct {
			Resources []string `json:"resources"`
			Detail    struct {
				Event string `json:"event_name"`
				Limit string `json:"limit_name"`
				Code  string `json:"code"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(m.Body, &e); err != nil {
			t.Fatal(err)
		}
		if len(e.Resources) > 0 && len(of) > 0 && !slices.ContainsFunc(of, func(a live.ARN) bool { return a.String() == e.Resources[0] }) {
			continue
		}
		name := e.Detail.Event + e.Detail.Limit
		if e.Detail.Code != "" {
			name += " " + e.Detail.Code
		}
		names = append(names, name)
	}
	return names
}

// Writes whose answers are lost are made again, and their events stand once.
func TestEventsStandOnce(t *testing.T) {
	for _, op := range []string{"UpdateSession", "AppendEvents", "EndSession"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t)
				lost := 0
				n.db.breaks(func(at string) fault {
					if at == op && lost < 2 {
						lost++
						return deaf
					}
					return fine
				})
				st, c := n.golive(t, r)
				st.emit(event.Health{Starving: true})
				_ = c.play(st, ttl) // so that what failed is tried again
				st.emit(event.Health{Starving: false})
				_ = c.play(st, ttl)
				st.Close(true)
				ended(t, st, time.Second)
				want := []string{sessionCreated, streamStart, "Starvation Start", "Starvation End", sessionEnded, streamEnd}
				if lost == 0 || op == "EndSession" && lost != 1 {
					t.Errorf("%d answers were lost", lost)
				}
				if got := n.events(t, st); !slices.Equal(got, want) {
					t.Errorf("events %q, want %q", got, want)
				}
				if got := n.told(t); !slices.Equal(got, want) {
					t.Errorf("messages %q, want %q", got, want)
				}
			})
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st := n.publish(t, r)
		n.db.breaks(func(op string) fault {
			if op == "AppendEvents" {
				time.Sleep(time.Second) // so that they pile up
			}
			return fine
		})
		st.emit(event.Health{Starving: true})
		synctest.Wait()
		for i := range 3 * maxEmitted {
			st.emit(event.Limit{Name: event.IngestBitrate, Value: int64(i), ExceededBy: 1, Unit: event.BitsPerSecond})
		}
		time.Sleep(3 * time.Second)
		if got := n.events(t, st); len(got) != 2+maxEmitted || n.log.count("events dropped") != 1 {
			t.Errorf("%d events, want %d; %d lines of log", len(got), 2+maxEmitted, n.log.count("events dropped"))
		}
		if s := n.session(t, st); !s.Failed {
			t.Error("the session is not marked")
		}
		st.emit(event.State{Name: "nonsense"})
		st.emit(event.Health{})
		time.Sleep(3 * time.Second)
		if got := n.events(t, st); len(got) != 3+maxEmitted || n.log.count("event not told") != 1 {
			t.Errorf("%d events after there was room again", len(got))
		}
	})
}

// A session's end may have a code.
func TestEndWithACode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st := n.publish(t, r)
		st.fail("more tracks than were configured", event.MultitrackTrackCount)
		st.end("and something else")
		ended(t, st, time.Second)
		if got, want := n.told(t), []string{sessionCreated, sessionEnded + " " + string(event.MultitrackTrackCount)}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if !n.session(t, st).Failed {
			t.Error("the session is not marked")
		}
	})
}

func TestEventOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		what := event.Limit{Name: event.ConcurrentBroadcasts, Value: 2, ExceededBy: 1, Unit: event.ActiveStreams}
		if err := n.emit(t.Context(), "123456789012", "us-west-2", what); err != nil {
			t.Fatal(err)
		}
		if err := n.emit(t.Context(), "123456789012", "us west", what); err == nil {
			t.Error("an event of no region is told")
		}
		if got := n.told(t); !slices.Equal(got, []string{"Concurrent Broadcasts"}) {
			t.Errorf("events %q of the account", got)
		}
	})
}

// What an event is told under does not depend on when, or how often, it was written.
func TestEventIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, _ := n.golive(t, r)
		all, err := n.db.Events(t.Context(), st.ID())
		if err != nil || len(all) != 2 {
			t.Fatal(all, err)
		}
		for i, e := range slices.Backward(all) {
			if want := event.NewID(st.ID(), strconv.Itoa(len(all)-1-i)); e.ID != want {
				t.Errorf("%s is %s, want %s", e.Name, e.ID, want)
			}
		}
	})
}
