package webrtc

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

var quiet = slog.New(slog.DiscardHandler)

const goodKey = "sk_good"

// A recorder is a handler and its one session: it keeps what arrives.
type recorder struct {
	done chan struct{}
	over chan struct{} // closed by Close

	mu      sync.Mutex // guards all below
	refuse  error
	request ingest.Request
	said    ingest.Announcement
	units   []media.Unit
	clean   bool
	fail    error // of Write
}

func newRecorder() *recorder {
	return &recorder{done: make(chan struct{}), over: make(chan struct{})}
}

func (r *recorder) Publish(_ context.Context, q ingest.Request) (ingest.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return nil, r.refuse
	}
	if q.Key != goodKey {
		return nil, live.Errorf(live.Denied, "the stream key is not valid")
	}
	r.request = q
	return r, nil
}

func (r *recorder) Announce(a ingest.Announcement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = a
}

func (r *recorder) Metadata(string) {}

func (r *recorder) Write(u media.Unit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.units = append(r.units, u)
	return r.fail
}

func (r *recorder) Done() <-chan struct{} { return r.done }

func (r *recorder) Close(clean bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean = clean
	select {
	case <-r.over: // of an earlier session
	default:
		close(r.over)
	}
}

// of returns the units of one kind so far.
func (r *recorder) of(kind media.Kind) (units []media.Unit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.units {
		if u.Track.Kind == kind {
			units = append(units, u)
		}
	}
	return units
}

// ended waits for the session's end and reports whether it was clean.
func (r *recorder) ended(t *testing.T) (clean bool) {
	t.Helper()
	select {
	case <-r.over:
	case <-time.After(30 * time.Second):
		t.Fatal("the session did not end")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clean
}

// A server under test, with its signalling on a listener of its own.
type server struct {
	*Server
	http *httptest.Server
	stop func()
}

func start(t *testing.T, cfg Config, h ingest.Handler) *server {
	t.Helper()
	cfg.UDP = "127.0.0.1:0"
	s, err := Listen(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	x := &server{Server: s, http: httptest.NewServer(s.Handler())}
	x.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(x.stop)
	t.Cleanup(x.http.Close)
	return x
}

func (s *server) whip() string { return s.http.URL + whipPath }

// do sends a request with a header of pairs and returns the answer, whose body is read.
func (s *server) do(t *testing.T, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	return w
}
