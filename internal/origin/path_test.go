package origin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
)

func TestPaths(t *testing.T) {
	channel := live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: "channel", ID: "Kq3ZtB7xWm2P"}
	const file = "us-west-2.111122223333.channel.Kq3ZtB7xWm2P.m3u8"
	for name, tt := range map[string]struct {
		path  string
		ours  bool
		names live.ARN // zero for no channel
	}{
		"short form":                   {"/api/video/v1/" + file, true, channel},
		"IVS form":                     {"/live-video.net/api/video/v1/" + file, true, channel},
		"a host name of IVS":           {"/x.us-west-2.playback.live-video.net/api/video/v1/" + file, true, channel},
		"what PlaybackPath makes":      {PlaybackPath(channel, false), true, channel},
		"what PlaybackPath makes, ivs": {PlaybackPath(channel, true), true, channel},
		"media":                        {"/v1/live/st-x/720p30/index.m3u8", true, live.ARN{}},
		"media without a stream":       {"/v1/live/", true, live.ARN{}},
		"another prefix":               {"/example.com/api/video/v1/" + file, false, live.ARN{}},
		"two prefixes":                 {"/a/live-video.net/api/video/v1/" + file, false, live.ARN{}},
		"no slash in front":            {"live-video.net/api/video/v1/" + file, false, live.ARN{}},
		"a directory below":            {"/api/video/v1/a/" + file, false, live.ARN{}},
		"no file":                      {"/api/video/v1/", false, live.ARN{}},
		"the path twice":               {"/api/video/v1/api/video/v1/" + file, false, live.ARN{}},
		"an API operation":             {"/CreateChannel", false, live.ARN{}},
		"the root":                     {"/", false, live.ARN{}},
		"nothing":                      {"", false, live.ARN{}},
		"everything":                   {"*", false, live.ARN{}},
		"another ending":               {"/api/video/v1/us-west-2.1.channel.a.mpd", true, live.ARN{}},
		"another type":                 {"/api/video/v1/us-west-2.1.stream-key.a.m3u8", true, live.ARN{}},
		"too few parts":                {"/api/video/v1/us-west-2.1.channel.m3u8", true, live.ARN{}},
		"too many parts":               {"/api/video/v1/us-west-2.1.channel.a.b.m3u8", true, live.ARN{}},
		"a colon in the region":        {"/api/video/v1/us:west.1.channel.a.m3u8", true, live.ARN{}},
		"not a number for an account":  {"/api/video/v1/us-west-2.x.channel.a.m3u8", true, live.ARN{}},
		"an id that is not one":        {"/api/video/v1/us-west-2.1.channel.%2e.m3u8", true, live.ARN{}},
		"an id of a megabyte":          {"/api/video/v1/us-west-2.1.channel." + strings.Repeat("a", 1<<20) + ".m3u8", true, live.ARN{}},
		"dots":                         {"/api/video/v1/..." + strings.Repeat(".", 1000), true, live.ARN{}},
		"not UTF-8":                    {"/api/video/v1/us-west-2.1.channel.\xff.m3u8", true, live.ARN{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsPlayback(tt.path); got != tt.ours {
				t.Errorf("IsPlayback(%.100q) = %t, want %t", tt.path, got, tt.ours)
			}
			got, ok := channelOf(playbackFile(tt.path))
			if got != tt.names || ok != (tt.names != live.ARN{}) {
				t.Errorf("%.100q names %v, %t, want %v", tt.path, got, ok, tt.names)
			}
		})
	}
}

