package stream

import (
	"math"

	"github.com/sluice-live/sluice/internal/live"
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
	return live.Errorf(live.Quota, "Concurrent Broadcasts: the account has %d active streams in %s and may have %d", n, channel.Region, most)
}
