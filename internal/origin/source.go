package origin

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/stream"
)

// A source is a stream that viewers play here, wherever its encoder is.
type source interface {
	ID() string
	Channel() *live.Channel
	Restriction() *playback.Restriction // nil for none
	audience
	renditions
}

// audience hears of viewers.
type audience interface {
	Viewed(addr netip.Addr, agent string)
	ViewedBy(session uint64)
	Delivered(d time.Duration)
}

// renditions are what viewers play.
type renditions interface {
	Ready() []packager.Info  // of all renditions that can be played
	Listed() []packager.Info // of those that players should know of
	Rendition(name string) (playable, bool)
	ListsAudioOnly() bool
	OfferAudioOnly(ctx context.Context)
}

// A playable is one rendition of a source. See packager.Rendition for what waits, and for
// the errors.
type playable interface {
	Extension() string
	Info() (packager.Info, bool)
	Playlist(ctx context.Context, req packager.PlaylistRequest) (*packager.Playlist, error)
	File(ctx context.Context, f fileRef) (packager.Blob, error)
	Grow(msn int64) growth
}

// A growth returns what there is of a segment beyond what it returned before, once there
// is something. With the last of it more is false.
type growth = func(context.Context) (b packager.Blob, more bool, err error)

// local is a stream of this node.
type local struct{ *stream.Stream }

func (l local) Ready() []packager.Info {
	var all []packager.Info
	for _, r := range l.Media().Renditions() {
		if i, ok := r.Info(); ok {
			all = append(all, i)
		}
	}
	return all
}

func (l local) Listed() []packager.Info { return l.Media().Listed() }

func (l local) Rendition(name string) (playable, bool) {
	r, ok := l.Media().Rendition(name)
	return localRendition{r}, ok
}

type localRendition struct{ *packager.Rendition }

func (r localRendition) File(ctx context.Context, f fileRef) (packager.Blob, error) {
	switch {
	case f.init:
		return r.Init(f.version)
	case f.part >= 0:
		return r.Part(ctx, f.msn, f.part)
	}
	return r.Segment(ctx, f.msn)
}

func (r localRendition) Grow(msn int64) growth {
	parts := 0
	return func(ctx context.Context) (packager.Blob, bool, error) {
		b, more, err := r.Rendition.Grow(ctx, msn, parts)
		parts += len(b.Chunks)
		return b, more, err
	}
}

// remote is a stream of another node.
type remote struct{ *edge.Stream }

func (f remote) Rendition(name string) (playable, bool) {
	r, ok := f.Stream.Rendition(name)
	return remoteRendition{r}, ok
}

type remoteRendition struct{ *edge.Rendition }

func (r remoteRendition) File(ctx context.Context, f fileRef) (packager.Blob, error) {
	return r.Rendition.File(ctx, f.name)
}
