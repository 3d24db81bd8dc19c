package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
	"github.com/sluice-live/sluice/test/load/internal/marker"
	"github.com/sluice-live/sluice/test/load/internal/stats"
)

const (
	maxPlaylist = 4 << 20 // bytes, uncompressed
	readLen     = 256 << 10
)

// A frame is one mark and when its frame became usable.
type frame struct {
	mark   marker.Mark
	usable time.Time
}

func (f frame) latency() time.Duration { return f.usable.Sub(f.mark.Sent) }

// A unit is the frames of one part or segment.
type unit []frame

// playlist is a playlist as it was answered.
type playlist struct {
	url  string // after redirects
	body []byte
}

// fetcher makes requests and counts them.
type fetcher struct {
	client      *http.Client
	name, value string // extra header; none if name is empty
	gzip        bool

	mu         sync.Mutex // guards the rest
	requests   int
	playlists  int
	bytes      int64 // of playlists, on the wire
	compressed int
	errors     int
	lastErr    error
}

func newFetcher(header string, gzip bool) (*fetcher, error) {
	name, value, ok := strings.Cut(header, ":")
	if header != "" && (!ok || name == "") {
		return nil, fmt.Errorf("probe: header %q is not Name: value", header)
	}
	return &fetcher{
		client: &http.Client{Transport: &http.Transport{
			DialContext:         loopback.DialContext, // redirects too stay on this machine
			MaxIdleConnsPerHost: 8,
			DisableCompression:  true, // done here, to see what is on the wire
		}},
		name: name, value: strings.TrimSpace(value), gzip: gzip,
	}, nil
}

func (f *fetcher) close() { f.client.CloseIdleConnections() }

// fail counts an error.
func (f *fetcher) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors++
	f.lastErr = err
}

func (f *fetcher) get(ctx context.Context, url, encoding string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	req.Header.Set("Accept-Encoding", encoding)
	if f.name != "" {
		req.Header.Set(f.name, f.value)
	}
	f.mu.Lock()
	f.requests++
	f.mu.Unlock()
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("probe: %s: HTTP %d", url, resp.StatusCode)
	}
	return resp, nil
}

// playlist gets a playlist.
func (f *fetcher) playlist(ctx context.Context, url string) (playlist, error) {
	encoding := "identity"
	if f.gzip {
		encoding = "gzip"
	}
	resp, err := f.get(ctx, url, encoding)
	if err != nil {
		return playlist{}, err
	}
	defer resp.Body.Close()
	wire, err := readAll(resp.Body)
	if err != nil {
		return playlist{}, err
	}
	compressed := resp.Header.Get("Content-Encoding") == "gzip"
	body := wire
	if compressed {
		z, err := gzip.NewReader(bytes.NewReader(wire))
		if err != nil {
			return playlist{}, fmt.Errorf("probe: %s: %w", url, err)
		}
		if body, err = readAll(z); err != nil {
			return playlist{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.playlists++
	f.bytes += int64(len(wire))
	if compressed {
		f.compressed++
	}
	return playlist{resp.Request.URL.String(), body}, nil
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPlaylist+1))
	if err != nil {
		return nil, fmt.Errorf("probe: playlist: %w", err)
	}
	if len(b) > maxPlaylist {
		return nil, errors.New("probe: playlist too long")
	}
	return b, nil
}

// media gets one unit and looks for marks while it arrives.
func (f *fetcher) media(ctx context.Context, url string) (unit, error) {
	resp, err := f.get(ctx, url, "identity")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var u unit
	sc := marker.Scanner{Emit: func(m marker.Mark, usable time.Time) { u = append(u, frame{m, usable}) }}
	for buf := make([]byte, readLen); ; {
		n, err := resp.Body.Read(buf)
		now := time.Now()
		sc.Feed(buf[:n], now)
		switch {
		case errors.Is(err, io.EOF):
			sc.Finish(now)
			return u, nil
		case err != nil:
			return nil, fmt.Errorf("probe: %s: %w", url, err)
		}
	}
}

func (f *fetcher) report(r *Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Requests, r.Playlists, r.Compressed, r.Errors = f.requests, f.playlists, f.compressed, f.errors
	r.PlaylistBytes = stats.Round(float64(f.bytes)/float64(f.playlists), 1)
	if f.lastErr != nil {
		r.LastErr = f.lastErr.Error()
	}
}

// resolve resolves a URI reference of a playlist.
func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	u, err := b.Parse(ref)
	if err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	return u.String(), nil
}
