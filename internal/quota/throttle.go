package quota

import (
	"sync"
	"time"
)

// A Call is one API request as a Throttle sees it.
type Call struct {
	Account, Region    string
	Service, Operation string
	Channel            string // ARN, for a limit per channel; "" without
}

// maxBuckets bounds a Throttle's memory: some 20 MB.
const maxBuckets = 100_000

// A Throttle is the token buckets of a Profile: one for each account, region and
// operation, as large as the rate, so that a second's worth may come at once. A bucket is
// full again after a second without requests; a full one is forgotten, for a new one is
// full, too. Should more than maxBuckets be in use within a second, those not used for
// longest are forgotten before they are full: the limits are for fairness among accounts
// that can sign, and get softer rather than refuse everybody.
//
// Each node has its own Throttle: behind a load balancer, n nodes let up to n times the
// rate through.
type Throttle struct {
	p   Profile
	max int // of buckets in young and in old, together

	mu sync.Mutex // guards the fields below
	// Buckets move from old to young when they are used. What is in old when it is
	// dropped was not used for a second, and so is full.
	young, old map[Call]time.Time // when the bucket is full
	turned     time.Time          // when young was last empty
}

// NewThrottle returns a Throttle whose buckets are full.
func NewThrottle(p Profile) *Throttle { return &Throttle{p: p, max: maxBuckets} }

// refill is how long an empty bucket takes to be full: its size is the rate.
const refill = time.Second

// Take takes a token for c out of each bucket that c has, or none if one of them is
// empty. It then returns the limit that refuses c.
func (t *Throttle) Take(now time.Time, c Call) (refused Limit, ok bool) {
	channel := c.Channel
	c.Channel = ""
	rate, perChannel := t.rates(c, channel)
	if rate == None && perChannel == None {
		return None, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(now)
	full, ok := t.fits(now, c, rate)
	if !ok {
		return rate, false
	}
	if perChannel != None {
		one := c
		one.Channel = channel
		f, ok := t.fits(now, one, perChannel)
		if !ok {
			return perChannel, false
		}
		t.put(one, f)
	}
	if rate != None {
		t.put(c, full)
	}
	return None, true
}

func (t *Throttle) rates(c Call, channel string) (rate, perChannel Limit) {
	switch c.Service {
	case "ivs":
		if c.Operation == "PutMetadata" && channel != "" {
			perChannel = t.p.IVS.MetadataPerChannel
		}
		return t.p.IVS.Rates[c.Operation], perChannel
	case "ivschat":
		return t.p.Chat.Rates[c.Operation], None
	}
	return None, None
}

// fits returns when the bucket would be full again with one token less, and whether it
// has that token. A bucket is known by that moment alone: each token missing is one
// refill/rate between now and then.
func (t *Throttle) fits(now time.Time, c Call, rate Limit) (full time.Time, ok bool) {
	if rate == None {
		return time.Time{}, true
	}
	full, have := t.young[c]
	if !have {
		full = t.old[c]
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(refill / time.Duration(rate))
	return full, !full.After(now.Add(refill))
}

func (t *Throttle) put(c Call, full time.Time) {
	delete(t.old, c)
	t.young[c] = full
}

// turn drops what was not used since young last turned old, if that was long enough ago
// or if there is no room.
func (t *Throttle) turn(now time.Time) {
	if t.young == nil || now.Sub(t.turned) >= refill || len(t.young) >= t.max/2 {
		t.old, t.young, t.turned = t.young, map[Call]time.Time{}, now
	}
}
