package origin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
)

func mp4(c *live.Channel)    { c.ContainerFormat = live.ContainerMP4 }
func normal(c *live.Channel) { c.LatencyMode = live.LatencyNormal }

// check compares status and header fields, given as name and value in turn; "" means
// that the field is not there.
func check(t *testing.T, w *httptest.ResponseRecorder, status int, header ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d: %.300s", w.Code, status, w.Body)
	}
	for i := 0; i < len(header); i += 2 {
		if got := w.Result().Header.Get(header[i]); got != header[i+1] {
			t.Errorf("%s: %q, want %q", header[i], got, header[i+1])
		}
	}
}

// refused checks an error: status, code, the form that players read, and that no cache
// keeps it.
func refused(t *testing.T, w *httptest.ResponseRecorder, status int, code string) playbackError {
	t.Helper()
	check(t, w, status, "Content-Type", "application/json", "Cache-Control", "no-store", "Access-Control-Allow-Origin", "*",
		"Content-Length", fmt.Sprint(w.Body.Len()))
	var list []playbackError
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list) != 1 || list[0].Code != code || list[0].Type != "error" || list[0].Error == "" {
		t.Errorf("body %s, want one error of code %s", w.Body, code)
		return playbackError{}
	}
	return list[0]
}

func TestMultivariant(t *testing.T) {
	s := newSite(t)
	e := s.publish(t)
	refused(t, s.get(e.playback()), 404, "transcode_does_not_exist") // not live yet
	s.golive(t, e, 50)
	for _, target := range []string{
		e.playback(), PlaybackPath(e.arn, false), e.playback() + "?pbac=true&player_version=1.56.1&allow_source=true&token=x",
	} {
		w := s.get(target)
		check(t, w, 200, "Content-Type", "application/vnd.apple.mpegurl", "Cache-Control", "no-cache",
			"Access-Control-Allow-Origin", "*", "Content-Length", fmt.Sprint(w.Body.Len()))
		m, err := hls.ParseMultivariant(w.Body.Bytes())
		if err != nil || len(m.Variants) != 1 || m.Variants[0].URI != e.path("index.m3u8") {
			t.Errorf("%s: %v, want one variant at %s:\n%s", target, err, e.path("index.m3u8"), w.Body)
		}
		if !strings.Contains(w.Result().Header.Get("Access-Control-Expose-Headers"), "Date") {
			t.Error("players cannot read the Date")
		}
	}
	if w := s.do(http.MethodHead, e.playback()); w.Code != 200 || w.Body.Len() != 0 || w.Result().Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
	other := e.arn
	other.Region = "eu-west-1"
	refused(t, s.get(PlaybackPath(other, true)), 404, "transcode_does_not_exist")

	e.session.Close(true)
	refused(t, s.get(e.playback()), 404, "transcode_does_not_exist")
	pl, err := hls.Parse(s.get(e.path("index.m3u8")).Body.Bytes())
	if err != nil || !pl.EndList {
		t.Errorf("who is late reads %+v, %v, want the end", pl, err)
	}
	check(t, s.get(e.path("0.ts")), 200)
}

func TestMethods(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{"/api/video/v1/us-west-2.1.channel.a.m3u8", LivePrefix + "st-x/720p30/0.ts"} {
		check(t, s.do(http.MethodOptions, target, "Origin", "https://shop.example.com", "Access-Control-Request-Method", "GET"), 204,
			"Access-Control-Allow-Origin", "*", "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS", "Access-Control-Allow-Headers", "*")
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodConnect, "", "BREW"} {
			r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
			r.Method = method
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			refused(t, w, 405, "method_not_allowed")
			check(t, w, 405, "Allow", "GET, HEAD, OPTIONS")
		}
	}
}

