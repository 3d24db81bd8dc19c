package origin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// A segment that is asked for while it is produced comes part by part, and is in the end
// what it is for everybody who asks later.
func TestSegmentsGrow(t *testing.T) {
	for name, with := range map[string]func(*live.Channel){"TS": func(*live.Channel) {}, "fMP4": mp4} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			e := s.publish(t, with)
			s.golive(t, e, 80) // segment 2 has three parts
			ext := s.stream(t, e).Media().Renditions()[0].Extension()
			server := httptest.NewServer(s)
			defer server.Close()

			get := func(file string) *http.Response {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+e.path(file), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				res, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { res.Body.Close() })
				return res
			}
			res := get("2." + ext)
			if res.StatusCode != 200 || res.ContentLength != -1 || res.Header.Get("Cache-Control") != "max-age=3600, immutable" {
				t.Fatalf("%s of %d bytes, %v", res.Status, res.ContentLength, res.Header)
			}
			body, part := bufio.NewReader(res.Body), func(n string) []byte {
				return s.get(e.path("2." + n + "." + ext)).Body.Bytes()
			}
			var all []byte
			for i, n := range []string{"0", "1", "2", "3", "4"} {
				if i >= 2 {
					e.send(t, 6)
				}
				want := part(n)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("part %s: %v", n, err)
				}
				all = append(all, got...)
			}
			e.send(t, 12)
			if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
				t.Errorf("after the last part come %d bytes, %v", len(rest), err)
			}
			later, err := io.ReadAll(get("2." + ext).Body)
			if err != nil || !bytes.Equal(later, all) {
				t.Errorf("later it has %d bytes, %v; grown it had %d", len(later), err, len(all))
			}
		})
	}
}

func TestSegmentsThatCannotGrow(t *testing.T) {
	t.Run("the next one does not begin", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			e := s.publish(t)
			s.golive(t, e, 80)
			began := time.Now()
			w := s.get(e.path("3.ts"))
			refused(t, w, 404, "transcode_does_not_exist")
			if took := time.Since(began); took != parked {
				t.Errorf("it took %v, want %v", took, parked)
			}
		})
	})
	t.Run("one that stalls is broken off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			e := s.publish(t)
			s.golive(t, e, 80)
			began := time.Now()
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) || time.Since(began) != parked {
					t.Errorf("it ended after %v as if it were whole", time.Since(began))
				}
			}()
			s.get(e.path("2.ts"))
		})
	})
	for name, header := range map[string][]string{"a range of its bytes": {"Range", "bytes=0-9"}} {
		t.Run(name+" waits for all of it", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				e := s.publish(t)
				s.golive(t, e, 80)
				got := make(chan *httptest.ResponseRecorder, 1)
				go func() { got <- s.get(e.path("2.ts"), header...) }()
				time.Sleep(time.Second)
				select {
				case w := <-got:
					t.Fatalf("it was answered with %d before it was there", w.Code)
				default:
				}
				e.send(t, 16)
				check(t, <-got, 206)
			})
		})
	}
	t.Run("not to HTTP/1.0, which could not tell a broken one", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "/x", http.NoBody)
		if r.ProtoMajor, r.ProtoMinor = 1, 0; growable(r) {
			t.Error("it grows")
		}
	})
}
