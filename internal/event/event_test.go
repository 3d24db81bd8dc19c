package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

var (
	channel = live.ARN{Service: "ivs", Region: "us-west-2", Account: "111122223333", Type: "channel", ID: "Kq3ZtB7xWm2P"}
	lobby   = Stream{Account: channel.Account, Region: channel.Region, Channel: channel, Name: "lobby", ID: "st-1Ab2Cd3Ef4Gh5Ij6Kl7Mn8O"}
	nobody  = Stream{Account: channel.Account, Region: channel.Region}
	at      = time.Date(2026, 3, 4, 6, 6, 7, 999e6, time.FixedZone("CET", 3600))
)

func recording(status RecordingStatus) Recording {
	return Recording{
		Status: status, Bucket: "my-ivs-archive", Session: "Qa1Ws2Ed3Rf4Tg5Y",
		Prefix: "ivs/v1/111122223333/Kq3ZtB7xWm2P/2026/3/4/5/6/Hn7Gm3Fk9Dj5",
	}
}

// all is every form of low-latency.md 9.3, in its order.
func all() []Event {
	end, startFailure, endFailure := recording(RecordingEnd), recording(RecordingStartFailure), recording(RecordingEndFailure)
	end.Duration, end.Streams = 3601900*time.Millisecond, []string{lobby.ID}
	startFailure.Reason, startFailure.Prefix = "ValidationException", ""
	endFailure.Reason = "InternalServerException"
	var events []Event
	for _, x := range []struct {
		of   Stream
		what What
	}{
		{lobby, State{Name: SessionCreated}},
		{lobby, State{Name: SessionEnded}},
		{lobby, State{Name: SessionEnded, Code: MultitrackNotAllowed}},
		{lobby, State{Name: StreamStart}},
		{lobby, State{Name: StreamEnd}},
		{lobby, State{Name: StreamFailure, Reason: "Transcode capacity exceeded. Please try again."}},
		{lobby, State{Name: Takeover}},
		{lobby, State{Name: TakeoverFailure, Code: TakeoverInvalidPriority}},
		{lobby, Health{Starving: true}},
		{lobby, Health{Starving: false}},
		{lobby, Limit{IngestBitrate, 8500000, 412000, BitsPerSecond}},
		{lobby, Limit{IngestResolution, 2100000, 1586400, TotalPixels}},
		{lobby, Limit{IngestResolution, 1920, 640, PixelsPerEdge}},
		{nobody, Limit{ConcurrentBroadcasts, 100, 1, ActiveStreams}},
		{nobody, Limit{ConcurrentViewers, 15000, 40, Viewers}},
		{lobby, recording(RecordingStart)},
		{lobby, end},
		{lobby, startFailure},
		{lobby, endFailure},
		{lobby, AdBreak{ID: "Ab3De6Gh9Jk2", Duration: 30 * time.Second, Start: at.Add(10 * time.Minute)}},
	} {
		events = append(events, Event{ID: NewID("golden", string(rune('a'+len(events)))), Time: at, Stream: x.of, What: x.what})
	}
	return events
}

func TestEnvelopeOfEveryEvent(t *testing.T) {
	var got bytes.Buffer
	for _, e := range all() {
		n, err := e.Note()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&got, n.Message.Body, "", " "); err != nil {
			t.Fatal(err)
		}
		name, code := e.What.line()
		got.WriteString("\n// " + n.Message.Subject + ": " + strings.TrimSuffix(name+" "+code, " ") + "\n")
		if n.Message.UID != e.ID || n.Event.ID != e.ID || !n.Event.Time.Equal(at) || n.Event.Name != name || n.Event.Code != code {
			t.Errorf("note %+v of event %s", n.Event, e.ID)
		}
	}
	golden := filepath.Join("testdata", "events.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("events are not those of %s:\n%s", golden, got.Bytes())
	}
}