func TestErrorsRepeatNoToken(t *testing.T) {
	s := newSite(t)
	const target = "/api/video/v1/us-west-2.1.channel.%22%3Cb%3E.m3u8"
	w := s.get(target + "?token=secret")
	if e := refused(t, w, 404, "transcode_does_not_exist"); e.URL != target {
		t.Errorf("url %q, want %q", e.URL, target)
	}
	if strings.Contains(w.Body.String(), "secret") {
		t.Error("the token is in the answer")
	}
	if w := s.do(http.MethodHead, target); w.Code != 404 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestPlaylist(t *testing.T) {
	s := newSite(t)
	e := s.publish(t)
	s.golive(t, e, 80)
	for name, tt := range map[string]struct{ query, cache string }{
		"no directives":               {"", "no-cache"},
		"what is there":               {"?_HLS_msn=1&_HLS_part=1", "max-age=12"},
		"a delta":                     {"?_HLS_skip=YES", "no-cache"},
		"a delta of what is there":    {"?_HLS_msn=1&_HLS_skip=v2", "max-age=12"},
		"parameters of somebody else": {"?token=x&session=y", "no-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			target := e.path("index.m3u8" + tt.query)
			w := s.get(target)
			check(t, w, 200, "Content-Type", "application/vnd.apple.mpegurl", "Cache-Control", tt.cache, "Vary", "Accept-Encoding",
				"Content-Encoding", "", "Content-Length", fmt.Sprint(w.Body.Len()), "Access-Control-Allow-Origin", "*")
			if _, err := hls.Parse(w.Body.Bytes()); err != nil {
				t.Error(err)
			}
			etag := w.Result().Header.Get("ETag")

			z := s.get(target, "Accept-Encoding", "gzip")
			check(t, z, 200, "Content-Encoding", "gzip", "ETag", etag, "Vary", "Accept-Encoding", "Content-Length", fmt.Sprint(z.Body.Len()))
			if r, err := gzip.NewReader(z.Body); err != nil {
				t.Error(err)
			} else if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, w.Body.Bytes()) {
				t.Errorf("compressed it says something else: %v", err)
			}

			h := s.do(http.MethodHead, target)
			check(t, h, 200, "ETag", etag, "Cache-Control", tt.cache, "Content-Length", fmt.Sprint(w.Body.Len()))
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				n := s.do(method, target, "If-None-Match", `"old", `+etag)
				check(t, n, 304, "ETag", etag, "Cache-Control", tt.cache, "Vary", "Accept-Encoding", "Content-Length", "", "Content-Encoding", "")
				if h.Body.Len() != 0 || n.Body.Len() != 0 {
					t.Errorf("HEAD has %d bytes, 304 has %d", h.Body.Len(), n.Body.Len())
				}
			}
			check(t, s.get(target, "If-None-Match", `"old"`), 200)
			check(t, s.get(target, "If-None-Match", "*"), 304)
			check(t, s.get(target, "Range", "bytes=0-1"), 200, "Content-Length", fmt.Sprint(w.Body.Len())) // a text that changes has no ranges
		})
	}
	etag := s.get(e.path("index.m3u8")).Result().Header.Get("ETag")
	e.send(t, 30)
	check(t, s.get(e.path("index.m3u8"), "If-None-Match", etag), 200)

	for _, query := range []string{
		"_HLS_msn=x", "_HLS_msn=-1", "_HLS_part=1", "_HLS_msn=1000000", "_HLS_msn=1&_HLS_msn=2", "_HLS_skip=NO", "_HLS_msn=3&_HLS_part=1000",
		strings.Repeat("x", 9<<10),
	} {
		refused(t, s.get(e.path("index.m3u8?"+query)), 400, "invalid_playlist_request")
	}
}

// A stream without blocking reload answers at once with what is there, which no cache
// may keep under the name of what was asked for.
func TestPlaylistOfNormalLatency(t *testing.T) {
	s := newSite(t)
	e := s.publish(t, normal)
	s.golive(t, e, 80)
	check(t, s.get(e.path("index.m3u8?_HLS_msn=7")), 200, "Cache-Control", "no-cache")
	refused(t, s.get(e.path("0.0.ts")), 404, "transcode_does_not_exist")
}

