package origin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
)

// Media of a private channel is below its viewer's session and nowhere else.
func TestMediaNeedsItsSession(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e, other, public := s.publish(t, private), s.publish(t, private), s.publish(t)
	s.golive(t, e, 80)
	s.golive(t, other, 80)
	s.golive(t, public, 80)
	dir := directory(t, s.play(e, token(t, key, e)))
	session := strings.Split(dir, "/")[3]
	if !strings.HasPrefix(session, live.SessionPrefix) || dir != LivePrefix+session+"/"+e.id+"/360p30/" {
		t.Fatalf("media is at %s", dir)
	}
	if again := directory(t, s.play(e, token(t, key, e))); again == dir {
		t.Error("two viewers have one session")
	}
	flip := func(i int) string { // the session with one character changed
		b := []byte(session)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		return string(b)
	}
	const (
		missing = "media of a private channel needs a viewer session"
		invalid = "viewer session is not valid for this stream"
	)
	for name, tt := range map[string]struct {
		session, stream string
		status          int
		text            string // of the error
	}{
		"its own":                       {session, e.id, 200, ""},
		"none":                          {"", e.id, 403, missing},
		"another stream's":              {session, other.id, 403, invalid},
		"on a public stream":            {session, public.id, 403, invalid},
		"an empty one":                  {"vs-", e.id, 403, invalid},
		"a short one":                   {"vs-AAAA", e.id, 403, invalid},
		"cut short":                     {session[:len(session)-1], e.id, 403, invalid},
		"made longer":                   {session + "A", e.id, 403, invalid},
		"with its beginning changed":    {flip(3), e.id, 403, invalid},
		"with its middle changed":       {flip(len(session) / 2), e.id, 403, invalid},
		"with its end changed":          {flip(len(session) - 2), e.id, 403, invalid},
		"with another alphabet":         {"vs-" + strings.Repeat("%2B", 60), e.id, 403, invalid},
		"a huge one":                    {"vs-" + strings.Repeat("A", 100000), e.id, 403, invalid},
		"twice":                         {session + "/" + session, e.id, 404, "Can not find channel"},
		"for a stream that never was":   {session, "st-AAAAAAAAAAAAAAAAAAAAAAA", 404, "Can not find channel"},
		"with a token after it instead": {"", e.id + "/360p30/0.ts?token=x", 403, missing},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"index.m3u8", "index.m3u8?_HLS_msn=1&_HLS_part=0", "0.ts", "1.0.ts"} {
				target := LivePrefix + tt.session + "/" + tt.stream + "/360p30/" + file
				target = strings.Replace(target, "//", "/", 1)
				w := s.get(target)
				if tt.status == 200 {
					check(t, w, 200, "Access-Control-Allow-Origin", "*")
					if cache := w.Result().Header.Get("Cache-Control"); !strings.HasPrefix(cache, "private, ") {
						t.Errorf("%s may be kept by %s", file, cache)
					}
					continue
				}
				code := badToken
				if tt.status == 404 {
					code = "transcode_does_not_exist"
				}
				got := refused(t, w, tt.status, code)
				if got.Error != tt.text || strings.Contains(w.Body.String(), "vs-") && name != "twice" {
					t.Errorf("%s: %+v, want %q and no session", file, got, tt.text)
				}
			}
		})
	}
	t.Run("for HEAD as for GET", func(t *testing.T) {
		check(t, s.do(http.MethodHead, dir+"0.ts"), 200)
		if w := s.do(http.MethodHead, e.path("0.ts")); w.Code != 403 || w.Body.Len() != 0 {
			t.Errorf("%d with %d bytes, want 403 without", w.Code, w.Body.Len())
		}
	})
	t.Run("whoever asks first where the session may go", func(t *testing.T) {
		check(t, s.do(http.MethodOptions, e.path("0.ts"), "Origin", page), 204, "Access-Control-Allow-Origin", "*")
		check(t, s.do(http.MethodOptions, e.playback(), "Origin", page), 204, "Access-Control-Allow-Origin", "*")
	})
	t.Run("after the stream", func(t *testing.T) {
		e.session.Close(true)
		check(t, s.get(dir+"index.m3u8"), 200) // who is late reads the end
		next := s.publish(t, private)
		s.golive(t, next, 80)
		refused(t, s.get(strings.Replace(dir, e.id, next.id, 1)+"0.ts"), 403, badToken)
	})
}

