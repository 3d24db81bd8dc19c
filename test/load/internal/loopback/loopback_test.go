package loopback

import (
	"errors"
	"testing"
)

func TestAddrPort(t *testing.T) {
	for name, tt := range map[string]struct {
		in, want string // want is empty when the address must be refused
	}{
		"IPv4 loopback":                 {"127.0.0.1:1935", "127.0.0.1:1935"},
		"any of 127/8":                  {"127.9.8.7:1", "127.9.8.7:1"},
		"IPv6 loopback":                 {"[::1]:80", "[::1]:80"},
		"IPv4 in IPv6 is IPv4":          {"[::ffff:127.0.0.1]:80", "127.0.0.1:80"},
		"names are not resolved":        {"localhost:80", ""},
		"a private address is refused":  {"10.0.0.1:80", ""},
		"the unspecified address is":    {"0.0.0.0:80", ""},
		"a public address is refused":   {"192.0.2.1:80", ""},
		"a mapped public address is":    {"[::ffff:192.0.2.1]:80", ""},
		"a port is required":            {"127.0.0.1", ""},
		"an empty address is refused":   {"", ""},
		"a decimal form is not literal": {"2130706433:80", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := AddrPort(tt.in)
			if tt.want == "" {
				if !errors.Is(err, ErrRefused) {
					t.Errorf("AddrPort(%q) = %v, %v, want ErrRefused", tt.in, got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("AddrPort(%q) = %v, %v, want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestURL(t *testing.T) {
	for name, tt := range map[string]struct {
		in string
		ok bool
	}{
		"right scheme and host":    {"http://127.0.0.1:8080/a", true},
		"another scheme":           {"ftp://127.0.0.1:8080/a", false},
		"a host by name":           {"http://example.org:8080/a", false},
		"a user part hides a host": {"http://127.0.0.1:80@192.0.2.1:80/", false},
		"malformed":                {"http://127.0.0.1:80\x00/", false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := URL(tt.in, "http", "https"); (err == nil) != tt.ok {
				t.Errorf("URL(%q) = %v, want ok=%t", tt.in, err, tt.ok)
			}
		})
	}
}

func TestDialAndListenRefuse(t *testing.T) {
	if _, err := DialContext(t.Context(), "tcp", "192.0.2.1:80"); !errors.Is(err, ErrRefused) {
		t.Errorf("DialContext to a public address: %v, want ErrRefused", err)
	}
	if _, err := Listen(t.Context(), ":0"); !errors.Is(err, ErrRefused) {
		t.Errorf("Listen on every address: %v, want ErrRefused", err)
	}
}
