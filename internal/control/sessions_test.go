package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// t0 is when the sessions of these tests begin.
var t0 = time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)

func streamID(n int) string { return fmt.Sprintf("st-%023d", n) }

// session records a session of the channel as its owner would, created n minutes after t0.
func (f fixture) session(t *testing.T, channel string, n int, change func(*live.Session), events ...live.Event) live.Session {
	t.Helper()
	arn, err := live.ParseARN(channel)
	if err != nil {
		t.Fatal(err)
	}
	row, err := f.store.Get(t.Context(), arn)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := store.ChannelOf(row)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := f.store.Acquire(t.Context(), channel, "a-node", "", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s := live.Session{
		ID: streamID(n), Channel: arn, Node: "a-node", Generation: lease.Generation,
		Created: t0.Add(time.Duration(n) * time.Minute), Snapshot: ch,
	}
	if change != nil {
		change(&s)
	}
	err = f.store.CreateSession(t.Context(), s)
	for _, e := range events {
		err = errors.Join(err, f.store.AppendEvents(t.Context(), s.ID, lease.Generation, store.Note{Event: e}))
	}
	if err = errors.Join(err, f.store.Release(t.Context(), lease)); err != nil {
		t.Fatal(err)
	}
	return s
}

// ingested is what an encoder announced, as in the example of low-latency.md 3.5.
func ingested(s *live.Session) {
	s.Started = s.Created.Add(7 * time.Second)
	s.Ended = s.Created.Add(time.Hour)
	s.Ingest = live.Ingest{
		Protocol: "RTMPS",
		Video: []live.IngestVideo{
			{Codec: "avc1.4D4028", Profile: "Main", Level: "4.0", Encoder: "obs-output module (libobs version 30.2.2)", BitRate: 6000000, FrameRate: 30, Width: 1920, Height: 1080},
			{Codec: "avc1.4D401F", Profile: "Main", Level: "3.1", BitRate: 2500000, FrameRate: 30, Width: 1280, Height: 720},
		},
		Audio: []live.IngestAudio{{Codec: "mp4a.40.2", BitRate: 160000, SampleRate: 48000, Channels: 2}},
	}
}

func TestGetStreamSession(t *testing.T) {
	f := newFixture(t)
	rc := f.recording(t, into("archive"))
	ch := f.channel(t, ivsapi.CreateChannelRequest{Name: new("lobby"), RecordingConfigurationArn: &rc.Arn, Tags: map[string]string{"a": "b"}})
	const state = "IVS Stream State Change"
	f.session(t, *ch.Arn, 1, func(s *live.Session) {
		ingested(s)
		row, err := f.store.Get(t.Context(), live.ARN{
			Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: live.TypeRecordingConfiguration, ID: rc.Arn[len(rc.Arn)-12:],
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.RecordingConfigurationOf(row)
		if err != nil {
			t.Fatal(err)
		}
		s.Recording = &r
	},
		live.Event{Name: "Session Created", Type: state, Time: t0},
		live.Event{Name: "Stream Takeover Failure", Type: state, Code: "StreamTakeoverInvalidPriority", Time: t0.Add(time.Second)},
	)
	// What changes afterwards does not show in the session.
	if _, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, Name: new("hall"), RecordingConfigurationArn: new("")}); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteRecordingConfiguration(f.ctx, &ivsapi.DeleteRecordingConfigurationRequest{Arn: rc.Arn}); err != nil {
		t.Fatal(err)
	}

	out, err := f.GetStreamSession(f.ctx, &ivsapi.GetStreamSessionRequest{ChannelArn: *ch.Arn, StreamId: new(streamID(1))})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := *ch
	snapshot.Srt = &ivsapi.Srt{Endpoint: ch.Srt.Endpoint} // no passphrase
	video := func(codec, level, encoder string, rate, w, h int64, track string) ivsapi.VideoConfiguration {
		return ivsapi.VideoConfiguration{
			AvcProfile: new(""), AvcLevel: new(""), Codec: &codec, Profile: new("Main"), Level: &level, Encoder: &encoder,
			TargetBitrate: &rate, TargetFramerate: new(int64(30)), VideoWidth: &w, VideoHeight: &h, Track: &track,
		}
	}
	audio := ivsapi.AudioConfiguration{
		Codec: new("mp4a.40.2"), TargetBitrate: new(int64(160000)), SampleRate: new(int64(48000)), Channels: new(int64(2)), Track: new("Track0"),
	}
	first := video("avc1.4D4028", "4.0", "obs-output module (libobs version 30.2.2)", 6000000, 1920, 1080, "Track0")
	deprecated := first
	deprecated.AvcProfile, deprecated.AvcLevel = new("Main"), new("4.0")
	want := &ivsapi.StreamSession{
		StreamId: new(streamID(1)), StartTime: new(t0.Add(time.Minute + 7*time.Second)), EndTime: new(t0.Add(61 * time.Minute)),
		Channel: &snapshot, RecordingConfiguration: rc,
		IngestConfiguration: &ivsapi.IngestConfiguration{Video: &deprecated, Audio: &audio},
		IngestConfigurations: &ivsapi.IngestConfigurations{
			VideoConfigurations: []ivsapi.VideoConfiguration{first, video("avc1.4D401F", "3.1", "", 2500000, 1280, 720, "Track1")},
			AudioConfigurations: []ivsapi.AudioConfiguration{audio},
		},
		TruncatedEvents: []ivsapi.StreamEvent{ // newest first
			{Name: new("Stream Takeover Failure"), Type: new(state), Code: new("StreamTakeoverInvalidPriority"), EventTime: new(t0.Add(time.Second))},
			{Name: new("Session Created"), Type: new(state), EventTime: new(t0)},
		},
	}
	if d := cmp.Diff(want, out.StreamSession); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestGetStreamSessionFindsTheOneMeant(t *testing.T) {
	f := newFixture(t)
	ch, other := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn, *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	if _, err := f.GetStreamSession(f.ctx, &ivsapi.GetStreamSessionRequest{ChannelArn: ch}); !errors.Is(err, live.NotFound) {
		t.Errorf("a channel that was never live: %v, want not found", err)
	}
	f.session(t, ch, 2, ingested)
	f.session(t, ch, 1, ingested)
	f.session(t, other, 3, nil)
	for name, tt := range map[string]struct {
		in      ivsapi.GetStreamSessionRequest
		want    int // 0 for not found
		foreign bool
	}{
		"without an id, the newest":   {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch}, want: 2},
		"by id":                       {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch, StreamId: new(streamID(1))}, want: 1},
		"of another channel":          {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch, StreamId: new(streamID(3))}},
		"an id that nobody had":       {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch, StreamId: new(streamID(4))}},
		"by id, of another account":   {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch, StreamId: new(streamID(1))}, foreign: true},
		"the newest, another account": {in: ivsapi.GetStreamSessionRequest{ChannelArn: ch}, foreign: true},
		"one that is not live yet":    {in: ivsapi.GetStreamSessionRequest{ChannelArn: other}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := f.ctx
			if tt.foreign {
				ctx = as(t.Context(), "444455556666", "us-west-2")
			}
			out, err := f.GetStreamSession(ctx, &tt.in)
			if tt.want == 0 {
				if !errors.Is(err, live.NotFound) {
					t.Errorf("error %v, want not found", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s := out.StreamSession
			if *s.StreamId != streamID(tt.want) {
				t.Errorf("session %s, want %s", *s.StreamId, streamID(tt.want))
			}
			if tt.want == 3 && (s.EndTime != nil || !s.StartTime.Equal(t0.Add(3*time.Minute)) || s.IngestConfiguration != nil || s.IngestConfigurations != nil || s.RecordingConfiguration != nil) {
				t.Errorf("a session that just began = %+v; want its creation as its start, and nothing else known", s)
			}
		})
	}
}

