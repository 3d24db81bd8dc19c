package origin

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// fail writes an error in the form IVS players read: a JSON array of one object
// (low-latency.md 4.4). The token of a private channel is not repeated.
func fail(w http.ResponseWriter, r *http.Request, status int, text, code string) {
	body, err := json.Marshal([]playbackError{{URL: r.URL.EscapedPath(), Error: text, Code: code, Type: "error"}})
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

type playbackError struct {
	URL   string `json:"url"`
	Error string `json:"error"`
	Code  string `json:"error_code"`
	Type  string `json:"type"`
}

func notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, r, http.StatusNotFound, "Can not find channel", "transcode_does_not_exist")
}
