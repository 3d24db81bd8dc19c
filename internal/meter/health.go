package meter

import (
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// Thresholds of health (low-latency.md 10, proposed).
const (
	starveAfter  = 3 * time.Second // without media
	poorAfter    = 5 * time.Second // with less than half of the announced bits
	healthyAfter = 3 * time.Second // of media as expected
)

// A condition follows one stream from UNKNOWN to HEALTHY and STARVING and back. Times
// are since the start of the stream.
type condition struct {
	health live.Health
	begun  bool
	since  time.Duration // when media came, or came again
	last   time.Duration // newest unit
}

// unit takes note of media at now.
func (c *condition) unit(now time.Duration) {
	if !c.begun || now-c.last >= starveAfter {
		c.begun, c.since = true, now
	}
	c.last = max(c.last, now)
}

// judge returns the health at now; announced is in bits per second, 0 when the encoder
// has not said what it will send.
func (c *condition) judge(now time.Duration, w *window, announced int64) live.Health {
	w.advance(now)
	switch {
	case !c.begun: // nothing has stopped that never began
	case now-c.last >= starveAfter,
		now-c.since > poorAfter+slotLength && poor(w, poorAfter, announced):
		c.health = live.Starving
	case c.health != live.Healthy && now-c.since >= healthyAfter && !poor(w, healthyAfter, announced):
		c.health = live.Healthy
	}
	if c.health == "" {
		return live.Unknown
	}
	return c.health
}

// poor reports whether less than half of what was announced arrived in the last d.
func poor(w *window, d time.Duration, announced int64) bool {
	return float64(w.last(d)) < float64(announced)*d.Seconds()/2
}
