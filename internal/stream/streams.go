package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/series"
	"github.com/sluice-live/sluice/internal/store"
)

// Config is what a node tells its streams.
type Config struct {
	Node     string          // name of this node; holds the leases
	Origin   string          // base URL where other nodes reach this node's media; may be ""
	LeaseTTL time.Duration   // how long a silent owner keeps a channel; 0 means 10s
	Linger   time.Duration   // how long an ended stream's playlist stays; 0 means 60s
	Packager packager.Config // parts and window; the container is the channel's
	Max      int             // streams at once on this node; 0 means 10000

	// MaxTakeovers is how often encoders may take over one stream; 0 means any number.
	MaxTakeovers int

	Transcode *Transcode // nil passes on what encoders send, and makes nothing else

	// Keys opens the stream keys that carry a ladder. Without it none is good.
	Keys *multitrack.Keys

	// Limits is what an encoder may send to a channel, in one video track or in several;
	// nil for anything.
	Limits func(ch live.Channel, multitrack bool) meter.Limits
	// Record takes what is measured; it may be nil.
	Record func(of series.Scope, at time.Time, samples ...series.Sample)
	// MetricChannels is how many channels may have gauges of their own; those that went
	// live first have them.
	MetricChannels int

	// MaxPerAccount is how many streams an account may have at once in a region, on all
	// nodes; 0 means any number.
	MaxPerAccount int
}

// records is what a stream needs of package store: keys, channels, leases, history, outbox.
type records interface {
	ByLookup(ctx context.Context, service, typ, lookup string) (store.Row, error)
	Get(ctx context.Context, arn live.ARN) (store.Row, error)
	Acquire(ctx context.Context, channel, node, origin string, now time.Time, ttl time.Duration) (store.Lease, error)
	LeaseOf(ctx context.Context, channel string, now time.Time) (store.Lease, error)
	Renew(ctx context.Context, l store.Lease, now time.Time, ttl time.Duration) (store.Lease, error)
	Release(ctx context.Context, l store.Lease) error
	CreateSession(ctx context.Context, s live.Session, notes ...store.Note) error
	UpdateSession(ctx context.Context, s live.Session, notes ...store.Note) error
	EndSession(ctx context.Context, id string, generation int64, ended time.Time, notes ...store.Note) error
	AppendEvents(ctx context.Context, id string, generation int64, notes ...store.Note) error
	Emit(ctx context.Context, m store.Message) error
}

// Streams is every stream of this node. It implements ingest.Handler.
type Streams struct {
	log     *slog.Logger
	cfg     Config
	store   records
	roster  *roster.Roster
	metrics *metrics
	quit    chan struct{} // closed when the node drains: every stream ends
	unheard atomic.Bool   // the newest announcements did not reach the bus

	running sync.WaitGroup // one for each Publish that got a channel, until it or its run is over; added to under mu while not closing

	mu      sync.RWMutex          // guards the fields below
	closing bool                  // quit is closed: nobody may publish
	channel map[live.ARN]*Stream  // not yet finished, by channel; at most cfg.Max
	id      map[string]*Stream    // of those the open ones, and those in over
	over    map[*Stream]time.Time // when those finished whose playlist lingers
	crowded map[place]time.Time   // when the world heard that there are too many streams
}

// New returns Streams that has started nothing.
func New(log *slog.Logger, st records, ro *roster.Roster, reg prometheus.Registerer, c Config) *Streams {
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 10 * time.Second
	}
	if c.Linger == 0 {
		c.Linger = time.Minute
	}
	if c.Max == 0 {
		c.Max = 10000
	}
	s := &Streams{
		log: log, cfg: c, store: st, roster: ro,
		quit:    make(chan struct{}),
		channel: map[live.ARN]*Stream{}, id: map[string]*Stream{}, over: map[*Stream]time.Time{},
		crowded: map[place]time.Time{},
	}
	s.metrics = newMetrics(reg, s)
	return s
}

