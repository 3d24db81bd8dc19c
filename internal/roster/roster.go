// Package roster is who is live, and where. The node that owns a live channel
// announces its state on the bus; every node that needs to know keeps the sum of
// those announcements in memory, so lists and look-ups cost no round trip. It is also
// the way to reach an owner: a command sent here arrives at whoever holds the channel.
//
// Nothing in here is durable. A node that starts asks everyone to announce again; an
// owner that goes silent drops out after Expiry.
package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/live"
)

// Interval is how often an owner repeats its announcement.
const Interval = 2 * time.Second

// Expiry is how long an entry lives without an announcement: three are lost before
// a stream counts as gone.
const Expiry = 3*Interval + time.Second

// wire is what the bus must do for a roster.
type wire interface {
	Publish(ctx context.Context, subject string, data []byte) error
	Subscribe(ctx context.Context, subject, queue string, f func(context.Context, bus.Msg)) (stop func(), err error)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
}

const (
	announceSubject = "roster.announce"
	syncSubject     = "roster.sync"
)

// An Entry is one announcement.
type Entry struct {
	live.State
	Generation int64 `json:"generation"`     // of the owner's lease; a higher one wins
	Gone       bool  `json:"gone,omitempty"` // the stream has ended
}

// Roster is this node's view of every live channel.
type Roster struct {
	bus wire
	now func() time.Time

	mu      sync.RWMutex
	entries map[live.ARN]held   // guarded by mu; bounded by the number of live streams
	streams map[string]live.ARN // channel of each of those by stream id; guarded by mu
}

type held struct {
	Entry
	seen time.Time
}

// New returns an empty roster; Run fills it and keeps it true.
func New(b wire, now func() time.Time) *Roster {
	return &Roster{bus: b, now: now, entries: map[live.ARN]held{}, streams: map[string]live.ARN{}}
}

// Run listens to announcements until ctx is done. started is called once the roster
// hears everything and has asked the owners to announce themselves.
func (r *Roster) Run(ctx context.Context, started func()) error {
	stop, err := r.bus.Subscribe(ctx, announceSubject, "", func(_ context.Context, m bus.Msg) {
		var e Entry
		if json.Unmarshal(m.Data, &e) == nil { // only nodes publish here; one of another version may not be understood
			r.apply(e)
		}
	})
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	defer stop()
	if err := r.bus.Publish(ctx, syncSubject, nil); err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	started()
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.expire()
		}
	}
}

func (r *Roster) apply(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.entries[e.Channel]; ok && old.Generation > e.Generation {
		return // a late word from a former owner
	}
	r.drop(e.Channel)
	if e.Gone {
		return
	}
	r.entries[e.Channel] = held{e, r.now()}
	r.streams[e.Stream] = e.Channel
}

// drop forgets the stream of a channel, with mu held.
func (r *Roster) drop(channel live.ARN) {
	delete(r.streams, r.entries[channel].Stream)
	delete(r.entries, channel)
}

func (r *Roster) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for arn, h := range r.entries {
		if r.now().Sub(h.seen) > Expiry {
			r.drop(arn)
		}
	}
}

// Announce tells every node, this one first, about a stream this node owns.
func (r *Roster) Announce(ctx context.Context, e Entry) error {
	r.apply(e)
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	return r.bus.Publish(ctx, announceSubject, b)
}

// OnSync calls f whenever a node that has just started wants to hear who is live.
func (r *Roster) OnSync(ctx context.Context, f func(context.Context)) (stop func(), err error) {
	return r.bus.Subscribe(ctx, syncSubject, "", func(ctx context.Context, _ bus.Msg) { f(ctx) })
}

// Get returns the stream of a channel, if it is live.
func (r *Roster) Get(channel live.ARN) (live.State, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h, ok := r.entries[channel]
	return h.State, ok
}

// ByStream returns a live stream by its id.
func (r *Roster) ByStream(id string) (live.State, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	channel, ok := r.streams[id]
	return r.entries[channel].State, ok
}

// Len is the number of live streams known.
func (r *Roster) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.entries)
}

// List returns up to limit live streams of an account and region whose channel id is
// above after, in order of channel id. An empty health means any.
func (r *Roster) List(account, region string, health live.Health, after string, limit int) []live.State {
	r.mu.RLock()
	var all []live.State
	for arn, h := range r.entries {
		if arn.Account == account && arn.Region == region && arn.ID > after && (health == "" || h.Health == health) {
			all = append(all, h.State)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b live.State) int { return strings.Compare(a.Channel.ID, b.Channel.ID) })
	return all[:min(limit, len(all))]
}

// A Command asks the owner of a channel to do something.
type Command struct {
	Op       string  `json:"op"`
	Metadata string  `json:"metadata,omitempty"` // of OpMetadata; never logged
	AdBreak  AdBreak `json:"adBreak,omitzero"`   // of OpAdBreak
}

// What an owner can be asked for.
const (
	OpStop     = "stop"     // end the stream and disconnect its encoder
	OpMetadata = "metadata" // put a text into the media at once
	OpAdBreak  = "adBreak"  // begin an ad break at once
)

// An AdBreak is one that is to begin.
type AdBreak struct {
	ID       string        `json:"id"` // of AdBreakIDLen letters and digits
	Duration time.Duration `json:"duration"`
}

// AdBreakIDLen is the length of an ad break's id (low-latency.md 1.3).
const AdBreakIDLen = 12

// answer is what an owner sends back.
type answer struct {
	Kind   live.Kind `json:"kind,omitempty"` // "" for success
	Detail string    `json:"detail,omitempty"`
}

func commandSubject(c live.ARN) string {
	return "stream." + c.Account + "." + c.Region + "." + c.ID
}

// Send hands a command to the owner of channel and waits for its answer. It returns
// an *live.Error: NotLive when nobody owns the channel, Unavailable when the owner
// does not answer before ctx ends, or what the owner said.
func (r *Roster) Send(ctx context.Context, channel live.ARN, c Command) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	reply, err := r.bus.Request(ctx, commandSubject(channel), b)
	switch {
	case errors.Is(err, bus.ErrNoResponders):
		return &live.Error{Kind: live.NotLive, Detail: "channel is not broadcasting", Err: err}
	case err != nil:
		return &live.Error{Kind: live.Unavailable, Detail: "the stream is temporarily unavailable", Err: err}
	}
	var a answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return fmt.Errorf("roster: answer: %w", err)
	}
	if a.Kind != "" {
		return &live.Error{Kind: a.Kind, Detail: a.Detail}
	}
	return nil
}

// Serve answers commands for a channel this node owns, one at a time, until stop.
func (r *Roster) Serve(ctx context.Context, channel live.ARN, do func(context.Context, Command) error) (stop func(), err error) {
	return r.bus.Subscribe(ctx, commandSubject(channel), "", func(ctx context.Context, m bus.Msg) {
		var (
			c Command
			a answer
		)
		err := json.Unmarshal(m.Data, &c)
		if err == nil {
			err = do(ctx, c)
		}
		if e, ok := errors.AsType[*live.Error](err); ok {
			a = answer{e.Kind, e.Detail}
		} else if err != nil {
			a = answer{live.Unavailable, "the stream is temporarily unavailable"}
		}
		if b, err := json.Marshal(a); err == nil {
			_ = m.Respond(b) // the asker has a deadline of its own
		}
	})
}
