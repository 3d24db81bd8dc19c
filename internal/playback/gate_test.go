package playback

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

const streamID = "st-1Ab2Cd3Ef4Gh5Ij6Kl7Mn8O"

func grant(with func(*Claims)) Grant {
	g := Grant{Claims{Channel: vectorChannel, Expires: time.Now().Add(time.Minute).Unix()}, streamID}
	if with != nil {
		with(&g.Claims)
	}
	return g
}

func viewerOf(id string, version int64) Grant {
	return grant(func(c *Claims) { c.Viewer, c.Version = id, version })
}

func start(t testing.TB, g *Gate, of Grant) *Session {
	t.Helper()
	s, err := g.Start(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A session says the same on every node that has the secret, and after every restart.
func TestSessionsOpenAnywhere(t *testing.T) {
	of := grant(func(c *Claims) {
		c.Viewer, c.Version, c.MaxResolution = strings.Repeat("\u2028", 40), -5, HD
		c.Strict, c.Origins = true, []string{"https://a.example", "https://*.b.example"}
	})
	made := start(t, newGate(t, newShelf(), Config{}), of)
	got, err := newGate(t, newShelf(), Config{}).Open(t.Context(), made.Element, streamID, vectorChannel)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != made.ID || got.ID == 0 || !got.Strict() || got.version != -5 || got.viewer.key.id != of.Viewer ||
		!got.Shows(1280, 720) || got.Shows(1280, 721) || !got.Limited() || got.Revoked() {
		t.Errorf("it opens as %+v", got)
	}
	for origin, ok := range map[string]bool{"https://a.example": true, "https://x.b.example": true, "https://b.example": false, "": false} {
		if err := got.Allow(origin); (err == nil) != ok {
			t.Errorf("from %q: %v, want ok=%t", origin, err, ok)
		}
	}
	for name, tt := range map[string]struct{ element, stream string }{
		"another stream": {made.Element, "st-AAAAAAAAAAAAAAAAAAAAAAA"},
		"no element":     {"", streamID},
		"only a prefix":  {SessionPrefix, streamID},
		"another prefix": {"vx-" + made.Element[3:], streamID},
		"stray bits":     {made.Element[:len(made.Element)-1] + "_", streamID},
		"huge":           {SessionPrefix + strings.Repeat("A", maxElement), streamID},
	} {
		if _, err := newGate(t, newShelf(), Config{}).Open(t.Context(), tt.element, tt.stream, vectorChannel); reasonOf(err) != BadSession {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	other := New(newGate(t, newShelf(), Config{}).log, []byte("another secret"), newShelf(), newShelf(), nil, Config{})
	if _, err := other.Open(t.Context(), made.Element, streamID, vectorChannel); reasonOf(err) != BadSession {
		t.Errorf("another secret opens it: %v", err)
	}
}

// Past its bound the cache forgets, and a session that comes again is opened again: the
// bound costs time and lets nobody in or out.
func TestSessionsAreBounded(t *testing.T) {
	s := newShelf()
	g := newGate(t, s, Config{MaxSessions: 2 * shards})
	var all []*Session
	for i := range 20 * shards {
		all = append(all, start(t, g, viewerOf(fmt.Sprint(i), 0)))
	}
	if n := g.sessions.count(); n > 2*shards || n < shards {
		t.Errorf("%d sessions are remembered, want at most %d", n, 2*shards)
	}
	if v, n := len(g.sessions.viewers), g.sessions.count(); v != n {
		t.Errorf("%d viewers are remembered of %d sessions", v, n)
	}
	s.do(func() { s.revoked[viewerKey{vectorChannel, "7"}] = live.Revocation{} })
	for i, x := range all {
		_, err := g.Open(t.Context(), x.Element, streamID, vectorChannel)
		if i == 7 {
			if _, known := g.sessions.get(x.Element, streamID); err != nil && reasonOf(err) != Revoked || err == nil && !known {
				t.Errorf("the one that is revoked: %v", err)
			}
		} else if err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
	}
}

func TestIdleSessionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, newShelf(), Config{})
		run(t, g)
		idle, used := start(t, g, viewerOf("ann", 0)), start(t, g, viewerOf("ann", 1))
		for range 5 {
			time.Sleep(time.Minute)
			if _, err := g.Open(t.Context(), used.Element, streamID, vectorChannel); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if _, ok := g.sessions.get(idle.Element, streamID); ok || g.sessions.count() != 1 || !g.sessions.named() {
			t.Errorf("%d sessions are remembered, want the one in use", g.sessions.count())
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if g.sessions.named() {
			t.Error("a viewer without a session is remembered")
		}
	})
}

// A revocation is heard of at once on the bus, or within two seconds in the store.
func TestRevocationsAreHeardOf(t *testing.T) {
	revoked := live.Revocation{Channel: vectorChannel, Viewer: "ann", Version: 3}
	t.Run("on the bus", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			g := newGate(t, s, Config{})
			run(t, g)
			synctest.Wait()
			old, newer := start(t, g, viewerOf("ann", 3)), start(t, g, viewerOf("ann", 4))
			s.hear(t.Context(), []live.Revocation{{Channel: vectorChannel, Viewer: "bob", Version: 9}, revoked, {Channel: vectorChannel, Viewer: "ann", Version: 1}})
			if !old.Revoked() || newer.Revoked() || reasonOf(old.Allow("")) != Revoked {
				t.Errorf("revoked %t and %t, want only the first", old.Revoked(), newer.Revoked())
			}
		})
	})
	t.Run("in the store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			g := newGate(t, s, Config{})
			run(t, g)
			time.Sleep(time.Hour)
			if n := s.calls("RevocationsSince"); n != 0 {
				t.Errorf("the store was asked %d times while nobody was there", n)
			}
			old := start(t, g, viewerOf("ann", 3))
			s.do(func() { // by a clock that is late
				revoked.Time = time.Now().Add(-20 * time.Second)
				s.revoked[viewerKey{vectorChannel, "ann"}] = revoked
			})
			time.Sleep(2 * time.Second)
			if !old.Revoked() {
				t.Error("it is not revoked")
			}
		})
	})
	t.Run("in a store that was away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf()
			g := newGate(t, s, Config{})
			run(t, g)
			old := start(t, g, viewerOf("ann", 3))
			s.do(func() { s.err = errAway })
			for range 10 {
				time.Sleep(time.Minute)
				if _, err := g.Open(t.Context(), old.Element, streamID, vectorChannel); err != nil {
					t.Fatal(err)
				}
			}
			s.do(func() {
				revoked.Time = time.Now().Add(-9 * time.Minute)
				s.revoked[viewerKey{vectorChannel, "ann"}], s.err = revoked, nil
			})
			time.Sleep(2 * time.Second)
			if !old.Revoked() {
				t.Error("it is not revoked")
			}
		})
	})
}

