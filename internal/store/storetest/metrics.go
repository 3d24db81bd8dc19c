package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/store"
)

func metrics(channel, writer string, start time.Time, body string) store.MetricBlock {
	return store.MetricBlock{
		Account: "123456789012", Region: "us-west-2", Channel: channel, Writer: writer,
		Start: start, Resolution: time.Minute, Body: []byte(body),
	}
}

func put(t *testing.T, s *store.Store, blocks ...store.MetricBlock) {
	t.Helper()
	wantErr(t, "PutMetricBlocks", s.PutMetricBlocks(t.Context(), blocks), nil)
}

// metricsOf is what there is of a channel from t0 on.
func metricsOf(t *testing.T, s *store.Store, channel string) []store.MetricBlock {
	t.Helper()
	return must(s.MetricBlocks(t.Context(), "123456789012", "us-west-2", channel, t0, t0.Add(1000*24*time.Hour)))(t)
}

var metricTests = map[string]func(*testing.T, *store.Store, string){
	"blocks are found by channel and time": func(t *testing.T, s *store.Store, _ string) {
		before, first, second := metrics("c1", "a", t0.Add(-time.Millisecond), "0"), metrics("c1", "b", t0, "1"), metrics("c1", "a", t0.Add(time.Hour), "2")
		foreign := first
		foreign.Region = "eu-west-1"
		put(t, s, second, first, before, foreign, metrics("", "a", t0, "all"), metrics("c2", "a", t0, "x"))
		for _, tt := range []struct {
			to   time.Time
			want []store.MetricBlock
		}{
			{t0.Add(time.Hour), []store.MetricBlock{first}},
			{t0.Add(time.Hour + time.Millisecond), []store.MetricBlock{first, second}},
			{t0, nil},
		} {
			got := must(s.MetricBlocks(t.Context(), "123456789012", "us-west-2", "c1", t0, tt.to))(t)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("up to %v: -want +got:\n%s", tt.to, d)
			}
		}
	},

	"a process writes over its own blocks and no other's": func(t *testing.T, s *store.Store, _ string) {
		a, b := metrics("c1", "a", t0, "1"), metrics("c1", "b", t0, "2")
		put(t, s, a, b)
		a.Body, a.Resolution = bytes.Repeat([]byte{0, 0xff, 0x80}, 10000), time.Hour
		put(t, s, a)
		if d := cmp.Diff([]store.MetricBlock{a, b}, metricsOf(t, s, "c1")); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	},

	"blocks are written all or none": func(t *testing.T, s *store.Store, _ string) {
		for name, bad := range map[string]store.MetricBlock{
			"no account":    {Region: "r", Resolution: time.Minute, Body: []byte{1}},
			"no resolution": {Account: "a", Region: "r", Body: []byte{1}},
			"no text":       metrics("\x00", "a", t0, "1"),
			"too large":     metrics("c1", "b", t0, string(make([]byte, 1<<20+1))),
		} {
			if s.PutMetricBlocks(t.Context(), []store.MetricBlock{metrics("c1", "a", t0, "1"), bad}) == nil {
				t.Errorf("%s is taken", name)
			}
		}
		if all := metricsOf(t, s, "c1"); len(all) != 0 {
			t.Errorf("%d blocks", len(all))
		}
		if all := metricsOf(t, s, "\x00"); len(all) != 0 {
			t.Errorf("%d blocks of no channel", len(all))
		}
	},

	"old ones are found by resolution, the oldest first": func(t *testing.T, s *store.Store, _ string) {
		coarse := metrics("c1", "", t0, "4")
		coarse.Resolution = time.Hour
		put(t, s, metrics("c1", "a", t0.Add(2), "1"), metrics("c2", "a", t0.Add(-time.Hour), "2"), metrics("c3", "a", t0.Add(time.Hour), "3"), coarse)
		var got []string
		for _, b := range must(s.OldMetricBlocks(t.Context(), time.Minute, t0.Add(time.Hour), 10))(t) {
			got = append(got, fmt.Sprintf("%s %d", b.Channel, len(b.Body)))
		}
		if d := cmp.Diff([]string{"c2 0", "c1 0"}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	},

	"a merge puts one block in the place of many": func(t *testing.T, s *store.Store, _ string) {
		later, other := metrics("c1", "a", t0.Add(24*time.Hour), "later"), metrics("c2", "a", t0, "other")
		put(t, s, metrics("c1", "a", t0, "1"), metrics("c1", "b", t0, "2"), metrics("c1", "a", t0.Add(23*time.Hour), "3"), later, other)
		into := metrics("c1", "", t0, "")
		into.Resolution = 5 * time.Minute
		merge := func(all []store.MetricBlock) (store.MetricBlock, error) {
			b := into
			b.Body = nil
			for _, x := range all {
				b.Body = append(b.Body, x.Body...)
			}
			return b, nil
		}
		failed := errors.New("no")
		wantErr(t, "a merge that fails", s.MergeMetricBlocks(t.Context(), into, 24*time.Hour, func([]store.MetricBlock) (store.MetricBlock, error) {
			return into, failed
		}), failed)
		wantErr(t, "MergeMetricBlocks", s.MergeMetricBlocks(t.Context(), into, 24*time.Hour, merge), nil)
		into.Body = []byte("123")
		if d := cmp.Diff([]store.MetricBlock{into, later}, metricsOf(t, s, "c1")); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		into.Channel = "c3"
		wantErr(t, "of nothing", s.MergeMetricBlocks(t.Context(), into, 24*time.Hour, merge), nil)
		if all := metricsOf(t, s, "c3"); len(all) != 0 {
			t.Errorf("%d blocks of nothing", len(all))
		}
	},

	"the coarsest go when their time has passed": func(t *testing.T, s *store.Store, _ string) {
		const many = 1200 // more than goes at once
		var all []store.MetricBlock
		for n := range many {
			b := metrics("c1", "a", t0.Add(time.Duration(n)*time.Millisecond), "1")
			b.Resolution = time.Hour
			all = append(all, b)
		}
		last := all[0]
		last.Start = t0.Add(time.Hour)
		fine := metrics("c1", "a", t0.Add(-time.Hour), "1")
		put(t, s, append(all, last, fine)...)
		if n := must(s.ForgetMetricBlocks(t.Context(), t0.Add(time.Hour)))(t); n != many {
			t.Errorf("ForgetMetricBlocks = %d, want %d", n, many)
		}
		if d := cmp.Diff([]store.MetricBlock{last}, metricsOf(t, s, "c1")); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	},
}
