package httpserver

import (
	"net/http"
	"time"
)

// Body serves h with a bound on the request body: at most limit bytes (a read past
// that fails with *http.MaxBytesError), all of them sent within the given time.
func Body(limit int64, within time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		rc := http.NewResponseController(w)
		if rc.SetReadDeadline(time.Now().Add(within)) == nil { // tests' writers have none
			// An answer may take longer than its question: the deadline must not
			// end the watch that net/http keeps on the connection meanwhile.
			body := &timedBody{http.MaxBytesReader(w, r.Body, limit), rc}
			defer body.clear()
			r.Body = body
		} else {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		h.ServeHTTP(w, r)
	})
}

type timedBody struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	rc *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil { // its end, usually
		b.clear()
	}
	return n, err
}

func (b *timedBody) Close() error { return b.body.Close() }

func (b *timedBody) clear() { _ = b.rc.SetReadDeadline(time.Time{}) }
