package ingest

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	const n = 5
	r, now := NewRate(n, time.Second), time.Unix(1_700_000_000, 0)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	tries := func(from netip.Prefix) (allowed int) {
		for range 20 {
			if r.Allow(from, now) {
				allowed++
			}
		}
		return allowed
	}
	if got := tries(one); got != n {
		t.Errorf("%d at once, want %d", got, n)
	}
	if got := tries(other); got != n {
		t.Errorf("%d from another address, want %d: they are apart", got, n)
	}
	now = now.Add(time.Second / n)
	if got := tries(one); got != 1 {
		t.Errorf("%d after a fifth of the period, want 1", got)
	}
	now = now.Add(time.Hour)
	if got := tries(one); got != n {
		t.Errorf("%d after a long time, want %d and not more", got, n)
	}
	if len(r.until) != 1 {
		t.Errorf("%d addresses remembered, want the one that tried lately", len(r.until))
	}
}

func TestRateRemembersSoManyAddresses(t *testing.T) {
	r, now := NewRate(1, time.Second), time.Unix(1_700_000_000, 0)
	addr := func(i int) netip.Prefix {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	for i := range maxAddresses {
		if !r.Allow(addr(i), now) {
			t.Fatalf("address %d is refused", i)
		}
	}
	if r.Allow(addr(maxAddresses), now) || len(r.until) != maxAddresses {
		t.Errorf("%d addresses are remembered, want %d", len(r.until), maxAddresses)
	}
	if now = now.Add(time.Second); !r.Allow(addr(maxAddresses), now) || len(r.until) != 1 {
		t.Errorf("%d addresses are remembered after the period, want 1", len(r.until))
	}
}