func TestParseFile(t *testing.T) {
	for name, want := range map[string]fileRef{
		"0.ts":             {part: -1, ext: "ts"},
		"12.mp4":           {msn: 12, part: -1, ext: "mp4"},
		"12.3.ts":          {msn: 12, part: 3, ext: "ts"},
		"12.0.mp4":         {msn: 12, part: 0, ext: "mp4"},
		"init0.mp4":        {init: true, ext: "mp4"},
		"init17.mp4":       {init: true, version: 17, ext: "mp4"},
		"1099511627776.ts": {msn: maxNumber, part: -1, ext: "ts"},
	} {
		want.name = name
		if got, ok := parseFile(name); !ok || got != want {
			t.Errorf("parseFile(%q) = %+v, %t, want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"", ".", "..", "ts", ".ts", "1", "1.", "1.ts.", "1.2.3.ts", "1..ts", ".1.ts", "01.ts", "1.02.ts", "-1.ts", "+1.ts", " 1.ts", "1 .ts",
		"1.-1.ts", "1e3.ts", "0x1.ts", "1.m4s", "1.TS", "1.ts\x00", "1.ts/", "../1.ts", "1/2.ts", "١.ts", "1.ts?x", "index.m3u8",
		"1099511627777.ts", "9223372036854775808.ts", "99999999999999999999999999.ts", "1.1048577.ts",
		"init.mp4", "init-1.mp4", "init01.mp4", "init1.ts", "init1048576.mp4", "init1.2.mp4", "init1.mp4.mp4",
		strings.Repeat("1", 64) + ".ts", strings.Repeat(".", 10000),
	} {
		if got, ok := parseFile(name); ok {
			t.Errorf("parseFile(%.80q) = %+v, want it refused", name, got)
		}
	}
}

// A name that is taken says one thing only: it is what that thing is called.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{"0.ts", "12.3.mp4", "init3.mp4", "01.ts", "1..ts", "init.mp4", "99999999999999999999.ts"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, ok := parseFile(name)
		if !ok {
			return
		}
		again := strconv.FormatInt(ref.msn, 10)
		switch {
		case ref.init:
			again = "init" + strconv.Itoa(ref.version)
		case ref.part >= 0:
			again += "." + strconv.Itoa(ref.part)
		}
		if again += "." + ref.ext; again != name {
			t.Errorf("parseFile(%q) = %+v, which is called %q", name, ref, again)
		}
	})
}

// Whatever is asked for, the answer is one that a player and a cache understand.
func FuzzRequests(f *testing.F) {
	s := newSite(f)
	e := s.publish(f)
	s.golive(f, e, 50)
	for _, target := range []string{
		e.playback(), e.path("index.m3u8"), e.path("index.m3u8?_HLS_msn=0&_HLS_part=0&_HLS_skip=YES"), e.path("0.ts"), e.path("1.0.ts"),
		e.path("init0.mp4"), e.path("index.m3u8?_HLS_msn=-1"), LivePrefix, LivePrefix + e.id, LivePrefix + "vs-AAAA/" + e.id + "/360p30/0.ts", e.playback() + "?token=a.b.c&sluice-origin=AAAA", "/api/video/v1/us-west-2.1.channel.x.m3u8?token=a",
	} {
		f.Add(http.MethodGet, target, "gzip;q=0.5, *;q=0", `W/"1", "2", *`, "bytes=0-1,5-")
	}
	f.Fuzz(func(t *testing.T, method, target, encoding, match, byteRange string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !IsPlayback(u.Path) {
			return
		}
		q := u.Query()
		q.Del("_HLS_msn") // these wait
		u.RawQuery = q.Encode()
		r := &http.Request{Method: method, URL: u, Host: "example.com", RemoteAddr: "192.0.2.1:1", Header: http.Header{
			"Accept-Encoding": {encoding}, "If-None-Match": {match}, "Range": {byteRange},
		}}
		if strings.HasSuffix(u.Path, ".ts") && strings.HasPrefix(u.Path, LivePrefix) {
			r.URL.Path = e.path("0.ts") // the others wait, too
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		h := w.Result().Header
		if h.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("no CORS on %d", w.Code)
		}
		switch w.Code {
		case http.StatusOK, http.StatusPartialContent:
			if h.Get("Cache-Control") == "" || h.Get("Content-Type") == "" {
				t.Errorf("%d with %v", w.Code, h)
			}
		case http.StatusNoContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			var list []playbackError
			if err := json.Unmarshal(w.Body.Bytes(), &list); method != http.MethodHead && (err != nil || len(list) != 1) || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v %s", w.Code, h, w.Body)
			}
		default:
			t.Errorf("%s %s: %d", method, target, w.Code)
		}
	})
}