// With strict enforcement every request needs its origin.
func TestStrictSessions(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	listed := []any{"aws:access-control-allow-origin", page + ",https://*.example.net"}
	strict := directory(t, s.play(e, token(t, key, e, append(listed, "aws:strict-origin-enforcement", true)...), "Origin", page))
	loose := directory(t, s.play(e, token(t, key, e, listed...), "Origin", page))
	for name, tt := range map[string]struct {
		dir, origin string
		status      int
		acao        string
	}{
		"strict, the same page":         {strict, page, 200, page},
		"strict, another on the list":   {strict, "https://a.example.net", 200, "https://a.example.net"},
		"strict, one that is not on it": {strict, "https://evil.example", 403, "*"},
		"strict, none":                  {strict, "", 403, "*"},
		"not strict, the same page":     {loose, page, 200, "*"},
		"not strict, another":           {loose, "https://evil.example", 200, "*"},
		"not strict, none":              {loose, "", 200, "*"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"index.m3u8", "0.ts", "1.0.ts"} {
				var header []string
				if tt.origin != "" {
					header = []string{"Origin", tt.origin}
				}
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					check(t, s.do(method, tt.dir+file, header...), tt.status, "Access-Control-Allow-Origin", tt.acao)
				}
				if tt.status == 403 {
					w := s.get(tt.dir+file, header...)
					if got := refused(t, w, 403, badToken); got.Error != "origin is not allowed by the token" {
						t.Errorf("%+v", got)
					}
					check(t, w, 403, "Vary", "Origin")
				}
			}
		})
	}
}

// A token for one use is used by the playlist, and by nothing that fails before it.
func TestOneUse(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	once := token(t, key, e, "aws:single-use-uuid", uuid, "aws:access-control-allow-origin", page)
	refused(t, s.play(e, once, "Origin", "https://evil.example"), 403, badToken)
	for range 2 {
		check(t, s.do(http.MethodHead, e.playback()+"?token="+once), 200)
	}
	w := s.play(e, once)
	check(t, s.get(directory(t, w)+"0.ts"), 200)
	for range 2 {
		if got := refused(t, s.play(e, once), 403, badToken); got.Error != "token has already been used" {
			t.Errorf("%+v", got)
		}
		check(t, s.do(http.MethodHead, e.playback()+"?token="+once), 403)
	}
	check(t, s.get(directory(t, w)+"0.ts"), 200) // whoever is in stays in
	other := s.publish(t, private)
	s.golive(t, other, 80)
	check(t, s.play(other, token(t, key, other, "aws:single-use-uuid", uuid)), 200)
}

// HEAD tells of the same playlist as GET.
func TestHeadOfAPrivateChannel(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	tok := token(t, key, e, "aws:viewer-id", "ann")
	get, head := s.play(e, tok), s.do(http.MethodHead, e.playback()+"?token="+tok)
	check(t, head, 200, "Content-Length", get.Result().Header.Get("Content-Length"), "Cache-Control", "no-store")
	if head.Body.Len() != 0 {
		t.Errorf("HEAD has %d bytes", head.Body.Len())
	}
	s.revoke(t, e, "ann", 0)
	check(t, s.do(http.MethodHead, e.playback()+"?token="+tok), 403)
}

