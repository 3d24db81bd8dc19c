package stream

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
)

// A database that is away for less than the lease costs nothing: what could not be
// written is, later and in order.
func TestDatabaseIsAwayForAMoment(t *testing.T) {
	for name, how := range map[string]fault{"it refuses": refuses, "it hangs": hangs} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				arn, r := n.create(t)
				st, e := n.publish(t, r), newCamera()
				n.db.down(how)
				if err := e.play(st, 7*time.Second); err != nil {
					t.Fatalf("the stream ended after %v without a database: %v", 7*time.Second, err)
				}
				if _, ok := n.Live(arn); !ok {
					t.Error("viewers wait for the database")
				}
				n.db.down(fine)
				if err := e.play(st, 3*time.Second); err != nil {
					t.Fatal(err)
				}
				if s := n.session(t, st); s.Started.IsZero() || len(s.Ingest.Video) != 1 {
					t.Errorf("the start is not in the record: %+v", s)
				}
				if err := e.play(st, 3*ttl); err != nil {
					t.Errorf("and the lease was not renewed: %v", err)
				}
				st.Close(true)
				ended(t, st, time.Second)
				if got, want := n.events(t, st), []string{sessionCreated, streamStart, sessionEnded, streamEnd}; !slices.Equal(got, want) {
					t.Errorf("events %v, want %v", got, want)
				}
			})
		})
	}
}

// One that is away for longer ends the stream before somebody else can own the channel.
func TestDatabaseIsAwayForLongerThanTheLease(t *testing.T) {
	for name, tt := range map[string]struct {
		how   fault
		after time.Duration // of go-live
	}{
		"it refuses":            {refuses, 2 * ttl},
		"it hangs":              {hangs, 2 * ttl},
		"it was there for once": {refuses, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				arn, r := n.create(t)
				st, e := n.golive(t, r)
				_ = e.play(st, tt.after)
				l, err := n.db.LeaseOf(t.Context(), arn.String(), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				n.db.down(tt.how)
				if err := e.play(st, time.Minute); err == nil {
					t.Fatal("the stream never ended")
				}
				if left := time.Until(l.Expires); left < 0 || left > 5*time.Second {
					t.Errorf("it ended %v before the lease did, want a moment", left)
				}
				if !playlist(t, st).EndList {
					t.Error("the playlist has no end")
				}
				ended(t, st, finishTime)

				// The record is closed by the next owner, or by whoever looks first.
				n.db.down(fine)
				time.Sleep(ttl)
				next := n.publish(t, r)
				if closed, err := n.db.CloseAbandoned(t.Context(), time.Now(), event.Abandoned(time.Now())); closed != 1 || err != nil {
					t.Errorf("CloseAbandoned = %d, %v, want the one session", closed, err)
				}
				if s := n.session(t, st); s.Ended.IsZero() {
					t.Error("the session is open")
				}
				if next.generation <= st.generation {
					t.Errorf("generation %d after %d", next.generation, st.generation)
				}
			})
		})
	}
}

// Viewers and the encoder do not wait for a database that hangs.
func TestEndDoesNotWaitForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st, e := n.golive(t, r)
		n.db.down(hangs)
		_ = e.play(st, ttl/3) // so that a renewal is under way
		began := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- n.roster.Send(t.Context(), arn, roster.Command{Op: roster.OpStop}) }()
		synctest.Wait()
		if !st.over() || !playlist(t, st).EndList || time.Since(began) != 0 {
			t.Errorf("after %v: over %t", time.Since(began), st.over())
		}
		if err := <-stopped; err != nil {
			t.Errorf("StopStream = %v", err)
		}
		ended(t, st, dbTime+finishTime) // what it was doing, and the end
	})
}

func TestLeaseIsLost(t *testing.T) {
	take := func(t *testing.T, n *node, arn live.ARN) {
		t.Helper()
		later := time.Now().Add(time.Hour) // the clock of another node
		if _, err := n.db.CloseAbandoned(t.Context(), later, event.Abandoned(later)); err != nil {
			t.Fatal(err)
		}
		if _, err := n.db.Acquire(t.Context(), arn.String(), "b", "", time.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("it is noticed with the next renewal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := start(t)
			arn, r := n.create(t)
			st, e := n.golive(t, r)
			take(t, n, arn)
			if err := e.play(st, ttl/3+time.Second); err == nil {
				t.Fatal("the encoder still sends")
			}
			ended(t, st, 0)
			if got, want := n.events(t, st), []string{sessionCreated, streamStart, sessionEnded, streamEnd}; !slices.Equal(got, want) {
				t.Errorf("events %v: want %v, the last two by the one who took it", got, want)
			}
			if l, err := n.db.LeaseOf(t.Context(), arn.String(), time.Now()); err != nil || l.Node != "b" {
				t.Errorf("lease %+v, %v, want it to be b's still", l, err)
			}
			if _, err := n.Publish(t.Context(), r); err == nil {
				t.Error("and the channel can be published here while b has it")
			}
		})
	})
	t.Run("it is noticed with a fenced write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := start(t)
			arn, r := n.create(t)
			st, e := n.publish(t, r), newCamera()
			take(t, n, arn)
			if err := e.play(st, 1500*time.Millisecond); err == nil { // the start is the first write
				t.Fatal("the encoder still sends")
			}
			ended(t, st, 0)
			if n.roster.Len() != 0 {
				t.Error("the roster still has the stream")
			}
		})
	})
}

