package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// A file of the build, read once. Its bytes never change while the program runs.
type file struct {
	plain  []byte
	packed []byte // gzip, made by the build; nil when it made none
	kind   string // Content-Type
	etag   string
}

// load reads all files of a build. It is small: a page, its script and its style.
func load(dist fs.FS) (map[string]file, error) {
	files := make(map[string]file)
	err := fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".gz") {
			return err
		}
		f := file{kind: contentType(name)}
		if f.plain, err = fs.ReadFile(dist, name); err != nil {
			return err
		}
		if packed, err := fs.ReadFile(dist, name+".gz"); err == nil {
			f.packed = packed
		}
		sum := sha256.Sum256(f.plain)
		f.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
		files[name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, ok := files["placeholder.html"]; !ok {
		return nil, fmt.Errorf("placeholder.html: %w", fs.ErrNotExist)
	}
	return files, nil
}

// contentType does not ask the machine's own table for what we serve, so that a page
// works the same everywhere.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	body, etag := f.plain, f.etag
	if f.packed != nil && acceptsGzip(r) {
		body, etag = f.packed, strings.TrimSuffix(f.etag, `"`)+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the viewer went away
	}
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			v, err := strconv.ParseFloat(q, 64)
			return !ok || (err == nil && v > 0)
		}
	}
	return false
}
