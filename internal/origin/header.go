package origin

import "strings"

// fixed is header fields that every answer of a kind has: made once, because a viewer
// makes ten requests a second. Nobody changes them after newFixed.
type fixed struct {
	anyone, expose                   []string // CORS
	playlist, ts, mp4                []string // Content-Type
	shared, own                      caching
	never                            []string // Cache-Control
	encoding, origin, encodingOrigin []string // Vary
	gzip, bytes                      []string
}

// caching is how long answers may be kept, by whom shared caches are or only the
// viewer's own.
type caching struct{ revalidate, brief, forever []string }

// kept says by whom the media of a view may be kept. Who has to be checked is not served
// by a cache that does not check.
func (f *fixed) kept(v view) *caching {
	if v.guarded {
		return &f.own
	}
	return &f.shared
}

// What is below LivePrefix never changes under one name, except a playlist that is
// asked for without directives. A blocking request's answer is good for as long as
// somebody could ask for it: rfc8216bis has 6 target durations, of 2 s at least.
func newFixed() fixed {
	return fixed{
		anyone:   []string{"*"},
		expose:   []string{"Date, ETag, Content-Length, Content-Range, Age, Retry-After"},
		playlist: []string{"application/vnd.apple.mpegurl"},
		ts:       []string{"video/MP2T"},
		mp4:      []string{"video/mp4"},
		shared: caching{
			revalidate: []string{"no-cache"},
			brief:      []string{"max-age=12"},
			forever:    []string{"max-age=3600, immutable"},
		},
		own: caching{
			revalidate: []string{"private, no-cache"},
			brief:      []string{"private, max-age=12"},
			forever:    []string{"private, max-age=3600, immutable"},
		},
		never:          []string{"no-store"},
		encoding:       []string{"Accept-Encoding"},
		origin:         []string{"Origin"},
		encodingOrigin: []string{"Accept-Encoding, Origin"},
		gzip:           []string{"gzip"},
		bytes:          []string{"bytes"},
	}
}

// matches reports whether If-None-Match names etag, which is weak, or anything at all
// (RFC 9110, 13.1.2).
func matches(header []string, etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	for _, s := range header {
		for {
			if s = strings.TrimLeft(s, " \t,"); s == "*" {
				return true
			}
			s = strings.TrimPrefix(s, "W/")
			if s == "" || s[0] != '"' {
				break
			}
			end := strings.IndexByte(s[1:], '"') + 2
			if end < 2 {
				break
			}
			if s[:end] == opaque {
				return true
			}
			s = s[end:]
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3). Weights matter only where they
// are zero: of what a client takes, we give it the smallest.
func acceptsGzip(header []string) bool {
	rest := false // what "*" says
	for _, s := range header {
		for s != "" {
			var e string
			e, s, _ = strings.Cut(s, ",")
			name, weight, _ := strings.Cut(e, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				return !zero(weight)
			case name == "*":
				rest = !zero(weight)
			}
		}
	}
	return rest
}

// zero reports whether a parameter is q=0, with as many digits as it likes.
func zero(weight string) bool {
	name, v, _ := strings.Cut(weight, "=")
	v = strings.TrimSpace(v)
	return strings.EqualFold(strings.TrimSpace(name), "q") && v != "" && strings.Trim(v, "0.") == ""
}
