package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// session is a session of channel under generation, created n seconds after t0.
func session(channel, id string, generation int64, n int) live.Session {
	arn := channelARN(channel)
	return live.Session{
		ID: id, Channel: arn, Node: "a", Generation: generation, Created: t0.Add(time.Duration(n) * time.Second),
		Snapshot: live.Channel{
			ARN: arn, Name: "n", LatencyMode: live.LatencyLow, Type: live.TypeStandard, SRTPassphrase: "secret",
			Tags: map[string]string{"k": "v"}, Created: t0, Multitrack: &live.Multitrack{Enabled: true},
		},
		Ingest: live.Ingest{
			Protocol: "RTMP",
			Video:    []live.IngestVideo{{Codec: "avc1.4D4028", Width: 1280, Height: 720}},
			Audio:    []live.IngestAudio{{Codec: "mp4a.40.2", Channels: 2}},
		},
	}
}

// acquire gives node a the lease of the channel from now on.
func acquire(t *testing.T, s *store.Store, channel string, now time.Time) store.Lease {
	t.Helper()
	return must(s.Acquire(t.Context(), channelARN(channel).String(), "a", "", now, ttl))(t)
}

// create adds the sessions.
func create(t *testing.T, s *store.Store, all ...live.Session) {
	t.Helper()
	for _, x := range all {
		if err := s.CreateSession(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, s *store.Store, id string) live.Session {
	t.Helper()
	return must(s.Session(t.Context(), "123456789012", "us-west-2", id))(t)
}

// appendEvent adds an event without a message.
func appendEvent(t *testing.T, s *store.Store, id string, generation int64, e live.Event) error {
	t.Helper()
	return s.AppendEvents(t.Context(), id, generation, store.Note{Event: e})
}

// over is what CloseAbandoned notes of a session.
func over(x live.Session) ([]store.Note, error) {
	all := []store.Note{{
		Event:   live.Event{ID: "over", Name: "Session Ended", Time: t0},
		Message: store.Message{UID: "over " + x.ID, Subject: "s", Body: []byte(x.ID)},
	}}
	if !x.Started.IsZero() {
		all = append(all, store.Note{Event: live.Event{Name: "Stream End", Time: t0}})
	}
	return all, nil
}

func names(events []live.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Name)
	}
	return all
}

