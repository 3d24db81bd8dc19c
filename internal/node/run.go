package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/audit"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/cert"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/control"
	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/ingest/rtmp"
	"github.com/sluice-live/sluice/internal/ingest/srt"
	"github.com/sluice-live/sluice/internal/ingest/webrtc"
	"github.com/sluice-live/sluice/internal/lifecycle"
	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/origin"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/quota"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/series"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/stream"
	"github.com/sluice-live/sluice/internal/sts"
)

// node is a process while it is being put together.
type node struct {
	cfg    config.Config
	opts   Options
	log    *slog.Logger
	reg    *prometheus.Registry
	name   string
	quotas quota.Profile
	audit  *audit.Log // nil when it is off
	cert   cert.Get
	health *httpserver.Readiness

	store   *store.Store
	bus     *bus.Bus
	blob    *blob.Store
	admin   store.AccessKey
	roster  *roster.Roster
	control *control.Control
	people  *principal.Directory
	tokens  *sts.Tokens
	series  *series.Recorder
	ladders *multitrack.Keys
	streams *stream.Streams // without the media role nobody publishes to it
	gate    *playback.Gate
	peers   edge.Credential     // shows that a request is between nodes
	edge    *edge.Edge          // nil without the edge role
	geoip   *playback.Countries // nil without a database

	demoChannel string // id of the demo's channel; "" without demo

	http  *httpserver.Server
	rtmp  []*rtmp.Server
	srt   *srt.Server    // nil when it is off
	rtc   *webrtc.Server // nil when it is off
	ready Ready
	up    []lifecycle.Service
}

// Run is the whole life of a process: it opens what the configuration names, serves
// until ctx is done, and drains. It returns nil after a clean stop.
func Run(ctx context.Context, cfg config.Config, o Options) (err error) {
	n := &node{cfg: cfg, opts: o, log: o.Log, reg: prometheus.NewRegistry(), health: &httpserver.Readiness{Log: o.Log}}
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if n.quotas, err = quota.Load(cfg.Quotas); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.DataDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	// The ready file of a process that was killed would say that this one is up.
	if err := n.unready(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.unready(), n.close()) }()
	if err := n.open(ctx); err != nil {
		return err
	}
	if err := n.wire(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, n.health.Draining)()
	return lifecycle.Run(ctx, lifecycle.Config{Budget: cfg.DrainTimeout, Cut: o.Cut, Log: n.log}, n.up...)
}

// open opens the seams, side by side because each takes its time.
func (n *node) open(ctx context.Context) error {
	var (
		g   errgroup.Group
		err error
	)
	if n.name, err = nodeName(n.cfg); err != nil {
		return err
	}
	g.Go(func() error {
		var err error
		if n.store, err = OpenStore(ctx, n.cfg); err != nil {
			return err
		}
		n.cache()
		if n.cfg.Roles.Has(config.Control) {
			if n.admin, err = adminKey(ctx, n.store, n.cfg, n.opts.AccessKeyID, n.opts.SecretAccessKey); err != nil {
				return err
			}
		}
		// Whatever this node owned before it died is void, and its sessions are over.
		return n.store.ReleaseNode(ctx, n.name)
	})
	g.Go(func() error {
		var err error
		n.bus, err = bus.Open(ctx, bus.Config{URL: n.cfg.Bus, Dir: n.cfg.DataDir, Name: n.name, Log: n.log})
		return err
	})
	g.Go(func() error {
		var err error
		n.blob, err = blob.Open(ctx, n.cfg.Blob, filepath.Join(n.cfg.DataDir, "blob"))
		return err
	})
	g.Go(func() error {
		var err error
		if n.cfg.TLSCert != "" {
			n.cert, err = cert.Files(n.log, n.cfg.TLSCert, n.cfg.TLSKey)
		} else {
			n.cert, err = cert.Self(n.cfg.DataDir, cert.LocalHosts()...)
		}
		return err
	})
	return g.Wait()
}

