package event

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// about is what every detail of a stream ends with.
type about struct {
	Name   string `json:"channel_name"`
	Stream string `json:"stream_id"`
}

func (s Stream) about() about { return about{s.Name, s.ID} }

// A StateName says how the state of a stream changed.
type StateName string

// State changes (low-latency.md 9.2).
const (
	SessionCreated  StateName = "Session Created"
	SessionEnded    StateName = "Session Ended"
	StreamStart     StateName = "Stream Start"
	StreamEnd       StateName = "Stream End"
	StreamFailure   StateName = "Stream Failure"
	Takeover        StateName = "Stream Takeover"
	TakeoverFailure StateName = "Stream Takeover Failure"
)

// A Code says why a session ended, or a takeover failed.
type Code string

// Codes of TakeoverFailure (low-latency.md 3.3).
const (
	TakeoverMediaMismatch   Code = "StreamTakeoverMediaMismatch"
	TakeoverInvalidPriority Code = "StreamTakeoverInvalidPriority"
	TakeoverLimitBreached   Code = "StreamTakeoverLimitBreached"
)

// Codes of SessionEnded (low-latency.md 3.4).
const (
	MultitrackNotAllowed  Code = "MultitrackInputNotAllowed"
	MultitrackRequired    Code = "MultitrackInputRequired"
	MultitrackKeyInvalid  Code = "InvalidGetClientConfigurationStreamKey"
	MultitrackKeyRequired Code = "GetClientConfigurationStreamKeyRequired"
	MultitrackTrackCount  Code = "InvalidMultitrackInputTrackCount"
	MultitrackProperties  Code = "InvalidMultitrackInputVideoTrackMediaProperties"
)

// codes are those that go with a state change; one that is not here has none. Session
// Ended may go without.
var codes = map[StateName][]Code{
	SessionEnded: {
		"", MultitrackNotAllowed, MultitrackRequired, MultitrackKeyInvalid, MultitrackKeyRequired, MultitrackTrackCount, MultitrackProperties,
	},
	TakeoverFailure: {TakeoverMediaMismatch, TakeoverInvalidPriority, TakeoverLimitBreached},
}

// State is a change of a stream's state.
type State struct {
	Name   StateName
	Code   Code   // of SessionEnded and TakeoverFailure
	Reason string // of StreamFailure, for people
}

func (State) detailType() string       { return "IVS Stream State Change" }
func (s State) line() (string, string) { return string(s.Name), string(s.Code) }

func (s State) check() error {
	switch s.Name {
	case SessionCreated, SessionEnded, StreamStart, StreamEnd, StreamFailure, Takeover, TakeoverFailure:
	default:
		return fmt.Errorf("%q", s.Name)
	}
	allowed, ok := codes[s.Name]
	if !ok {
		allowed = []Code{""}
	}
	if !slices.Contains(allowed, s.Code) {
		return fmt.Errorf("%s with code %q", s.Name, s.Code)
	}
	if (s.Reason != "") != (s.Name == StreamFailure) || len(s.Reason) > maxReason {
		return fmt.Errorf("%s for a reason of %d bytes", s.Name, len(s.Reason))
	}
	return nil
}

func (s State) detail(of Stream) any {
	return struct {
		Event StateName `json:"event_name"`
		about
		Code   Code   `json:"code,omitempty"`
		Reason string `json:"reason,omitempty"`
	}{s.Name, of.about(), s.Code, s.Reason}
}

// Health is a change of how well media comes in.
type Health struct{ Starving bool }

const (
	starvationStart = "Starvation Start"
	starvationEnd   = "Starvation End"
)

func (Health) detailType() string { return "IVS Stream Health Change" }
func (Health) check() error       { return nil }

func (h Health) line() (name, code string) {
	if h.Starving {
		return starvationStart, ""
	}
	return starvationEnd, ""
}

func (h Health) detail(of Stream) any {
	name, _ := h.line()
	return struct {
		Event string `json:"event_name"`
		about
	}{name, of.about()}
}

// A LimitName is one of the limits whose breach is told.
type LimitName string

// Limits (low-latency.md 9.2).
const (
	IngestBitrate        LimitName = "Ingest Bitrate"
	IngestResolution     LimitName = "Ingest Resolution"
	IngestFrameRate      LimitName = "Ingest Framerate" // ours: IVS publishes the limit and no event
	ConcurrentBroadcasts LimitName = "Concurrent Broadcasts"
	ConcurrentViewers    LimitName = "Concurrent Viewers"
)

// A Unit is what a limit counts.
type Unit string

// Units of limits (low-latency.md 9.3).
const (
	BitsPerSecond   Unit = "bits per second"
	TotalPixels     Unit = "total pixels"
	PixelsPerEdge   Unit = "pixels per edge"
	FramesPerSecond Unit = "frames per second"
	ActiveStreams   Unit = "active streams"
	Viewers         Unit = "viewers"
)

