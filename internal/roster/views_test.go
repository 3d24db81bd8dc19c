package roster

import (
	"context"
	"maps"
	"testing"
	"time"
)

func TestViewsReachTheOwnerOnly(t *testing.T) {
	b := openBus(t)
	edge, owner := New(b, time.Now), New(b, time.Now)
	heard := make(chan Views, 2)
	stop, err := owner.OnViews(t.Context(), "a", func(_ context.Context, v Views) { heard <- v })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for to, n := range map[string]int64{"b": 1, "a": 2} {
		if err := edge.ReportViews(t.Context(), to, Views{Node: "e", Streams: map[string]int64{"st-1": n}}); err != nil {
			t.Fatal(err)
		}
	}
	v := <-heard
	if v.Node != "e" || !maps.Equal(v.Streams, map[string]int64{"st-1": 2}) {
		t.Errorf("the owner hears %+v, want what was said to it", v)
	}
}

func TestByStream(t *testing.T) {
	r := New(nil, time.Now)
	r.apply(entry("a", 1))
	if s, ok := r.ByStream("st-a"); !ok || s.Channel != channel("a") {
		t.Errorf("ByStream of a live stream: %+v, %t", s, ok)
	}
	next := entry("a", 2)
	next.Stream = "st-next"
	r.apply(next)
	if _, ok := r.ByStream("st-a"); ok {
		t.Error("a stream is found that another one has followed")
	}
	next.Gone = true
	r.apply(next)
	if _, ok := r.ByStream("st-next"); ok {
		t.Error("a stream is found that is over")
	}
	if len(r.streams) != 0 {
		t.Errorf("%d streams are remembered", len(r.streams))
	}
}
