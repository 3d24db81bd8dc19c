package origin

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := 0
		s := newSite(t, func(c *Config) {
			c.Ceiling = Ceiling{Connections: 10, Open: func() int { return open }, BytesPerSecond: 20_000}
		})
		e := s.publish(t)
		s.golive(t, e, 80)
		begins := func(want int) {
			t.Helper()
			if w := s.get(e.playback()); w.Code != want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, want)
			}
		}
		begins(200)
		open = 10
		begins(200)
		open = 11
		w := s.get(e.playback())
		refused(t, w, 503, "server_busy")
		check(t, w, 503, "Retry-After", "5", "Access-Control-Allow-Origin", "*")
		check(t, s.get(e.path("index.m3u8")), 200) // who watches goes on
		open = 10
		begins(200)

		time.Sleep(2 * time.Second)
		check(t, s.get(e.path("1.ts")), 200) // some 34 KB
		begins(503)
		check(t, s.get(e.path("1.ts")), 200)
		time.Sleep(time.Second)
		begins(503) // that was the last second
		time.Sleep(time.Second)
		begins(200)
		if n := s.counted(t, "sluice_playback_refused_total", atCeiling); n != 3 {
			t.Errorf("%v refusals counted, want 3", n)
		}
	})
}
