package origin

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
)

// playlist answers a media playlist, parked until it holds what the client asked for
// (rfc8216bis 6.2.5.2).
func (o *Origin) playlist(w http.ResponseWriter, r *http.Request, st source, rendition playable, v view) {
	req, err := packager.ParsePlaylistQuery(r.URL.RawQuery)
	if err != nil {
		o.mediaError(w, r, err)
		return
	}
	pl, err := rendition.Playlist(o.now, req)
	if errors.Is(err, errLater) {
		pl, err = o.parkPlaylist(r, rendition, req)
	}
	if err != nil {
		o.mediaError(w, r, err)
		return
	}
	if err := v.over(); err != nil {
		o.refuse(w, r, st.Channel(), err)
		return
	}
	o.metrics.playlists.Inc()
	h := w.Header()
	h["Content-Type"] = o.fixed.playlist
	h["Vary"] = o.fixed.encoding
	if v.listed {
		h["Vary"] = o.fixed.encodingOrigin
	}
	keep := o.fixed.kept(v)
	if req.MSN >= 0 && st.Channel().LatencyMode != live.LatencyNormal {
		// It holds what its URL asks for, now and later. So a cache in front can give
		// it to everybody who asks that.
		h["Cache-Control"] = keep.brief
	} else {
		h["Cache-Control"] = keep.revalidate
	}
	h["Etag"] = []string{pl.ETag} // its canonical form
	if matches(r.Header["If-None-Match"], pl.ETag) {
		delete(h, "Content-Type") // as net/http does in HTTP/1.1, and not in HTTP/2
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := pl.Body()
	if acceptsGzip(r.Header["Accept-Encoding"]) {
		h["Content-Encoding"] = o.fixed.gzip
		body = pl.Gzip()
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if r.Method != http.MethodHead {
		n, _ := w.Write(body) // a viewer that left reads nothing more
		o.sent(int64(n))
	}
}

// file answers a segment (12.ts), a part (12.3.ts) or an initialization section (init0.mp4).
// st hears how much of it was delivered.
func (o *Origin) file(w http.ResponseWriter, r *http.Request, st source, rendition playable, file string, v view) {
	ref, ok := parseFile(file)
	if !ok || ref.ext != rendition.Extension() {
		notFound(w, r)
		return
	}
	blob, next, err := fetch(o.now, rendition, ref, growable(r))
	if errors.Is(err, errLater) {
		blob, next, err = o.parkFile(r, rendition, ref)
	}
	if err != nil {
		o.mediaError(w, r, err)
		return
	}
	if err := v.over(); err != nil {
		o.refuse(w, r, st.Channel(), err)
		return
	}
	o.metrics.files.Inc()
	h := w.Header()
	h["Content-Type"] = o.fixed.ts
	if ref.ext == "mp4" {
		h["Content-Type"] = o.fixed.mp4
	}
	h["Cache-Control"] = o.fixed.kept(v).forever // a stream id is never used again
	if r.Header["Range"] != nil {
		counted := counter{ResponseWriter: w}
		http.ServeContent(&counted, r, "", modified, io.NewSectionReader(readerAt(blob.Chunks), 0, int64(blob.Size)))
		o.delivered(st, blob, int64(counted.bytes))
		return
	}
	h["Accept-Ranges"] = o.fixed.bytes
	if next != nil {
		o.grow(w, r, st, next, blob, v)
		return
	}
	if v.node {
		h[edge.DurationHeader] = []string{strconv.FormatInt(int64(blob.Duration), 10)}
	}
	h["Content-Length"] = []string{strconv.Itoa(blob.Size)}
	if r.Method != http.MethodHead {
		n, _ := blob.WriteTo(w) // a viewer that left reads nothing more
		o.delivered(st, blob, n)
	}
}

// sent counts bytes of playlists and media.
func (o *Origin) sent(n int64) {
	o.metrics.bytes.Add(float64(n))
	if o.cfg.Ceiling.BytesPerSecond > 0 {
		o.rate.add(n, time.Now())
	}
}

// delivered counts that a viewer was given n bytes of a file.
func (o *Origin) delivered(st source, blob packager.Blob, n int64) {
	o.sent(n)
	if _, relayed := st.(relayed); relayed { // its viewers are counted where they are
		return
	}
	if blob.Duration > 0 && blob.Size > 0 {
		d := time.Duration(float64(blob.Duration) * float64(n) / float64(blob.Size))
		o.metrics.seconds.Add(d.Seconds())
		st.Delivered(d)
	}
}

// A fileRef is a file name of a media playlist, taken apart.
type fileRef struct {
	name    string
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
		return fileRef{name: name, init: true, version: int(n), ext: ext}, ok && ext == "mp4" && n < 1<<20
	}
	ref := fileRef{name: name, part: -1, ext: ext}
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
	default: // parked for as long as we park: the stream stalls. Or the viewer left, and hears nothing
		w.Header().Set("Retry-After", "1")
		fail(w, r, http.StatusServiceUnavailable, "the stream is stalled", "stream_stalled")
	}
}