// Run keeps the roster informed until ctx is done. Then it ends every stream (their
// playlists get an ENDLIST) and returns when the last one has closed its record.
func (s *Streams) Run(ctx context.Context) error {
	stop, err := s.roster.OnSync(ctx, s.announceAll)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	defer stop()
	deaf, err := s.roster.OnViews(ctx, s.cfg.Node, s.hearViews)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	defer deaf()
	tick := time.NewTicker(roster.Interval)
	defer tick.Stop()
	second := time.NewTicker(measureEvery)
	defer second.Stop()
	for n := 1; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case now := <-second.C:
			s.measure(ctx, now, n%countEvery == 0)
			n++
		case <-tick.C:
			s.announceAll(ctx)
			s.forget(time.Now())
		}
	}
	s.close()
	s.running.Wait()
	return nil
}

func (s *Streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	close(s.quit)
}

// announceAll says of every stream that it is live. The log has a line when the bus
// goes away and one when it is back, however many streams there are.
func (s *Streams) announceAll(ctx context.Context) {
	s.mu.RLock()
	all := slices.Collect(maps.Values(s.channel))
	s.mu.RUnlock()
	var err error
	for _, st := range all {
		err = cmp.Or(err, st.announce(ctx))
	}
	switch was := s.unheard.Swap(err != nil); {
	case err != nil && !was:
		s.log.Warn("roster not told, will go on trying", "err", err)
	case err == nil && was:
		s.log.Info("roster told again")
	}
}

// forget drops the streams whose viewers have had time to read the final playlist.
func (s *Streams) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st, at := range s.over {
		if now.Sub(at) > s.cfg.Linger {
			delete(s.over, st)
			delete(s.id, st.id)
		}
	}
	maps.DeleteFunc(s.crowded, func(_ place, told time.Time) bool { return now.Sub(told) >= tellBroadcasts })
}

// Stream returns the stream with that id if this node owns it, or did until a moment ago.
func (s *Streams) Stream(id string) (*Stream, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, ok := s.id[id]
	return st, ok
}

// Live returns the channel's stream if this node owns it and viewers can play it.
func (s *Streams) Live(channel live.ARN) (*Stream, bool) {
	s.mu.RLock()
	st, ok := s.channel[channel]
	s.mu.RUnlock()
	return st, ok && st.live()
}

// Publish admits an encoder: the key must exist, the channel must allow the
// transport, and nobody else may hold the channel, unless the encoder asks to take over.
func (s *Streams) Publish(ctx context.Context, r ingest.Request) (ingest.Session, error) {
	ch, key, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // nobody waits for the answer any more
		return nil, unavailable(ctx.Err())
	}
	st, e := newStream(s, ch, r, key.ladder)
	running, err := s.reserve(ctx, st)
	if err != nil {
		s.tooMany(ctx, ch.ARN, err)
		return nil, err
	}
	if running != nil {
		other, err := running.challenge(r, key)
		if err != nil {
			return nil, err
		}
		return other, nil
	}
	// From here the stream must end by itself even when the encoder is already gone.
	ctx = context.WithoutCancel(ctx)
	if err := st.open(ctx, e); err != nil {
		s.release(st)
		s.running.Done()
		return nil, err
	}
	s.mu.Lock()
	s.id[st.id] = st
	s.mu.Unlock()
	admitted := st.admit(key)
	go func() { // ends with the stream
		defer s.running.Done()
		st.run(ctx)
	}()
	if admitted != nil {
		return nil, admitted
	}
	return e, nil
}

// errKey is the one answer to every key that is not good here: an encoder learns
// nothing about other people's channels.
var errKey = live.Errorf(live.Denied, "the stream key is not valid")

