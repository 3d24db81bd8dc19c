package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/series"
)

const (
	streamID  = "st-1"
	rendition = "720p30"
)

var channel = live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: live.TypeChannel, ID: "abcdefghijkl"}

// who is a roster with one stream.
type who struct {
	mu      sync.Mutex
	state   live.State // no Stream for none
	reports []roster.Views
}

func (w *who) Get(c live.ARN) (live.State, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.state.Stream != "" && w.state.Channel == c
}

func (w *who) ByStream(id string) (live.State, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, id != "" && w.state.Stream == id
}

func (w *who) ReportViews(_ context.Context, owner string, v roster.Views) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if owner != "owner" {
		return fmt.Errorf("a report to %q", owner)
	}
	w.reports = append(w.reports, roster.Views{Node: v.Node, Streams: maps.Clone(v.Streams)})
	return nil
}

func (w *who) gone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = live.State{}
}

// An origin is a node that owns the stream, and counts what it is asked for.
type origin struct {
	*httptest.Server
	roster *who

	mu    sync.Mutex
	asked map[string]int
	serve map[string]http.HandlerFunc // by path below the stream, with its query
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{asked: map[string]int{}, serve: map[string]http.HandlerFunc{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	o.roster = &who{state: live.State{Channel: channel, Stream: streamID, Node: "owner", Origin: o.URL}}
	about, err := json.Marshal(About{Stream: streamID, Channel: channel, LatencyMode: live.LatencyLow, Renditions: []Described{
		{Info: packager.Info{Name: rendition, Width: 1280, Height: 720, AverageBandwidth: 8000}, Extension: "ts", Listed: true},
		{Info: packager.Info{Name: "audio_only"}, Extension: "ts"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o.on(AboutFile, text("max-age=1", string(about)))
	return o
}

func (o *origin) on(path string, h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serve[path] = h
}

func (o *origin) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := NewCredential([]byte("secret")).Verify(r, time.Now()); err != nil {
		http.Error(w, "no node", http.StatusForbidden)
		return
	}
	path := strings.TrimPrefix(r.URL.RequestURI(), LivePrefix+streamID+"/")
	o.mu.Lock()
	o.asked[path]++
	h := o.serve[path]
	o.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r)
}

// text answers with a body.
func text(cacheControl, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", cacheControl)
		w.Header().Set("Etag", `W/"x"`)
		w.Header().Set(DurationHeader, "200000000")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body))
	}
}

const forever = "max-age=3600, immutable"

// newEdge returns an edge that runs until the test ends.
func newEdge(t testing.TB, ro *who, with ...func(*Config)) *Edge {
	t.Helper()
	c := Config{Node: "here", Cache: 1 << 20}
	for _, f := range with {
		f(&c)
	}
	e := New(t.Context(), slog.New(slog.DiscardHandler), ro, NewCredential([]byte("secret")), prometheus.NewRegistry(), c)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func open(t testing.TB, e *Edge) (*Stream, *Rendition) {
	t.Helper()
	st, err := e.Live(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := st.Rendition(rendition)
	if !ok {
		t.Fatal("no rendition")
	}
	return st, r
}

func newest() packager.PlaylistRequest { return packager.PlaylistRequest{MSN: -1, Part: -1} }

func TestStreamIsWhatItsOwnerSays(t *testing.T) {
	o := newOrigin(t)
	st, r := open(t, newEdge(t, o.roster))
	if st.ID() != streamID || st.Channel().ARN != channel || st.Channel().LatencyMode != live.LatencyLow || st.Channel().Authorized {
		t.Errorf("stream %s of %+v", st.ID(), st.Channel())
	}
	if len(st.Ready()) != 2 || len(st.Listed()) != 1 || st.Listed()[0].Name != rendition {
		t.Errorf("ready %+v, listed %+v", st.Ready(), st.Listed())
	}
	if i, ok := r.Info(); !ok || i.Height != 720 || r.Extension() != "ts" {
		t.Errorf("rendition %+v, %t, %s", i, ok, r.Extension())
	}
	if _, ok := st.Rendition("1080p60"); ok {
		t.Error("a rendition that the owner does not have")
	}
}

func TestWhoeverWaitsShares(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *Rendition) ([]byte, error){
		"1.2.ts": func(ctx context.Context, r *Rendition) ([]byte, error) {
			b, err := r.File(ctx, "1.2.ts")
			return bytes.Join(b.Chunks, nil), err
		},
		"index.m3u8?_HLS_msn=3&_HLS_part=1": func(ctx context.Context, r *Rendition) ([]byte, error) {
			p, err := r.Playlist(ctx, packager.PlaylistRequest{MSN: 3, Part: 1})
			if err != nil {
				return nil, err
			}
			return p.Body(), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			_, r := open(t, newEdge(t, o.roster))
			come := make(chan struct{})
			o.on(rendition+"/"+name, func(w http.ResponseWriter, q *http.Request) {
				<-come
				text(forever, "media")(w, q)
			})
			const viewers = 50
			answers := make(chan error, viewers)
			for range viewers {
				go func() { // ends with its answer
					b, err := ask(t.Context(), r)
					if err == nil && string(b) != "media" {
						err = fmt.Errorf("got %q", b)
					}
					answers <- err
				}()
			}
			impatient, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := ask(impatient, r); !errors.Is(err, context.Canceled) {
				t.Errorf("who does not wait gets %v", err)
			}
			close(come)
			for range viewers {
				if err := <-answers; err != nil {
					t.Error(err)
				}
			}
			if _, err := ask(t.Context(), r); err != nil {
				t.Error(err)
			}
			if n := o.count(rendition + "/" + name); n != 1 {
				t.Errorf("the origin was asked %d times, want once", n)
			}
		})
	}
}

func TestASegmentGrowsForAll(t *testing.T) {
	o := newOrigin(t)
	_, r := open(t, newEdge(t, o.roster))
	parts := make(chan string)
	o.on(rendition+"/7.ts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", forever)
		for p := range parts {
			_, _ = w.Write([]byte(p))
			_ = http.NewResponseController(w).Flush()
		}
	})
	first, second := r.Grow(7), r.Grow(7)
	read := func(next func(context.Context) (packager.Blob, bool, error), want string, more bool) {
		t.Helper()
		b, m, err := next(t.Context())
		if got := string(bytes.Join(b.Chunks, nil)); err != nil || got != want || m != more || b.Size != len(want) {
			t.Errorf("grown by %q (%d bytes), more=%t, %v; want %q, more=%t", got, b.Size, m, err, want, more)
		}
	}
	go func() { parts <- "one" }()
	read(first, "one", true)
	read(second, "one", true)
	parts <- "two!"
	read(first, "two!", true)
	close(parts)
	read(first, "", false)
	read(second, "two!", false)
	read(r.Grow(7), "onetwo!", false)
	if b, err := r.File(t.Context(), "7.ts"); err != nil || b.Size != 7 {
		t.Errorf("the whole segment: %d bytes, %v", b.Size, err)
	}
	if n := o.count(rendition + "/7.ts"); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
}