func TestFiles(t *testing.T) {
	s := newSite(t)
	ts, fmp4 := s.publish(t), s.publish(t, mp4)
	s.golive(t, ts, 80) // segments 0 and 1, and parts of 2
	s.golive(t, fmp4, 80)
	for _, tt := range []struct {
		e          *encoder
		file, kind string
	}{
		{ts, "0.ts", "video/MP2T"},
		{ts, "1.ts", "video/MP2T"},
		{ts, "1.4.ts", "video/MP2T"},
		{ts, "2.0.ts", "video/MP2T"},
		{fmp4, "0.mp4", "video/mp4"},
		{fmp4, "1.0.mp4", "video/mp4"},
		{fmp4, "init0.mp4", "video/mp4"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			target := tt.e.path(tt.file)
			w := s.get(target, "Accept-Encoding", "gzip")
			size := w.Body.Len()
			all := w.Body.String()
			check(t, w, 200, "Content-Type", tt.kind, "Cache-Control", "max-age=3600, immutable", "Accept-Ranges", "bytes", "Content-Encoding", "",
				"Content-Length", fmt.Sprint(size), "Access-Control-Allow-Origin", "*")
			if size == 0 {
				t.Fatal("it is empty")
			}
			h := s.do(http.MethodHead, target)
			check(t, h, 200, "Content-Length", fmt.Sprint(size), "Content-Type", tt.kind, "Accept-Ranges", "bytes")
			if h.Body.Len() != 0 {
				t.Errorf("HEAD has %d bytes", h.Body.Len())
			}
			for byteRange, want := range map[string]string{
				"bytes=0-0":                       all[:1],
				"bytes=0-":                        all,
				"bytes=10-19":                     all[10:20],
				"bytes=-10":                       all[size-10:],
				"bytes=-1000000000":               all,
				fmt.Sprintf("bytes=%d-", size-1):  all[size-1:],
				fmt.Sprintf("bytes=%d-", size/2):  all[size/2:],
				"bytes=100-99999999999":           all[100:],
				fmt.Sprintf("bytes=1-%d", size-2): all[1 : size-1],
			} {
				r := s.get(target, "Range", byteRange)
				check(t, r, 206, "Content-Type", tt.kind, "Content-Length", fmt.Sprint(len(want)), "Cache-Control", "max-age=3600, immutable")
				if r.Body.String() != want {
					t.Errorf("%s: %d bytes, want %d others", byteRange, r.Body.Len(), len(want))
				}
			}
			for _, byteRange := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=5-4", "bytes=x", "lines=0-1"} {
				r := s.get(target, "Range", byteRange)
				check(t, r, 416, "Cache-Control", "", "Access-Control-Allow-Origin", "*")
			}
			if r := s.do(http.MethodHead, target, "Range", "bytes=0-9"); r.Code != 206 || r.Body.Len() != 0 {
				t.Errorf("HEAD of a range: %d, %d bytes", r.Code, r.Body.Len())
			}
			// A thousand ranges cost no more than the file.
			many := s.get(target, "Range", "bytes="+strings.Repeat("0-,", 1000)+"0-")
			if many.Code != 200 || many.Body.String() != all {
				t.Errorf("a thousand ranges: %d, %d bytes", many.Code, many.Body.Len())
			}
		})
	}
	for _, target := range []string{
		ts.path("0.mp4"), ts.path("init0.mp4"), fmp4.path("0.ts"), fmp4.path("init1.mp4"), ts.path("0.5.ts"), ts.path("5.ts"), ts.path("4.0.ts"),
		ts.path(""), ts.path("index.m3u8/"), ts.path("0.ts/0.ts"), ts.path("Index.m3u8"), LivePrefix, LivePrefix + ts.id, LivePrefix + ts.id + "/",
		LivePrefix + ts.id + "/360p30", LivePrefix + ts.id + "/1080p60/0.ts", LivePrefix + "st-" + strings.Repeat("x", 23) + "/360p30/0.ts",
	} {
		refused(t, s.get(target), 404, "transcode_does_not_exist")
	}
}

// What is asked for before it exists is answered when it does.
func TestParking(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		more int // pictures until it is there, after 80
	}{
		"a part of the playlist":    {"index.m3u8?_HLS_msn=2&_HLS_part=4", 10},
		"a segment of the playlist": {"index.m3u8?_HLS_msn=2", 16},
		"the part that was hinted":  {"2.3.ts", 4},
		"the next segment":          {"3.ts", 46},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				e := s.publish(t)
				s.golive(t, e, 80)
				got := make(chan *httptest.ResponseRecorder, 1)
				go func() { got <- s.get(e.path(tt.file)) }()
				time.Sleep(time.Second)
				select {
				case w := <-got:
					t.Fatalf("it was answered with %d before it was there", w.Code)
				default:
				}
				e.send(t, tt.more)
				synctest.Wait()
				select {
				case w := <-got:
					check(t, w, 200)
				default:
					t.Error("it is there, and the viewer still waits")
				}
			})
		})
	}
	t.Run("a stream that stalls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			e := s.publish(t)
			s.golive(t, e, 80)
			began := time.Now()
			w := s.get(e.path("index.m3u8?_HLS_msn=2"))
			if took := time.Since(began); took != parked {
				t.Errorf("parked for %v, want %v", took, parked)
			}
			refused(t, w, 503, "stream_stalled")
			check(t, w, 503, "Retry-After", "1")
		})
	})
	t.Run("a stream that ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			e := s.publish(t)
			s.golive(t, e, 80)
			playlist, part := make(chan *httptest.ResponseRecorder, 1), make(chan *httptest.ResponseRecorder, 1)
			go func() { playlist <- s.get(e.path("index.m3u8?_HLS_msn=3")) }()
			go func() { part <- s.get(e.path("2.4.ts")) }()
			synctest.Wait()
			e.session.Close(true)
			w := <-playlist
			check(t, w, 200)
			if pl, err := hls.Parse(w.Body.Bytes()); err != nil || !pl.EndList {
				t.Errorf("who waits reads %v, want the end:\n%s", err, w.Body)
			}
			refused(t, <-part, 404, "transcode_does_not_exist")
		})
	})
}

