package config

import (
	"fmt"
	"net/netip"
)

// Addresses is a list of IP addresses.
type Addresses []netip.Addr

// MarshalText writes what UnmarshalText reads.
func (l Addresses) MarshalText() ([]byte, error) {
	var b []byte
	for i, a := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.AppendTo(b)
	}
	return b, nil
}

// UnmarshalText reads a comma-separated list of addresses.
func (l *Addresses) UnmarshalText(text []byte) error {
	var list Addresses
	for _, s := range split(string(text)) {
		a, err := netip.ParseAddr(s)
		if err != nil || a.IsUnspecified() || a.Zone() != "" {
			return fmt.Errorf("%q is not an IP address of one machine", s)
		}
		list = append(list, a.Unmap())
	}
	*l = list
	return nil
}