// A revocation that no message told of ends what runs within two seconds, the requests
// that wait for media included.
func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		key := newKey(t)
		s.importKey(t, key)
		e, other := s.publish(t, private), s.publish(t, private)
		s.golive(t, e, 80)
		s.golive(t, other, 80)
		enter := func(e *encoder, with ...any) string { return directory(t, s.play(e, token(t, key, e, with...))) }
		viewer := func(id string, version int) []any {
			return []any{"aws:viewer-id", id, "aws:viewer-session-version", version}
		}
		out := map[string]string{
			"the viewer":               enter(e, viewer("ann", 0)...),
			"the viewer, once more":    enter(e, viewer("ann", 0)...),
			"up to the version":        enter(e, viewer("ann", 5)...),
			"versions below 0 as well": enter(e, viewer("ann", -3)...),
		}
		in := map[string]string{
			"a later version":                enter(e, viewer("ann", 6)...),
			"another viewer":                 enter(e, viewer("bob", 0)...),
			"nobody in particular":           enter(e),
			"the viewer on another channel":  enter(other, viewer("ann", 0)...),
			"a viewer who differs in letter": enter(e, viewer("Ann", 0)...),
		}
		waiting := make(chan *httptest.ResponseRecorder, 2)
		for _, file := range []string{"index.m3u8?_HLS_msn=3", "2.3.ts"} {
			go func() { waiting <- s.get(out["the viewer"] + file) }()
		}
		synctest.Wait()
		for who, dir := range out {
			check(t, s.get(dir+"0.ts"), 200)
			_ = who
		}
		s.revoke(t, e, "ann", 5)
		time.Sleep(2 * time.Second)
		e.send(t, 120) // the media that they wait for
		for range 2 {
			if got := refused(t, <-waiting, 403, badToken); got.Error != "viewer session is revoked" {
				t.Errorf("who waited gets %+v", got)
			}
		}
		for who, dir := range out {
			for _, file := range []string{"index.m3u8", "1.ts", "1.0.ts"} {
				if got := refused(t, s.get(dir+file), 403, badToken); got.Error != "viewer session is revoked" {
					t.Errorf("%s: %s: %+v", who, file, got)
				}
			}
		}
		for who, dir := range in {
			if w := s.get(dir + "index.m3u8"); w.Code != 200 {
				t.Errorf("%s: %d %s", who, w.Code, w.Body)
			}
		}
		refused(t, s.play(e, token(t, key, e, viewer("ann", 5)...)), 403, badToken)
		check(t, s.get(enter(e, viewer("ann", 7)...)+"1.ts"), 200)
		s.revoke(t, e, "ann", 7)
		time.Sleep(2 * time.Second)
		refused(t, s.get(in["a later version"]+"1.ts"), 403, badToken)
	})
}

// A key that is deleted lets nobody in a second later, and whoever is in stays in.
func TestAKeyIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		key := newKey(t)
		arn := s.importKey(t, key)
		e := s.publish(t, private)
		s.golive(t, e, 80)
		tok := token(t, key, e)
		dir := directory(t, s.play(e, tok))
		if err := s.delete(t, arn); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := refused(t, s.play(e, tok), 403, badToken); got.Error != "token signature is invalid" {
			t.Errorf("%+v", got)
		}
		check(t, s.get(dir+"0.ts"), 200)
		s.importKey(t, key)
		time.Sleep(time.Second)
		check(t, s.play(e, tok), 200)
	})
}

// A token on a public channel has its effect if it is good, and none if it is not.
func TestTokensOnAPublicChannel(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t)
	s.golive(t, e, 80)
	for name, tt := range map[string]struct {
		token   string
		session bool
	}{
		"good":          {token(t, key, e), true},
		"none":          {"", false},
		"nonsense":      {"x", false},
		"expired":       {token(t, key, e, "exp", 1), false},
		"of nobody's":   {token(t, newKey(t), e), false},
		"another page":  {token(t, key, e, "aws:access-control-allow-origin", "https://x.example"), false},
		"limited to SD": {token(t, key, e, "aws:maximum-resolution", "SD"), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.play(e, tt.token, "Origin", page)
			dir := directory(t, w)
			if strings.Contains(dir, live.SessionPrefix) != tt.session {
				t.Errorf("media is at %s, want a session: %t", dir, tt.session)
			}
			check(t, s.get(dir+"0.ts"), 200)
		})
	}
}

