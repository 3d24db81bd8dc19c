package browser

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/internal/watch"
)

// stream is live HLS without low-latency parts, written by ffmpeg and served to pages
// of any origin. What the players make of it is known, so what is tested is this
// package.
type stream struct{ dir, url string }

func serve(t *testing.T) stream {
	t.Helper()
	dir := t.TempDir()
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-store")
		if filepath.Ext(r.URL.Path) == ".m3u8" {
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return stream{dir, srv.URL + "/index.m3u8"}
}

// publish starts a broadcast on the stream.
func (st stream) publish(t *testing.T) *testmedia.Publisher {
	t.Helper()
	return testmedia.Publish(t, testmedia.Source{
		Audio: true,
		URL:   filepath.Join(st.dir, "media.m3u8"),
		Format: []string{
			"-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-master_pl_name", "index.m3u8",
			"-hls_flags", "delete_segments+program_date_time+independent_segments",
		},
	})
}

// await returns when there is enough for players to start: three segments.
func (st stream) await(t *testing.T, p *testmedia.Publisher) {
	t.Helper()
	for _, name := range []string{"index.m3u8", "media2.ts"} {
		for {
			if _, err := os.Stat(filepath.Join(st.dir, name)); err == nil {
				break
			}
			select {
			case <-p.Done():
				t.Fatalf("ffmpeg wrote no %s: %v", name, p.Wait())
			case <-time.After(50 * time.Millisecond): // files have no event
			}
		}
	}
}

func TestPlayersAreMeasured(t *testing.T) {
	for name, player := range map[string]string{"hls.js": HLSJS, "IVS player": IVS} {
		t.Run(name, func(t *testing.T) {
			install(t)
			st := serve(t)
			st.await(t, st.publish(t))
			r := Play(t, Options{Player: player, URL: st.url, Seconds: 8, Clock: true})
			t.Log(r)
			if r.StartMs == nil {
				t.Fatalf("no frame; errors %+v, console %q", r.Errors, r.Console)
			}
			if l := r.Latency; l.Samples < 100 || l.Unread > l.Samples/20 {
				t.Errorf("%d frames read and %d not, want nearly all", l.Samples, l.Unread)
			} else if *l.MedianMs < 500 || *l.MedianMs > 15_000 {
				t.Errorf("median age %v ms, which segments of 1 s cannot give", *l.MedianMs)
			}
			if f := r.Frames; f.Backwards != 0 || f.Width != 640 || f.Height != 360 || f.Decoded == 0 {
				t.Errorf("frames %+v", f)
			}
			if len(r.Qualities) != 1 || r.Qualities[0].Height != 360 {
				t.Errorf("qualities %+v, want the one of 360 lines", r.Qualities)
			}
		})
	}
}

// page serves the watch page for one channel that plays from url.
func page(t *testing.T, url string) string {
	t.Helper()
	resolve := func(_ context.Context, ref string) (string, string, error) {
		if ref != channel {
			return "", "", live.Errorf(live.NotFound, "no channel %s", ref)
		}
		return url, "Morning show", nil
	}
	origins := []string{}
	if u, err := neturl.Parse(url); err == nil && u.Host != "" {
		origins = append(origins, u.Scheme+"://"+u.Host)
	}
	h, err := watch.New(slog.New(slog.DiscardHandler), resolve, watch.Config{Media: origins})
	if err != nil {
		t.Fatal(err)
	}
	if !h.Built() {
		if os.Getenv(Require) != "" {
			t.Fatal("the watch page is not built: make web")
		}
		t.Skip("the watch page is not built: make web")
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + watch.Prefix
}

const channel = "arn:aws:ivs:us-west-2:123456789012:channel/AbCdEf123456"

func TestTheWatchPagePlays(t *testing.T) {
	install(t)
	st := serve(t)
	st.await(t, st.publish(t))
	base := page(t, st.url)
	r := Play(t, Options{Player: Watch, URL: base + neturl.PathEscape(channel), Seconds: 6, Clock: true, Shot: shot(t, "live")})
	t.Log(r)
	if r.StartMs == nil || len(r.Errors) != 0 {
		t.Fatalf("no frame; states %+v, errors %+v, console %q", r.States, r.Errors, r.Console)
	}
	if len(r.External) != 0 || len(r.Console) != 0 { // a breach of its policy is on the console
		t.Errorf("asked %q, console %q, want neither", r.External, r.Console)
	}
	if last := r.States[len(r.States)-1].State; last != "live" {
		t.Errorf("states %+v, want it live at last", r.States)
	}
	if r.Reported.Samples == 0 || len(r.Qualities) != 1 {
		t.Errorf("latency %+v, qualities %+v", r.Reported, r.Qualities)
	}
}

func TestTheWatchPageWaitsAndExplains(t *testing.T) {
	install(t)
	answer := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(srv.Close)
		return srv.URL + "/c.m3u8"
	}
	for name, tt := range map[string]struct {
		url   string
		path  string
		state string
		fault string
	}{
		"off air":           {answer(404, `[{"error":"Can not find channel"}]`), channel, "offline", "Offline"},
		"bad token":         {answer(403, `[{"error":"token is expired","error_code":"invalid_playback_auth_token","type":"error"}]`), channel, "failed", "Not allowed"},
		"too many viewers":  {answer(429, `[{"error":"concurrent views quota","error_code":"too_many_views"}]`), channel, "lost", "Too many viewers"},
		"no such channel":   {answer(404, ""), "ZZZZZZZZZZZZ", "failed", "No such channel"},
		"server in trouble": {answer(500, ""), channel, "lost", "Server trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			base := page(t, tt.url)
			r := Play(t, Options{Player: Watch, URL: base + tt.path, Until: tt.state, Seconds: 1, Shot: shot(t, tt.state+"-"+tt.fault)})
			if r.Reached == nil || !*r.Reached || len(r.Errors) == 0 || r.Errors[0].Type != tt.fault {
				t.Errorf("states %+v, errors %+v, want %q and %q", r.States, r.Errors, tt.state, tt.fault)
			}
		})
	}
}