var sessionTests = map[string]func(*testing.T, *store.Store, string){
	"a session is read back as it was written": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		want := session("c1", "st-1", 1, 0)
		create(t, s, want)
		if diff := cmp.Diff(want, get(t, s, "st-1")); diff != "" {
			t.Errorf("created (-want +got):\n%s", diff)
		}
		wantErr(t, "second CreateSession", s.CreateSession(t.Context(), want), store.ErrExists)

		want.Started = t0.Add(3 * time.Second)
		want.Ingest = live.Ingest{Protocol: "RTMPS"}
		want.Snapshot.Name = "renamed"
		wantErr(t, "UpdateSession", s.UpdateSession(t.Context(), want), nil)
		wantErr(t, "EndSession", s.EndSession(t.Context(), "st-1", 1, t0.Add(time.Minute)), nil)
		wantErr(t, "second EndSession", s.EndSession(t.Context(), "st-1", 1, t0.Add(time.Hour)), nil)
		want.Ended = t0.Add(time.Minute)
		if diff := cmp.Diff(want, get(t, s, "st-1")); diff != "" {
			t.Errorf("ended (-want +got):\n%s", diff)
		}
		if err := s.EndSession(t.Context(), "st-1", 1, time.Time{}); err == nil {
			t.Error("EndSession at no time succeeded")
		}
	},

	"a session is found in its account and region only": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0))
		for _, in := range [][3]string{
			{"999999999999", "us-west-2", "st-1"},
			{"123456789012", "eu-west-1", "st-1"},
			{"123456789012", "us-west-2", "st-2"},
			{"123456789012", "us-west-2", "\x00"},
		} {
			_, err := s.Session(t.Context(), in[0], in[1], in[2])
			wantErr(t, fmt.Sprintf("Session(%q)", in), err, store.ErrNotFound)
		}
	},

	"writes are refused once the lease has moved on": func(t *testing.T, s *store.Store, _ string) {
		x := session("c1", "st-1", 1, 0)
		wantErr(t, "CreateSession without a lease", s.CreateSession(t.Context(), x), store.ErrFenced)
		l := acquire(t, s, "c1", t0)
		create(t, s, x)
		writes := map[string]func() error{
			"CreateSession": func() error { return s.CreateSession(t.Context(), session("c1", live.NewStreamID(), 1, 0)) },
			"UpdateSession": func() error { return s.UpdateSession(t.Context(), x) },
			"EndSession":    func() error { return s.EndSession(t.Context(), "st-1", 1, t0) },
			"AppendEvents":  func() error { return appendEvent(t, s, "st-1", 1, live.Event{Name: "e", Time: t0}) },
		}
		if err := s.Release(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		for name, write := range writes {
			wantErr(t, name+" after Release, before the next owner", write(), nil)
		}
		acquire(t, s, "c1", t0) // the same node: it is the generation that counts
		for name, write := range writes {
			wantErr(t, name+" after a takeover", write(), store.ErrFenced)
		}
		wantErr(t, "EndSession with the new generation", s.EndSession(t.Context(), "st-1", 2, t0), store.ErrFenced)
		wantErr(t, "EndSession of no session", s.EndSession(t.Context(), "st-0", 2, t0), store.ErrNotFound)
		wantErr(t, "AppendEvents to no session", appendEvent(t, s, "st-0", 2, live.Event{}), store.ErrNotFound)
		if n := len(must(s.Events(t.Context(), "st-1"))(t)); n != 1 {
			t.Errorf("%d events, want the one that was not refused", n)
		}
	},

	"sessions of a channel are listed newest first, page by page": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		acquire(t, s, "c2", t0)
		_, err := s.LatestSession(t.Context(), channelARN("c1"))
		wantErr(t, "LatestSession of a channel without", err, store.ErrNotFound)
		create(t, s, session("c1", "st-b", 1, 1), session("c1", "st-a", 1, 2), session("c1", "st-d", 1, 0),
			session("c1", "st-C", 1, 1), session("c2", "st-e", 1, 9)) // two at the same time: by id
		want := []string{"st-a", "st-b", "st-C", "st-d"}
		if x := must(s.LatestSession(t.Context(), channelARN("c1")))(t); x.ID != "st-a" {
			t.Errorf("LatestSession = %s, want st-a", x.ID)
		}
		for page := 1; page <= 5; page++ {
			var got []string
			for after := ""; ; after = got[len(got)-1] {
				all := must(s.ListSessions(t.Context(), channelARN("c1"), after, page))(t)
				for _, x := range all {
					got = append(got, x.ID)
				}
				if len(all) < page {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %q, want %q", page, got, want)
			}
		}
		for _, after := range []string{"st-none", "st-e", "\xff"} {
			if all := must(s.ListSessions(t.Context(), channelARN("c1"), after, 5))(t); len(all) != 0 {
				t.Errorf("page after %q = %d sessions, want none", after, len(all))
			}
		}
	},

	"the events of a session are its last 500, newest first": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0), session("c1", "st-2", 1, 0))
		const total = 503
		for i := range total {
			e := live.Event{Name: fmt.Sprint(i), Type: "t", Code: "c", Time: t0}
			if err := appendEvent(t, s, "st-1", 1, e); err != nil {
				t.Fatal(err)
			}
		}
		got := must(s.Events(t.Context(), "st-1"))(t)
		if len(got) != 500 || got[0].Name != "502" || got[499].Name != "3" {
			t.Fatalf("%d events, want 500 from 502 down to 3: %v", len(got), names(got))
		}
		if diff := cmp.Diff(live.Event{Name: "502", Type: "t", Code: "c", Time: t0}, got[0]); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		for _, id := range []string{"st-2", "st-none", "\x00"} {
			if got := must(s.Events(t.Context(), id))(t); len(got) != 0 {
				t.Errorf("events of %q = %v, want none", id, got)
			}
		}
	},

	"an event and its message are written once, with the write that they belong to": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		x := session("c1", "st-1", 1, 0)
		note := func(id string) store.Note {
			return store.Note{
				Event:   live.Event{ID: id, Name: id, Type: "t", Time: t0},
				Message: store.Message{UID: id, Subject: "s", Body: []byte(id), Created: t0},
			}
		}
		for range 2 { // as if the first answer had been lost
			if err := s.CreateSession(t.Context(), x, note("create")); err != nil {
				wantErr(t, "CreateSession", err, store.ErrExists)
			}
			wantErr(t, "UpdateSession", s.UpdateSession(t.Context(), x, note("update"), store.Note{Event: live.Event{ID: "quiet", Name: "quiet"}}), nil)
			wantErr(t, "AppendEvents", s.AppendEvents(t.Context(), "st-1", 1, note("append"), note("append")), nil)
			wantErr(t, "EndSession", s.EndSession(t.Context(), "st-1", 1, t0, note("end"), note("update")), nil)
		}
		wantErr(t, "AppendEvents of a former owner", s.AppendEvents(t.Context(), "st-1", 2, note("late")), store.ErrFenced)
		bad := note("bad")
		bad.Message.Subject = "\x00"
		if err := s.UpdateSession(t.Context(), session("c1", "st-1", 1, 9), note("undone"), bad); err == nil {
			t.Error("UpdateSession with a message that cannot be kept succeeded")
		}
		if got, want := names(must(s.Events(t.Context(), "st-1"))(t)), []string{"end", "append", "quiet", "update", "create"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		var got []string
		for _, m := range must(s.Pending(t.Context(), 10))(t) {
			got = append(got, m.UID)
			if m.Subject != "s" || string(m.Body) != m.UID || !m.Created.Equal(t0) {
				t.Errorf("message %+v", m)
			}
		}
		if want := []string{"create", "update", "append", "end"}; !slices.Equal(got, want) {
			t.Errorf("messages %q, want %q", got, want)
		}
	},

	"the open sessions of a node are those it has not ended": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		b := session("c1", "st-b", 1, 0)
		b.Node = "b"
		create(t, s, session("c1", "st-1", 1, 0), session("c1", "st-2", 1, 0), session("c1", "st-3", 1, 0), b)
		wantErr(t, "EndSession", s.EndSession(t.Context(), "st-2", 1, t0), nil)
		var got []string
		for _, x := range must(s.OpenSessionsOf(t.Context(), "a"))(t) {
			got = append(got, x.ID)
		}
		if want := []string{"st-1", "st-3"}; !slices.Equal(got, want) {
			t.Errorf("OpenSessionsOf = %q, want %q", got, want)
		}
	},
}

