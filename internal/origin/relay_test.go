package origin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/live"
)

// peer is a site where requests of nodes with a key are good.
func peerSite(t *testing.T) (*site, edge.Credential) {
	t.Helper()
	key := edge.NewCredential([]byte("shared"))
	return newSite(t, func(c *Config) { c.Credential = key }), key
}

// asNode asks as another node does.
func (s *site) asNode(key edge.Credential, uri string) *httptest.ResponseRecorder {
	return s.get(uri, edge.Header, key.Sign(uri, time.Now()))
}

func TestNodesGetMediaWithoutASession(t *testing.T) {
	s, key := peerSite(t)
	e := s.publish(t, func(ch *live.Channel) { ch.Authorized = true })
	s.golive(t, e, 80)
	refused(t, s.get(e.path("0.ts")), 403, "invalid_playback_auth_token")
	for _, file := range []string{"index.m3u8", "index.m3u8?_HLS_msn=1", "0.ts", "0.1.ts"} {
		w := s.asNode(key, e.path(file))
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", file, w.Code, w.Body)
		}
		if cc := w.Header().Get("Cache-Control"); !strings.HasPrefix(cc, "private, ") {
			t.Errorf("%s: Cache-Control %q, want private", file, cc)
		}
	}
	check(t, s.asNode(key, e.path("0.1.ts")), 200, edge.DurationHeader, "200000000")
	refused(t, s.asNode(key, e.path("99.ts")), 404, "transcode_does_not_exist")
	refused(t, s.asNode(key, LivePrefix+"st-other/360p30/0.ts"), 404, "transcode_does_not_exist")
	if n := s.counted(t, "sluice_playback_node_requests_total", ""); n != 7 {
		t.Errorf("%v requests of nodes counted, want 7", n)
	}
	if n := s.counted(t, "sluice_playback_seconds_total", ""); n != 0 {
		t.Errorf("%v seconds counted that a node was given, want none", n)
	}
}

func TestAboutAStream(t *testing.T) {
	s, key := peerSite(t)
	e := s.publish(t, func(ch *live.Channel) { ch.Authorized, ch.SRTPassphrase = true, "do not tell" })
	s.golive(t, e, 80)
	uri := LivePrefix + e.id + "/" + edge.AboutFile
	w := s.asNode(key, uri)
	check(t, w, 200, "Content-Type", "application/json", "Cache-Control", "private, max-age=1")
	var a edge.About
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Stream != e.id || a.Channel != e.arn || !a.Authorized || a.LatencyMode != live.LatencyLow || a.Restriction != nil {
		t.Errorf("about: %+v", a)
	}
	if !slices.ContainsFunc(a.Renditions, func(d edge.Described) bool {
		return d.Name == "360p30" && d.Height == 360 && d.Extension == "ts" && d.Listed
	}) {
		t.Errorf("renditions %+v", a.Renditions)
	}
	if strings.Contains(w.Body.String(), "do not tell") {
		t.Error("it tells a secret of the channel")
	}
	if w := s.get(uri); w.Code != http.StatusForbidden {
		t.Errorf("a viewer who asks: %d, want 403", w.Code)
	}
}

func TestWhoIsNoNode(t *testing.T) {
	s, key := peerSite(t)
	e := s.publish(t)
	s.golive(t, e, 80)
	uri := e.path("0.ts")
	for name, header := range map[string]string{
		"empty":            "",
		"another key":      edge.NewCredential([]byte("guessed")).Sign(uri, time.Now()),
		"another path":     key.Sign(e.path("1.ts"), time.Now()),
		"an hour ago":      key.Sign(uri, time.Now().Add(-time.Hour)),
		"about the stream": key.Sign(LivePrefix+e.id+"/"+edge.AboutFile, time.Now()),
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, s.get(uri, edge.Header, header), 403, "invalid_node")
		})
	}
	if n := s.counted(t, "sluice_playback_refused_total", forged); n != 5 {
		t.Errorf("%v counted, want 5", n)
	}
	if w := s.do(http.MethodHead, uri, edge.Header, key.Sign(uri, time.Now())); w.Code != http.StatusForbidden {
		t.Errorf("HEAD with a good header: %d, want 403: nodes do not ask that", w.Code)
	}
}
