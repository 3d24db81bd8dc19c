package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// A viewer plays a channel from the first segment that it is offered, by blocking
// reload, until the playlist ends. Anything that a player would show as a gap (a
// segment that is missing or not in its place, a discontinuity) ends it with an error.
type viewer struct {
	playlist string // URL of the media playlist
	done     chan struct{}

	mu    sync.Mutex // guards all below
	next  int64      // media sequence number
	count int        // segments that have arrived
	media bytes.Buffer
	err   error // why it stopped; nil for the end of the playlist
}

// watch starts a viewer of a channel that plays. The end of the test stops it.
func watch(t testing.TB, playbackURL string) *viewer {
	t.Helper()
	return follow(t, variantURL(t, playbackURL))
}

// follow starts a viewer of one media playlist.
func follow(t testing.TB, playlist string) *viewer {
	t.Helper()
	v := &viewer{playlist: playlist, next: -1, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { // ends with ctx or the playlist
		defer close(v.done)
		err := v.play(ctx)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.err = err
	}()
	t.Cleanup(func() {
		cancel()
		<-v.done
	})
	return v
}

// variantURL returns the URL of the one media playlist behind a playback URL.
func variantURL(t testing.TB, playbackURL string) string {
	t.Helper()
	status, _, body := servertest.Get(t, playbackURL)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", playbackURL, status, body)
	}
	m, err := hls.ParseMultivariant(body)
	if err != nil || len(m.Variants) != 1 {
		t.Fatalf("multivariant playlist: %v, want one variant:\n%s", err, body)
	}
	return resolve(playbackURL, m.Variants[0].URI)
}

func resolve(base, ref string) string {
	b, err := url.Parse(base)
	if err != nil {
		return ref
	}
	u, err := b.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}

func (v *viewer) play(ctx context.Context) error {
	section := ""
	for {
		u := v.playlist
		if v.next >= 0 {
			u += "?_HLS_msn=" + strconv.FormatInt(v.next, 10)
		}
		status, text, err := fetch(ctx, u)
		switch {
		case err != nil:
			return err
		case status == http.StatusServiceUnavailable:
			continue // nothing came for as long as the server parks us: this machine is slow
		case status != http.StatusOK:
			return fmt.Errorf("playlist at segment %d: %d %s", v.next, status, text)
		}
		pl, err := hls.Parse(text)
		if err != nil {
			return err
		}
		if v.next < 0 {
			v.next = pl.Sequence
		}
		if pl.Sequence > v.next {
			return fmt.Errorf("segment %d left the playlist, which starts at %d, before it was fetched", v.next, pl.Sequence)
		}
		for i := int(v.next - pl.Sequence); i < len(pl.Segments); i++ {
			s := pl.Segments[i]
			if s.Discontinuity {
				return fmt.Errorf("a discontinuity before segment %d", v.next)
			}
			if s.Map != section {
				if err := v.take(ctx, s.Map); err != nil {
					return err
				}
				section = s.Map
			}
			if err := v.take(ctx, s.URI); err != nil {
				return err
			}
			v.mu.Lock()
			v.next++
			v.count++
			v.mu.Unlock()
		}
		if pl.EndList {
			return nil
		}
	}
}

func (v *viewer) take(ctx context.Context, uri string) error {
	status, body, err := fetch(ctx, resolve(v.playlist, uri))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", uri, status, body)
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.media.Write(body)
	return nil
}

func fetch(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// segments is how many have arrived.
func (v *viewer) segments() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.count
}

// more waits until n more segments have arrived without a gap.
func (v *viewer) more(t testing.TB, n int) {
	t.Helper()
	want := v.segments() + n
	servertest.Eventually(t, fmt.Sprintf("the viewer has %d segments", want), func() bool {
		select {
		case <-v.done:
			if v.segments() < want {
				t.Fatalf("playback ended after %d segments: %v", v.segments(), v.failure())
			}
		default:
		}
		return v.segments() >= want
	})
}

func (v *viewer) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// untilEnd waits for the playlist to end, which must come without a gap.
func (v *viewer) untilEnd(t testing.TB) {
	t.Helper()
	select {
	case <-v.done:
	case <-time.After(time.Minute):
		t.Fatal("the playlist did not end")
	}
	if err := v.failure(); err != nil {
		t.Errorf("playback: %v", err)
	}
}

// check decodes what the viewer has, which must be every frame in order, and clean.
func (v *viewer) check(t testing.TB) {
	t.Helper()
	v.mu.Lock()
	media, count, err := bytes.Clone(v.media.Bytes()), v.count, v.err
	v.mu.Unlock()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("playback: %v", err)
	}
	file := filepath.Join(t.TempDir(), "seen")
	if err := os.WriteFile(file, media, 0o600); err != nil {
		t.Fatal(err)
	}
	d := testmedia.Decode(t, file)
	if err := testmedia.Continuous(d.Codes); err != nil {
		t.Error(err)
	}
	if d.Unread > 0 || d.Stderr != "" || len(d.Codes) < clipFPS*(count-1) {
		t.Errorf("%d segments of 1 s gave %d frames and %d unreadable ones; decoder: %q", count, len(d.Codes), d.Unread, d.Stderr)
	}
}