func TestTheWatchPageTakesUpTheNextBroadcast(t *testing.T) {
	install(t)
	st := serve(t)
	first := st.publish(t)
	st.await(t, first)
	started, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		<-started
		_ = first.Stop()
		st.publish(t) // into the same files: its playlist starts at 0 again
	}()
	r := Play(t, Options{
		Player: Watch, URL: page(t, st.url) + neturl.PathEscape(channel),
		Seconds: 40, Until: "live,offline,live", Started: started,
	})
	<-over
	if r.Reached == nil || !*r.Reached {
		t.Errorf("states %+v, errors %+v, want it live, offline and live again", r.States, r.Errors)
	}
}

// shot names a file for a picture of the page when SLUICE_TEST_SHOTS says where.
func shot(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("SLUICE_TEST_SHOTS")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name+".png")
}

func TestTheEndIsSeen(t *testing.T) {
	install(t)
	st := serve(t)
	p := st.publish(t)
	st.await(t, p)
	started := make(chan struct{})
	go func() {
		<-started
		_ = p.Stop()
	}()
	r := Play(t, Options{Player: HLSJS, URL: st.url, Seconds: 30, Until: "ended", Started: started})
	if r.Reached == nil || !*r.Reached || !r.Ended {
		t.Errorf("ended %t, states %+v, want the end", r.Ended, r.States)
	}
}

func TestARefusalIsReported(t *testing.T) {
	install(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`[{"url":"/x","error":"token is expired","error_code":"invalid_playback_auth_token","type":"error"}]`))
	}))
	t.Cleanup(srv.Close)
	for name, player := range map[string]string{"hls.js": HLSJS, "IVS player": IVS} {
		t.Run(name, func(t *testing.T) {
			r := Play(t, Options{Player: player, URL: srv.URL + "/c.m3u8", Until: "error", Seconds: 1})
			fatal := slices.IndexFunc(r.Errors, func(f Fault) bool { return f.Fatal })
			if r.StartMs != nil || fatal < 0 {
				t.Fatalf("started %v, errors %+v, want a fatal one", r.StartMs, r.Errors)
			}
			// The IVS player has its own number for this error_code.
			if want := map[string]int{HLSJS: 403, IVS: 7}[player]; r.Errors[fatal].Code != want {
				t.Errorf("error %+v, want code %d", r.Errors[fatal], want)
			}
		})
	}
}