// Whoever opens a session while the store is asked about its viewer waits for the answer
// of a call of its own: nobody slips through.
func TestASessionIsCheckedBeforeItsFirstUse(t *testing.T) {
	s := newShelf()
	of := start(t, newGate(t, newShelf(), Config{}), viewerOf("ann", 0))
	s.do(func() { s.err = errAway })
	g := newGate(t, s, Config{})
	for range 3 {
		if _, err := g.Open(t.Context(), of.Element, streamID, vectorChannel); err == nil || reasonOf(err) != "" {
			t.Fatalf("while the store is away: %v, want a fault", err)
		}
	}
	s.do(func() { s.err = nil; s.revoked[viewerKey{vectorChannel, "ann"}] = live.Revocation{} })
	if _, err := g.Open(t.Context(), of.Element, streamID, vectorChannel); reasonOf(err) != Revoked {
		t.Errorf("%v, want it refused", err)
	}
	asked := s.calls("Revocation")
	for range 3 {
		x, err := g.Open(t.Context(), of.Element, streamID, vectorChannel)
		if err != nil || reasonOf(x.Allow("")) != Revoked {
			t.Errorf("%v, want it refused by Allow", err)
		}
	}
	if s.calls("Revocation") != asked {
		t.Error("the store is asked again about a viewer it told of")
	}
}

// A token for one use begins one session, however many ask at once.
func TestOneUse(t *testing.T) {
	g := newGate(t, newShelf(), Config{})
	of := grant(func(c *Claims) { c.SingleUse = "3f2504e0-4f89-41d3-9a0c-0305e82c3301" })
	if _, err := g.Preview(t.Context(), of); err != nil {
		t.Errorf("Preview before: %v", err)
	}
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		reasons = map[Reason]int{}
	)
	for range 20 {
		all.Go(func() {
			_, err := g.Start(t.Context(), of)
			mu.Lock()
			defer mu.Unlock()
			reasons[reasonOf(err)]++
		})
	}
	all.Wait()
	if reasons[""] != 1 || reasons[Reused] != 19 || g.sessions.count() != 1 {
		t.Errorf("%v and %d sessions, want one", reasons, g.sessions.count())
	}
	if _, err := g.Preview(t.Context(), of); reasonOf(err) != Reused || g.sessions.count() != 1 {
		t.Errorf("Preview after: %v", err)
	}
}

// Keys are read once a second at most, for however many who wait.
func TestKeysAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		r := newKeyring(s, time.Now)
		add := func(id string, with func(*live.ARN)) {
			spki, err := x509.MarshalPKIXPublicKey(&generate(t).PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			arn := live.ARN{Service: "ivs", Region: vectorChannel.Region, Account: vectorChannel.Account, Type: live.TypePlaybackKey, ID: id}
			if with != nil {
				with(&arn)
			}
			row, err := store.RowOfPlaybackKey(live.PlaybackKey{ARN: arn, SPKI: spki, Created: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			s.do(func() { s.keys = append(s.keys, row) })
		}
		have := func() []*ecdsa.PublicKey {
			keys, err := r.of(t.Context(), vectorChannel)
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		add("a", nil)
		add("b", nil)
		add("c", func(a *live.ARN) { a.Region = "eu-west-1" })
		add("d", func(a *live.ARN) { a.Account = "999999999999" })
		for range 50 {
			if n := len(have()); n != 2 {
				t.Fatalf("%d keys, want 2", n)
			}
		}
		if n := s.calls("List"); n != 1 {
			t.Errorf("read %d times within a second, want once", n)
		}
		s.do(func() { s.keys = s.keys[:1] })
		time.Sleep(keyTTL)
		if n := len(have()); n != 1 {
			t.Errorf("%d keys after one is deleted, want 1", n)
		}
		s.do(func() { s.err = errAway })
		time.Sleep(keyTTL)
		if _, err := r.of(t.Context(), vectorChannel); err == nil {
			t.Error("keys that nobody knows of any more are good for ever")
		}
		s.do(func() { s.err = nil })
		for i := range 3 * maxScopes {
			if _, err := r.of(t.Context(), live.ARN{Account: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.seen) > maxScopes {
			t.Errorf("the keys of %d accounts are remembered", len(r.seen))
		}
	})
}
