package packager

import (
	"context"
	"fmt"
	"io"
	"time"
)

// PlaylistRequest is what a client asks of a media playlist (rfc8216bis 6.2.5).
type PlaylistRequest struct {
	MSN            int64 // wait for this media sequence number; -1 for none
	Part           int   // and for this part of it; -1 for the whole segment
	Skip           bool  // a delta update will do
	SkipDateRanges bool  // and it may leave out date ranges
}

// Blob is media in shared memory, which must not be changed: one chunk per part.
type Blob struct {
	Chunks   [][]byte
	Size     int           // bytes
	Duration time.Duration // that it plays for; 0 of an initialization section
}

// WriteTo implements io.WriterTo.
func (b Blob) WriteTo(w io.Writer) (n int64, err error) {
	for _, c := range b.Chunks {
		k, err := w.Write(c)
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Playlist returns the media playlist, once it holds what req asks for. It fails with
// ErrBadRequest, with ErrNotFound when the stream ended without media, and with ctx's
// cause.
func (r *Rendition) Playlist(ctx context.Context, req PlaylistRequest) (*Playlist, error) {
	s, err := r.wait(ctx, func(s *snapshot) (bool, error) {
		switch {
		case !s.live && s.ended:
			return false, ErrNotFound
		case !s.live:
			return false, nil
		case s.ended || !s.lowLatency || req.MSN < 0:
			return true, nil // nothing to wait for, or nothing was offered
		}
		return s.has(req.MSN, req.Part)
	})
	if err != nil {
		return nil, err
	}
	return s.playlist(r, req.Skip), nil
}

// ahead is how far a request may be in front of the playlist: segments, and parts by
// their target (rfc8216bis 6.2.5.2).
const ahead = 2

func (s *snapshot) partsAhead() int {
	if s.partTarget < time.Second {
		return 3
	}
	return int(3 * time.Second / s.partTarget)
}

// has reports whether the playlist of s holds part of segment msn, or all of that
// segment if part is negative, or anything later.
func (s *snapshot) has(msn int64, part int) (bool, error) {
	last, parts := s.last(), len(s.open.data)
	if msn > last+ahead {
		return false, fmt.Errorf("%w: segment %d, the last is %d", ErrBadRequest, msn, last)
	}
	if part < 0 {
		return msn <= last, nil
	}
	switch {
	case msn < last:
		return true, nil
	case msn == last:
		// A part after the last one of a segment is the first one of the next.
		return part < len(s.segs[len(s.segs)-1].data) || parts > 0, nil
	case msn == last+1 && part < parts:
		return true, nil
	case msn > last+1:
		parts = 0
	}
	if part >= parts+s.partsAhead() {
		return false, fmt.Errorf("%w: part %d.%d, the last is %d.%d", ErrBadRequest, msn, part, last+1, parts-1)
	}
	return false, nil
}

// Segment returns a complete segment. It waits for the one being produced.
func (r *Rendition) Segment(ctx context.Context, msn int64) (Blob, error) {
	s, err := r.wait(ctx, func(s *snapshot) (bool, error) {
		switch {
		case s.segment(msn) != nil:
			return true, nil
		case s.live && !s.ended && msn == s.last()+1:
			return false, nil
		}
		return false, ErrNotFound
	})
	if err != nil {
		return Blob{}, err
	}
	seg := s.segment(msn)
	if seg.tags.Gap {
		return Blob{}, ErrNotFound
	}
	return Blob{seg.data, seg.size, seg.tags.Duration}, nil
}

// Grow returns the parts of a segment from number from on: those that exist, or the next
// one as soon as it does. With the last of the segment more is false, and then the Blob may
// be empty. It waits for the segment being produced and for the one after it, which
// EXT-X-PREFETCH names; without LowLatency, for the former to be complete.
func (r *Rendition) Grow(ctx context.Context, msn int64, from int) (b Blob, more bool, err error) {
	_, err = r.wait(ctx, func(s *snapshot) (bool, error) {
		if !s.live {
			return false, ErrNotFound
		}
		if seg := s.segment(msn); seg != nil {
			if seg.tags.Gap {
				return false, ErrNotFound
			}
			b, more = seg.from(from), false
			return true, nil
		}
		switch {
		case s.ended || msn < s.next || msn > s.next+1 || !s.lowLatency && msn > s.next:
			return false, ErrNotFound
		case s.lowLatency && s.open.msn == msn && from < len(s.open.data):
			b, more = s.open.from(from), true
			return true, nil
		}
		return false, nil
	})
	return b, more, err
}

// from returns the parts of a segment from a number on.
func (g *segment) from(part int) (b Blob) {
	part = min(part, len(g.data))
	b.Chunks = g.data[part:len(g.data):len(g.data)]
	for i, c := range b.Chunks {
		b.Size += len(c)
		b.Duration += g.tags.Parts[part+i].Duration
	}
	return b
}

// Part returns a part. It waits for the next one, which playlists hint at; if that
// does not come because its segment is complete, it fails with ErrNotFound.
func (r *Rendition) Part(ctx context.Context, msn int64, part int) (Blob, error) {
	var (
		data     []byte
		duration time.Duration
	)
	_, err := r.wait(ctx, func(s *snapshot) (bool, error) {
		if !s.live || !s.lowLatency || part < 0 {
			return false, ErrNotFound
		}
		parts, tags := s.open.data, s.open.tags.Parts
		if seg := s.segment(msn); seg != nil {
			parts, tags = seg.data, seg.tags.Parts
		} else if msn != s.last()+1 {
			parts = nil
		}
		switch {
		case part < len(parts):
			data, duration = parts[part], tags[part].Duration
			return true, nil
		case s.ended:
		case msn == s.last()+1 && part == len(parts), msn == s.last()+2 && part == 0:
			return false, nil
		}
		return false, ErrNotFound
	})
	if err != nil {
		return Blob{}, err
	}
	return Blob{[][]byte{data}, len(data), duration}, nil
}

// Init returns an initialization section that some segment still needs.
func (r *Rendition) Init(version int) (Blob, error) {
	for _, c := range r.snap.Load().sections {
		if c.version == version && c.data != nil {
			return Blob{[][]byte{c.data}, len(c.data), 0}, nil
		}
	}
	return Blob{}, ErrNotFound
}

// wait returns the first snapshot that is ok, from the present one on.
func (r *Rendition) wait(ctx context.Context, ok func(*snapshot) (bool, error)) (*snapshot, error) {
	for {
		s := r.snap.Load()
		if done, err := ok(s); done || err != nil {
			return s, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
