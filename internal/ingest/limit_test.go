package ingest

import (
	"net"
	"net/netip"
	"testing"
)

func TestLimiter(t *testing.T) {
	addr := func(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	d := NewLimiter(4, 2)
	enter := func(from string, want bool) *Slot {
		t.Helper()
		v, ok := d.Acquire(addr(from))
		if ok != want {
			t.Fatalf("enter from %s = %t, want %t", from, ok, want)
		}
		return v
	}
	a := enter("192.0.2.1:1", true)
	b := enter("[::ffff:192.0.2.1]:2", true) // the same address
	enter("192.0.2.1:3", false)              // two pending
	a.Publish()
	a.Publish() // counts once
	c := enter("192.0.2.1:4", true)
	enter("192.0.2.1:5", false)
	x := enter("[2001:db8::1]:1", true)
	enter("198.51.100.1:1", false) // four open
	x.Release()
	c.Release()
	y := enter("[2001:db8::2]:1", true)
	z := enter("[2001:db8::3]:1", true)
	enter("[2001:db8::4]:1", false) // the same /64, and four open
	for _, v := range []*Slot{a, b, y, z} {
		v.Release()
	}
	if d.open != 0 || len(d.pending) != 0 {
		t.Errorf("%d open and %d pending after all left", d.open, len(d.pending))
	}
}

func TestSourceIsWhoAnAddressBelongsTo(t *testing.T) {
	for name, tt := range map[string]struct {
		addr net.Addr
		want string
	}{
		"an IPv4 address over TCP":        {&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}, "192.0.2.1/32"},
		"an IPv6 network over UDP":        {&net.UDPAddr{IP: net.ParseIP("2001:db8::1:2"), Port: 1}, "2001:db8::/64"},
		"an interface does not matter":    {&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::/64"},
		"what has no address is all same": {&net.UnixAddr{Name: "x"}, "invalid Prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Source(tt.addr).String(); got != tt.want {
				t.Errorf("Source(%v) = %s, want %s", tt.addr, got, tt.want)
			}
		})
	}
}