var units = map[LimitName][]Unit{
	IngestBitrate:        {BitsPerSecond},
	IngestResolution:     {TotalPixels, PixelsPerEdge},
	IngestFrameRate:      {FramesPerSecond},
	ConcurrentBroadcasts: {ActiveStreams},
	ConcurrentViewers:    {Viewers},
}

// Limit is the breach of a limit.
type Limit struct {
	Name       LimitName
	Value      int64 // the limit
	ExceededBy int64 // what was observed, less the limit
	Unit       Unit
}

func (Limit) detailType() string       { return "IVS Limit Breach" }
func (l Limit) line() (string, string) { return string(l.Name), "" }
func (l Limit) ofAccount() bool        { return l.Name == ConcurrentBroadcasts || l.Name == ConcurrentViewers }

func (l Limit) check() error {
	if !slices.Contains(units[l.Name], l.Unit) {
		return fmt.Errorf("%q in %q", l.Name, l.Unit)
	}
	if l.Value < 0 || l.ExceededBy < 0 {
		return fmt.Errorf("%s of %d exceeded by %d", l.Name, l.Value, l.ExceededBy)
	}
	return nil
}

func (l Limit) detail(of Stream) any {
	d := struct {
		Name       LimitName `json:"limit_name"`
		Value      int64     `json:"limit_value"`
		ExceededBy int64     `json:"exceeded_by"`
		Unit       Unit      `json:"limit_unit"`
		*about               // nil and absent for an account
	}{l.Name, l.Value, l.ExceededBy, l.Unit, nil}
	if !l.ofAccount() {
		a := of.about()
		d.about = &a
	}
	return d
}

// A RecordingStatus says how a recording went on.
type RecordingStatus string

// Recording states (low-latency.md 9.2).
const (
	RecordingStart        RecordingStatus = "Recording Start"
	RecordingEnd          RecordingStatus = "Recording End"
	RecordingStartFailure RecordingStatus = "Recording Start Failure"
	RecordingEndFailure   RecordingStatus = "Recording End Failure"
)

// Recording is a change of a recording's state.
type Recording struct {
	Status   RecordingStatus
	Reason   string // "" unless it failed
	Bucket   string
	Prefix   string        // of the recording's objects; "" when there are none
	Duration time.Duration // recorded; 0 until the end
	Session  string        // names the recording, which may span streams
	Streams  []string      // recorded together, of RecordingEnd
}

const (
	maxReason  = 256  // bytes
	maxKey     = 1024 // bytes, of an object's key
	maxStreams = 20   // of one recording (low-latency.md 8.6)
)

func (Recording) detailType() string       { return "IVS Recording State Change" }
func (r Recording) line() (string, string) { return string(r.Status), "" }

func (r Recording) check() error {
	switch r.Status {
	case RecordingStart, RecordingEnd, RecordingStartFailure, RecordingEndFailure:
	default:
		return fmt.Errorf("%q", r.Status)
	}
	switch {
	case r.Bucket == "" || r.Session == "":
		return errors.New("no bucket, or no session")
	case len(r.Bucket) > maxReason || len(r.Session) > maxReason || len(r.Reason) > maxReason || len(r.Prefix) > maxKey:
		return errors.New("a name is too long")
	case r.Duration < 0 || len(r.Streams) > maxStreams:
		return fmt.Errorf("%v of %d streams", r.Duration, len(r.Streams))
	}
	return nil
}

func (r Recording) detail(of Stream) any {
	return struct {
		about
		Status     RecordingStatus `json:"recording_status"`
		Reason     string          `json:"recording_status_reason"`
		Bucket     string          `json:"recording_s3_bucket_name"`
		Prefix     string          `json:"recording_s3_key_prefix"`
		DurationMS int64           `json:"recording_duration_ms"`
		Session    string          `json:"recording_session_id"`
		Streams    []string        `json:"recording_session_stream_ids,omitempty"`
	}{of.about(), r.Status, r.Reason, r.Bucket, r.Prefix, r.Duration.Milliseconds(), r.Session, r.Streams}
}

// AdBreak is an ad break that entered the playlist.
type AdBreak struct {
	ID       string
	Duration time.Duration
	Start    time.Time // when viewers come to it
}

const adBreakInserted = "Ad Break Inserted"

func (AdBreak) detailType() string     { return "IVS Ad Break State Change" }
func (AdBreak) line() (string, string) { return adBreakInserted, "" }

func (b AdBreak) check() error {
	if b.ID == "" || len(b.ID) > maxReason || b.Duration <= 0 || b.Start.IsZero() {
		return fmt.Errorf("break %q of %v at %v", b.ID, b.Duration, b.Start)
	}
	return nil
}

func (b AdBreak) detail(of Stream) any {
	return struct {
		Event string `json:"event_name"`
		about
		ID       string `json:"ad_break_id"`
		Duration int64  `json:"duration_seconds"`
		Start    string `json:"target_start_time"`
	}{adBreakInserted, of.about(), b.ID, int64(b.Duration.Round(time.Second) / time.Second), b.Start.UTC().Truncate(time.Second).Format(time.RFC3339)}
}
