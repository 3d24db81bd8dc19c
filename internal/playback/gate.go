package playback

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// records is what a gate needs of package store.
type records interface {
	List(ctx context.Context, q store.Query) ([]store.Row, error)
	Revocation(ctx context.Context, channel live.ARN, viewer string) (live.Revocation, error)
	RevocationsSince(ctx context.Context, t time.Time, n int) ([]live.Revocation, error)
	UseToken(ctx context.Context, channel live.ARN, id string, expires time.Time) (first bool, err error)
	TokenUsed(ctx context.Context, channel live.ARN, id string) (bool, error)
}

// hearing is how word of revocations spreads.
type hearing interface {
	OnRevoke(ctx context.Context, f func(context.Context, []live.Revocation)) (stop func(), err error)
}

// Config tunes a Gate. Zero values work.
type Config struct {
	TokenBytes  int // most of a token; 0 means DefaultTokenBytes
	MaxSessions int // remembered at once, see maxSessions; 0 means that
}

// A Gate lets viewers in. Its errors are a *Refusal, or a fault of the store, after which
// the viewer may try again.
type Gate struct {
	log      *slog.Logger
	store    records
	bus      hearing
	now      func() time.Time
	verifier verifier
	keys     *keyring
	sealer   sealer
	sessions *sessions
	started  prometheus.Counter
}

// New returns a Gate whose sessions are sealed with secret, which the nodes share. Run
// makes it hear of revocations.
func New(log *slog.Logger, secret []byte, st records, bus hearing, reg prometheus.Registerer, c Config) *Gate {
	if c.TokenBytes == 0 {
		c.TokenBytes = DefaultTokenBytes
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = maxSessions
	}
	g := &Gate{
		log: log, store: st, bus: bus, now: time.Now,
		verifier: newVerifier(c.TokenBytes), keys: newKeyring(st, time.Now),
		sealer: sealer{secret}, sessions: newSessions(max(1, c.MaxSessions/shards)),
	}
	f := promauto.With(reg)
	g.started = f.NewCounter(prometheus.CounterOpts{Name: "sluice_viewer_sessions_started_total", Help: "Viewer sessions that a token started."})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_viewer_sessions", Help: "Viewer sessions in use within the last minute and a half."}, func() float64 {
		return float64(g.sessions.count())
	})
	return g
}

// A Request is what a viewer comes with.
type Request struct {
	Channel live.ARN
	Stream  string // id of the stream that the channel has now
	Token   string
	Origin  string // header of the request; "" for none
}

// A Grant is a token that was found good.
type Grant struct {
	Claims
	stream string
}

// Shows reports whether the token covers pictures of that size.
func (g Grant) Shows(width, high int) bool { return min(width, high) <= height(g.MaxResolution) }

// Verify reads the token of a viewer who wants to begin. Whether it was used before, and
// whether its viewer is revoked, is for Start to say.
func (g *Gate) Verify(ctx context.Context, r Request) (Grant, error) {
	c, err := g.verifier.verify(r.Token, r.Channel, g.now(), func() ([]*ecdsa.PublicKey, error) { return g.keys.of(ctx, r.Channel) })
	if err != nil {
		return Grant{}, err
	}
	// Without strict enforcement only browsers are held to the list, and they say where
	// their page is from.
	origins := ParseOrigins(c.Origins)
	if (r.Origin != "" || c.Strict) && !origins.Allow(r.Origin) {
		return Grant{}, refuse(BadOrigin, "origin is not allowed by the token")
	}
	return Grant{c, r.Stream}, nil
}

// startTime bounds what the store is asked when a session begins, or is met anew.
const startTime = 3 * time.Second

// Start begins a session. A token that is good for one use has had it then.
func (g *Gate) Start(ctx context.Context, grant Grant) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	s, err := g.seal(grant)
	if err != nil {
		return nil, err
	}
	s = g.sessions.add(s, grant.Channel, grant.Viewer)
	if err = g.check(ctx, s); err == nil {
		err = g.use(ctx, grant)
	}
	if err != nil {
		g.sessions.remove(s)
		return nil, err
	}
	g.started.Inc()
	return s, nil
}

// use takes the one use from a token that has one.
func (g *Gate) use(ctx context.Context, grant Grant) error {
	if grant.SingleUse == "" {
		return nil
	}
	first, err := g.store.UseToken(ctx, grant.Channel, grant.SingleUse, time.Unix(grant.Expires, 0))
	if err == nil && !first {
		return reused()
	}
	return err
}

// Preview is Start for somebody who only asks what it would do: the session is not kept,
// and a token that is good for one use stays so.
func (g *Gate) Preview(ctx context.Context, grant Grant) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	s, err := g.seal(grant)
	if err != nil {
		return nil, err
	}
	if grant.Viewer != "" {
		s.viewer = newViewer(viewerKey{grant.Channel, grant.Viewer})
		if err := g.check(ctx, s); err != nil {
			return nil, err
		}
	}
	if grant.SingleUse == "" {
		return s, nil
	}
	used, err := g.store.TokenUsed(ctx, grant.Channel, grant.SingleUse)
	if err == nil && used {
		err = reused()
	}
	return s, err
}

func reused() error { return refuse(Reused, "token has already been used") }

func (g *Gate) seal(grant Grant) (*Session, error) {
	x := sealed{Viewer: grant.Viewer, Version: grant.Version, Class: grant.MaxResolution}
	if grant.Strict {
		x.Origins = grant.Origins
	}
	element, err := g.sealer.session(grant.stream, x)
	if err != nil {
		return nil, err
	}
	_, id, _, err := g.sealer.openSession(element, grant.stream)
	if err != nil {
		return nil, err
	}
	return newSession(element, grant.stream, id, x), nil
}

// Open returns the session of a path element, for a stream of a channel. Whether it still
// covers the request, its Allow says.
func (g *Gate) Open(ctx context.Context, element, stream string, channel live.ARN) (*Session, error) {
	s, ok := g.sessions.get(element, stream)
	if ok && s.checked.Load() {
		return s, nil
	}
	if !ok {
		x, id, ok, err := g.sealer.openSession(element, stream)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, refuse(BadSession, "viewer session is not valid for this stream")
		}
		s = g.sessions.add(newSession(element, stream, id, x), channel, x.Viewer)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := g.check(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// check asks the store about a session whose viewer was not asked about yet. It is open
// already, so that nothing is missed between the answer and the next word on the bus.
func (g *Gate) check(ctx context.Context, s *Session) error {
	if s.checked.Load() || s.viewer == nil {
		return nil
	}
	r, err := g.store.Revocation(ctx, s.viewer.key.channel, s.viewer.key.id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("playback: %w", err)
	}
	if err == nil {
		s.viewer.revoke(r.Version)
	}
	s.checked.Store(true)
	if s.Revoked() {
		return refuse(Revoked, "viewer session is revoked")
	}
	return nil
}