func TestABrokenAnswerIsNotKept(t *testing.T) {
	o := newOrigin(t)
	_, r := open(t, newEdge(t, o.roster))
	o.on(rendition+"/7.ts", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if _, err := r.File(t.Context(), "7.ts"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a broken answer: %v, want unavailable", err)
	}
	o.on(rendition+"/7.ts", text(forever, "whole"))
	if b, err := r.File(t.Context(), "7.ts"); err != nil || string(b.Chunks[0]) != "whole" || b.Duration != 200*time.Millisecond {
		t.Errorf("asked again: %q of %v, %v", b.Chunks, b.Duration, err)
	}
}

func TestWhatTheOwnerAnswers(t *testing.T) {
	for status, want := range map[int]error{
		http.StatusNotFound:            packager.ErrNotFound,
		http.StatusBadRequest:          packager.ErrBadRequest,
		http.StatusForbidden:           ErrUnavailable,
		http.StatusTemporaryRedirect:   ErrUnavailable,
		http.StatusServiceUnavailable:  ErrUnavailable,
		http.StatusInternalServerError: ErrUnavailable,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			o := newOrigin(t)
			_, r := open(t, newEdge(t, o.roster))
			o.on(rendition+"/1.ts", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			})
			if _, err := r.File(t.Context(), "1.ts"); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if _, err := r.File(t.Context(), "1.ts"); !errors.Is(err, want) || o.count(rendition+"/1.ts") != 2 {
				t.Errorf("asked again: %v; asked the origin %d times, want 2", err, o.count(rendition+"/1.ts"))
			}
		})
	}
}

