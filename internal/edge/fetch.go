package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/packager"
)

// Bounds of what is asked of owners.
const (
	maxFetches       = 4096 // at once, parked ones included; more are refused
	maxStreamFetches = 256  // of one stream
	maxObject        = 64 << 20

	// idle is how long an owner may say nothing: longer than it parks a request.
	idle = 12 * time.Second
	// longest is how long one answer may take, a segment that grows included.
	longest = 2 * time.Minute
	// fresh is for how long a playlist is the newest that was asked for without saying
	// which: the owner is asked ten times a second at most.
	fresh = 100 * time.Millisecond
	// chunk is how much is read at once of what comes without a length, in bytes.
	chunk = 64 << 10
)

var (
	// ErrUnavailable means that the owner of a stream could not be asked, or has nothing
	// to say for now.
	ErrUnavailable = errors.New("edge: the origin of the stream is not available")
	// ErrBusy means that as much as may be is asked for already.
	ErrBusy = fmt.Errorf("%w: too many requests to it", ErrUnavailable)
)

// fetch asks the owner for an object, which is new, and returns when it is over.
func (e *Edge) fetch(ctx context.Context, st *Stream, o *object, path string) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	defer e.afterQuit(cancel)()
	err := e.ask(ctx, cancel, st, o, path)
	switch {
	case err == nil:
		e.metrics.fetched.Inc()
	case errors.Is(err, packager.ErrNotFound), errors.Is(err, packager.ErrBadRequest):
		e.metrics.missing.Inc()
	default:
		e.metrics.failed.Inc()
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	o.end(err, e.now())
	e.cache.settle(o)
	e.heard(st, err)
}

func (e *Edge) ask(ctx context.Context, cancel context.CancelFunc, st *Stream, o *object, path string) error {
	quiet := time.AfterFunc(idle, cancel) // runs out, or is stopped here
	defer quiet.Stop()
	uri := LivePrefix + st.id + "/" + path
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, *st.origin.Load()+uri, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set(Header, e.credential.Sign(uri, e.now()))
	r.Header.Set("User-Agent", "sluice-edge")
	resp, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return packager.ErrNotFound
	case http.StatusBadRequest:
		return fmt.Errorf("%w: its origin refuses it", packager.ErrBadRequest)
	default:
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	ns, _ := strconv.ParseInt(resp.Header.Get(DurationHeader), 10, 64) // 0 without one
	o.head(resp.Header.Get("Etag"), max(0, time.Duration(ns)), e.now().Add(lifetime(resp.Header.Get("Cache-Control"))))
	return e.body(resp, o, quiet)
}

// body reads an answer into o: in one piece if its length is known, else as it comes.
func (e *Edge) body(resp *http.Response, o *object, quiet *time.Timer) error {
	if n := resp.ContentLength; n > maxObject {
		return fmt.Errorf("%d bytes", n)
	} else if n >= 0 {
		b := make([]byte, n)
		for have := 0; have < len(b); {
			k, err := resp.Body.Read(b[have:])
			e.metrics.bytes.Add(float64(k))
			if have += k; err != nil && have < len(b) {
				return err
			}
			quiet.Reset(idle)
		}
		o.add(b)
		return nil
	}
	buf, size := make([]byte, chunk), 0
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if size += n; size > maxObject {
				return fmt.Errorf("more than %d bytes", maxObject)
			}
			e.metrics.bytes.Add(float64(n))
			o.add(append([]byte(nil), buf[:n]...))
			quiet.Reset(idle)
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// lifetime reads for how long an answer is good. One that is to be asked for again each
// time is good for those who ask at the same time.
func lifetime(cacheControl string) time.Duration {
	for d := range strings.SplitSeq(cacheControl, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(d), "max-age="); ok {
			n, err := strconv.ParseUint(v, 10, 31)
			if err != nil {
				break
			}
			return time.Duration(n) * time.Second
		}
	}
	return fresh
}
