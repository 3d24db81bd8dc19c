package edge

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/audience"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/series"
)

// linger is how long a stream is remembered that nobody asks for: viewers of one that has
// ended read its last playlist meanwhile.
const linger = 90 * time.Second

// whereabouts is what an edge needs of package roster.
type whereabouts interface {
	Get(channel live.ARN) (live.State, bool)
	ByStream(id string) (live.State, bool)
	ReportViews(ctx context.Context, owner string, v roster.Views) error
}

// Config is what a node tells its edge.
type Config struct {
	Node  string // name of this node
	Cache int64  // bytes of media and playlists to keep
	// Record takes what is measured; it may be nil.
	Record func(of series.Scope, at time.Time, samples ...series.Sample)
}

// An Edge has the streams of other nodes.
type Edge struct {
	log        *slog.Logger
	cfg        Config
	roster     whereabouts
	credential Credential
	client     *http.Client
	cache      *cache
	metrics    *metrics
	now        func() time.Time

	fetching  atomic.Int64 // requests to owners
	unheard   atomic.Bool  // the newest report did not reach the bus
	quit      context.CancelFunc
	afterQuit func(func()) (stop func() bool) // registers what to call when Run ends, as context.AfterFunc does

	mu      sync.Mutex // guards the fields below
	closing bool       // nothing may be started
	running sync.WaitGroup
	streams map[string]*Stream // by id; those that are live, or were used a moment ago
	sick    map[string]bool    // owners by base URL of which the log says that they do not answer
}

// New returns an Edge. It serves at once; Run makes the owners hear of viewers.
func New(ctx context.Context, log *slog.Logger, ro whereabouts, credential Credential, reg prometheus.Registerer, c Config) *Edge {
	quit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &Edge{
		log: log, cfg: c, roster: ro, credential: credential, cache: newCache(c.Cache), now: time.Now,
		quit: cancel, afterQuit: func(f func()) func() bool { return context.AfterFunc(quit, f) },
		streams: map[string]*Stream{}, sick: map[string]bool{},
		client: &http.Client{
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: 5 * time.Second,
				MaxIdleConnsPerHost: 256, // parked requests come and go by the dozen
				IdleConnTimeout:     90 * time.Second,
				ReadBufferSize:      chunk,
				DisableCompression:  true,
				Protocols:           http1(),
			},
			// An owner serves its streams itself.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	e.metrics = newMetrics(reg, e)
	return e
}

func http1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

// Live returns the stream of a channel that is live at another node. It fails with
// packager.ErrNotFound, or with ErrUnavailable when the node does not answer.
func (e *Edge) Live(ctx context.Context, channel live.ARN) (*Stream, error) {
	s, ok := e.roster.Get(channel)
	if !ok {
		return nil, packager.ErrNotFound
	}
	st, err := e.open(s)
	if err != nil {
		return nil, err
	}
	if err := st.learn(ctx, AboutFile); err != nil && (st.known.Load() == nil || errors.Is(err, packager.ErrNotFound)) {
		return nil, err
	}
	return st, nil
}

// Stream returns the stream of another node with that id, of which rendition is wanted.
// Its errors are those of Live.
func (e *Edge) Stream(ctx context.Context, id, rendition string) (*Stream, error) {
	st, err := e.find(id)
	if err != nil {
		return nil, err
	}
	k := st.known.Load()
	if k == nil {
		return st, st.learn(ctx, AboutFile)
	}
	if _, ok := k.rendition(rendition); !ok {
		_ = st.learn(ctx, AboutFile) // without it the rendition is not found
		return st, nil
	}
	st.refresh(ctx)
	return st, nil
}

// find returns a stream that is live at another node, or was.
func (e *Edge) find(id string) (*Stream, error) {
	if s, ok := e.roster.ByStream(id); ok {
		return e.open(s)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	st, ok := e.streams[id]
	if !ok {
		return nil, packager.ErrNotFound
	}
	st.used.Store(e.now().UnixNano())
	return st, nil
}

// open returns the stream of an announcement.
func (e *Edge) open(s live.State) (*Stream, error) {
	if s.Node == e.cfg.Node || s.Origin == "" {
		return nil, packager.ErrNotFound
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	st, ok := e.streams[s.Stream]
	if !ok {
		st = &Stream{edge: e, id: s.Stream, owner: s.Node, audience: audience.New(e.now()), renditions: map[string]*Rendition{}}
		e.streams[s.Stream] = st
	}
	if at := st.origin.Load(); at == nil || *at != s.Origin {
		st.origin.Store(&s.Origin)
	}
	st.used.Store(e.now().UnixNano())
	return st, nil
}

// start runs f in a goroutine that Run waits for, and returns false when it is too late.
func (e *Edge) start(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return false
	}
	e.running.Go(f)
	return true
}

// Run tells owners of their viewers, and forgets what is not used, until ctx is done. Then
// whoever waits for an owner is told that it is not available.
func (e *Edge) Run(ctx context.Context) error {
	tick := time.NewTicker(roster.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			e.report(ctx, e.now())
			e.cache.sweep(e.now())
		}
	}
	e.close()
	e.running.Wait()
	e.client.CloseIdleConnections()
	return nil
}

func (e *Edge) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closing = true
	e.quit()
}

