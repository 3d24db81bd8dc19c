package ingest

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func udp(last byte) net.Addr {
	return &net.UDPAddr{IP: net.IPv4(192, 0, 2, last), Port: 1000 + int(last)}
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard()
		for i := 1; i <= 200; i++ { // wrong keys within a second
			allowed := g.Allow(udp(1))
			if allowed != (i <= maxFailures) {
				t.Fatalf("attempt %d: allowed=%t", i, allowed)
			}
			if allowed {
				if last := g.Fail(udp(1)); last != (i == maxFailures) {
					t.Errorf("attempt %d: exhausted=%t", i, last)
				}
			}
			time.Sleep(time.Millisecond)
		}
		if !g.Allow(udp(2)) {
			t.Error("another address suffers")
		}
		if !g.Allow(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1}) || g.Allow(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}) {
			t.Error("an address is not the same over TCP")
		}
		time.Sleep(time.Second)
		if !g.Allow(udp(1)) {
			t.Error("a second later the address may not try once more")
		}
		g.Fail(udp(1))
		if g.Allow(udp(1)) {
			t.Error("and may twice")
		}
	})
}

func TestGuardRemembersSoMany(t *testing.T) {
	g := NewGuard()
	for i := range 3 * maxGuarded {
		g.Fail(&net.UDPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))})
	}
	if len(g.spent) > maxGuarded {
		t.Errorf("%d addresses are remembered, at most %d may be", len(g.spent), maxGuarded)
	}
}