func (n *node) close() error {
	if n.bus != nil {
		n.bus.Close()
	}
	var errs []error
	if n.blob != nil {
		errs = append(errs, n.blob.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// wire builds the parts in dependency order. A listener is bound before anything runs,
// so that a taken port fails the start and a connection made early waits.
func (n *node) wire(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			n.unlisten()
		}
	}()
	n.roster = roster.New(n.bus, time.Now)
	secret, err := n.store.Secret(ctx, "page-tokens")
	if err != nil {
		return err
	}
	n.control = control.New(n.store, n.roster, secret, control.Config{
		PublicURL: string(n.cfg.PublicURL), Playback: n.playbackPath, Limits: resourceLimits(n.quotas),
		Buckets: n.blob, CreateBuckets: n.cfg.Blob == "", Log: n.log,
	})
	if n.people, err = principal.Open(n.log, n.store, n.reg, principal.Config{Dir: n.cfg.PolicyDir, Account: n.cfg.Account}); err != nil {
		return err
	}
	sessions, err := n.store.Secret(ctx, sts.SecretName)
	if err != nil {
		return err
	}
	if n.tokens, err = sts.NewTokens(sessions); err != nil {
		return err
	}
	if err := n.openGate(ctx); err != nil {
		return err
	}
	n.health.Register("store", n.store.Ping)
	n.health.Register("bus", n.bus.Ready)
	hc := httpserver.Config{Addr: n.cfg.HTTP, TrustedProxies: n.cfg.TrustedProxies, MaxConns: n.cfg.MaxConnections, Lean: origin.IsPlayback}
	scheme := "http"
	if n.cfg.TLSCert != "" {
		hc.Certificate, scheme = n.cert, "https"
	}
	// Handlers need addresses and listeners need a handler: the listener goes first.
	var h lateHandler
	if n.http, err = httpserver.Listen(ctx, n.log, hc, &h); err != nil {
		return err
	}
	n.ready = Ready{
		HTTP: n.http.Addr().String(), AccessKeyID: n.admin.ID, SecretAccessKey: n.admin.Secret,
		Account: n.cfg.Account, Region: n.cfg.Region, PID: os.Getpid(),
		Base: scheme + "://" + reachable(n.http.Addr()),
	}
	if n.admin.ID != "" && n.opts.AccessKeyID == "" {
		n.ready.Credentials = filepath.Join(n.cfg.DataDir, credentialsFile)
	}
	n.series = series.New(n.log, n.store, n.reg, n.name, time.Now)
	ladders, err := n.store.Secret(ctx, multitrack.SecretName)
	if err != nil {
		return err
	}
	n.ladders = multitrack.NewKeys(ladders)
	n.streams = stream.New(n.log, n.store, n.roster, n.reg, stream.Config{
		Limits: n.ingestLimits(), Record: n.series.Add, MetricChannels: n.cfg.MetricChannels,
		Node: n.name, Origin: n.origin(), Max: n.cfg.MaxPublishers,
		MaxPerAccount: int(n.quotas.IVS.ConcurrentStreams), MaxTakeovers: int(n.quotas.IVS.TakeoversPerStream),
		Keys:      n.ladders,
		Packager:  packager.Config{Part: n.cfg.HLSPart, Window: n.cfg.HLSWindow, Keep: n.cfg.HLSKeep},
		Transcode: n.transcode(),
	})
	if err := n.openEdge(ctx); err != nil {
		return err
	}
	if n.cfg.Roles.Has(config.Media) {
		if err := n.ingest(); err != nil {
			return err
		}
	}
	if err := n.openAudit(); err != nil {
		return err
	}
	if h.Handler, err = n.routes(); err != nil {
		return err
	}
	return n.services(ctx)
}

// strangers is how many connections a listener takes beside those of max-publishers, so
// that who only connects does not take the places of encoders.
const strangers = 1024

// ingest binds the encoders' listeners.
func (n *node) ingest() error {
	guard := ingest.NewGuard() // an address may try all listeners
	if err := n.listenSRT(guard); err != nil {
		return err
	}
	listen := func(addr string, c rtmp.Config, real *string) error {
		if addr == "" {
			return nil
		}
		c.Log, c.Metrics, c.MaxConns, c.Guard = n.log, n.reg, n.cfg.MaxPublishers+strangers, guard
		s, err := rtmp.Listen(addr, c, n.streams)
		if err != nil {
			return err
		}
		n.rtmp = append(n.rtmp, s)
		*real = s.Addr().String()
		return nil
	}
	if err := listen(n.cfg.RTMP, rtmp.Config{}, &n.ready.RTMP); err != nil {
		return err
	}
	tc := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.cert}
	if err := listen(n.cfg.RTMPS, rtmp.Config{TLS: func() *tls.Config { return tc }}, &n.ready.RTMPS); err != nil {
		return err
	}
	return n.listenWebRTC(guard)
}

// listenSRT binds the listener of SRT.
func (n *node) listenSRT(guard *ingest.Guard) (err error) {
	if n.cfg.SRT == "" {
		return nil
	}
	n.srt, err = srt.Listen(n.cfg.SRT, srt.Config{
		Log: n.log, Metrics: n.reg, MaxConns: n.cfg.MaxPublishers, Guard: guard,
		Latency: n.cfg.SRTLatency, MaxLatency: config.MaxSRTLatency,
	}, n.streams)
	if err != nil {
		return err
	}
	n.ready.SRT = n.srt.Addr().String()
	return nil
}

