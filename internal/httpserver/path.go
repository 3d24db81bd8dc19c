package httpserver

import (
	"strings"

	"github.com/sluice-live/sluice/internal/live"
)

// loggable is a path as the log may have it: not too long, and without what lets whoever
// reads the log play in a viewer's place. That is the session of a viewer, and a playback
// token that somebody put into the path by mistake.
func loggable(path string) string {
	if !strings.Contains(path, live.SessionPrefix) && !strings.Contains(path, jwtBegin) {
		return clip(path)
	}
	elements := strings.Split(path, "/")
	for i, e := range elements {
		if strings.Contains(e, live.SessionPrefix) || strings.Contains(e, jwtBegin) {
			elements[i] = "[redacted]"
		}
	}
	return clip(strings.Join(elements, "/"))
}

// jwtBegin begins every JWT: {" in base64url.
const jwtBegin = "eyJ"
