package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/roster"
)

func TestViewersOfOtherNodes(t *testing.T) {
	t0 := time.Unix(1000, 0)
	type word struct {
		at      time.Duration
		node    string
		viewers int64
	}
	for name, tt := range map[string]struct {
		words []word
		at    time.Duration
		want  int64
	}{
		"no node":                         {nil, 0, 0},
		"nodes add up":                    {[]word{{0, "b", 2}, {0, "c", 3}}, 0, 5},
		"the newest word of a node":       {[]word{{0, "b", 2}, {time.Second, "b", 7}}, time.Second, 7},
		"none is none":                    {[]word{{0, "b", 2}, {0, "b", 0}}, 0, 0},
		"fewer than none is none":         {[]word{{0, "b", -5}, {0, "c", 1}}, 0, 1},
		"a node that lost three counts":   {[]word{{0, "b", 2}}, roster.Expiry, 2},
		"a silent node does not":          {[]word{{0, "b", 2}, {time.Second, "c", 1}}, roster.Expiry + 1, 1},
		"one that comes back counts anew": {[]word{{0, "b", 2}, {time.Minute, "b", 4}}, time.Minute, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var r remote
			for _, w := range tt.words {
				r.note(w.node, w.viewers, t0.Add(w.at))
			}
			if got := r.count(t0.Add(tt.at)); got != tt.want {
				t.Errorf("count = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestReportersAreBounded(t *testing.T) {
	var r remote
	now := time.Unix(1000, 0)
	for i := range maxReporters + 10 {
		r.note(fmt.Sprint(i), 1, now)
	}
	if got := r.count(now); got != maxReporters {
		t.Errorf("count = %d, want %d", got, maxReporters)
	}
	if r.count(now.Add(time.Hour)); len(r.nodes) != 0 {
		t.Errorf("%d nodes are remembered that are long silent", len(r.nodes))
	}
}
