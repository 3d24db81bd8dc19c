package edge

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/audience"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
)

// A Stream is one go-live of a channel at another node. What it is comes with the first
// answer of its owner; nobody gets one before that.
type Stream struct {
	edge     *Edge
	id       string
	owner    string                 // node
	origin   atomic.Pointer[string] // base URL of the owner's media
	known    atomic.Pointer[known]  // the newest that was heard
	audience *audience.Audience

	delivered  atomic.Int64 // nanoseconds of media that viewers were given since it was last read
	used       atomic.Int64 // Unix time in ns, when a viewer last asked for something
	fetching   atomic.Int64 // requests to the owner
	refreshing atomic.Bool  // somebody asks about it whom nobody waits for
	reported   int64        // viewers, at the last report; Run's own

	mu         sync.Mutex
	renditions map[string]*Rendition // by name; guarded by mu, and no more than the owner has
}

// ID is the stream id.
func (st *Stream) ID() string { return st.id }

// Channel has of the channel what serving it takes: its ARN, whether it is private, and
// its latency mode.
func (st *Stream) Channel() *live.Channel { return &st.known.Load().channel }

// Restriction is the channel's restriction policy as it was at go-live, nil for none.
func (st *Stream) Restriction() *playback.Restriction { return st.known.Load().restriction }

// ListsAudioOnly reports whether players are offered the sound alone without asking.
func (st *Stream) ListsAudioOnly() bool { return st.known.Load().about.ListsAudioOnly }

// OfferAudioOnly asks the owner for the sound alone, and waits until it can be played.
func (st *Stream) OfferAudioOnly(ctx context.Context) {
	_ = st.learn(ctx, AboutFile+"?"+AudioOnlyQuery) // what does not come is not offered
}

// Ready describes all renditions that can be played.
func (st *Stream) Ready() (all []packager.Info) {
	for _, d := range st.known.Load().about.Renditions {
		all = append(all, d.Info)
	}
	return all
}

// Listed describes those that players should know of.
func (st *Stream) Listed() (all []packager.Info) {
	for _, d := range st.known.Load().about.Renditions {
		if d.Listed {
			all = append(all, d.Info)
		}
	}
	return all
}

// Viewed notes that a client, by its address and user agent, asked for a playlist.
func (st *Stream) Viewed(addr netip.Addr, agent string) { st.audience.Note(addr, agent, st.edge.now()) }

// ViewedBy notes that a viewer asked for a playlist, by the number of the session.
func (st *Stream) ViewedBy(session uint64) { st.audience.See(session, st.edge.now()) }

// Delivered takes note that a viewer was given media that plays for d.
func (st *Stream) Delivered(d time.Duration) { st.delivered.Add(int64(d)) }

// aboutAge is how old what is known of a stream may be while its media is served: size
// and rate of a rendition rarely change.
const aboutAge = 5 * time.Second

// learn asks the owner about the stream, if nobody did within a second.
func (st *Stream) learn(ctx context.Context, file string) error {
	o, err := st.get(ctx, file)
	if err == nil {
		err = o.whole(ctx)
	}
	if err != nil {
		return err
	}
	if k := st.known.Load(); k != nil && k.object == o {
		return nil
	}
	k, err := read(o, st.id)
	if err == nil {
		k.at = st.edge.now()
		st.known.Store(k)
	}
	return err
}

// refresh brings what is known up to date without making anybody wait.
func (st *Stream) refresh(ctx context.Context) {
	if st.edge.now().Sub(st.known.Load().at) < aboutAge || !st.refreshing.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if !st.edge.start(func() {
		defer st.refreshing.Store(false)
		_ = st.learn(ctx, AboutFile) // what is known stays; who asks for something new fails by itself
	}) {
		st.refreshing.Store(false)
	}
}

// get returns what the owner answers to a path below the stream, which may be on its way.
func (st *Stream) get(ctx context.Context, path string) (*object, error) {
	e := st.edge
	if ctx.Err() != nil { // who does not wait causes nothing
		o := e.cache.have(st.id+"/"+path, e.now())
		if o == nil {
			return nil, context.Cause(ctx)
		}
		e.metrics.hits.Inc()
		return o, nil
	}
	o, fetch, coming := e.cache.get(st.id+"/"+path, e.now())
	switch {
	case coming:
		e.metrics.joined.Inc()
		return o, nil
	case !fetch:
		e.metrics.hits.Inc()
		return o, nil
	}
	e.metrics.misses.Inc()
	ctx = context.WithoutCancel(ctx) // it is for all who wait, not for the first
	release := func() {
		e.fetching.Add(-1)
		st.fetching.Add(-1)
	}
	all, own := e.fetching.Add(1), st.fetching.Add(1)
	if all <= maxFetches && own <= maxStreamFetches && e.start(func() {
		defer release()
		e.fetch(ctx, st, o, path)
	}) {
		return o, nil
	}
	release()
	o.end(ErrBusy, e.now())
	e.cache.settle(o)
	return nil, ErrBusy
}

// gone turns the failure to reach an owner into what it means for a stream that nobody
// announces any more.
func (st *Stream) gone(err error) error {
	if errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBusy) {
		if _, ok := st.edge.roster.ByStream(st.id); !ok {
			return packager.ErrNotFound
		}
	}
	return err
}

