package httpserver

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const aSession = "vs-q1AIS0NXuHBZcp5p9jBLv1KXIhcFJzYy2fM1vWZKxQ"

func TestLoggable(t *testing.T) {
	for path, want := range map[string]string{
		"":                                    "",
		"/":                                   "/",
		"/CreateChannel":                      "/CreateChannel",
		"/v1/live/st-x/720p30/0.ts":           "/v1/live/st-x/720p30/0.ts",
		"/v1/live/" + aSession + "/st-x/0.ts": "/v1/live/[redacted]/st-x/0.ts",
		"//v1/live/" + aSession:               "//v1/live/[redacted]",
		"/x" + aSession + "/a/" + aSession:    "/[redacted]/a/[redacted]",
		"/api/video/v1/a.m3u8?token=eyJh.b.c": "/api/video/v1/[redacted]",
		"/" + strings.Repeat("a", 300):        "/" + strings.Repeat("a", 255) + "...",
		strings.Repeat("/a", 200) + "/" + aSession: strings.Repeat("/a", 128) + "...",
	} {
		if got := loggable(path); got != want {
			t.Errorf("loggable(%q) = %q, want %q", path, got, want)
		}
	}
}

// Neither the line of a request nor that of a panic has what lets others play.
func TestSessionsAreNotLogged(t *testing.T) {
	for name, wrap := range map[string]func(*slog.Logger, http.Handler) http.Handler{"logged": Logged, "quiet": Quiet} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := wrap(slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no") }))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x/"+aSession+"/0.ts?token=eyJh.b.c", http.NoBody))
			if text := log.String(); strings.Contains(text, "q1AIS0") || strings.Contains(text, "eyJh") || !strings.Contains(text, "/x/[redacted]/0.ts") {
				t.Errorf("the log: %s", text)
			}
		})
	}
}