func TestRedirect(t *testing.T) {
	arn := live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: "channel", ID: "Kq3ZtB7xWm2P"}
	for name, tt := range map[string]struct {
		origin, host, query, want string // want: "" for none
	}{
		"to the owner":                          {"http://b.example", "a.example", "", "http://b.example"},
		"with the query":                        {"http://b.example", "a.example", "?token=x%2By&pbac=true", "http://b.example"},
		"with a word about the page":            {"http://b.example", "a.example", "?token=x", "http://b.example"},
		"to an origin with a path":              {"https://cdn.example/b", "a.example", "", "https://cdn.example/b"},
		"to another port":                       {"http://a.example:8081", "a.example:8080", "", "http://a.example:8081"},
		"an owner that viewers cannot reach":    {"", "a.example", "", ""},
		"not to ourselves":                      {self, "a.example", "", ""},
		"not to ourselves by another name":      {self, "alias.example", "", ""},
		"not to where the viewer is":            {"http://lb.example", "lb.example", "", ""},
		"not to where the viewer is, with port": {"https://lb.example:8443", "lb.example:8443", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if err := s.roster.Announce(t.Context(), roster.Entry{State: live.State{Channel: arn, Stream: "st-b", Node: "b", Origin: tt.origin}}); err != nil {
				t.Fatal(err)
			}
			target := PlaybackPath(arn, true) + tt.query
			r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
			r.Host = tt.host
			if name == "with a word about the page" {
				r.Header.Set("Origin", "https://watch.example.org")
				target += "&sluice-origin="
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if tt.want == "" {
				refused(t, w, 404, "transcode_does_not_exist")
				check(t, w, 404, "Location", "")
				return
			}
			to := w.Result().Header.Get("Location")
			if i := strings.Index(to, "sluice-origin="); i >= 0 { // what it says is another test's
				to = to[:i+len("sluice-origin=")]
			}
			if to != tt.want+target {
				t.Errorf("sent to %s, want %s", to, tt.want+target)
			}
			check(t, w, 307, "Cache-Control", "no-store", "Access-Control-Allow-Origin", "*")
		})
	}
	t.Run("not for a stream that just ended here", func(t *testing.T) {
		s := newSite(t)
		e := s.publish(t)
		s.golive(t, e, 50)
		e.session.Close(true)
		err := s.roster.Announce(t.Context(), roster.Entry{State: live.State{Channel: e.arn, Stream: e.id, Origin: "http://stale.example"}, Generation: 9})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, s.get(e.playback()), 404, "transcode_does_not_exist")
	})
}

func TestViewersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		e := s.publish(t)
		s.golive(t, e, 80)
		for range 3 {
			s.get(e.path("index.m3u8"), "User-Agent", "a")
			s.get(e.path("index.m3u8?_HLS_msn=1"), "User-Agent", "b")
			s.get(e.path("0.ts"), "User-Agent", "c") // media may come from a cache
			s.get(e.playback(), "User-Agent", "d")   // so may a page that only looks
		}
		time.Sleep(2 * roster.Interval)
		if st, ok := s.roster.Get(e.arn); !ok || st.Viewers != 2 {
			t.Errorf("%d viewers, want 2", st.Viewers)
		}
	})
}

func TestDeliveredTimeIsCounted(t *testing.T) {
	s := newSite(t)
	e := s.publish(t)
	s.golive(t, e, 80)
	for _, tt := range []struct {
		rule, method, file, bytes string
		want                      time.Duration // about
	}{
		{"a segment plays for a segment", "GET", "0.ts", "", 32 * time.Second / 30},
		{"a part for a part", "GET", "1.0.ts", "", time.Second / 5},
		{"half a segment for half of that", "GET", "0.ts", "bytes=0-%d", 16 * time.Second / 30},
		{"a playlist for nothing", "GET", "index.m3u8", "", 0},
		{"a file that is not there neither", "GET", "9.ts", "", 0},
		{"nor one that is not sent", "HEAD", "0.ts", "", 0},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var header []string
			if tt.bytes != "" {
				header = []string{"Range", fmt.Sprintf(tt.bytes, s.get(e.path(tt.file)).Body.Len()/2-1)}
			}
			before := s.delivered(t)
			s.do(tt.method, e.path(tt.file), header...)
			if got := s.delivered(t) - before; max(got-tt.want, tt.want-got) > tt.want/10 {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// delivered is how long what was delivered plays for.
func (s *site) delivered(t *testing.T) time.Duration {
	t.Helper()
	all, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "sluice_playback_seconds_total" {
			return time.Duration(f.GetMetric()[0].GetCounter().GetValue() * float64(time.Second))
		}
	}
	t.Fatal("no metric of delivered time")
	return 0
}
