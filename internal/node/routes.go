package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/ingest/webrtc"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/origin"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/sts"
	"github.com/sluice-live/sluice/internal/watch"
)

// lateHandler is a handler that is known after its listener.
type lateHandler struct{ http.Handler }

// routes is the one place that says which paths need no signature: playback, the
// watch page, what encoders ask and offer, health and metrics. Everything else is an API
// request.
func (n *node) routes() (http.Handler, error) {
	api, err := n.api()
	if err != nil {
		return nil, err
	}
	open := http.NewServeMux()
	httpserver.Handle(open, n.health, n.reg)
	open.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, watch.Prefix+n.demoChannel, http.StatusFound) // without a demo, the page says how to name a channel
	})
	pages, err := watch.New(n.log, n.resolve, watch.Config{Media: n.mediaOrigins()})
	if err != nil {
		return nil, err
	}
	open.Handle(watch.Prefix, pages)
	encoders := n.encoderRequests()
	open.Handle(multitrack.ConfigurationPath, encoders)
	open.Handle(multitrack.FindIngestPath, encoders)
	if n.rtc != nil {
		open.Handle("/", n.rtc.Handler()) // it knows its paths
	}
	page := httpserver.Logged(n.log, open)
	signed := httpserver.Logged(n.log, api)
	// No log line: a thousand viewers ask ten thousand times a second.
	play := httpserver.Quiet(n.log, origin.New(n.log, n.streams, n.roster, n.gate, n.reg, origin.Config{
		Self: n.origin(), Countries: n.geoip, CountryHeader: n.cfg.CountryHeader, MaxViews: int(n.quotas.IVS.ConcurrentViews),
		Ceiling: origin.Ceiling{
			Connections: n.cfg.MaxViewerConnections, Open: n.http.Connections,
			BytesPerSecond: int64(n.cfg.MaxViewerBandwidth) * 1_000_000 / 8,
		},
		Edge: n.edge, Credential: n.peers,
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case origin.IsPlayback(r.URL.Path):
			play.ServeHTTP(w, r)
		case isOpen(r):
			page.ServeHTTP(w, r)
		default:
			signed.ServeHTTP(w, r)
		}
	}), nil
}

// isOpen reports whether r is for a page, from an encoder, or from whoever watches over
// the process.
func isOpen(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return true
	case "/":
		return r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && r.URL.RawQuery == ""
	}
	return strings.HasPrefix(r.URL.Path, watch.Prefix) || multitrack.IsPath(r.URL.Path) || webrtc.IsPath(r.URL.Path)
}

// api is the signed side: every service, behind one gateway.
func (n *node) api() (http.Handler, error) {
	if !n.cfg.Roles.Has(config.Control) {
		return http.NotFoundHandler(), nil
	}
	calls := promauto.With(n.reg).NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_api_requests_total", Help: "API requests by operation and exception (empty for success).",
	}, []string{"service", "operation", "error"})
	took := promauto.With(n.reg).NewHistogram(prometheus.HistogramOpts{
		Name: "sluice_api_request_seconds", Help: "Time to answer an API request.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	})
	return restjson.NewGateway(restjson.Config{
		Services:     []restjson.Service{n.control.IVS().Service(), chatapi.Operations{}.Service()},
		Foreign:      []restjson.Foreign{sts.New(n.people, n.tokens).Foreign()},
		Authenticate: n.authenticator(n.tokens),
		Steps:        []restjson.Step{n.control.Authorize(n.people), throttle(n.quotas, time.Now)},
		Record:       n.recorder(),
		RequestID:    httpserver.RequestID,
		Base:         func(r *http.Request) string { return httpserver.Client(r).BaseURL() },
		Observe: func(ctx context.Context, o restjson.Outcome) {
			calls.WithLabelValues(o.Service, o.Operation, o.ErrorType).Inc()
			took.Observe(o.Took.Seconds())
			e := httpserver.EventOf(ctx)
			e.SetOp(o.Operation)
			e.Add(slog.String("service", o.Service), slog.String("region", o.Region), slog.String("account", o.Account),
				slog.String("access_key_id", o.AccessKeyID), slog.String("error", o.ErrorType))
			if o.Err != nil {
				e.SetErr(o.Err)
			}
		},
	})
}

// playbackPath is the form of playback URLs that the operator chose.
func (n *node) playbackPath(channel live.ARN) string {
	return origin.PlaybackPath(channel, n.cfg.PlaybackURLForm == "ivs")
}

// mediaOrigins are the other places that playlists may send a viewer's player to.
func (n *node) mediaOrigins() []string {
	var all []string
	for _, base := range []string{string(n.cfg.PublicURL), string(n.cfg.OriginURL)} {
		if u, err := url.Parse(base); err == nil && u.Host != "" {
			all = append(all, u.Scheme+"://"+u.Host)
		}
	}
	return all
}

// resolve finds a channel for the watch page. An id alone is one of the configured
// account and region.
func (n *node) resolve(ctx context.Context, ref string) (playbackURL, name string, err error) {
	arn := live.ARN{Service: live.ServiceIVS, Region: n.cfg.Region, Account: n.cfg.Account, Type: live.TypeChannel, ID: ref}
	if strings.Contains(ref, ":") {
		if arn, err = live.ParseARN(ref); err != nil {
			return "", "", err
		}
	}
	row, err := n.store.Get(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return "", "", live.NotFound
	} else if err != nil {
		return "", "", err
	}
	if err := arn.Want(live.ServiceIVS, live.TypeChannel); err != nil {
		return "", "", err
	}
	return string(n.cfg.PublicURL) + n.playbackPath(arn), row.Name, nil
}