// unlisten gives back what was bound by a start that failed.
func (n *node) unlisten() {
	if n.http != nil {
		_ = n.http.Close() // nobody has used it
	}
	if n.audit != nil {
		_ = n.audit.Close() // it is empty
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range n.rtmp {
		_ = s.Run(over) // closes its listener and returns
	}
	if n.srt != nil {
		_ = n.srt.Run(over)
	}
	if n.rtc != nil {
		_ = n.rtc.Run(over)
	}
}

// services lists what runs, in the order of starting. Stopping goes backwards: first
// no encoder is taken any more, then the streams end and their playlists say so, then
// viewers who were waiting have read that and HTTP drains.
func (n *node) services(ctx context.Context) error {
	started := make(chan struct{})
	n.add("roster", func(ctx context.Context) error {
		return n.roster.Run(ctx, func() { close(started) })
	})
	n.add("reaper", n.reap)
	// Before the streams, and so after them when it stops.
	n.add("events", event.NewRelay(n.log, n.name, n.store, n.bus, n.reg).Run)
	n.add("playback", n.gate.Run)
	if n.geoip != nil {
		n.add("geoip", n.geoip.Run)
	}
	if n.cfg.Roles.Has(config.Control) {
		n.add("control", n.control.Run)
		n.add("policies", n.people.Run)
	}
	if n.audit != nil {
		n.add("audit", n.audit.Run) // before http, and so after it when it stops
	}
	n.add("series", n.series.Run) // before streams, and so after them when it stops
	n.add("http", n.http.Run)
	n.add("streams", n.streams.Run)
	if n.edge != nil {
		n.add("edge", n.edge.Run) // after http, and so before it when it stops: nobody waits for other nodes then
	}
	for _, s := range n.rtmp {
		n.add("rtmp "+s.Addr().String(), s.Run)
	}
	if n.srt != nil {
		n.add("srt "+n.srt.Addr().String(), n.srt.Run)
	}
	if n.rtc != nil {
		n.add("webrtc "+n.rtc.Addr().String(), n.rtc.Run)
	}
	if n.cfg.Demo {
		if err := n.demo(ctx); err != nil {
			return err
		}
	}
	n.add("announcement", func(ctx context.Context) error {
		select {
		case <-started:
		case <-ctx.Done():
			return nil
		}
		if err := n.announce(); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return nil
}

func (n *node) add(name string, run func(context.Context) error) {
	n.up = append(n.up, lifecycle.Service{Name: name, Run: run})
}

// announce says that the node is up: on /readyz, in the ready file, in the log.
func (n *node) announce() error {
	n.health.Serving()
	if n.cfg.ReadyFile != "" {
		b, err := json.Marshal(n.ready)
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
		if err := writeFile(n.cfg.ReadyFile, string(b)+"\n"); err != nil {
			return err
		}
	}
	if n.cfg.Bus != "" && n.cfg.Roles.Has(config.Media) && n.origin() == "" {
		n.log.Warn("other nodes cannot reach the streams of this one: set origin-url")
	}
	n.log.Info("ready", "node", n.name, "version", n.opts.Version, "http", n.ready.HTTP, "rtmp", n.ready.RTMP, "rtmps", n.ready.RTMPS, "srt", n.ready.SRT, "webrtc", n.ready.WebRTC)
	if n.opts.Ready != nil {
		n.opts.Ready(n.ready)
	}
	return nil
}

// unready removes the ready file.
func (n *node) unready() error {
	if n.cfg.ReadyFile == "" {
		return nil
	}
	if err := os.Remove(n.cfg.ReadyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// origin is where other nodes fetch the streams of this one, or send viewers for them. Without
// configuration it is the listener's address, if that is the address of one machine.
func (n *node) origin() string { return n.originAt(n.http.Addr()) }

func (n *node) originAt(listener net.Addr) string {
	switch {
	case n.cfg.OriginURL != "":
		return string(n.cfg.OriginURL)
	case n.cfg.PublicURL != "":
		return string(n.cfg.PublicURL)
	case unspecified(listener):
		return ""
	}
	return n.ready.Base
}

// reachable is a listener's address as a client on this machine would write it.
func reachable(a net.Addr) string {
	if _, port, err := net.SplitHostPort(a.String()); err == nil && unspecified(a) {
		return net.JoinHostPort("localhost", port)
	}
	return a.String()
}

// unspecified reports whether a is every address of this machine.
func unspecified(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsUnspecified()
}
