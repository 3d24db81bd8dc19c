package playback

import (
	"net"
	"slices"
	"strings"
)

// Origins is a list of web origins that may play. The zero value, like a list with "*",
// allows every origin.
type Origins struct {
	list  []pattern
	plain []string // those without a wildcard, as they were written
}

// A pattern is an origin, or with a host that begins with "*" many.
type pattern struct {
	scheme, host, port string
	wild               bool // host is how names end; one that is no longer does not match
}

// ParseOrigins reads origins as tokens and policies have them: scheme://host[:port], the
// host with "*" in front or not. An entry of another form matches what is the same.
func ParseOrigins(list []string) Origins {
	if slices.Contains(list, "*") {
		return Origins{}
	}
	var o Origins
	for _, s := range list {
		p := split(s)
		p.host, p.wild = strings.CutPrefix(p.host, "*")
		o.list = append(o.list, p)
		if !p.wild {
			o.plain = append(o.plain, s)
		}
	}
	return o
}

// Any reports whether every origin may play.
func (o Origins) Any() bool { return len(o.list) == 0 }

// Allow reports whether a request may play whose Origin header is origin, "" for none.
// Of none only a list that allows everything knows that it may.
func (o Origins) Allow(origin string) bool {
	if o.Any() {
		return true
	}
	if origin == "" {
		return false
	}
	if slices.Contains(o.plain, origin) { // most are, and each part of a strict session is asked for with one
		return true
	}
	got := split(origin)
	return slices.ContainsFunc(o.list, func(p pattern) bool { return p.matches(got) })
}

func (p pattern) matches(o pattern) bool {
	if p.scheme != o.scheme || p.port != o.port {
		return false
	}
	if p.wild {
		return len(o.host) > len(p.host) && strings.HasSuffix(o.host, p.host)
	}
	return p.host == o.host
}

// split takes an origin apart; of what is none, such as "null", all is host. A port that
// is the scheme's own goes, as browsers leave it out (RFC 6454 6.1).
func split(origin string) pattern {
	scheme, rest, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok {
		return pattern{host: scheme}
	}
	p := pattern{scheme: scheme, host: rest}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		p.host, p.port = host, port
	} else if v6, ok := strings.CutPrefix(rest, "["); ok {
		p.host = strings.TrimSuffix(v6, "]")
	}
	if scheme == "https" && p.port == "443" || scheme == "http" && p.port == "80" {
		p.port = ""
	}
	return p
}