var abandonedTests = map[string]func(*testing.T, *store.Store, string){
	"a session under a good lease stays": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0))
		if n := must(s.CloseAbandoned(t.Context(), t0.Add(ttl-time.Millisecond), over))(t); n != 0 {
			t.Errorf("CloseAbandoned = %d, want 0", n)
		}
		if x := get(t, s, "st-1"); !x.Ended.IsZero() {
			t.Errorf("it ended at %v", x.Ended)
		}
	},

	"an expired, free or newer lease ends it": func(t *testing.T, s *store.Store, _ string) {
		now := t0.Add(ttl)
		for _, c := range []string{"expired", "free", "newer"} {
			l := acquire(t, s, c, t0)
			x := session(c, "st-"+c, 1, 0)
			x.Started = t0.Add(time.Second)
			create(t, s, x)
			if c != "expired" {
				wantErr(t, "Release", s.Release(t.Context(), l), nil)
			}
			if c == "newer" {
				acquire(t, s, c, now)
				create(t, s, session(c, "st-current", 2, 0))
			}
		}
		if n := must(s.CloseAbandoned(t.Context(), now, over))(t); n != 3 {
			t.Errorf("CloseAbandoned = %d, want 3", n)
		}
		if n := must(s.CloseAbandoned(t.Context(), now, over))(t); n != 0 {
			t.Errorf("second CloseAbandoned = %d, want 0", n)
		}
		for _, c := range []string{"expired", "free", "newer"} {
			if x := get(t, s, "st-"+c); !x.Ended.Equal(now) {
				t.Errorf("%s: ended at %v, want %v", c, x.Ended, now)
			}
			want := []live.Event{
				{Name: "Stream End", Time: t0},
				{ID: "over", Name: "Session Ended", Time: t0},
			}
			if diff := cmp.Diff(want, must(s.Events(t.Context(), "st-"+c))(t)); diff != "" {
				t.Errorf("%s: events (-want +got):\n%s", c, diff)
			}
		}
		if x := get(t, s, "st-current"); !x.Ended.IsZero() {
			t.Errorf("the session of the newer lease ended at %v", x.Ended)
		}
	},

	"what never started has no Stream End": func(t *testing.T, s *store.Store, _ string) {
		acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0))
		must(s.CloseAbandoned(t.Context(), t0.Add(ttl), over))(t)
		if got := names(must(s.Events(t.Context(), "st-1"))(t)); !slices.Equal(got, []string{"Session Ended"}) {
			t.Errorf("events = %q, want Session Ended", got)
		}
	},

	"an owner that was only slow learns that it is over": func(t *testing.T, s *store.Store, _ string) {
		l := acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0))
		must(s.CloseAbandoned(t.Context(), t0.Add(ttl), over))(t)
		_, err := s.Renew(t.Context(), l, t0.Add(ttl), ttl)
		wantErr(t, "Renew", err, store.ErrFenced)
		err = appendEvent(t, s, "st-1", l.Generation, live.Event{Name: "late", Time: t0})
		wantErr(t, "AppendEvents", err, store.ErrFenced)
		if next := acquire(t, s, "c1", t0.Add(ttl)); next.Generation <= l.Generation+1 {
			t.Errorf("next generation %d, want above the fence at %d", next.Generation, l.Generation+1)
		}
	},

	"the history outlives the channel": func(t *testing.T, s *store.Store, _ string) {
		c := channelRow("c1")
		insert(t, s, c)
		l := acquire(t, s, "c1", t0)
		create(t, s, session("c1", "st-1", 1, 0))
		wantErr(t, "Release", s.Release(t.Context(), l), nil)
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), c.ARN) }); err != nil {
			t.Fatal(err)
		}
		if n := must(s.CloseAbandoned(t.Context(), t0, over))(t); n != 1 {
			t.Errorf("CloseAbandoned = %d, want 1", n)
		}
		if x := must(s.LatestSession(t.Context(), c.ARN))(t); x.Ended.IsZero() || x.Snapshot.Name != "n" {
			t.Errorf("session of the deleted channel = %+v, want it ended", x.ID)
		}
		if n := len(must(s.Events(t.Context(), "st-1"))(t)); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
	},

	"any number is closed, and by one node each": func(t *testing.T, s *store.Store, url string) {
		const total = 230 // more than two batches
		acquire(t, s, "c1", t0)
		for i := range total {
			create(t, s, session("c1", fmt.Sprintf("st-%d", i), 1, 0))
		}
		counts := make(chan int64, 2)
		for _, s := range []*store.Store{s, Open(t, url)} {
			go func() {
				n, err := s.CloseAbandoned(t.Context(), t0.Add(ttl), over)
				if err != nil {
					t.Error(err)
				}
				counts <- n
			}()
		}
		if n := <-counts + <-counts; n != total {
			t.Errorf("closed %d, want %d", n, total)
		}
		if open := must(s.OpenSessionsOf(t.Context(), "a"))(t); len(open) != 0 {
			t.Errorf("%d are open", len(open))
		}
		if n := len(must(s.Pending(t.Context(), 1000))(t)); n != total {
			t.Errorf("%d messages in the outbox, want one of each session", n)
		}
		for i := range total {
			if got := names(must(s.Events(t.Context(), fmt.Sprintf("st-%d", i)))(t)); len(got) != 1 {
				t.Fatalf("st-%d has events %q, want one", i, got)
			}
		}
	},
}