// A process that stood still for longer than the lease goes on if nobody missed it.
func TestLeaseSurvivesAPauseThatNobodySaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, e := n.publish(t, r), newCamera()
		n.db.breaks(func(op string) fault {
			if op == "UpdateSession" {
				time.Sleep(2 * ttl) // the loop stands still, whatever its context says
			}
			return fine
		})
		_ = e.play(st, 2*time.Second)
		n.db.down(fine)
		time.Sleep(2 * ttl)
		if err := e.play(st, 2*ttl); err != nil {
			t.Errorf("the stream ended: %v", err)
		}
	})
}

func TestAnswersThatAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		n.db.breaks(func(op string) fault {
			if op == "Acquire" {
				return deaf
			}
			return fine
		})
		if _, err := n.Publish(t.Context(), r); err == nil {
			t.Fatal("Publish without a lease")
		}
		n.db.down(fine)
		if _, err := n.Publish(t.Context(), r); err == nil {
			t.Fatal("the lease that nobody knows of is not held")
		}
		time.Sleep(ttl)
		st := n.publish(t, r) // it has run out
		n.db.breaks(func(op string) fault {
			if op == "Renew" {
				return deaf
			}
			return fine
		})
		if err := newCamera().play(st, 2*ttl); err == nil {
			t.Error("the stream trusts renewals that nobody confirmed")
		}
		ended(t, st, time.Second)
		if !n.free(t, arn) {
			t.Error("the lease is still held")
		}
	})
}

func TestDrain(t *testing.T) {
	for name, how := range map[string]fault{"with a database": fine, "without one": hangs} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := build(t)
				stop := n.run(t)
				_, r := n.create(t)
				_, r2 := n.create(t)
				st, _ := n.golive(t, r)
				young := n.publish(t, r2) // not live yet
				n.db.down(how)
				began := time.Now()
				stop()
				// What was under way, and the end; a drain's budget is 10 s.
				if took := time.Since(began); took > dbTime+finishTime || how == fine && took != 0 {
					t.Errorf("the drain took %v", took)
				}
				if !playlist(t, st).EndList || !young.over() || n.roster.Len() != 0 {
					t.Errorf("after the drain: over %t, %d on the roster", young.over(), n.roster.Len())
				}
				if _, err := n.Publish(t.Context(), r); err == nil {
					t.Error("Publish after the drain is taken")
				}
			})
		})
	}
}

// A drain that comes while an encoder is let in waits for that one, too.
func TestDrainDuringPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		stop := n.run(t)
		arn, r := n.create(t)
		n.db.breaks(func(op string) fault {
			if op == "CreateSession" {
				time.Sleep(time.Second)
			}
			return fine
		})
		got := make(chan error, 1)
		go func() {
			s, err := n.Publish(t.Context(), r)
			if err == nil {
				<-s.Done()
			}
			got <- err
		}()
		synctest.Wait()
		stop()
		if err := <-got; err != nil {
			t.Errorf("Publish = %v", err)
		}
		if !n.free(t, arn) || len(n.channel) != 0 {
			t.Error("something is left of the stream when Run has returned")
		}
	})
}

func TestStopStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st, _ := n.golive(t, r)
		send := func(op string) error { return n.roster.Send(t.Context(), arn, roster.Command{Op: op}) }
		if err := send("dance"); err == nil || st.over() {
			t.Errorf("an unknown command: %v, over %t", err, st.over())
		}
		go st.Close(false) // the encoder leaves at the same time
		if err := send(roster.OpStop); err != nil {
			t.Errorf("stop: %v", err)
		}
		if !n.free(t, arn) || n.session(t, st).Ended.IsZero() {
			t.Error("stop answered before the stream had ended")
		}
		ended(t, st, 0)
		if err := send(roster.OpStop); err == nil {
			t.Error("stop of a channel that is not live succeeds")
		}
		if got, want := n.events(t, st), []string{sessionCreated, streamStart, sessionEnded, streamEnd}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		n.publish(t, r)
	})
}

// A bus that is away costs no stream; when it is back, commands and lists are, too.
func TestBusIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		n.bus.cut(true)
		st, e := n.golive(t, r)
		if err := e.play(st, 30*time.Second); err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		if _, ok := n.roster.Get(arn); !ok {
			t.Error("this node does not list its own stream")
		}
		if c := n.log.count("roster not told"); c != 1 {
			t.Errorf("%d lines of log in 30 s, want one", c)
		}
		n.bus.cut(false)
		if err := e.play(st, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if c := n.log.count("roster told again"); c != 1 {
			t.Errorf("%d lines of log when it was back, want one", c)
		}
		if err := n.roster.Send(t.Context(), arn, roster.Command{Op: roster.OpStop}); err != nil {
			t.Errorf("stop: %v", err)
		}
		ended(t, st, time.Second)
	})
}

// A node that starts hears of every live stream, and of none that has ended.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st, _ := n.golive(t, r)
		other := roster.New(n.bus, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx, func() {}) }()
		synctest.Wait()
		if s, ok := other.Get(arn); !ok || s.Stream != st.ID() {
			t.Errorf("the new node knows %+v, %t", s, ok)
		}
		for range 100 { // whatever the order, "gone" is the last word
			go n.announceAll(t.Context())
		}
		st.Close(true)
		ended(t, st, time.Second)
		if _, ok := other.Get(arn); ok || n.roster.Len() != 0 {
			t.Error("a stream that ended is still on a roster")
		}
		if err := st.tell(t.Context(), roster.Entry{State: st.state(time.Now()), Generation: st.generation}); err != nil {
			t.Error(err)
		}
		if _, ok := other.Get(arn); ok {
			t.Error("an announcement that was late brings it back")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
