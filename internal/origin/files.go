package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice/internal/packager"
)

// playlist answers a media playlist, parked until it holds what the client asked for
// (rfc8216bis 6.2.5.2).
func (o *Origin) playlist(w http.ResponseWriter, r *http.Request, rendition *packager.Rendition) {
	req, err := packager.ParsePlaylistQuery(r.URL.RawQuery)
	if err != nil {
		fail(w, r, http.StatusBadRequest, err.Error(), "invalid_playlist_request")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), o.wait)
	defer cancel()
	pl, err := rendition.Playlist(ctx, req)
	if err != nil {
		o.mediaError(w, r, err)
		return
	}
	o.metrics.playlists.Inc()
	h := w.Header()
	h.Set("Content-Type", playlistType)
	h.Set("Vary", "Accept-Encoding")
	if req.MSN >= 0 {
		h.Set("Cache-Control", "max-age=12") // what a blocking request names never changes for those who ask for it
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	h.Set("ETag", pl.ETag)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, pl.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := pl.Body()
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = pl.Gzip()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		n, _ := w.Write(body) // a viewer that left reads nothing more
		o.metrics.bytes.Add(float64(n))
	}
}

// acceptsGzip reads Accept-Encoding as browsers and CDNs write it.
func acceptsGzip(r *http.Request) bool {
	for e := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(e), ";")
		if name == "gzip" {
			return strings.ReplaceAll(q, " ", "") != "q=0"
		}
	}
	return false
}

// file answers a segment (12.ts), a part (12.3.ts) or an initialization section (init0.mp4).
func (o *Origin) file(w http.ResponseWriter, r *http.Request, rendition *packager.Rendition, file string) {
	ref, ok := parseFile(file)
	if !ok || ref.ext != rendition.Extension() && !ref.init {
		notFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), o.wait)
	defer cancel()
	var (
		blob packager.Blob
		err  error
	)
	switch {
	case ref.init:
		blob, err = rendition.Init(ref.version)
	case ref.part >= 0:
		blob, err = rendition.Part(ctx, ref.msn, ref.part)
	default:
		blob, err = rendition.Segment(ctx, ref.msn)
	}
	if err != nil {
		o.mediaError(w, r, err)
		return
	}
	o.metrics.files.Inc()
	h := w.Header()
	h.Set("Content-Type", contentType(ref.ext))
	h.Set("Cache-Control", "max-age=3600, immutable") // a stream id is never used again
	if r.Header.Get("Range") != "" {
		http.ServeContent(w, r, "", modified, io.NewSectionReader(readerAt(blob.Chunks), 0, int64(blob.Size)))
		return
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.Itoa(blob.Size))
	if r.Method == http.MethodHead {
		return
	}
	n, _ := blob.WriteTo(w) // a viewer that left reads nothing more
	o.metrics.bytes.Add(float64(n))
}

func contentType(ext string) string {
	if ext == "ts" {
		return "video/MP2T"
	}
	return "video/mp4"
}

// A fileRef is a file name of a media playlist, taken apart.
type fileRef struct {
	init    bool
	version int   // of the initialization section
	msn     int64 // media sequence number
	part    int   // -1 for the whole segment
	ext     string
}

// maxNumber keeps file names to numbers that a stream can reach.
const maxNumber = 1 << 40

func parseFile(name string) (fileRef, bool) {
	stem, ext, ok := strings.Cut(name, ".")
	if !ok || len(name) > 64 {
		return fileRef{}, false
	}
	if v, ok := strings.CutPrefix(stem, "init"); ok {
		n, ok := number(v)
		return fileRef{init: true, version: int(n), ext: ext}, ok && ext == "mp4" && n < 1<<20
	}
	ref := fileRef{part: -1, ext: ext}
	if p, e, two := strings.Cut(ext, "."); two {
		n, ok := number(p)
		if !ok || n > 1<<20 {
			return fileRef{}, false
		}
		ref.part, ref.ext = int(n), e
	}
	if ref.msn, ok = number(stem); !ok {
		return fileRef{}, false
	}
	return ref, ref.ext == "ts" || ref.ext == "mp4"
}

// number reads plain decimal digits: no sign, no spaces, no leading zeros.
func number(s string) (int64, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= maxNumber
}

func (o *Origin) mediaError(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, packager.ErrBadRequest):
		fail(w, r, http.StatusBadRequest, err.Error(), "invalid_playlist_request")
	case errors.Is(err, packager.ErrNotFound):
		notFound(w, r)
	case r.Context().Err() != nil: // the viewer left
	default: // parked for as long as we park: the stream stalls
		w.Header().Set("Retry-After", "1")
		fail(w, r, http.StatusServiceUnavailable, "the stream is stalled", "stream_stalled")
	}
}