func (s *Streams) authenticate(ctx context.Context, r ingest.Request) (live.Channel, pass, error) {
	ctx, cancel := context.WithTimeout(ctx, dbTime)
	defer cancel()
	p := s.pass(r.Key, time.Now())
	if !strings.HasPrefix(p.streamKey, "sk_") || len(p.streamKey) > live.MaxStreamKey {
		return live.Channel{}, pass{}, errKey
	}
	key, err := s.store.ByLookup(ctx, live.ServiceIVS, live.TypeStreamKey, live.StreamKeyLookup(p.streamKey))
	if errors.Is(err, store.ErrNotFound) {
		return live.Channel{}, pass{}, errKey
	} else if err != nil {
		return live.Channel{}, pass{}, unavailable(err)
	}
	ch, err := s.loadChannel(ctx, key.Parent)
	if err != nil {
		return live.Channel{}, pass{}, err
	}
	if r.Unlock != nil && !r.Unlock(ch.SRTPassphrase) {
		return live.Channel{}, pass{}, errKey
	}
	if !r.Encrypted && !ch.InsecureIngest {
		return live.Channel{}, pass{}, live.Errorf(live.Denied, "the channel does not allow %s in the clear: encrypt, or set insecureIngest", r.Protocol)
	}
	return ch, p, nil
}

func (s *Streams) loadChannel(ctx context.Context, arn live.ARN) (live.Channel, error) {
	row, err := s.store.Get(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return live.Channel{}, errKey
	} else if err != nil {
		return live.Channel{}, unavailable(err)
	}
	return store.ChannelOf(row)
}

// loadRecording returns how the channel is recorded, nil for not at all. While the
// lease is held nobody can detach the configuration, and so nobody can delete it.
func (s *Streams) loadRecording(ctx context.Context, ch live.Channel) (*live.RecordingConfiguration, error) {
	if ch.RecordingConfiguration == "" {
		return nil, nil
	}
	arn, err := live.ParseARN(ch.RecordingConfiguration)
	if err != nil {
		return nil, unavailable(err)
	}
	row, err := s.store.Get(ctx, arn)
	if err != nil {
		return nil, unavailable(err)
	}
	c, err := store.RecordingConfigurationOf(row)
	if err != nil {
		return nil, unavailable(err)
	}
	return &c, nil
}

func unavailable(err error) error {
	return &live.Error{Kind: live.Unavailable, Detail: "ingest is temporarily unavailable", Err: err}
}

// errBusy refuses a second encoder (low-latency.md 3.2).
var errBusy = live.Errorf(live.Conflict, "the channel is already live")

// settle is how long a new encoder waits for the former session of its channel to be
// closed: an encoder that was just stopped often reconnects at once.
const settle = 5 * time.Second

// reserve makes st the only stream of its channel on this node, until release, and
// one that Run waits for. It returns the one that runs, if there is one.
func (s *Streams) reserve(ctx context.Context, st *Stream) (running *Stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		former, err := s.enter(st)
		switch {
		case former == nil:
			return nil, err
		case !former.over() && s.opened(former):
			return former, nil
		case !former.over():
			return nil, errBusy
		}
		select {
		case <-former.finished:
		case <-ctx.Done():
			return nil, errBusy
		}
	}
}

// opened reports whether st has its lease and its record.
func (s *Streams) opened(st *Stream) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.id[st.id] == st
}

// enter puts st on its channel, or returns the stream that is there.
func (s *Streams) enter(st *Stream) (former *Stream, err error) {
	elsewhere := s.elsewhere(st.channel.ARN)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch former, busy := s.channel[st.channel.ARN]; {
	case s.closing:
		return nil, live.Errorf(live.Unavailable, "the server is shutting down")
	case busy:
		return former, nil
	case len(s.channel) >= s.cfg.Max:
		return nil, live.Errorf(live.Unavailable, "this server takes no more than %d streams", s.cfg.Max)
	}
	if err := s.broadcasts(st.channel.ARN, elsewhere); err != nil {
		return nil, err
	}
	s.channel[st.channel.ARN] = st
	s.running.Add(1)
	return nil, nil
}

// release takes st off the channel. If it was open, its id stays for late viewers.
func (s *Streams) release(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.channel, st.channel.ARN)
	if _, open := s.id[st.id]; open {
		s.over[st] = time.Now()
	}
	close(st.finished)
}
