package audience

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestViewers(t *testing.T) {
	t0 := time.Now()
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	long := strings.Repeat("x", maxAgent)
	type ask struct {
		at    time.Duration
		addr  netip.Addr
		agent string
	}
	for name, tt := range map[string]struct {
		asks []ask
		at   time.Duration
		want int64
	}{
		"nobody":                              {nil, 0, 0},
		"who asks again counts once":          {[]ask{{0, one, "a"}, {time.Second, one, "a"}}, time.Second, 1},
		"two addresses are two":               {[]ask{{0, one, "a"}, {0, two, "a"}}, 0, 2},
		"two agents at one address are two":   {[]ask{{0, one, "a"}, {0, one, "b"}}, 0, 2},
		"only the start of an agent counts":   {[]ask{{0, one, long + "a"}, {0, one, long + "b"}}, 0, 1},
		"no address is an address":            {[]ask{{0, netip.Addr{}, "a"}, {0, netip.Addr{}, "a"}}, 0, 1},
		"who is silent for 30 s still counts": {[]ask{{0, one, "a"}}, viewTime, 1},
		"and no longer":                       {[]ask{{0, one, "a"}}, viewTime + 1, 0},
		"who asks within 30 s stays":          {[]ask{{0, one, "a"}, {20 * time.Second, one, "a"}}, 45 * time.Second, 1},
		"who leaves takes nobody along":       {[]ask{{0, one, "a"}, {20 * time.Second, two, "a"}}, 45 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(t0)
			for _, x := range tt.asks {
				a.Note(x.addr, x.agent, t0.Add(x.at))
			}
			if got := a.Count(t0.Add(tt.at)); got != tt.want {
				t.Errorf("count = %d, want %d", got, tt.want)
			}
		})
	}
}

// What is remembered is bounded, and counting gives it back.
func TestViewersAreBounded(t *testing.T) {
	t0 := time.Now()
	a := New(t0)
	addr := netip.MustParseAddr("192.0.2.1")
	for i := range maxViewers + maxViewers/4 {
		a.Note(addr, fmt.Sprint(i), t0)
	}
	if got := a.Count(t0); got > maxViewers || got < maxViewers*9/10 {
		t.Errorf("count = %d of more, want about %d", got, maxViewers)
	}
	if got := a.Count(t0.Add(viewTime + 1)); got != 0 {
		t.Errorf("count = %d after all left", got)
	}
	for i := range a.shard {
		if n := len(a.shard[i].seen); n != 0 {
			t.Fatalf("shard %d still remembers %d", i, n)
		}
	}
}

func TestNoteDoesNotAllocate(t *testing.T) {
	a, addr := New(time.Now()), netip.MustParseAddr("192.0.2.1")
	a.Note(addr, "agent", time.Now())
	if n := testing.AllocsPerRun(100, func() { a.Note(addr, "agent", time.Now()) }); n > 0 {
		t.Errorf("note allocates %v times", n)
	}
}

// The cost of Note in every playlist request, with a hundred thousand viewers and
// an announcement's count going on.
func BenchmarkNote(b *testing.B) {
	const viewers = 100_000
	a := New(time.Now())
	addrs := make([]netip.Addr, viewers)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		a.Note(addrs[i], "agent", time.Now())
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ends with the benchmark
		for {
			select {
			case <-stop:
				return
			default:
				a.Count(time.Now())
			}
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			a.Note(addrs[i%viewers], "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)", time.Now())
		}
	})
}
