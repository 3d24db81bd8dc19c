package control

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/live"
)

// Bounds of a playback restriction policy (low-latency.md 6); the model has that of an
// origin's length.
const (
	maxCountries = 200
	maxOrigins   = 5
)

func checkCountries(list []string) error {
	if len(list) > maxCountries {
		return live.Errorf(live.Invalid, "allowedCountries may have %d entries, not %d", maxCountries, len(list))
	}
	for _, code := range list {
		if !isCountry(code) {
			return live.Errorf(live.Invalid, "allowedCountries: %.8q is no officially assigned ISO 3166-1 alpha-2 code", code)
		}
	}
	return nil
}

func checkOrigins(list []string) error {
	if len(list) > maxOrigins {
		return live.Errorf(live.Invalid, "allowedOrigins may have %d entries, not %d", maxOrigins, len(list))
	}
	for i, s := range list {
		if !isOrigin(s) {
			return live.Errorf(live.Invalid, "allowedOrigins[%d] must have the form scheme://host[:port], with *. in front of the host or not", i)
		}
	}
	return nil
}

// isOrigin reports whether a browser could send s as its Origin (RFC 6454 6.2), or s
// stands for many that it could. "null" is what a page without an origin sends.
func isOrigin(s string) bool {
	if s == "null" {
		return true
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return false
	}
	host, port := rest, ""
	if at := strings.LastIndexByte(rest, ':'); at > strings.LastIndexByte(rest, ']') {
		host, port = rest[:at], rest[at+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
			return false
		}
	}
	if v6, ok := strings.CutPrefix(host, "["); ok {
		v6, ok = strings.CutSuffix(v6, "]")
		a, err := netip.ParseAddr(v6)
		return ok && err == nil && a.Is6() && a.Zone() == ""
	}
	return isHost(strings.TrimPrefix(host, "*."))
}

// isScheme is RFC 3986 3.1.
func isScheme(s string) bool {
	return s != "" && isLetter(s[0]) && !strings.ContainsFunc(s, func(r rune) bool {
		return !isLetterOrDigit(r) && r != '+' && r != '-' && r != '.'
	})
}

// isHost reports whether s is a host name (RFC 1123 2.1; underscores are seen in the
// wild) or an IPv4 address. Names of other scripts come as punycode, as browsers send them.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label ||
			strings.ContainsFunc(label, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' && r != '_' }) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isLetterOrDigit(r rune) bool {
	return r < utf8.RuneSelf && (isLetter(byte(r)) || '0' <= r && r <= '9')
}
