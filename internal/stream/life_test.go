package stream

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
)

// An encoder that is silent keeps its stream for 30 s, whatever it had sent.
func TestSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		live  bool
		after time.Duration // of silence: what happens next
		over  bool
	}{
		"29 s of a live stream":   {true, 29 * time.Second, false},
		"30 s of a live stream":   {true, 30*time.Second + watchEvery, true},
		"29 s without any media":  {false, 29 * time.Second, false},
		"30 s without any media":  {false, 30*time.Second + watchEvery, true},
		"silence and media again": {true, 29 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				_, r := n.create(t)
				st, c := n.publish(t, r), newCamera()
				if tt.live {
					_ = c.play(st, 2*time.Second)
				}
				time.Sleep(tt.after)
				synctest.Wait()
				if st.over() != tt.over || gone(st) != tt.over {
					t.Fatalf("over %t, gone %t, want %t", st.over(), gone(st), tt.over)
				}
				if tt.over {
					want := []string{sessionCreated, sessionEnded}
					if tt.live {
						want = []string{sessionCreated, streamStart, "Starvation Start", sessionEnded, streamEnd}
					}
					if got := n.events(t, st); !slices.Equal(got, want) {
						t.Errorf("events %q, want %q", got, want)
					}
					return
				}
				if _, err := n.Publish(t.Context(), r); err == nil {
					t.Error("another encoder is taken")
				}
				_ = c.play(st, 2*time.Second)
				time.Sleep(29 * time.Second)
				synctest.Wait()
				if st.over() {
					t.Error("the silence before counts")
				}
			})
		})
	}
}

// A process that stood still has media to read that came meanwhile.
func TestStandstillIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, _ := n.golive(t, r)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		on := make(chan bool)
		var once sync.Once
		n.db.breaks(func(op string) fault {
			if op == "AppendEvents" {
				once.Do(func() {
					time.Sleep(25 * time.Second) // the loop stands still, whatever its context says
					on <- true
				})
			}
			return fine
		})
		st.emit(event.Health{Starving: true})
		<-on
		synctest.Wait()
		if st.over() {
			t.Error("the stream ended in the first round after it")
		}
		n.db.down(fine)
		time.Sleep(3 * watchEvery)
		synctest.Wait()
		if !st.over() {
			t.Error("and nobody looks any more")
		}
	})
}

func TestStreamEndsAfter48Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		st, c := n.golive(t, r)
		st.mu.Lock()
		st.born = st.born.Add(-maxDuration + time.Minute) // 48 h of media take too long
		st.heard = maxDuration - time.Minute
		st.mu.Unlock()
		if err := c.play(st, 50*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := c.play(st, 20*time.Second); err == nil {
			t.Fatal("it goes on")
		}
		ended(t, st, time.Second)
		if !n.free(t, arn) || n.log.count("48 hours") != 1 {
			t.Errorf("free %t, %d lines of log", n.free(t, arn), n.log.count("48 hours"))
		}
		n.publish(t, r) // a new session may begin at once
	})
}

// What happens to the key or the channel's configuration concerns the next stream.
func TestKeyThatIsDeletedWhileLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		st, c := n.golive(t, r)
		n.deleteKey(t, r)
		if err := c.play(st, 40*time.Second); err != nil {
			t.Errorf("the stream ended: %v", err)
		}
		if _, err := n.Publish(t.Context(), prior(r, 9)); err == nil {
			t.Error("the key is good for a takeover")
		}
		st.Close(true)
		ended(t, st, time.Second)
		if _, err := n.Publish(t.Context(), r); err == nil {
			t.Error("the key is good for another stream")
		}
		if s := n.session(t, st); s.Snapshot.Name != "n" || s.Ended.IsZero() {
			t.Errorf("session %+v", s)
		}
	})
}
