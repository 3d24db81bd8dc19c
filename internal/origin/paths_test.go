package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/httpserver"
)

// serve runs the real HTTP server in front of a site, until the test ends.
func serve(t testing.TB, s *site, lean func(path string) bool) (url string, server *httpserver.Server) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	srv, err := httpserver.Listen(t.Context(), quiet, httpserver.Config{Addr: "127.0.0.1:0", Lean: lean}, httpserver.Quiet(quiet, s))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + srv.Addr().String(), srv
}

// Whoever reads a request, leanhttp or net/http, over HTTP/1.1 or HTTP/2, the answer is
// the same.
func TestAnswersAreTheSameByEveryServer(t *testing.T) {
	s := newSite(t)
	public, closed, fmp4 := s.publish(t), s.publish(t, private), s.publish(t, mp4)
	for _, e := range []*encoder{public, closed, fmp4} {
		s.golive(t, e, 80)
	}
	etag := s.get(public.path("index.m3u8")).Result().Header.Get("Etag")
	lean, _ := serve(t, s, IsPlayback)
	plain, _ := serve(t, s, nil)
	var two http.Protocols
	two.SetUnencryptedHTTP2(true)
	clients := map[string]struct {
		url string
		tr  *http.Transport
	}{
		"lean":     {lean, &http.Transport{DisableCompression: true}},
		"net/http": {plain, &http.Transport{DisableCompression: true}},
		"HTTP/2":   {lean, &http.Transport{DisableCompression: true, Protocols: &two, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}},
	}
	for name := range clients {
		defer clients[name].tr.CloseIdleConnections()
	}
	for name, tt := range map[string]struct {
		method, path string
		header       []string
		status       int
	}{
		"multivariant":               {"GET", public.playback(), nil, 200},
		"multivariant, short":        {"GET", PlaybackPath(public.arn, false) + "?player_version=1", nil, 200},
		"of no channel":              {"GET", strings.ReplaceAll(public.playback(), public.arn.ID, "absent"), nil, 404},
		"of a private channel":       {"GET", closed.playback(), nil, 403},
		"with a bad token":           {"GET", closed.playback() + "?token=a.b.c", nil, 403},
		"private media":              {"GET", closed.path("index.m3u8"), nil, 403},
		"playlist":                   {"GET", public.path("index.m3u8"), nil, 200},
		"playlist, compressed":       {"GET", public.path("index.m3u8"), []string{"Accept-Encoding", "gzip, deflate, br"}, 200},
		"playlist, not compressed":   {"GET", public.path("index.m3u8"), []string{"Accept-Encoding", "gzip;q=0"}, 200},
		"playlist, blocking":         {"GET", public.path("index.m3u8?_HLS_msn=1&_HLS_part=1"), nil, 200},
		"playlist, delta":            {"GET", public.path("index.m3u8?_HLS_msn=1&_HLS_skip=YES"), nil, 200},
		"playlist, not modified":     {"GET", public.path("index.m3u8"), []string{"If-None-Match", etag}, 304},
		"playlist, too far ahead":    {"GET", public.path("index.m3u8?_HLS_msn=100"), nil, 400},
		"playlist, bad directive":    {"GET", public.path("index.m3u8?_HLS_msn=x"), nil, 400},
		"playlist, escaped query":    {"GET", public.path("index.m3u8?_HLS_msn=%31"), nil, 400},
		"part":                       {"GET", public.path("1.1.ts"), []string{"Origin", "https://shop.example.com"}, 200},
		"part in fMP4":               {"GET", fmp4.path("1.1.mp4"), nil, 200},
		"initialization section":     {"GET", fmp4.path("init0.mp4"), nil, 200},
		"part that is gone":          {"GET", public.path("7000.1.ts"), nil, 404},
		"segment":                    {"GET", public.path("1.ts"), nil, 200},
		"segment of another kind":    {"GET", public.path("1.mp4"), nil, 404},
		"range":                      {"GET", public.path("1.ts"), []string{"Range", "bytes=0-32766"}, 206},
		"range to the end":           {"GET", public.path("1.ts"), []string{"Range", "bytes=-10"}, 206},
		"range of a part":            {"GET", public.path("1.1.ts"), []string{"Range", "bytes=100-"}, 206},
		"ranges":                     {"GET", public.path("1.ts"), []string{"Range", "bytes=0-1,5-6"}, 206},
		"range beyond the end":       {"GET", public.path("1.ts"), []string{"Range", "bytes=99999999-"}, 416},
		"range that is none":         {"GET", public.path("1.ts"), []string{"Range", "lines=1-2"}, 416},
		"ranges that overlap":        {"GET", public.path("1.ts"), []string{"Range", "bytes=" + strings.Repeat("0-,", 200) + "0-"}, 200},
		"HEAD of the multivariant":   {"HEAD", public.playback(), nil, 200},
		"HEAD of a segment":          {"HEAD", public.path("1.ts"), nil, 200},
		"HEAD of nothing":            {"HEAD", public.path("x"), nil, 404},
		"OPTIONS":                    {"OPTIONS", public.path("1.ts"), []string{"Origin", "https://a.example"}, 204},
		"POST":                       {"POST", public.path("1.ts"), nil, 405},
		"a path of dots":             {"GET", public.path("../360p30/1.ts"), nil, 404},
		"a path with escapes":        {"GET", public.path("%31.ts"), nil, 200},
		"a path with spaces":         {"GET", public.path("1.ts%20"), nil, 404},
		"a path of nothing":          {"GET", LivePrefix, nil, 404},
		"a path of slashes":          {"GET", LivePrefix + "////", nil, 404},
		"a stream that is not":       {"GET", LivePrefix + "st-x/360p30/index.m3u8", nil, 404},
		"a session that is not":      {"GET", LivePrefix + "vs-x/st-x/360p30/index.m3u8", nil, 404},
		"a number beyond all others": {"GET", public.path("99999999999999999999.ts"), nil, 404},
		"a negative number":          {"GET", public.path("-1.ts"), nil, 404},
		"a long path":                {"GET", public.path(strings.Repeat("x", 6000)), nil, 404},
		"a long query":               {"GET", public.path("index.m3u8?" + strings.Repeat("x", 20000)), nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			var want string
			for _, by := range []string{"net/http", "lean", "HTTP/2"} {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, clients[by].url+tt.path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "live.example.com"
				for i := 0; i < len(tt.header); i += 2 {
					req.Header.Set(tt.header[i], tt.header[i+1])
				}
				got := answered(t, clients[by].tr, req, tt.status)
				if want == "" {
					want = got
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("by %s (-net/http):\n%s", by, d)
				}
			}
		})
	}
}

var (
	serverTime = regexp.MustCompile(`"SERVER-TIME",VALUE="[0-9.]+"`)
	boundary   = regexp.MustCompile(`[0-9a-f]{60}`)
)

// answered is an answer as text, without what differs from one to the next.
func answered(t *testing.T, tr *http.Transport, req *http.Request, status int) string {
	t.Helper()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Errorf("%d %.200s, want %d", res.StatusCode, body, status)
	}
	if res.Header.Get("Date") == "" {
		t.Error("no Date")
	}
	res.Header.Del("Date")
	var b bytes.Buffer
	fmt.Fprintln(&b, res.StatusCode, res.ContentLength)
	_ = res.Header.Write(&b) // sorted; a Buffer takes everything
	b.Write(serverTime.ReplaceAll(body, []byte("now")))
	return string(boundary.ReplaceAll(b.Bytes(), []byte("boundary")))
}
