// Package loopback admits the addresses that a load generator may talk to: literal
// loopback IPs with an explicit port, and nothing else. It resolves no names, so a
// mistyped flag can never aim load at a machine that did not ask for it.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
)

// ErrRefused means that an address is not a literal loopback IP with a port.
var ErrRefused = errors.New("loopback: not a literal loopback IP and port")

// AddrPort parses host as 127.0.0.0/8 or [::1] with a port.
func AddrPort(host string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(host)
	if err != nil || !a.Addr().Unmap().IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("%w: %q", ErrRefused, host)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// URL parses raw, whose scheme must be one of schemes and whose host AddrPort admits.
func URL(raw string, schemes ...string) (*url.URL, netip.AddrPort, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The text of a url.Error repeats the URL, which may hold a stream key.
		return nil, netip.AddrPort{}, errors.New("loopback: malformed URL")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return nil, netip.AddrPort{}, fmt.Errorf("loopback: scheme %q is none of %q", u.Scheme, schemes)
	}
	a, err := AddrPort(u.Host)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return u, a, nil
}

// DialContext is a net.Dialer's DialContext that refuses what AddrPort refuses.
func DialContext(ctx context.Context, network, host string) (net.Conn, error) {
	a, err := AddrPort(host)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, a.String())
}

// Listen listens on host, which AddrPort must admit; port 0 picks a free one.
func Listen(ctx context.Context, host string) (net.Listener, error) {
	a, err := AddrPort(host)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", a.String())
}
