package watch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-live/sluice/internal/live"
)

const arn = "arn:aws:ivs:us-west-2:123456789012:channel/AbCdEf123456"

// dist stands in for what npm builds.
func dist() fstest.MapFS {
	script := []byte("console.log('page')")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(script)
	_ = z.Close()
	return fstest.MapFS{
		"placeholder.html":          {Data: []byte("make web build")},
		"index.html":                {Data: []byte("<title>page</title>")},
		"assets/watch-ABCD.js":      {Data: script},
		"assets/watch-ABCD.js.gz":   {Data: packed.Bytes()},
		"assets/watch-EFGH.css":     {Data: []byte("body{}")},
		".built":                    {},
		"assets/hls.worker-IJKL.js": {Data: []byte("1")},
	}
}

func resolve(_ context.Context, ref string) (string, string, error) {
	switch ref {
	case arn, "AbCdEf123456":
		return "/api/video/v1/c.m3u8", "Morning show", nil
	case "broken":
		return "", "", errors.New("disk on fire at /var/lib")
	case "malformed":
		return "", "", live.Errorf(live.Invalid, "not an ARN")
	}
	return "", "", live.Errorf(live.NotFound, "no channel %s", ref)
}

func start(t *testing.T, files fs.FS, c Config) *httptest.Server {
	t.Helper()
	h, err := newHandler(slog.New(slog.DiscardHandler), resolve, c, files)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(Prefix, h)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func get(t *testing.T, srv *httptest.Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestPageIsServedHoweverTheChannelIsWritten(t *testing.T) {
	srv := start(t, dist(), Config{})
	for name, path := range map[string]string{
		"id":                   "/watch/AbCdEf123456",
		"id and slash":         "/watch/AbCdEf123456/",
		"ARN as it is":         "/watch/" + arn,
		"ARN with %2F":         "/watch/" + strings.Replace(arn, "/", "%2F", 1),
		"ARN wholly escaped":   "/watch/" + url.QueryEscape(arn),
		"token in the query":   "/watch/AbCdEf123456?token=a.b.c",
		"channel that is gone": "/watch/ZZZZZZZZZZZZ", // the page says so
	} {
		t.Run(name, func(t *testing.T) {
			if res, body := get(t, srv, path); res.StatusCode != 200 || !strings.Contains(body, "<title>page") {
				t.Errorf("GET %s = %d %q, want the page", path, res.StatusCode, body)
			}
		})
	}
}

func TestNoPageWithoutAChannel(t *testing.T) {
	srv := start(t, dist(), Config{})
	for name, path := range map[string]string{
		"nothing":       "/watch/",
		"markup":        "/watch/%3Cscript%3E",
		"too long":      "/watch/" + strings.Repeat("a", 200),
		"missing asset": "/watch/assets/watch-OLD.js",
		"outside":       "/watch/assets/..%2findex.html",
		"packed twin":   "/watch/assets/watch-ABCD.js.gz",
	} {
		t.Run(name, func(t *testing.T) {
			if res, body := get(t, srv, path); res.StatusCode != 404 || strings.Contains(body, "<script") {
				t.Errorf("GET %s = %d %q, want a plain 404", path, res.StatusCode, body)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	srv := start(t, dist(), Config{})
	for name, tt := range map[string]struct {
		ref    string
		status int
		want   string // JSON
	}{
		"by id":                  {"AbCdEf123456", 200, `{"name":"Morning show","playbackUrl":"/api/video/v1/c.m3u8"}`},
		"by ARN":                 {arn, 200, `{"name":"Morning show","playbackUrl":"/api/video/v1/c.m3u8"}`},
		"by escaped ARN":         {url.PathEscape(arn), 200, `{"name":"Morning show","playbackUrl":"/api/video/v1/c.m3u8"}`},
		"unknown":                {"ZZZZZZZZZZZZ", 404, `{"error":"There is no such channel.","error_code":"channel_not_found"}`},
		"malformed is unknown":   {"malformed", 404, `{"error":"There is no such channel.","error_code":"channel_not_found"}`},
		"markup is not asked":    {"%3Cb%3E", 404, `{"error":"There is no such channel.","error_code":"channel_not_found"}`},
		"causes stay in the log": {"broken", 500, `{"error":"The channel could not be looked up.","error_code":"internal_error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := get(t, srv, "/watch/"+tt.ref+"/info.json")
			if res.StatusCode != tt.status || strings.TrimSpace(body) != tt.want {
				t.Errorf("info of %s = %d %s, want %d %s", tt.ref, res.StatusCode, body, tt.status, tt.want)
			}
			if ct, cc := res.Header.Get("Content-Type"), res.Header.Get("Cache-Control"); ct != "application/json" || cc != "no-store" {
				t.Errorf("Content-Type %q, Cache-Control %q, want JSON that is not stored", ct, cc)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("body %q is not JSON", body)
			}
		})
	}
}

func TestPolicyAllowsOnlyWhatThePageNeeds(t *testing.T) {
	srv := start(t, dist(), Config{Media: []string{"https://media.example:8443", "http://127.0.0.1:1/"}})
	res, _ := get(t, srv, "/watch/AbCdEf123456")
	want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; worker-src 'self' blob:; " +
		"media-src blob: data: 'self' https://media.example:8443 http://127.0.0.1:1; " +
		"connect-src 'self' https://media.example:8443 http://127.0.0.1:1; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	if got := res.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("policy = %s\nwant     %s", got, want)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestMediaOriginsAreChecked(t *testing.T) {
	for name, origin := range map[string]string{
		"no scheme":           "media.example",
		"a path":              "https://media.example/live",
		"another scheme":      "ftp://media.example",
		"a further directive": "https://x; script-src *",
		"empty":               "",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newHandler(slog.New(slog.DiscardHandler), resolve, Config{Media: []string{origin}}, dist()); err == nil {
				t.Errorf("New took media origin %q, want an error", origin)
			}
		})
	}
}

func TestAssetsAreCachedForEverAndPacked(t *testing.T) {
	srv := start(t, dist(), Config{})
	plain, body := get(t, srv, "/watch/assets/watch-ABCD.js")
	if body != "console.log('page')" || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("plain asset = %q, encoding %q", body, plain.Header.Get("Content-Encoding"))
	}
	if got := plain.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control = %q", got)
	}
	if got := plain.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("Content-Type = %q", got)
	}
	packed, body := get(t, srv, "/watch/assets/watch-ABCD.js", "Accept-Encoding", "br, gzip;q=0.8")
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil || packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("packed asset: encoding %q: %v", packed.Header.Get("Content-Encoding"), err)
	}
	if b, _ := io.ReadAll(z); string(b) != "console.log('page')" {
		t.Errorf("unpacked asset = %q", b)
	}
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
		t.Errorf("both encodings have ETag %s", plain.Header.Get("ETag"))
	}
	if res, _ := get(t, srv, "/watch/assets/watch-ABCD.js", "Accept-Encoding", "gzip;q=0"); res.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was sent to a client that refuses it")
	}
	if res, body := get(t, srv, "/watch/assets/watch-ABCD.js", "If-None-Match", plain.Header.Get("ETag")); res.StatusCode != 304 || body != "" {
		t.Errorf("second fetch = %d %q, want an empty 304", res.StatusCode, body)
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	srv := start(t, dist(), Config{})
	res, err := http.Post(srv.URL+"/watch/AbCdEf123456", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST = %d, want 405", res.StatusCode)
	}
}

func TestWithoutTheBuildThePageSaysHowToMakeIt(t *testing.T) {
	files := fstest.MapFS{"placeholder.html": dist()["placeholder.html"]}
	srv := start(t, files, Config{})
	res, body := get(t, srv, "/watch/AbCdEf123456")
	if res.StatusCode != 200 || !strings.Contains(body, "make web build") {
		t.Errorf("page = %d %q, want the placeholder", res.StatusCode, body)
	}
}

// TestEmbedded holds for a checkout with and without the npm build.
func TestEmbedded(t *testing.T) {
	h, err := New(slog.New(slog.DiscardHandler), resolve, Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/watch/AbCdEf123456", nil))
	page := w.Body.String()
	if !h.Built() {
		if !strings.Contains(page, "make web build") {
			t.Errorf("placeholder = %q", page)
		}
		return
	}
	refs := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(refs) != 2 {
		t.Fatalf("the page refers to %q, want its script and its style", refs)
	}
	for _, ref := range refs {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", ref[1], nil))
		if w.Code != 200 {
			t.Errorf("GET %s = %d", ref[1], w.Code)
		}
	}
	if inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=`).FindString(page); inline != "" {
		t.Errorf("the page holds %q, which its policy forbids", inline)
	}
}

// FuzzRef: whatever the path, the answer is the page, JSON or a plain 404, and the
// resolver is asked only about what could be a reference.
func FuzzRef(f *testing.F) {
	f.Add("AbCdEf123456")
	f.Add(arn + "/info.json")
	f.Add("assets/watch-ABCD.js")
	f.Add("%2e%2e/%00/info.json")
	ask := func(_ context.Context, ref string) (string, string, error) {
		if !isRef(ref) {
			f.Errorf("asked about %q", ref)
		}
		return "/c.m3u8", "n", nil
	}
	h, err := newHandler(slog.New(slog.DiscardHandler), ask, Config{}, dist())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		u := &url.URL{Path: Prefix + rest}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{Method: "GET", URL: u, Header: http.Header{}, Host: "h"})
		switch w.Code {
		case 200, 301, 307, 404:
		default:
			t.Errorf("GET %q = %d", u.Path, w.Code)
		}
	})
}
