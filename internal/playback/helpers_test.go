package playback

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// sign signs any header and payload.
func sign(t testing.TB, key *ecdsa.PrivateKey, header, payload []byte) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64(payload)
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 96)
	r.FillBytes(sig[:48])
	s.FillBytes(sig[48:])
	return text + "." + b64(sig)
}

// A shelf is a store and a bus that a test has in its hands.
type shelf struct {
	mu      sync.Mutex
	keys    []store.Row                              // guarded by mu, as all below
	revoked map[viewerKey]live.Revocation            //
	used    map[string]bool                          //
	hear    func(context.Context, []live.Revocation) // of the gate that runs
	err     error                                    // of every call
	asked   map[string]int                           // calls by name
}

func newShelf() *shelf {
	return &shelf{revoked: map[viewerKey]live.Revocation{}, used: map[string]bool{}, asked: map[string]int{}}
}

func (s *shelf) call(name string) (unlock func(), err error) {
	s.mu.Lock()
	s.asked[name]++
	return s.mu.Unlock, s.err
}

func (s *shelf) calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func (s *shelf) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *shelf) List(_ context.Context, q store.Query) ([]store.Row, error) {
	unlock, err := s.call("List")
	defer unlock()
	var rows []store.Row
	for _, r := range s.keys {
		if r.ARN.Account == q.Account && r.ARN.Region == q.Region && q.Type == live.TypePlaybackKey && r.ARN.ID > q.After && len(rows) < q.Limit {
			rows = append(rows, r)
		}
	}
	return rows, err
}

func (s *shelf) Revocation(_ context.Context, channel live.ARN, viewer string) (live.Revocation, error) {
	unlock, err := s.call("Revocation")
	defer unlock()
	r, ok := s.revoked[viewerKey{channel, viewer}]
	if !ok && err == nil {
		err = store.ErrNotFound
	}
	return r, err
}

func (s *shelf) RevocationsSince(_ context.Context, t time.Time, _ int) (all []live.Revocation, err error) {
	unlock, err := s.call("RevocationsSince")
	defer unlock()
	for _, r := range s.revoked {
		if !r.Time.Before(t) {
			all = append(all, r)
		}
	}
	return all, err
}

func (s *shelf) UseToken(_ context.Context, channel live.ARN, id string, _ time.Time) (bool, error) {
	unlock, err := s.call("UseToken")
	defer unlock()
	if err != nil || s.used[channel.ID+id] {
		return false, err
	}
	s.used[channel.ID+id] = true
	return true, nil
}

func (s *shelf) TokenUsed(_ context.Context, channel live.ARN, id string) (bool, error) {
	unlock, err := s.call("TokenUsed")
	defer unlock()
	return s.used[channel.ID+id], err
}

func (s *shelf) OnRevoke(_ context.Context, f func(context.Context, []live.Revocation)) (func(), error) {
	s.do(func() { s.hear = f })
	return func() {}, nil
}

var errAway = errors.New("store: away")

func newGate(t testing.TB, s *shelf, c Config) *Gate {
	t.Helper()
	return New(slog.New(slog.DiscardHandler), make([]byte, 32), s, s, prometheus.NewRegistry(), c)
}

// run runs a gate until the test ends.
func run(t testing.TB, g *Gate) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
