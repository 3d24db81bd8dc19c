package httpserver

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientInfo is who sent a request and how they reached us, seen through the proxies
// that Config trusts.
type ClientInfo struct {
	RemoteIP netip.Addr // invalid when the transport has no IP address
	Scheme   string     // "http" or "https", at the client's end
	Host     string     // host or host:port the client asked for; only characters a URL takes
}

// BaseURL is where the client reaches this server, without a trailing slash.
func (c ClientInfo) BaseURL() string { return c.Scheme + "://" + c.Host }

// Client resolves the client of r. X-Forwarded-For, -Proto and -Host count only
// when the peer is a trusted proxy: of the addresses the rightmost that is not itself
// a trusted proxy is the client, of the others the rightmost value counts, which the
// nearest proxy wrote or let through. On a route that is logged it is found out once.
func Client(r *http.Request) ClientInfo {
	e := EventOf(r.Context())
	if e == nil {
		return resolve(r)
	}
	if e.client == nil {
		e.client = new(resolve(r))
	}
	return *e.client
}

func resolve(r *http.Request) ClientInfo {
	c := ClientInfo{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		c.Scheme = "https"
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.RemoteIP = ap.Addr().Unmap().WithZone("")
	}
	if s := serverOf(r.Context()); s != nil && s.trusts(c.RemoteIP) {
		c.RemoteIP = s.forwardedFor(r, c.RemoteIP)
		if p := strings.ToLower(last(r, "X-Forwarded-Proto")); p == "http" || p == "https" {
			c.Scheme = p
		}
		if h := last(r, "X-Forwarded-Host"); validHost(h) {
			c.Host = h
		}
	}
	if !validHost(c.Host) { // HTTP/1.0, or hostile: what we know ourselves must do
		c.Host = "localhost"
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			c.Host = a.String()
		}
	}
	return c
}

// Proxied reports whether the peer of r is a trusted proxy, so that what its headers say
// of the client can be believed.
func Proxied(r *http.Request) bool {
	s := serverOf(r.Context())
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	return s != nil && err == nil && s.trusts(ap.Addr().Unmap().WithZone(""))
}

func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwardedFor walks from the peer towards the client, as far as it can trust.
func (s *Server) forwardedFor(r *http.Request, peer netip.Addr) netip.Addr {
	client := peer
	for _, v := range slices.Backward(r.Header.Values("X-Forwarded-For")) {
		for _, one := range slices.Backward(strings.Split(v, ",")) {
			one = strings.TrimSpace(one)
			a, err := netip.ParseAddr(one)
			if ap, aperr := netip.ParseAddrPort(one); aperr == nil { // some proxies add the port
				a, err = ap.Addr(), nil
			}
			if err != nil {
				return client
			}
			if client = a.Unmap().WithZone(""); !s.trusts(client) {
				return client
			}
		}
	}
	return client
}

// last returns the rightmost value of a header that proxies append to.
func last(r *http.Request, name string) string {
	all := r.Header.Values(name)
	if len(all) == 0 {
		return ""
	}
	v := all[len(all)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// validHost reports whether h is a name or address with or without a port. It keeps
// out of URLs what would change their meaning.
func validHost(h string) bool {
	name, port, err := net.SplitHostPort(h)
	if err != nil {
		name, port = h, ""
		if strings.HasPrefix(h, "[") && strings.HasSuffix(h, "]") {
			name = h[1 : len(h)-1]
		}
	}
	if strings.Contains(name, ":") { // an IPv6 address, and it had its brackets
		_, err := netip.ParseAddr(name)
		return err == nil && strings.HasPrefix(h, "[") && !strings.Contains(name, "%") && digits(port)
	}
	return name != "" && len(name) <= 253 && digits(port) && strings.Trim(cmp.Or(name, "?"), hostChars) == "" &&
		(err == nil || !strings.ContainsAny(h, ":[]"))
}

const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func digits(s string) bool { return len(s) <= 5 && strings.Trim(s, "0123456789") == "" }