// report tells each owner how many viewers its streams have here, records what they were
// given, and forgets streams.
func (e *Edge) report(ctx context.Context, now time.Time) {
	e.mu.Lock()
	all := slices.Collect(maps.Values(e.streams))
	e.mu.Unlock()
	views := map[string]map[string]int64{}
	var err error
	for _, st := range all {
		e.recordDelivered(st, now)
		n := st.audience.Count(now)
		if n > 0 || st.reported > 0 {
			of := views[st.owner]
			if of == nil {
				of = map[string]int64{}
				views[st.owner] = of
			}
			of[st.id] = n
			if len(of) == roster.MaxViews {
				err = cmp.Or(err, e.roster.ReportViews(ctx, st.owner, roster.Views{Node: e.cfg.Node, Streams: of}))
				delete(views, st.owner)
			}
		}
		st.reported = n
		if n == 0 && now.UnixNano()-st.used.Load() > int64(linger) {
			e.forget(st)
		}
	}
	for owner, of := range views {
		err = cmp.Or(err, e.roster.ReportViews(ctx, owner, roster.Views{Node: e.cfg.Node, Streams: of}))
	}
	switch was := e.unheard.Swap(err != nil); {
	case err != nil && !was:
		e.log.Warn("owners not told of viewers, will go on trying", "err", err)
	case err == nil && was:
		e.log.Info("owners told of viewers again")
	}
}

func (e *Edge) recordDelivered(st *Stream, now time.Time) {
	d, k := time.Duration(st.delivered.Swap(0)), st.known.Load()
	if d <= 0 || k == nil || e.cfg.Record == nil {
		return
	}
	a := k.channel.ARN
	e.cfg.Record(series.Scope{Account: a.Account, Region: a.Region, Channel: a.ID}, now,
		series.Sample{Metric: series.LiveDeliveredTime, Value: d.Seconds()})
}

func (e *Edge) forget(st *Stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams, st.id)
}

// heard hears how a request to an owner ended. The log has a line when one stops to
// answer, and one when it is back.
func (e *Edge) heard(st *Stream, err error) {
	origin := *st.origin.Load()
	bad := errors.Is(err, ErrUnavailable)
	e.mu.Lock()
	was := e.sick[origin]
	if bad && !e.closing && len(e.sick) < maxSick {
		e.sick[origin] = true
	} else if !bad {
		delete(e.sick, origin)
	}
	closing := e.closing
	e.mu.Unlock()
	switch {
	case closing:
	case bad && !was:
		e.log.Warn("origin does not serve this node", "origin", origin, "node", st.owner, "err", err)
	case !bad && was:
		e.log.Info("origin serves this node again", "origin", origin, "node", st.owner)
	}
}

// maxSick bounds the memory for owners that never come back.
const maxSick = 1024

// count is how many streams are remembered.
func (e *Edge) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.streams)
}
