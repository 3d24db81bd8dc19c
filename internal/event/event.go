package event

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// An Event is one thing that happened.
type Event struct {
	ID     string // a UUID; see NewID
	Time   time.Time
	Stream Stream // what it happened to
	What   What
}

// Stream names what an event is about: a stream of a channel, or, without a channel, an
// account in a region.
type Stream struct {
	Account, Region string   // of Channel, if there is one
	Channel         live.ARN // zero: the account
	Name            string   // of the channel, may be ""
	ID              string   // "st-..."
}

// Of is the stream of a session.
func Of(x live.Session) Stream {
	return Stream{Account: x.Channel.Account, Region: x.Channel.Region, Channel: x.Channel, Name: x.Snapshot.Name, ID: x.ID}
}

// What happened: a State, Health, Limit, Recording or AdBreak.
type What interface {
	// detailType is EventBridge's name of the kind.
	detailType() string
	// line is how GetStreamSession shows it.
	line() (name, code string)
	// check refuses what AWS does not document.
	check() error
	// detail is the JSON value for a stream.
	detail(Stream) any
}

// envelope is what EventBridge wraps every event in (low-latency.md 9.1).
type envelope struct {
	Version    string   `json:"version"`
	ID         string   `json:"id"`
	DetailType string   `json:"detail-type"`
	Source     string   `json:"source"`
	Account    string   `json:"account"`
	Time       string   `json:"time"`
	Region     string   `json:"region"`
	Resources  []string `json:"resources"`
	Detail     any      `json:"detail"`
}

// MarshalJSON is the envelope. An event that is not valid has none.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	w := envelope{
		Version: "0", ID: e.ID, DetailType: e.What.detailType(), Source: "aws.ivs",
		Account: e.Stream.Account, Region: e.Stream.Region,
		Time: e.Time.UTC().Truncate(time.Second).Format(time.RFC3339), Resources: []string{},
		Detail: e.What.detail(e.Stream),
	}
	if e.Stream.Channel != (live.ARN{}) {
		w.Resources = append(w.Resources, e.Stream.Channel.String())
	}
	return json.Marshal(w)
}

var (
	uuid     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	account  = regexp.MustCompile(`^[0-9]{12}$`)
	region   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	named    = regexp.MustCompile(`^[a-zA-Z0-9_-]{0,128}$`)
	streamID = regexp.MustCompile(`^st-[a-zA-Z0-9]{1,32}$`)
)

// Validate returns an error unless the event is one that AWS documents.
func (e Event) Validate() error {
	s := e.Stream
	switch {
	case !uuid.MatchString(e.ID):
		return fmt.Errorf("event: id %q is no UUID", e.ID)
	case e.Time.IsZero():
		return errors.New("event: no time")
	case !account.MatchString(s.Account) || !region.MatchString(s.Region):
		return fmt.Errorf("event: account %q in region %q", s.Account, s.Region)
	case e.What == nil:
		return errors.New("event: nothing happened")
	}
	if err := e.What.check(); err != nil {
		return fmt.Errorf("event: %s: %w", e.What.detailType(), err)
	}
	if l, ok := e.What.(Limit); ok && l.ofAccount() {
		if s.Channel != (live.ARN{}) || s.ID != "" || s.Name != "" {
			return fmt.Errorf("event: %s is of an account, not of a stream", l.Name)
		}
		return nil
	}
	switch {
	case s.Channel.Want(live.ServiceIVS, live.TypeChannel) != nil, s.Channel.Account != s.Account, s.Channel.Region != s.Region:
		return fmt.Errorf("event: %s is no channel of %s in %s", s.Channel, s.Account, s.Region)
	case !named.MatchString(s.Name), !streamID.MatchString(s.ID):
		return fmt.Errorf("event: stream %q of channel %q", s.ID, s.Name)
	}
	return nil
}

// Note is what the store keeps of the event: the line of its session's history, and the
// message for the bus.
func (e Event) Note() (store.Note, error) {
	m, err := e.message()
	if err != nil {
		return store.Note{}, err
	}
	name, code := e.What.line()
	return store.Note{
		Event:   live.Event{ID: e.ID, Name: name, Type: e.What.detailType(), Code: code, Time: e.Time},
		Message: m,
	}, nil
}

func (e Event) message() (store.Message, error) {
	body, err := e.MarshalJSON()
	if err != nil {
		return store.Message{}, err
	}
	return store.Message{UID: e.ID, Subject: Subject(e.Stream.Account, e.Stream.Region), Body: body, Created: e.Time}, nil
}

// Subject is where the events of an account and region go, below Log on the bus. Either
// may be "*".
func Subject(account, region string) string { return account + "." + region }

// NewID is the id of the event that parts name, always the same for the same parts: who
// does not know whether an event was written writes it again under the same id.
func NewID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80 // version 8: of our own making (RFC 9562 5.8)
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Abandoned returns what store.CloseAbandoned notes of a session whose owner is gone.
func Abandoned(now time.Time) func(live.Session) ([]store.Note, error) {
	return func(x live.Session) ([]store.Note, error) {
		what := []StateName{SessionEnded}
		if !x.Started.IsZero() {
			what = append(what, StreamEnd)
		}
		var all []store.Note
		for _, name := range what {
			e := Event{ID: NewID(x.ID, "abandoned", string(name)), Time: now, Stream: Of(x), What: State{Name: name}}
			n, err := e.Note()
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return all, nil
	}
}