// The largest resolution of a token is what the playlist shows and what may be fetched.
func TestMaximumResolution(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	for name, tt := range map[string]struct {
		width, height int
		class         string
		ok            bool
	}{
		"480 lines of SD":             {852, 480, "SD", true},
		"more lines than SD":          {1024, 576, "SD", false},
		"720 lines of HD":             {1280, 720, "HD", true},
		"more lines than HD":          {1920, 1080, "HD", false},
		"1080 lines of FULL_HD":       {1920, 1080, "FULL_HD", true},
		"more lines than FULL_HD":     {2560, 1440, "FULL_HD", false},
		"upright, by its short edge":  {720, 1280, "HD", true},
		"upright and too large":       {1080, 1920, "HD", false},
		"anything without the claim":  {3840, 2160, "", true},
		"below what there is a claim": {284, 160, "SD", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := s.publish(t, private)
			e.track = &media.Track{
				Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale, SPS: e.track.SPS, PPS: e.track.PPS,
				Width: tt.width, Height: tt.height, FrameRate: 30,
			}
			s.golive(t, e, 80)
			var class any
			if tt.class != "" {
				class = tt.class
			}
			w := s.play(e, token(t, key, e, "aws:maximum-resolution", class))
			if tt.ok {
				check(t, s.get(directory(t, w)+"0.ts"), 200)
				return
			}
			if got := refused(t, w, 403, "unauthorized_entitlements"); got.Error != "the stream has no rendition as small as the token allows" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Views of a private channel are counted one by one, wherever they are from.
func TestSessionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		key := newKey(t)
		s.importKey(t, key)
		e := s.publish(t, private)
		s.golive(t, e, 80)
		tok := token(t, key, e)
		for range 7 { // of one address and user agent
			dir := directory(t, s.play(e, tok))
			s.get(dir + "index.m3u8")
			s.get(dir + "index.m3u8")
			s.get(dir + "0.ts")
		}
		s.play(e, tok) // who only looks
		time.Sleep(2 * roster.Interval)
		if st, ok := s.roster.Get(e.arn); !ok || st.Viewers != 7 {
			t.Errorf("%d viewers, want 7", st.Viewers)
		}
	})
}

func TestTooManyViews(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxViews = 100 })
	e, foreign := s.publish(t), s.publish(t, func(c *live.Channel) { c.ARN.Region = "eu-west-1" })
	s.golive(t, e, 80)
	s.golive(t, foreign, 80)
	views := func(n int64) {
		arn := e.arn
		arn.ID = "elsewhere" // on another node
		if err := s.roster.Announce(t.Context(), roster.Entry{State: live.State{Channel: arn, Viewers: n}}); err != nil {
			t.Fatal(err)
		}
	}
	views(99)
	check(t, s.get(e.playback()), 200)
	views(100)
	w := s.get(e.playback())
	refused(t, w, 429, "too_many_views")
	check(t, w, 429, "Retry-After", "10")
	check(t, s.get(e.path("0.ts")), 200) // who is in stays in
	check(t, s.get(foreign.playback()), 200)
}

