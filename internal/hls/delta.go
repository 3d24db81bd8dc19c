package hls

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDelta means that a delta update does not fit the playlist it is applied to.
var ErrDelta = errors.New("hls: the delta update skips segments that are not known")

// Apply returns the full playlist that delta stands for, given m, an earlier full
// playlist of the same rendition. A playlist that skips nothing is returned as it is.
func (m *Media) Apply(delta *Media) (*Media, error) {
	if delta.Skipped == 0 {
		return delta, nil
	}
	from := delta.Sequence - m.Sequence
	if m.Skipped != 0 || from < 0 || from+int64(delta.Skipped) > int64(len(m.Segments)) {
		return nil, fmt.Errorf("%w: has %d from %d, skips %d from %d",
			ErrDelta, len(m.Segments), m.Sequence, delta.Skipped, delta.Sequence)
	}
	full := *delta
	full.Skipped = 0
	full.Segments = slices.Concat(m.Segments[from:from+int64(delta.Skipped)], delta.Segments)
	for i := range full.Segments[:delta.Skipped] {
		full.Segments[i].Parts = nil // parts are listed near the end only
	}
	return &full, nil
}