func TestEventsThatAWSDoesNotDocument(t *testing.T) {
	good := Event{ID: NewID("x"), Time: at, Stream: lobby, What: State{Name: StreamStart}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	of := func(f func(*Event)) Event { e := good; f(&e); return e }
	what := func(w What) Event { return of(func(e *Event) { e.What = w }) }
	unbucketed, unnamed, backward := recording(RecordingStart), recording("Recording Paused"), recording(RecordingEnd)
	unbucketed.Bucket, backward.Duration = "", -1
	long := recording(RecordingEnd)
	long.Streams = make([]string, 21)
	for name, e := range map[string]Event{
		"no id":                     of(func(e *Event) { e.ID = "" }),
		"an id that is no UUID":     of(func(e *Event) { e.ID = strings.ToUpper(NewID("x")) }),
		"no time":                   of(func(e *Event) { e.Time = time.Time{} }),
		"nothing":                   what(nil),
		"no account":                of(func(e *Event) { e.Stream.Account = "" }),
		"another region":            of(func(e *Event) { e.Stream.Region = "eu-west-1" }),
		"a wild region":             of(func(e *Event) { e.Stream.Region = "*" }),
		"another account":           of(func(e *Event) { e.Stream.Account = "999999999999" }),
		"no channel":                of(func(e *Event) { e.Stream.Channel = live.ARN{} }),
		"a stream key":              of(func(e *Event) { e.Stream.Channel.Type = live.TypeStreamKey }),
		"a name with a line":        of(func(e *Event) { e.Stream.Name = "a\nb" }),
		"no stream":                 of(func(e *Event) { e.Stream.ID = "" }),
		"an unknown state":          what(State{Name: "Stream Paused"}),
		"a start with a code":       what(State{Name: StreamStart, Code: MultitrackRequired}),
		"an end with a wrong code":  what(State{Name: SessionEnded, Code: TakeoverMediaMismatch}),
		"a failure without a code":  what(State{Name: TakeoverFailure}),
		"an end with a reason":      what(State{Name: StreamEnd, Reason: "why"}),
		"no reason":                 what(State{Name: StreamFailure}),
		"an unknown limit":          what(Limit{"Ingest Framerate", 60, 1, "frames"}),
		"another limit's unit":      what(Limit{IngestBitrate, 1, 1, PixelsPerEdge}),
		"a limit that holds":        what(Limit{IngestBitrate, 100, -1, BitsPerSecond}),
		"an account's, of a stream": what(Limit{ConcurrentBroadcasts, 1, 1, ActiveStreams}),
		"no bucket":                 what(unbucketed),
		"an unknown recording":      what(unnamed),
		"a negative duration":       what(backward),
		"21 streams":                what(long),
		"a break without length":    what(AdBreak{ID: "a", Start: at}),
		"a break at no time":        what(AdBreak{ID: "a", Duration: time.Second}),
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := e.Note(); err == nil {
				t.Errorf("Note() = %s, want an error", n.Message.Body)
			}
		})
	}
}

func TestNewID(t *testing.T) {
	a, again, b := NewID("st-1", "2"), NewID("st-1", "2"), NewID("st-12")
	if a != again || a == b || !uuid.MatchString(a) || a[14] != '8' {
		t.Errorf("ids %s, %s, %s: want a UUID of version 8, twice, and another", a, again, b)
	}
}

func TestAbandoned(t *testing.T) {
	x := live.Session{ID: lobby.ID, Channel: channel, Snapshot: live.Channel{Name: "lobby"}}
	for name, started := range map[string]time.Time{"": {}, "Stream End": at} {
		x.Started = started
		notes, err := Abandoned(at)(x)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range notes {
			got = append(got, n.Event.Name)
		}
		if want := strings.TrimSpace("Session Ended " + name); strings.Join(got, " ") != want {
			t.Errorf("notes %q, want %s", got, want)
		}
	}
	again, err := Abandoned(at.Add(time.Hour))(x)
	if first, _ := Abandoned(at)(x); err != nil || again[0].Event.ID != first[0].Event.ID {
		t.Errorf("the end of one session has ids %s and %s: %v", first[0].Event.ID, again[0].Event.ID, err)
	}
}
