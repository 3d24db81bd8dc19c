package quota

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func call(op string) Call {
	return Call{Account: "111122223333", Region: "us-west-2", Service: "ivs", Operation: op}
}

func TestThrottle(t *testing.T) {
	type step struct {
		after time.Duration // since the step before
		call  Call
		n     int // calls
		pass  int // of which pass
	}
	other := func(c Call, f func(*Call)) Call { f(&c); return c }
	create := call("CreateChannel") // 5 a second
	meta := func(channel string) Call {
		return other(call("PutMetadata"), func(c *Call) { c.Channel = channel })
	}
	for name, steps := range map[string][]step{
		"a burst of a second's worth passes":     {{0, create, 6, 5}},
		"the bucket fills with the rate":         {{0, create, 5, 5}, {199 * time.Millisecond, create, 1, 0}, {time.Millisecond, create, 2, 1}},
		"it fills to its size and not over it":   {{0, create, 5, 5}, {time.Hour, create, 9, 5}},
		"a refused call costs nothing":           {{0, create, 500, 5}, {200 * time.Millisecond, create, 2, 1}},
		"a bucket in use is not forgotten":       {{0, create, 5, 5}, {400 * time.Millisecond, create, 2, 2}, {400 * time.Millisecond, create, 2, 2}, {400 * time.Millisecond, create, 3, 2}, {400 * time.Millisecond, create, 3, 2}},
		"each operation has a bucket":            {{0, create, 5, 5}, {0, call("GetChannel"), 5, 5}, {0, create, 1, 0}},
		"each account has a bucket":              {{0, create, 5, 5}, {0, other(create, func(c *Call) { c.Account = "1" }), 6, 5}},
		"each region has a bucket":               {{0, create, 5, 5}, {0, other(create, func(c *Call) { c.Region = "eu-west-1" }), 6, 5}},
		"each service has a bucket":              {{0, call("TagResource"), 10, 10}, {0, other(call("TagResource"), func(c *Call) { c.Service = "ivschat" }), 11, 10}},
		"thirds of a second round to no loss":    {{0, call("GetAdConfiguration"), 4, 3}, {time.Second, call("GetAdConfiguration"), 4, 3}},
		"one a second":                           {{0, call("InsertAdBreak"), 2, 1}, {999 * time.Millisecond, call("InsertAdBreak"), 1, 0}, {time.Millisecond, call("InsertAdBreak"), 1, 1}},
		"a channel has its own limit":            {{0, meta("a"), 6, 5}, {0, meta("b"), 6, 5}},
		"channels share that of the account":     {{0, meta("a"), 5, 5}, {0, call("PutMetadata"), 200, 150}, {0, meta("b"), 1, 0}},
		"a busy channel costs the others little": {{0, meta("a"), 400, 5}, {0, call("PutMetadata"), 151, 150}},
		"an operation without a rate":            {{0, call("Unheard"), 1000, 1000}},
		"a service without rates":                {{0, Call{Service: "sts", Operation: "AssumeRole"}, 1000, 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			th, now := NewThrottle(AWS()), time.Unix(1000, 0)
			for i, s := range steps {
				now = now.Add(s.after)
				pass := 0
				for range s.n {
					if limit, ok := th.Take(now, s.call); ok {
						pass++
					} else if limit == None {
						t.Errorf("step %d: refused without a limit", i)
					}
				}
				if pass != s.pass {
					t.Errorf("step %d: %d of %d pass, want %d", i, pass, s.n, s.pass)
				}
			}
		})
	}
}

func TestThrottleSaysWhichLimit(t *testing.T) {
	th, now := NewThrottle(AWS()), time.Unix(1000, 0)
	c := call("PutMetadata")
	c.Channel = "a"
	for range 5 {
		th.Take(now, c)
	}
	if l, ok := th.Take(now, c); ok || l != 5 {
		t.Errorf("a sixth for the channel: limit %v, %t, want 5", l, ok)
	}
}

// Without limits a Throttle keeps nothing.
func TestSelfHostedKeepsNoBuckets(t *testing.T) {
	th, now := NewThrottle(SelfHosted()), time.Unix(1000, 0)
	for i := range 10000 {
		if _, ok := th.Take(now, call(fmt.Sprint("Op", i%3))); !ok {
			t.Fatal("refused")
		}
	}
	if len(th.young)+len(th.old) != 0 {
		t.Errorf("%d buckets, want none", len(th.young)+len(th.old))
	}
}

// Regions are whatever a signature says, so one key can ask for any number of buckets.
func TestThrottleIsBounded(t *testing.T) {
	th, now := NewThrottle(AWS()), time.Unix(1000, 0)
	th.max = 100
	busy := call("CreateChannel")
	for i := range 10000 {
		c := busy
		c.Region = fmt.Sprint("r-", i)
		th.Take(now, c)
		if n := len(th.young) + len(th.old); n > th.max {
			t.Fatalf("%d buckets, want at most %d", n, th.max)
		}
	}
	// And buckets that are full again are forgotten without any pressure.
	th.Take(now.Add(2*refill), busy)
	th.Take(now.Add(4*refill), busy)
	if n := len(th.young) + len(th.old); n != 1 {
		t.Errorf("%d buckets after a rest, want that of the last call", n)
	}
}

func TestThrottleInParallel(t *testing.T) {
	th, now := NewThrottle(AWS()), time.Unix(1000, 0)
	var (
		wg   sync.WaitGroup
		pass atomic.Int64
	)
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if _, ok := th.Take(now, call("CreateChannel")); ok {
					pass.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if pass.Load() != 5 {
		t.Errorf("%d pass, want 5", pass.Load())
	}
}

func BenchmarkTake(b *testing.B) {
	b.ReportAllocs()
	th, c := NewThrottle(AWS()), call("GetChannel")
	for b.Loop() {
		th.Take(time.Now(), c)
	}
}
