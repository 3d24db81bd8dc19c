//go:build linux

package viewers

import (
	"time"

	"github.com/sluice-live/sluice/test/load/internal/h1"
)

// pacedViewer fetches the same paths on every tick, each group on its own connection.
type pacedViewer struct {
	viewer  *viewer
	clients []*h1.Client
	groups  [][]string
	at      time.Time // of the tick
}

func newPaced(v *viewer, groups [][]string) *pacedViewer {
	p := &pacedViewer{viewer: v, groups: groups}
	for range groups {
		p.clients = append(p.clients, v.crowd.client(v.target()))
	}
	v.hold = v.crowd.cfg.HoldBack
	if v.hold == 0 {
		v.hold = 3 * v.crowd.cfg.Interval
	}
	v.crowd.res.HoldBackS = v.hold.Seconds()
	return p
}

func (p *pacedViewer) tick(at time.Time) {
	c := p.viewer.crowd
	p.at = at
	busy := false
	for i, cl := range p.clients {
		if cl.Busy() {
			busy = true
			continue
		}
		p.step(i, 0)
	}
	if busy && c.measuring {
		p.viewer.stalls++
		p.viewer.stalled += c.cfg.Interval
	}
	next := at.Add(c.cfg.Interval)
	c.loop.At(next, func() { p.tick(next) })
}

// step fetches path k of group i, and then the next.
func (p *pacedViewer) step(i, k int) {
	c, tick := p.viewer.crowd, p.at
	p.clients[i].Get(h1.Request{Path: p.groups[i][k], Done: func(cl *h1.Client, err error) {
		now := time.Now()
		if err := c.check("paced", cl, err); err != nil {
			c.fail(err)
			return
		}
		if k+1 < len(p.groups[i]) {
			if c.measuring {
				c.playlists.Add(now.Sub(tick))
			}
			p.step(i, k+1)
			return
		}
		if c.measuring {
			c.media.Add(now.Sub(cl.RequestAt))
			c.ttfb.Add(cl.FirstAt.Sub(cl.RequestAt))
		}
		if i == 0 {
			p.viewer.buffered(c.cfg.Interval, now)
		}
	}})
}
