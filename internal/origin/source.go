package origin

import (
	"context"
	"net/netip"
	"time"

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
	Grow(ctx context.Context, msn int64, from int) (b packager.Blob, more bool, err error)
}

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
