package origin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sluice-live/sluice/internal/packager"
)

// Most requests are for what is there already. They are answered without a context of
// their own, which costs more than finding the answer.

// errLater means that what was asked for at once is not there yet.
var errLater = errors.New("origin: not there yet")

// atOnce is a context that is over: of who does not wait. Its cause is errLater.
type atOnce struct{ over chan struct{} }

func newAtOnce() atOnce {
	over := make(chan struct{})
	close(over)
	return atOnce{over}
}

func (atOnce) Deadline() (time.Time, bool) { return time.Time{}, false }
func (a atOnce) Done() <-chan struct{}     { return a.over }
func (atOnce) Err() error                  { return errLater }
func (atOnce) Value(any) any               { return nil }

// parkPlaylist waits for a playlist to hold what req asks for.
func (o *Origin) parkPlaylist(r *http.Request, rendition playable, req packager.PlaylistRequest) (*packager.Playlist, error) {
	ctx, cancel := context.WithTimeout(r.Context(), o.wait)
	defer cancel()
	return rendition.Playlist(ctx, req)
}

// parkFile waits for a file.
func (o *Origin) parkFile(r *http.Request, rendition playable, ref fileRef) (packager.Blob, growth, error) {
	ctx, cancel := context.WithTimeout(r.Context(), o.wait)
	defer cancel()
	grows := growable(r)
	b, next, err := fetch(ctx, rendition, ref, grows)
	if grows && ref.whole() && errors.Is(err, context.DeadlineExceeded) {
		err = packager.ErrNotFound // it was announced, and did not come
	}
	return b, next, err
}

// fetch returns what a file name stands for, or the beginning of a segment that grows and
// what returns the rest.
func fetch(ctx context.Context, rendition playable, ref fileRef, grows bool) (packager.Blob, growth, error) {
	if !grows || !ref.whole() {
		b, err := rendition.File(ctx, ref)
		return b, nil, err
	}
	next := rendition.Grow(ref.msn)
	b, more, err := next(ctx)
	if !more {
		next = nil
	}
	return b, next, err
}

// whole reports whether a file is a segment.
func (f fileRef) whole() bool { return !f.init && f.part < 0 }
