package origin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice/internal/playback"
)

// fail writes an error in the form IVS players read: a JSON array of one object
// (low-latency.md 4.4). Neither the token of a private channel nor the session in a path
// is repeated: players hand errors on to whoever collects them.
func fail(w http.ResponseWriter, r *http.Request, status int, text, code string) {
	body, err := json.Marshal([]playbackError{{URL: told(r.URL), Error: text, Code: code, Type: "error"}})
	if err != nil { // strings always marshal
		body = []byte("[]")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// told is a path without the session in it.
func told(u *url.URL) string {
	path := u.EscapedPath()
	rest, media := strings.CutPrefix(path, LivePrefix)
	if element, rest, ok := strings.Cut(rest, "/"); media && playback.IsSession(element) {
		if !ok {
			return LivePrefix
		}
		return LivePrefix + rest
	}
	return path
}

type playbackError struct {
	URL   string `json:"url"`
	Error string `json:"error"`
	Code  string `json:"error_code"`
	Type  string `json:"type"`
}

func notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, r, http.StatusNotFound, "Can not find channel", "transcode_does_not_exist")
}
