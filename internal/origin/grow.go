package origin

import (
	"context"
	"net/http"

	"github.com/sluice-live/sluice/internal/packager"
)

// growable reports whether r may be answered with a segment that is still being produced.
// Who asks for a part of its bytes has to wait for its size, and HTTP/1.0 cannot tell an
// answer that ends too early from one that is whole.
func growable(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header["Range"] == nil && r.ProtoAtLeast(1, 1)
}

// grow answers with a segment that is being produced: what exists of it, and then each
// part as it comes. An answer that cannot be finished is broken off, so that nobody, and
// no cache, takes it for the segment.
func (o *Origin) grow(w http.ResponseWriter, r *http.Request, st source, next growth, b packager.Blob, v view) {
	control := http.NewResponseController(w)
	for more := true; ; {
		n, err := b.WriteTo(w)
		o.delivered(st, b, n)
		if err != nil || !more { // a viewer that left reads nothing more
			return
		}
		_ = control.Flush() // its error is the next Write's
		if b, more, err = o.next(r, next); err != nil || v.over() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// next waits for a part of a segment that is being produced.
func (o *Origin) next(r *http.Request, next growth) (packager.Blob, bool, error) {
	ctx, cancel := context.WithTimeout(r.Context(), o.wait)
	defer cancel()
	return next(ctx)
}
