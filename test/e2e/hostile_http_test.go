package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/internal/servertest"
)

// attackAPI sends signed requests that no SDK makes.
func attackAPI(t *testing.T, srv *process) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) }
	for name, tt := range map[string]struct {
		path, body string
		status     int
		exception  string
	}{
		"1 MB of JSON":              {"/CreateChannel", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "RequestEntityTooLargeException"},
		"1 MB of spaces":            {"/ListChannels", strings.Repeat(" ", 1<<20), 413, "RequestEntityTooLargeException"},
		"200 KB in one name":        {"/CreateChannel", `{"name":"` + strings.Repeat("x", 200<<10) + `"}`, 400, "ValidationException"},
		"200 KB of tags":            {"/CreateChannel", `{"tags":{"a":"b"` + strings.Repeat(`,"a":"b"`, 20<<10) + `}}`, 200, ""},
		"objects 10,000 deep":       {"/CreateChannel", deep(10_000), 400, "SerializationException"},
		"lists 100,000 deep":        {"/CreateChannel", `{"x":` + strings.Repeat("[", 100_000) + `}`, 400, "SerializationException"},
		"depth in a known member":   {"/CreateChannel", `{"multitrackInputConfiguration":` + deep(10_000) + `}`, 400, "SerializationException"},
		"a number for a string":     {"/CreateChannel", `{"name":5}`, 400, "SerializationException"},
		"a string for a boolean":    {"/CreateChannel", `{"authorized":"true"}`, 400, "SerializationException"},
		"a list for a map":          {"/CreateChannel", `{"tags":["a"]}`, 400, "SerializationException"},
		"a map for a list":          {"/BatchGetChannel", `{"arns":{"a":"b"}}`, 400, "SerializationException"},
		"null in a list":            {"/BatchGetChannel", `{"arns":[null]}`, 400, "SerializationException"},
		"a list at the top":         {"/CreateChannel", `[]`, 400, "SerializationException"},
		"a string at the top":       {"/CreateChannel", `"name"`, 400, "SerializationException"},
		"null at the top":           {"/GetChannel", `null`, 400, "SerializationException"},
		"two documents":             {"/CreateChannel", `{}{}`, 400, "SerializationException"},
		"half a document":           {"/CreateChannel", `{"name":"a`, 400, "SerializationException"},
		"no JSON":                   {"/CreateChannel", "name=a&type=b", 400, "SerializationException"},
		"XML":                       {"/CreateChannel", "<channel/>", 400, "SerializationException"},
		"bad UTF-8":                 {"/CreateChannel", "{\"name\":\"\xff\xfe\"}", 400, "SerializationException"},
		"half a surrogate":          {"/CreateChannel", `{"tags":{"a":"\ud800"}}`, 400, "SerializationException"},
		"a NUL in a name":           {"/CreateChannel", `{"name":"a\u0000b"}`, 400, "ValidationException"},
		"1e400 for a number":        {"/ListChannels", `{"maxResults":1e400}`, 400, "SerializationException"},
		"half a number":             {"/ListChannels", `{"maxResults":1.5}`, 400, "SerializationException"},
		"a number past 64 bits":     {"/ListChannels", `{"maxResults":99999999999999999999}`, 400, "SerializationException"},
		"a number below the range":  {"/ListChannels", `{"maxResults":-1}`, 400, "ValidationException"},
		"51 ARNs":                   {"/BatchGetChannel", `{"arns":["` + strings.Repeat(absentChannel+`","`, 50) + absentChannel + `"]}`, 400, "ValidationException"},
		"no ARN":                    {"/GetChannel", `{}`, 400, "ValidationException"},
		"an ARN of SQL":             {"/GetChannel", `{"arn":"arn:aws:ivs:us-west-2:123456789012:channel/' OR '1'='1"}`, 400, "ValidationException"},
		"an ARN of another service": {"/GetChannel", `{"arn":"arn:aws:s3:::bucket"}`, 400, "ValidationException"},
		"a token that is noise":     {"/ListChannels", `{"nextToken":"////"}`, 400, "ValidationException"},
		"a token of 2 KB":           {"/ListChannels", `{"nextToken":"` + strings.Repeat("A", 2<<10) + `"}`, 400, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, call{path: tt.path, body: []byte(tt.body)}.sign(t, &srv.Server, admin(&srv.Server)))
			if a.status != tt.status || a.exception() != tt.exception {
				t.Errorf("%d %s %.200s, want %d %s", a.status, a.exception(), a.body, tt.status, tt.exception)
			}
			if len(a.body) > 4<<10 {
				t.Errorf("the answer repeats %d bytes", len(a.body))
			}
			checkWireHeaders(t, name, a.header)
		})
	}
	t.Run("1 MB of JSON without a length, from nobody, many times at once", func(t *testing.T) {
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				req := call{path: "/CreateChannel"}.request(t, &srv.Server)
				req.Body, req.ContentLength = http.NoBody, -1
				req.Body = readCloser{strings.NewReader(`{"name":"` + strings.Repeat("x", 1<<20) + `"}`)}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return // the server hung up while we were still sending
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("status %d, want 413", resp.StatusCode)
				}
			})
		}
		all.Wait()
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// attackHTTP sends what no HTTP client sends.
func attackHTTP(t *testing.T, srv *process) {
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"noise":                  {"\x00\x01\x02\xff\r\n\r\n", 400},
		"no version":             {"GET /\r\n\r\n", 400},
		"no host":                {"GET / HTTP/1.1\r\n\r\n", 400},
		"a host with a space":    {"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		"1 MB of headers":        {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431},
		"10,000 headers":         {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: 1234567890\r\n", 10_000) + "\r\n", 431},
		"1 MB of path":           {"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		"a negative length":      {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		"two lengths":            {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
		"an absurd length":       {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n{}", 413},
		"bad chunks":             {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		"32 KB of credentials":   {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 " + strings.Repeat("a=b,", 8<<10) + "\r\nContent-Length: 0\r\n\r\n", 403},
		"a body that never came": {"POST /CreateChannel HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", 400},
		"a hostile host":         {"GET /live-video.net/api/video/v1/x HTTP/1.1\r\nHost: \"><script>\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := exchange(t, srv, tt.request)
			if resp.StatusCode != tt.status {
				t.Errorf("%d %.200s, want %d", resp.StatusCode, body, tt.status)
			}
		})
	}
}

// exchange sends a request as it is written and reads the answer.
func exchange(t *testing.T, srv *process, request string) (*http.Response, []byte) {
	t.Helper()
	c := connect(t, srv.HTTP)
	_, _ = c.Write([]byte(request)) // the server may refuse before it has read all
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return resp, b.Bytes()
}

// attackPlayback asks for paths and queries that no playlist names. All answers are in
// the form that players read, and none is the server's fault.
func attackPlayback(t *testing.T, srv *process, ch servertest.Channel) {
	media := variantURL(t, *ch.PlaybackUrl)
	playlist := strings.TrimPrefix(media, srv.Base)
	dir := strings.TrimSuffix(playlist, "index.m3u8")
	stream := strings.TrimSuffix(dir, "180p15/")
	if stream == dir {
		t.Fatalf("media playlist at %s, want the rendition 180p15", playlist)
	}
	playback := strings.TrimPrefix(*ch.PlaybackUrl, srv.Base)
	for status, targets := range map[int][]string{
		http.StatusNotFound: {
			strings.Replace(playback, ".channel.", ".channel.x", 1),
			strings.Replace(playback, ".m3u8", "", 1),
			strings.Replace(playback, ".m3u8", ".mpd", 1),
			strings.Replace(playback, "us-west-2", "%2e%2e", 1),
			strings.Replace(playback, "123456789012", strings.Repeat("9", 4000), 1),
			strings.Replace(playback, ".channel.", ".channel.%00", 1),
			"/v1/live/", "/v1/live//", "/v1/live/st-", "/v1/live/st-AAAAAAAAAAAAAAAAAAAAAAA/180p15/index.m3u8",
			"/v1/live/../../../../etc/passwd", "/v1/live/%2e%2e/%2e%2e/etc/passwd", "/v1/live/..%2f..%2fetc%2fpasswd", "/v1/live/%00",
			stream, stream + "180p15", dir, dir + "index.m3u8/", dir + "../180p15/index.m3u8", dir + "%2e%2e/sluice.db",
			stream + "999p99/index.m3u8", stream + "180P15/index.m3u8", stream + "%31%38%30p15%00/index.m3u8", stream + strings.Repeat("x", 8<<10) + "/index.m3u8",
			dir + "-1.ts", dir + "+1.ts", dir + "01.ts", dir + "0x1.ts", dir + "1e3.ts", dir + "%201.ts", dir + ".ts", dir + "ts", dir + "1.", dir + "1.mp4",
			dir + "9223372036854775807.ts", dir + "99999999999999999999999.ts", dir + "1000000.ts", dir + "0.99999999999.ts", dir + "0.1.2.ts",
			dir + "init0.mp4", dir + "init.mp4", dir + "init99999999999999999999.mp4", dir + "1.ts%00", dir + "1.ts/../../index.m3u8",
		},
		http.StatusBadRequest: {
			playlist + "?_HLS_msn=", playlist + "?_HLS_msn=-1", playlist + "?_HLS_msn=abc", playlist + "?_HLS_msn=1e3", playlist + "?_HLS_msn=%31x",
			playlist + "?_HLS_msn=9223372036854775808", playlist + "?_HLS_msn=99999999999999999999999999", playlist + "?_HLS_msn=100000",
			playlist + "?_HLS_msn=1&_HLS_msn=1", playlist + "?_HLS_part=0", playlist + "?_HLS_msn=1&_HLS_part=-1", playlist + "?_HLS_msn=1&_HLS_part=4294967296",
			playlist + "?_HLS_skip=MAYBE", playlist + "?_HLS_skip=YES&_HLS_skip=YES", playlist + "?x=" + strings.Repeat("y", 16<<10),
		},
	} {
		for _, target := range targets {
			resp, body := exchange(t, srv, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("GET %.200s: %d %v %.200s, want %d in the form of players", target, resp.StatusCode, resp.Header, body, status)
				continue
			}
			if e := playbackError(t, body); e.Code == "" || e.Type != "error" {
				t.Errorf("GET %.200s: %s", target, body)
			}
			if bytes.Contains(body, []byte(srv.Dir)) {
				t.Errorf("GET %.200s shows a path of this machine: %s", target, body)
			}
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FETCH"} {
		resp, body := exchange(t, srv, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, playlist))
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s of a playlist: %d %.200s, want 405", method, resp.StatusCode, body)
		}
	}
	for header, want := range map[string]int{
		"Range: bytes=0-0": 200, "Range: bytes=99999999999-": 200, "Accept-Encoding: " + strings.Repeat("gzip,", 4000): 200,
		"If-None-Match: " + strings.Repeat(`"x",`, 4000): 200, "Accept-Encoding: \x01": 400,
	} {
		resp, body := exchange(t, srv, "GET "+playlist+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+header+"\r\n\r\n")
		if resp.StatusCode != want {
			t.Errorf("playlist with %.100q: %d %.200s, want %d", header, resp.StatusCode, body, want)
		}
	}
}
