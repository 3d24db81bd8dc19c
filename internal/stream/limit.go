package stream

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/meter"
)

// elsewhere is every stream of the account and region of channel that the roster knows,
// nil when nobody limits them. It is asked without mu.
func (s *Streams) elsewhere(channel live.ARN) []live.State {
	if s.cfg.MaxPerAccount == 0 {
		return nil
	}
	return s.roster.List(channel.Account, channel.Region, "", "", math.MaxInt)
}

// broadcasts refuses a stream that would be one too many of its account and region. It
// counts the streams of this node, also those that are not live yet, and of other nodes
// those that the roster knows: streams that start on several nodes within the same few
// seconds may pass together. mu is held.
func (s *Streams) broadcasts(channel live.ARN, elsewhere []live.State) error {
	most := s.cfg.MaxPerAccount
	if most == 0 {
		return nil
	}
	n := 0
	for c := range s.channel {
		if c.Account == channel.Account && c.Region == channel.Region {
			n++
		}
	}
	for _, st := range elsewhere {
		if _, here := s.channel[st.Channel]; !here && st.Channel != channel {
			n++
		}
	}
	if n < most {
		return nil
	}
	return broadcastsError{live.Errorf(live.Quota, "Concurrent Broadcasts: the account has %d active streams in %s and may have %d", n, channel.Region, most), most, n + 1 - most}
}

// A broadcastsError refuses a stream too many.
type broadcastsError struct {
	error
	most, over int
}

func (e broadcastsError) Unwrap() error { return e.error }

// tellBroadcasts is how often the world hears that an account has too many streams: an
// encoder that is refused may try again for ever.
const tellBroadcasts = 10 * time.Second

// A place is an account in a region.
type place struct{ account, region string }

// tooMany tells the world of an encoder that was refused for it, if err is that.
func (s *Streams) tooMany(ctx context.Context, channel live.ARN, err error) {
	e, ok := errors.AsType[broadcastsError](err)
	if !ok {
		return
	}
	at, now := place{channel.Account, channel.Region}, time.Now()
	s.mu.Lock()
	told, ok := s.crowded[at]
	if ok = !ok || now.Sub(told) >= tellBroadcasts; ok {
		s.crowded[at] = now
	}
	s.mu.Unlock()
	if !ok {
		return
	}
	breach := event.Limit{Name: event.ConcurrentBroadcasts, Value: int64(e.most), ExceededBy: int64(e.over), Unit: event.ActiveStreams}
	if err := s.emit(ctx, channel.Account, channel.Region, breach); err != nil {
		s.log.Warn("event not told", "event", breach.Name, "account", channel.Account, "region", channel.Region, "err", err)
	}
}

// limits is what encoders may send to ch, in one video track or in several.
func (s *Streams) limits(ch live.Channel) func(multitrack bool) meter.Limits {
	if s.cfg.Limits == nil {
		return nil
	}
	return func(multitrack bool) meter.Limits { return s.cfg.Limits(ch, multitrack) }
}

// breached tells the world of a limit that the encoder exceeded, and returns the error
// that ends its connection.
func (st *Stream) breached(b meter.Breach) error {
	st.emit(event.Limit{Name: event.LimitName(b.Name), Value: b.Limit, ExceededBy: b.Exceeded, Unit: event.Unit(b.Unit)})
	return live.Errorf(live.Quota, "%s: %d %s, the channel's limit is %d", b.Name, b.Limit+b.Exceeded, b.Unit, b.Limit)
}
