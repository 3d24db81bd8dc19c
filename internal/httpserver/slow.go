package httpserver

import (
	"net/http"
	"time"
)

// Readers who do not read are not waited for without end: leanhttp sees to it for what it
// serves, and patient for the same paths when net/http does.
const (
	writeTimeout = 20 * time.Second // beyond what a write needs at the slowest rate
	slowest      = 32 << 10         // bytes per second: who reads slower than that cannot play
)

// patient serves the paths of lean with a bound on each write.
func patient(lean func(path string) bool, h http.Handler) http.Handler {
	if lean == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lean(r.URL.Path) {
			h.ServeHTTP(w, r)
			return
		}
		p := &patience{ResponseWriter: w, control: http.NewResponseController(w)}
		defer func() {
			if !p.until.IsZero() { // the next request of the connection has its own
				_ = p.control.SetWriteDeadline(time.Time{})
			}
		}()
		h.ServeHTTP(p, r)
	})
}

type patience struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time // deadline in force; zero is none
}

func (p *patience) Write(b []byte) (int, error) {
	need := writeTimeout + time.Duration(len(b))*time.Second/slowest
	if now := time.Now(); p.until.Sub(now) < need/2 {
		p.until = now.Add(need)
		_ = p.control.SetWriteDeadline(p.until) // tests' writers have none
	}
	return p.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController do the rest.
func (p *patience) Unwrap() http.ResponseWriter { return p.ResponseWriter }