// While the origin is down what is kept is served; once nobody announces the stream, what
// is not is gone.
func TestTheOriginGoesAway(t *testing.T) {
	o := newOrigin(t)
	e := newEdge(t, o.roster)
	_, r := open(t, e)
	o.on(rendition+"/1.ts", text(forever, "media"))
	o.on(rendition+"/index.m3u8", text("no-cache", "#EXTM3U\n"))
	if _, err := r.File(t.Context(), "1.ts"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Playlist(t.Context(), newest()); err != nil {
		t.Fatal(err)
	}
	o.CloseClientConnections()
	o.Close()
	time.Sleep(2 * fresh) // the newest playlist is not the newest any more
	if b, err := r.File(t.Context(), "1.ts"); err != nil || b.Size != 5 {
		t.Errorf("what is kept: %d bytes, %v", b.Size, err)
	}
	if p, err := r.Playlist(t.Context(), newest()); err != nil || string(p.Body()) != "#EXTM3U\n" {
		t.Errorf("the last playlist: %v", err)
	}
	if _, err := r.File(t.Context(), "2.ts"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("what is not kept: %v, want unavailable", err)
	}
	if _, err := e.Live(t.Context(), channel); err != nil {
		t.Errorf("a stream that is known: %v", err)
	}
	o.roster.gone()
	if _, err := r.File(t.Context(), "2.ts"); !errors.Is(err, packager.ErrNotFound) {
		t.Errorf("what is not kept of a stream that is gone: %v, want not found", err)
	}
	if _, err := e.Live(t.Context(), channel); !errors.Is(err, packager.ErrNotFound) {
		t.Errorf("a channel that is not live: %v, want not found", err)
	}
	if _, err := e.Stream(t.Context(), streamID, rendition); err != nil {
		t.Errorf("a stream of a moment ago: %v", err)
	}
}

func TestAnEndedPlaylistIsNotAskedForAgain(t *testing.T) {
	o := newOrigin(t)
	_, r := open(t, newEdge(t, o.roster))
	o.on(rendition+"/index.m3u8?_HLS_msn=9", text("max-age=12", "#EXTM3U\n#EXT-X-ENDLIST\n"))
	for range 3 {
		p, err := r.Playlist(t.Context(), packager.PlaylistRequest{MSN: 9, Part: -1})
		if err != nil || !p.Final {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if p, err := r.Playlist(t.Context(), packager.PlaylistRequest{MSN: 10, Part: -1}); err != nil || !p.Final {
		t.Errorf("a later segment: %+v, %v", p, err)
	}
	if p, err := r.Playlist(t.Context(), newest()); err != nil || !p.Final {
		t.Errorf("the newest: %+v, %v", p, err)
	}
}

// An older playlist that somebody still asks for does not become the newest.
func TestTheNewestPlaylistIsThatWhichCameLast(t *testing.T) {
	o := newOrigin(t)
	_, r := open(t, newEdge(t, o.roster))
	at := func(msn int64) packager.PlaylistRequest { return packager.PlaylistRequest{MSN: msn, Part: -1} }
	for _, n := range []int64{1, 2} {
		o.on(rendition+"/index.m3u8?_HLS_msn="+strconv.FormatInt(n, 10), text("max-age=12", fmt.Sprint("list ", n)))
	}
	for _, n := range []int64{1, 2, 1} {
		if _, err := r.Playlist(t.Context(), at(n)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(r.newest.Load().Body()); got != "list 2" {
		t.Errorf("the newest is %q, want list 2", got)
	}
}

func TestNobodyElsesStreams(t *testing.T) {
	o := newOrigin(t)
	e := newEdge(t, o.roster)
	if _, err := e.Stream(t.Context(), "st-other", rendition); !errors.Is(err, packager.ErrNotFound) {
		t.Errorf("a stream that nobody announces: %v, want not found", err)
	}
	for name, change := range map[string]func(*live.State){
		"of this node":      func(s *live.State) { s.Node = "here" },
		"without an origin": func(s *live.State) { s.Origin = "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := o.roster.state
			change(&s)
			e := newEdge(t, &who{state: s})
			if _, err := e.Live(t.Context(), channel); !errors.Is(err, packager.ErrNotFound) {
				t.Errorf("Live: %v, want not found", err)
			}
			if _, err := e.Stream(t.Context(), streamID, rendition); !errors.Is(err, packager.ErrNotFound) {
				t.Errorf("Stream: %v, want not found", err)
			}
		})
	}
}

func TestTooMuchAtOnceIsRefused(t *testing.T) {
	o := newOrigin(t)
	st, r := open(t, newEdge(t, o.roster))
	st.fetching.Store(maxStreamFetches)
	if _, err := r.File(t.Context(), "1.ts"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v, want busy", err)
	}
	st.fetching.Store(0)
	if _, err := r.File(t.Context(), "1.ts"); !errors.Is(err, packager.ErrNotFound) {
		t.Errorf("with room: %v, want what the origin says", err)
	}
}

func TestReports(t *testing.T) {
	o := newOrigin(t)
	var delivered float64
	e := New(t.Context(), slog.New(slog.DiscardHandler), o.roster, NewCredential([]byte("secret")), prometheus.NewRegistry(), Config{
		Node: "here", Cache: 1 << 20,
		Record: func(of series.Scope, _ time.Time, samples ...series.Sample) {
			if of.Channel == channel.ID && samples[0].Metric == series.LiveDeliveredTime {
				delivered += samples[0].Value
			}
		},
	})
	st, _ := open(t, e)
	now := time.Now()
	e.report(t.Context(), now) // nobody watches: nothing is said
	st.ViewedBy(1)
	st.ViewedBy(2)
	st.ViewedBy(2)
	st.Viewed(netip.MustParseAddr("192.0.2.1"), "agent")
	st.Delivered(1500 * time.Millisecond)
	e.report(t.Context(), now)
	e.report(t.Context(), now.Add(time.Minute)) // they have left: that is said once
	e.report(t.Context(), now.Add(time.Minute+roster.Interval))
	var got []int64
	for _, v := range o.roster.reports {
		if v.Node != "here" || len(v.Streams) != 1 {
			t.Errorf("report %+v", v)
		}
		got = append(got, v.Streams[streamID])
	}
	if fmt.Sprint(got) != "[3 0]" {
		t.Errorf("reported %v viewers, want [3 0]", got)
	}
	if delivered != 1.5 {
		t.Errorf("recorded %v s delivered, want 1.5", delivered)
	}
	if e.report(t.Context(), now.Add(linger+2*time.Minute)); e.count() != 0 {
		t.Error("a stream that nobody asks for is remembered")
	}
}

func TestCache(t *testing.T) {
	now := time.Unix(1000, 0)
	put := func(c *cache, key string, bytes int, life time.Duration) *object {
		o, fetch, _ := c.get(key, now)
		if !fetch {
			t.Fatalf("%s is there", key)
		}
		o.head("", 0, now.Add(life))
		o.add(make([]byte, bytes))
		o.end(nil, now)
		c.settle(o)
		return o
	}
	c := newCache(3 * (1000 + overhead))
	put(c, "a", 1000, time.Hour)
	put(c, "b", 1000, time.Second)
	put(c, "c", 1000, time.Hour)
	if c.have("a", now) == nil { // and so it is the last one to go
		t.Error("a is not kept")
	}
	put(c, "d", 1000, time.Hour)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got := c.have(key, now) != nil; got != want {
			t.Errorf("past the limit, %s is kept: %t, want %t", key, got, want)
		}
	}
	put(c, "huge", 1<<20, time.Hour)
	if c.bytes() != 0 || c.order.Len() != 0 || len(c.objects) != 0 {
		t.Errorf("after what is larger than the limit: %d bytes of %d objects", c.bytes(), len(c.objects))
	}
	put(c, "e", 10, time.Second)
	if c.sweep(now.Add(time.Second)); c.bytes() != 0 || len(c.objects) != 0 {
		t.Errorf("what is too old stays: %d bytes", c.bytes())
	}
	failed, _, _ := c.get("f", now)
	failed.end(errors.New("broken"), now)
	c.settle(failed)
	if _, fetch, _ := c.get("f", now); !fetch {
		t.Error("what failed is kept")
	}
}

func TestLifetime(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                                 fresh,
		"no-cache":                         fresh,
		"private, no-cache":                fresh,
		"max-age=12":                       12 * time.Second,
		"private, max-age=3600, immutable": time.Hour,
		"max-age=0":                        0,
		"max-age=-1":                       fresh,
		"max-age=1e9":                      fresh,
		"max-age=99999999999999999999":     fresh,
	} {
		if got := lifetime(header); got != want {
			t.Errorf("lifetime(%q) = %v, want %v", header, got, want)
		}
	}
}
