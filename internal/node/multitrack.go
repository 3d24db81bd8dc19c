package node

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/multitrack"
)

// encoderRequests answers what encoders ask before they publish.
func (n *node) encoderRequests() http.Handler {
	return multitrack.NewHandler(multitrack.Config{
		Log: n.log, Metrics: n.reg, Keys: n.ladders, Store: n.store,
		Endpoints: n.ingestEndpoints, Name: "Sluice (" + n.cfg.Region + ")",
	})
}

// ingestEndpoints is where the client of r can publish: the configured URLs, or the
// host by which it knows this server, with the ports of the listeners.
func (n *node) ingestEndpoints(r *http.Request) []multitrack.Endpoint {
	host := httpserver.Client(r).Host
	if u, err := url.Parse(string(n.cfg.PublicURL)); err == nil && u.Host != "" {
		host = u.Host
	}
	var all []multitrack.Endpoint
	for _, e := range []struct{ protocol, scheme, configured, listener string }{
		{multitrack.RTMPS, "rtmps", string(n.cfg.RTMPSURL), n.ready.RTMPS},
		{multitrack.RTMP, "rtmp", string(n.cfg.RTMPURL), n.ready.RTMP},
	} {
		if base := cmp.Or(e.configured, ingestURL(e.scheme, host, e.listener)); base != "" {
			all = append(all, multitrack.Endpoint{Protocol: e.protocol, URL: base + "/{stream_key}"})
		}
	}
	return all
}

// ingestURL is the URL of an RTMP listener on the host of an HTTP one, "" without a
// listener.
func ingestURL(scheme, httpHost, listener string) string {
	ap, err := netip.ParseAddrPort(listener)
	if err != nil {
		return ""
	}
	name := httpHost
	if h, _, err := net.SplitHostPort(httpHost); err == nil {
		name = h
	}
	name = (&url.URL{Host: name}).Hostname() // without the brackets of IPv6
	_, port, _ := net.SplitHostPort(ap.String())
	return scheme + "://" + net.JoinHostPort(name, port) + "/app"
}
