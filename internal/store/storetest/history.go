package storetest

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

func revoke(t *testing.T, s *store.Store, x live.Revocation) {
	t.Helper()
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Revoke(t.Context(), x) }); err != nil {
		t.Fatal(err)
	}
}

var historyTests = map[string]func(*testing.T, *store.Store, string){
	"a session keeps its recording configuration": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		want := session("c1", "st-1", 1, 0)
		want.Recording = &live.RecordingConfiguration{
			ARN: arnIn("us-west-2", "123456789012", live.TypeRecordingConfiguration, "r1"), Name: "archive", Bucket: "b",
			State: live.RecordingActive, ReconnectWindow: time.Minute, Tags: map[string]string{"a": "b"}, Created: t0,
			Thumbnails: live.Thumbnails{Mode: live.ThumbnailsInterval, Interval: time.Minute, Storage: []string{live.StorageLatest}},
			Renditions: live.Renditions{Selection: live.RenditionsCustom, Classes: []string{"HD"}},
		}
		want.Snapshot.RecordingConfiguration = want.Recording.ARN.String()
		create(t, s, want)
		if diff := cmp.Diff(want, get(t, s, "st-1")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	},

	"a failure marks its session, also when its event is trimmed": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0), session("c1", "st-2", 1, 1))
		for _, e := range []struct {
			session string
			event   live.Event
		}{
			{"st-1", live.Event{Name: "Stream Start", Type: "IVS Stream State Change", Time: t0}},
			{"st-2", live.Event{Name: "Ingest Bitrate", Type: "IVS Limit Breach", Time: t0}},
		} {
			if err := appendEvent(t, s, e.session, 1, e.event); err != nil {
				t.Fatal(err)
			}
		}
		for range 500 {
			if err := appendEvent(t, s, "st-2", 1, live.Event{Name: "Starvation Start", Time: t0}); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := get(t, s, "st-1").Failed, get(t, s, "st-2").Failed; a || !b {
			t.Errorf("Failed = %t and %t, want false and true", a, b)
		}
	},

	"old sessions go with their events, running ones stay": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		for n, id := range []string{"st-old", "st-new", "st-running"} {
			create(t, s, session("c1", id, 1, n))
			if err := appendEvent(t, s, id, 1, live.Event{Name: "e", Time: t0}); err != nil {
				t.Fatal(err)
			}
		}
		wantErr(t, "EndSession", s.EndSession(t.Context(), "st-old", 1, t0.Add(-time.Millisecond)), nil)
		wantErr(t, "EndSession", s.EndSession(t.Context(), "st-new", 1, t0), nil)
		if n := must(s.ForgetSessions(t.Context(), t0))(t); n != 1 {
			t.Errorf("ForgetSessions = %d, want 1", n)
		}
		for id, events := range map[string]int{"st-old": 0, "st-new": 1, "st-running": 1} {
			if n := len(must(s.Events(t.Context(), id))(t)); n != events {
				t.Errorf("%s has %d events, want %d", id, n, events)
			}
		}
		if all := must(s.ListSessions(t.Context(), channelARN("c1"), "", 0))(t); len(all) != 2 {
			t.Errorf("%d sessions are left, want 2", len(all))
		}
	},

	"a revocation reaches the highest version, at the time of the newest call": func(t *testing.T, s *store.Store, _ string) {
		x := live.Revocation{Channel: channelARN("c1"), Viewer: "ann", Version: 7, Time: t0}
		revoke(t, s, x)
		if got := must(s.Revocation(t.Context(), x.Channel, "ann"))(t); got != x {
			t.Errorf("Revocation = %+v, want %+v", got, x)
		}
		lower, higher := x, x
		lower.Version, lower.Time = 3, t0.Add(time.Hour)
		higher.Version, higher.Time = 9, t0.Add(-time.Hour)
		revoke(t, s, lower)
		revoke(t, s, higher)
		x.Version, x.Time = 9, t0.Add(time.Hour)
		if got := must(s.Revocation(t.Context(), x.Channel, "ann"))(t); got != x {
			t.Errorf("Revocation = %+v, want %+v", got, x)
		}
		for _, who := range []struct{ channel, viewer string }{{"c1", "bob"}, {"c2", "ann"}, {"c1", "\x00"}, {"c1", ""}} {
			_, err := s.Revocation(t.Context(), channelARN(who.channel), who.viewer)
			wantErr(t, "Revocation of another", err, store.ErrNotFound)
		}
	},

	"a viewer may have any text but NUL": func(t *testing.T, s *store.Store, _ string) {
		name := strings.Repeat("\U0001F600", 40)
		revoke(t, s, live.Revocation{Channel: channelARN("c1"), Viewer: name, Time: t0})
		must(s.Revocation(t.Context(), channelARN("c1"), name))(t)
		for _, bad := range []string{"", "a\x00b", "\xff"} {
			err := s.Tx(t.Context(), func(tx *store.Tx) error {
				return tx.Revoke(t.Context(), live.Revocation{Channel: channelARN("c1"), Viewer: bad, Time: t0})
			})
			if err == nil {
				t.Errorf("Revoke of viewer %q succeeded", bad)
			}
		}
	},

	"old revocations go": func(t *testing.T, s *store.Store, _ string) {
		const many = 1200 // more than goes at once
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			for n := range many {
				x := live.Revocation{Channel: channelARN("c1"), Viewer: "v" + live.NewID(12), Time: t0.Add(time.Duration(n) * time.Millisecond)}
				if err := tx.Revoke(t.Context(), x); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		revoke(t, s, live.Revocation{Channel: channelARN("c1"), Viewer: "last", Time: t0.Add(time.Hour)})
		if n := must(s.ForgetRevocations(t.Context(), t0.Add(time.Hour)))(t); n != many {
			t.Errorf("ForgetRevocations = %d, want %d", n, many)
		}
		must(s.Revocation(t.Context(), channelARN("c1"), "last"))(t)
	},

	"new revocations are found by their time": func(t *testing.T, s *store.Store, _ string) {
		var want []live.Revocation
		for n, viewer := range []string{"ann", "bob", "eve"} {
			x := live.Revocation{Channel: channelARN("c1"), Viewer: viewer, Version: int64(n), Time: t0.Add(time.Duration(n) * time.Second)}
			revoke(t, s, x)
			want = append(want, x)
		}
		for name, tt := range map[string]struct {
			since time.Time
			limit int
			want  []live.Revocation
		}{
			"all":             {t0, 0, want},
			"the first two":   {t0, 2, want[:2]},
			"from the second": {t0.Add(time.Second), 0, want[1:]},
			"after the last":  {t0.Add(time.Hour), 0, nil},
		} {
			if diff := cmp.Diff(tt.want, must(s.RevocationsSince(t.Context(), tt.since, tt.limit))(t)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
	},

	"a token has one first use, whoever asks, until it is forgotten": func(t *testing.T, s *store.Store, url string) {
		stores := []*store.Store{s, Open(t, url)} // two nodes
		var firsts atomic.Int64
		var g errgroup.Group
		for n := range 20 {
			g.Go(func() error {
				first, err := stores[n%2].UseToken(t.Context(), channelARN("c1"), "u1", t0)
				if first {
					firsts.Add(1)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil || firsts.Load() != 1 {
			t.Errorf("%d of 20 were the first, %v", firsts.Load(), err)
		}
		if !must(s.UseToken(t.Context(), channelARN("c2"), "u1", t0.Add(time.Hour)))(t) {
			t.Error("a token of another channel is not its own")
		}
		if n := must(s.ForgetTokens(t.Context(), t0.Add(time.Second)))(t); n != 1 {
			t.Errorf("ForgetTokens = %d, want 1", n)
		}
		for channel, want := range map[string]bool{"c1": false, "c2": true, "c3": false} {
			if got := must(s.TokenUsed(t.Context(), channelARN(channel), "u1"))(t); got != want {
				t.Errorf("TokenUsed of %s = %t, want %t", channel, got, want)
			}
		}
		for _, bad := range []string{"", "a\x00b", "\xff"} {
			if first, err := s.UseToken(t.Context(), channelARN("c1"), bad, t0); err == nil || first {
				t.Errorf("UseToken of %q succeeded", bad)
			}
		}
	},

	"what is pending is found by its link until it is settled": func(t *testing.T, s *store.Store, _ string) {
		pending := store.Query{Service: "ivs", Type: live.TypeRecordingConfiguration, LinkRel: store.LinkPending, LinkTo: store.PendingBucket}
		c := live.RecordingConfiguration{
			ARN:    arnIn("eu-west-1", "999999999999", live.TypeRecordingConfiguration, "r1"),
			Bucket: "b", State: live.RecordingCreating, Created: t0, Tags: map[string]string{},
		}
		insert(t, s, must(store.RowOfRecordingConfiguration(c))(t))
		rows := must(s.List(t.Context(), pending))(t)
		if len(rows) != 1 {
			t.Fatalf("%d rows are pending, want 1", len(rows))
		}
		if diff := cmp.Diff(c, must(store.RecordingConfigurationOf(rows[0]))(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		c.State = live.RecordingActive
		done := must(store.RowOfRecordingConfiguration(c))(t)
		done.Version = rows[0].Version
		wantErr(t, "Update", s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Update(t.Context(), done) }), nil)
		if n := must(s.Count(t.Context(), pending))(t); n != 0 {
			t.Errorf("%d rows are pending, want none", n)
		}
	},
}