// Rendition returns the rendition of the given name.
func (st *Stream) Rendition(name string) (*Rendition, bool) {
	d, ok := st.known.Load().rendition(name)
	if !ok {
		return nil, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	r := st.renditions[name]
	if r == nil {
		r = &Rendition{stream: st, name: name, extension: d.Extension}
		st.renditions[name] = r
	}
	return r, true
}

// A Rendition is one of a stream of another node. Its methods do what those of
// packager.Rendition do, and beside the errors of those they return ErrUnavailable.
type Rendition struct {
	stream    *Stream
	name      string
	extension string
	newest    atomic.Pointer[dated] // the playlist that arrived last, and is whole
}

type dated struct {
	*packager.Playlist
	at time.Time
}

// Extension is that of segment and part names.
func (r *Rendition) Extension() string { return r.extension }

// Info returns what the owner said last.
func (r *Rendition) Info() (packager.Info, bool) {
	d, ok := r.stream.known.Load().rendition(r.name)
	return d.Info, ok
}

// Playlist returns the media playlist, once it holds what req asks for.
func (r *Rendition) Playlist(ctx context.Context, req packager.PlaylistRequest) (*packager.Playlist, error) {
	query, newest := r.query(req), r.newest.Load()
	if newest != nil && (newest.Final || query == "" && r.stream.edge.now().Sub(newest.at) < fresh) {
		r.stream.edge.metrics.hits.Inc()
		return newest.Playlist, nil
	}
	o, err := r.stream.get(ctx, r.name+"/index.m3u8"+query)
	if err == nil {
		err = o.whole(ctx)
	}
	if err != nil {
		if newest != nil && query == "" && errors.Is(err, ErrUnavailable) && r.stream.edge.now().Sub(newest.at) < stale {
			r.stream.edge.metrics.stale.Inc()
			return newest.Playlist, nil
		}
		return nil, r.stream.gone(err)
	}
	p := o.playlist()
	if !req.Skip {
		r.note(p, o.when())
	}
	return p, nil
}

// stale is for how long the last playlist is given to who asks for any, while the owner
// cannot be reached. Players take it for a stall.
const stale = 30 * time.Second

// note keeps a playlist as the newest, if it arrived after the one that is.
func (r *Rendition) note(p *packager.Playlist, at time.Time) {
	for {
		was := r.newest.Load()
		if was != nil && !at.After(was.at) || r.newest.CompareAndSwap(was, &dated{p, at}) {
			return
		}
	}
}

// query is how the owner is asked for a playlist. What comes to the same is asked in the
// same words.
func (r *Rendition) query(req packager.PlaylistRequest) string {
	q, sep := "", "?"
	if r.stream.Channel().LatencyMode != live.LatencyNormal && req.MSN >= 0 {
		q, sep = "?_HLS_msn="+strconv.FormatInt(req.MSN, 10), "&"
		if req.Part >= 0 {
			q += "&_HLS_part=" + strconv.Itoa(req.Part)
		}
	}
	if req.Skip {
		q += sep + "_HLS_skip=YES"
	}
	return q
}

// File returns a segment, a part or an initialization section by its name, whole.
func (r *Rendition) File(ctx context.Context, name string) (packager.Blob, error) {
	o, err := r.stream.get(ctx, r.name+"/"+name)
	if err == nil {
		err = o.whole(ctx)
	}
	if err != nil {
		return packager.Blob{}, r.stream.gone(err)
	}
	return o.blob(), nil
}

// Grow returns a function that returns what of a segment has arrived since it was last
// called, once that is something. With the last of it more is false.
func (r *Rendition) Grow(msn int64) (next func(context.Context) (b packager.Blob, more bool, err error)) {
	var (
		o    *object // one answer from its beginning to its end, whatever the cache does
		from int
	)
	return func(ctx context.Context) (b packager.Blob, more bool, err error) {
		if o == nil {
			if o, err = r.stream.get(ctx, r.name+"/"+strconv.FormatInt(msn, 10)+"."+r.extension); err != nil {
				return packager.Blob{}, false, r.stream.gone(err)
			}
		}
		b, more, err = r.grow(ctx, o, from)
		from += len(b.Chunks)
		return b, more, err
	}
}

// grow returns the chunks of o from a number on. What they play for is reckoned from the
// average bit rate, unless they are the whole.
func (r *Rendition) grow(ctx context.Context, o *object, from int) (b packager.Blob, more bool, err error) {
	if b.Chunks, more, err = o.from(ctx, from); err != nil {
		return packager.Blob{}, false, r.stream.gone(err)
	}
	for _, c := range b.Chunks {
		b.Size += len(c)
	}
	if !more && from == 0 {
		if whole := o.blob(); whole.Duration > 0 {
			return whole, false, nil
		}
	}
	if i, ok := r.Info(); ok && i.AverageBandwidth > 0 {
		b.Duration = time.Duration(float64(b.Size) * 8 / float64(i.AverageBandwidth) * float64(time.Second))
	}
	return b, more, nil
}