// A store that does not answer is no reason to call a token wrong.
func TestTheStoreIsAway(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	dir := directory(t, s.play(e, token(t, key, e)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, e.playback()+"?token="+token(t, key, e, "aws:viewer-id", "ann"), http.NoBody)
	w := s.serve(r)
	refused(t, w, 503, "playback_unavailable")
	check(t, w, 503, "Retry-After", "1")
	check(t, s.get(dir+"0.ts"), 200)
}

func TestRefusalsAreCounted(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	s.play(e, "")
	s.play(e, "x")
	s.play(e, token(t, key, e, "exp", 1))
	s.get(e.path("0.ts"))
	s.play(e, token(t, key, e))
	for reason, want := range map[string]float64{"no_token": 1, "bad_token": 1, "expired": 1, "bad_session": 1, "revoked": 0, "unavailable": 0} {
		if got := s.counted(t, "sluice_playback_refused_total", reason); got != want {
			t.Errorf("%v refused because of %s, want %v", got, reason, want)
		}
	}
	if got := s.counted(t, "sluice_viewer_sessions_started_total", ""); got != 1 {
		t.Errorf("%v sessions started, want 1", got)
	}
}

// A token that allows small pictures only gets a playlist of those, and no others, also
// not by a name that it can guess or that another playlist reports.
func TestMaximumResolutionOfALadder(t *testing.T) {
	s := newSite(t)
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private)
	s.golive(t, e, 80)
	for name, size := range map[string][2]int{"1080p30": {1920, 1080}, "720p30": {1280, 720}, "480p30": {852, 480}} {
		r, err := packager.New(packager.Config{LowLatency: true, Container: live.ContainerTS}, name)
		if err != nil {
			t.Fatal(err)
		}
		rung := &encoder{session: writer{write: r.Write}, track: &media.Track{
			Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale, SPS: e.track.SPS, PPS: e.track.PPS,
			Width: size[0], Height: size[1], FrameRate: 30,
		}}
		rung.send(t, 80)
		s.stream(t, e).Media().Add(r)
	}
	all := []string{"1080p30", "360p30", "480p30", "720p30"}
	for class, want := range map[string][]string{
		"": all, "FULL_HD": all, "HD": {"360p30", "480p30", "720p30"}, "SD": {"360p30", "480p30"},
	} {
		t.Run(class, func(t *testing.T) {
			var claim any
			if class != "" {
				claim = class
			}
			m, err := hls.ParseMultivariant(s.play(e, token(t, key, e, "aws:maximum-resolution", claim)).Body.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range m.Variants {
				got = append(got, v.Group)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("variants %v, want %v", got, want)
			}
			dir := strings.TrimSuffix(m.Variants[0].URI, m.Variants[0].Group+"/index.m3u8")
			for _, name := range all {
				for _, file := range []string{"/index.m3u8", "/0.ts", "/1.0.ts"} {
					w := s.get(dir + name + file)
					if slices.Contains(want, name) {
						check(t, w, 200)
					} else if got := refused(t, w, 403, "unauthorized_entitlements"); got.Error != "the token does not allow this resolution" {
						t.Errorf("%+v", got)
					}
				}
			}
		})
	}
}

// A writer is a session that hands its media on.
type writer struct {
	ingest.Session // nil: nothing else is asked of it
	write          func(media.Unit) error
}

func (w writer) Write(u media.Unit) error { return w.write(u) }

// A page whose player was redirected has no origin any more; the node that redirected
// says what it was, to the owner of that channel and for a moment.
func TestOriginsSurviveRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner, other := newSite(t), newSite(t)
		key := newKey(t)
		owner.importKey(t, key)
		e, second := owner.publish(t, private), owner.publish(t, private)
		owner.golive(t, e, 80)
		owner.golive(t, second, 80)
		for _, e := range []*encoder{e, second} {
			if err := other.roster.Announce(t.Context(), roster.Entry{State: live.State{Channel: e.arn, Stream: e.id, Origin: "http://owner.example"}}); err != nil {
				t.Fatal(err)
			}
		}
		listed := []any{"aws:access-control-allow-origin", page, "aws:strict-origin-enforcement", true, "exp", time.Now().Add(time.Hour).Unix()}
		tok := token(t, key, e, listed...)
		sent := func(e *encoder, tok, from string) string {
			to := other.play(e, tok, "Origin", from).Result().Header.Get("Location")
			path, ok := strings.CutPrefix(to, "http://owner.example")
			if !ok {
				t.Fatalf("sent to %q", to)
			}
			return path
		}
		good := sent(e, tok, page)
		w := owner.get(good, "Origin", "null")
		check(t, w, 200, "Access-Control-Allow-Origin", "null", "Vary", "Origin")
		check(t, owner.get(directory(t, w)+"0.ts", "Origin", page), 200, "Access-Control-Allow-Origin", page)
		check(t, owner.get(directory(t, w)+"0.ts", "Origin", "null"), 403)

		word := good[strings.Index(good, "&sluice-origin="):]
		for name, target := range map[string]string{
			"from another page":       sent(e, tok, "https://evil.example"),
			"without a word":          strings.TrimSuffix(good, word),
			"with an empty one":       strings.TrimSuffix(good, word) + "&sluice-origin=",
			"with one made up":        strings.TrimSuffix(good, word) + "&sluice-origin=" + page,
			"with one cut short":      good[:len(good)-1],
			"of another channel":      second.playback() + "?token=" + token(t, key, second, listed...) + word,
			"with one that is huge":   strings.TrimSuffix(good, word) + "&sluice-origin=" + strings.Repeat("A", 10000),
			"from a page without one": sent(e, tok, "null"),
		} {
			if got := refused(t, owner.get(target, "Origin", "null"), 403, badToken); got.Error != "origin is not allowed by the token" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		refused(t, owner.get(good, "Origin", "https://evil.example"), 403, badToken) // who has an origin speaks for itself
		for range 31 {
			time.Sleep(time.Second)
			e.send(t, 30)
		}
		refused(t, owner.get(good, "Origin", "null"), 403, badToken)
	})
}