func TestListStreamSessions(t *testing.T) {
	f := newFixture(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	list := func(size *int32) (got []ivsapi.StreamSessionSummary) {
		t.Helper()
		in := &ivsapi.ListStreamSessionsRequest{ChannelArn: ch, MaxResults: size}
		for {
			out, err := f.ListStreamSessions(f.ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, out.StreamSessions...)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return got
			}
		}
	}
	if got := list(nil); len(got) != 0 {
		t.Errorf("a channel that was never live lists %d sessions", len(got))
	}
	f.session(t, ch, 1, ingested)
	f.session(t, ch, 2, ingested, live.Event{Name: "Ingest Bitrate", Type: "IVS Limit Breach", Time: t0})
	f.session(t, ch, 3, nil) // runs
	want := []ivsapi.StreamSessionSummary{
		{StreamId: new(streamID(3)), StartTime: new(t0.Add(3 * time.Minute)), HasErrorEvent: new(false)},
		{StreamId: new(streamID(2)), StartTime: new(t0.Add(2*time.Minute + 7*time.Second)), EndTime: new(t0.Add(62 * time.Minute)), HasErrorEvent: new(true)},
		{StreamId: new(streamID(1)), StartTime: new(t0.Add(time.Minute + 7*time.Second)), EndTime: new(t0.Add(61 * time.Minute)), HasErrorEvent: new(false)},
	}
	for _, size := range []*int32{nil, new(int32(1)), new(int32(2)), new(int32(3))} {
		if d := cmp.Diff(want, list(size)); d != "" {
			t.Errorf("pages of %v: -want +got\n%s", size, d)
		}
	}

	// The history outlives the channel, and nobody else sees it.
	if err := f.DeleteChannel(f.ctx, &ivsapi.DeleteChannelRequest{Arn: ch}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, list(nil)); d != "" {
		t.Errorf("of a deleted channel: -want +got\n%s", d)
	}
	if _, err := f.GetStreamSession(f.ctx, &ivsapi.GetStreamSessionRequest{ChannelArn: ch}); err != nil {
		t.Errorf("GetStreamSession of a deleted channel: %v", err)
	}
	if _, err := f.ListStreamSessions(as(t.Context(), "444455556666", "us-west-2"), &ivsapi.ListStreamSessionsRequest{ChannelArn: ch}); !errors.Is(err, live.NotFound) {
		t.Errorf("of another account: %v, want not found", err)
	}
	absent := "arn:aws:ivs:us-west-2:111122223333:channel/AAAAAAAAAAAA"
	if _, err := f.ListStreamSessions(f.ctx, &ivsapi.ListStreamSessionsRequest{ChannelArn: absent}); !errors.Is(err, live.NotFound) {
		t.Errorf("of no channel: %v, want not found", err)
	}
	first, err := f.ListStreamSessions(f.ctx, &ivsapi.ListStreamSessionsRequest{ChannelArn: ch, MaxResults: new(int32(1))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ListStreamSessions(f.ctx, &ivsapi.ListStreamSessionsRequest{ChannelArn: absent, NextToken: first.NextToken}); !errors.Is(err, live.Invalid) {
		t.Errorf("a token of another channel: %v, want invalid", err)
	}
}

func TestHistoryIsForgotten(t *testing.T) {
	f := newFixture(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{Authorized: new(true)}).Arn
	f.session(t, ch, 1, ingested)
	f.session(t, ch, 2, nil) // runs
	f.now = func() time.Time { return t0 }
	if _, err := f.StartViewerSessionRevocation(f.ctx, &ivsapi.StartViewerSessionRevocationRequest{ChannelArn: ch, ViewerId: "ann"}); err != nil {
		t.Fatal(err)
	}
	arn, _ := live.ParseARN(ch)
	for _, tt := range []struct {
		now      time.Time
		sessions int
		revoked  bool
	}{
		{t0.Add(48 * time.Hour), 2, true}, // as long as a session may last
		{t0.Add(revocationRetention), 2, true},
		{t0.Add(revocationRetention + time.Second), 2, false},
		{t0.Add(61*time.Minute + sessionRetention), 2, false},
		{t0.Add(61*time.Minute + sessionRetention + time.Second), 1, false},
	} {
		f.now = func() time.Time { return tt.now }
		if err := f.forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		out, err := f.ListStreamSessions(f.ctx, &ivsapi.ListStreamSessionsRequest{ChannelArn: ch})
		if err != nil || len(out.StreamSessions) != tt.sessions {
			t.Errorf("at %v: %d sessions, %v; want %d", tt.now, len(out.StreamSessions), err, tt.sessions)
		}
		if _, err := f.store.Revocation(t.Context(), arn, "ann"); (err == nil) != tt.revoked {
			t.Errorf("at %v: revocation %v, want it kept: %t", tt.now, err, tt.revoked)
		}
	}
}
