// Package watch serves the watch page: a player for one channel, at
// /watch/<channel ARN or id>. The page is built from web/watch by npm and embedded;
// a server compiled without that build serves a page that says how to make it.
//
// It holds no media and no rules about who may play: the page asks the playback URL
// as any other player would, with the viewer's own token.
package watch

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-live/sluice/internal/live"
)

// Prefix is the path under which a Handler serves; mount it there.
const Prefix = "/watch/"

// maxRef is the longest channel reference looked at, in bytes: a channel's ARN fits.
const maxRef = 128

//go:embed dist
var built embed.FS

// Resolver finds what ref, a channel's ARN or id, plays from. playbackURL is absolute,
// or a path on this server, which the page completes with the host it was reached at.
// An error of kind live.NotFound or live.Invalid says that there is no such channel.
type Resolver func(ctx context.Context, ref string) (playbackURL, name string, err error)

// Config is what an operator may tune. Zero is the default.
type Config struct {
	// Media lists further origins ("https://media.example.com") that playback URLs
	// and the playlists behind them may lead to. Our own origin always may.
	Media []string
}

// Handler serves the page, its assets, and what the page asks about its channel.
type Handler struct {
	log     *slog.Logger
	resolve Resolver
	files   map[string]file // by name within the build: "index.html", "assets/..."
	page    file
	csp     string
	mux     *http.ServeMux
}

// New returns a Handler that asks resolve about channels.
func New(log *slog.Logger, resolve Resolver, c Config) (*Handler, error) {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return newHandler(log, resolve, c, dist)
}

func newHandler(log *slog.Logger, resolve Resolver, c Config, dist fs.FS) (*Handler, error) {
	csp, err := policy(c.Media)
	if err != nil {
		return nil, err
	}
	files, err := load(dist)
	if err != nil {
		return nil, fmt.Errorf("watch: read the built page: %w", err)
	}
	h := &Handler{log: log, resolve: resolve, files: files, csp: csp, mux: http.NewServeMux()}
	var ok bool
	if h.page, ok = files["index.html"]; !ok {
		h.page = files["placeholder.html"]
	}
	h.mux.HandleFunc("GET "+Prefix+"assets/{name...}", h.asset)
	h.mux.HandleFunc("GET "+Prefix+"{ref...}", h.channel)
	return h, nil
}

// Built reports whether the page is in this build, or only its placeholder.
func (h *Handler) Built() bool {
	_, ok := h.files["index.html"]
	return ok
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// policy is the page's Content-Security-Policy: its own script and style, no inline
// ones, media from here and from the configured origins. Media Source playback goes
// through blob: URLs.
func policy(media []string) (string, error) {
	sources := "'self'"
	for _, m := range media {
		u, err := url.Parse(m)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" ||
			strings.Trim(u.Path, "/") != "" || strings.ContainsAny(u.Host, " ;,'\"") {
			return "", fmt.Errorf("watch: media origin %q is not of the form https://host[:port]", m)
		}
		sources += " " + u.Scheme + "://" + u.Host
	}
	// hls.js shows timed metadata in text tracks, which it makes of data: URLs.
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"worker-src 'self' blob:; media-src blob: data: " + sources + "; connect-src " + sources + "; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'self'", nil
}

// channel serves /watch/<ref> and /watch/<ref>/info.json. An ARN may come with its
// slash escaped or not.
func (h *Handler) channel(w http.ResponseWriter, r *http.Request) {
	ref, info := strings.CutSuffix(r.PathValue("ref"), "/info.json")
	switch {
	case info:
		h.info(w, r, ref)
	case !isRef(strings.TrimSuffix(ref, "/")):
		secure(w.Header())
		http.Error(w, "No such page. A channel is watched at "+Prefix+"<channel ARN or id>.", http.StatusNotFound)
	default:
		w.Header().Set("Content-Security-Policy", h.csp)
		secure(w.Header())
		w.Header().Set("Cache-Control", "no-cache") // it names the assets of this build
		h.page.serve(w, r)
	}
}

func (h *Handler) asset(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	f, ok := h.files["assets/"+r.PathValue("name")]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // the name holds a hash of the content
	f.serve(w, r)
}

// secure sets what every answer carries. The page's own URL may hold a playback
// token, so it is told to nobody.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// channelInfo is all the page may know of a channel without being signed in.
type channelInfo struct {
	Name        string `json:"name"`
	PlaybackURL string `json:"playbackUrl"`
}

type problem struct {
	Error string `json:"error"`
	Code  string `json:"error_code"`
}

func (h *Handler) info(w http.ResponseWriter, r *http.Request, ref string) {
	secure(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	if !isRef(ref) {
		h.json(w, r, http.StatusNotFound, problem{"There is no such channel.", "channel_not_found"})
		return
	}
	playbackURL, name, err := h.resolve(r.Context(), ref)
	switch {
	case err == nil:
		h.json(w, r, http.StatusOK, channelInfo{name, playbackURL})
	case errors.Is(err, live.NotFound), errors.Is(err, live.Invalid):
		h.json(w, r, http.StatusNotFound, problem{"There is no such channel.", "channel_not_found"})
	default:
		h.log.ErrorContext(r.Context(), "watch: look up the channel", "ref", ref, "err", err)
		h.json(w, r, http.StatusInternalServerError, problem{"The channel could not be looked up.", "internal_error"})
	}
}

func (h *Handler) json(w http.ResponseWriter, r *http.Request, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.DebugContext(r.Context(), "watch: answer", "err", err) // the viewer went away
	}
}

// isRef reports whether s could name a channel: the characters of an ARN, few enough.
func isRef(s string) bool {
	if s == "" || len(s) > maxRef || strings.Contains(s, "//") {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(":/-", c)
	}) < 0
}
