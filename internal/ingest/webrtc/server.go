// Package webrtc takes in what browsers and encoders publish over WebRTC: it answers
// their offers over HTTP, in the form of the IVS web broadcast SDK and of WHIP
// (RFC 9725), asks an ingest.Handler about each publication and hands it H.264 and AAC
// units. H.264 passes as it is; Opus becomes AAC through a child, ffmpeg.
//
// It knows no channel and no key rule, and it keeps no media. It sends none either:
// there is no playback here. ICE, DTLS and SRTP are pion's; what is here is the order
// and the completeness of packets, time, and sound.
//
// A peer has one goroutine that owns its media and its session, and one for each thing
// that it waits for: packets and reports of a track, and the child. All of them end
// before Server.Run returns.
package webrtc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	pion "github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/sluice-live/sluice/internal/ingest"
)

// Config tunes a Server. The zero value of each field has the meaning noted.
type Config struct {
	UDP string // host:port of media; required
	TCP string // host:port of media from networks that let no UDP out; "" for none

	// Addresses are announced beside those of this machine: the public ones, behind NAT.
	Addresses []netip.Addr

	FFmpeg string // its path or name; "" means "ffmpeg"

	Log     *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nowhere

	Guard *ingest.Guard // of wrong keys, shared with other listeners; nil means one of its own

	MaxPeers   int // at once; 0 means 1000. More are refused.
	MaxPending int // of them, from one address and not yet connected; 0 means 32
	MaxOffers  int // from one address in a second; 0 means 5

	Connect time.Duration // from the answer to the connection; 0 means 15s
	Idle    time.Duration // without media; 0 means 30s (low-latency.md 3.2)
}

// A Server takes publishers over WebRTC.
type Server struct {
	cfg     Config
	handler ingest.Handler
	log     *slog.Logger
	metrics *metrics
	limiter *ingest.Limiter
	rate    *ingest.Rate

	udp    *net.UDPConn
	tcp    net.Listener // nil without Config.TCP
	udpMux ice.UDPMux
	tcpMux ice.TCPMux

	quit    chan struct{}  // closed when the server ends: every peer does
	running sync.WaitGroup // one for each offer being answered, and each peer; added to under mu while not closing

	mu      sync.Mutex // guards all below
	closing bool
	whip    map[string]*peer // by id; as many as MaxPeers
}

// Buffers of the sockets, in bytes.
const (
	socketBuffer = 4 << 20 // bursts of keyframes, from many peers at once; the system may grant less
	tcpBuffer    = 64      // packets
)

// Listen binds the addresses of cfg, so a bad one or a taken port fails before anything
// runs. The server decides about publishers by h.
func Listen(cfg Config, h ingest.Handler) (*Server, error) {
	cfg.MaxPeers = cmp.Or(cfg.MaxPeers, 1000)
	cfg.MaxPending = cmp.Or(cfg.MaxPending, 32)
	cfg.MaxOffers = cmp.Or(cfg.MaxOffers, 5)
	cfg.Connect = cmp.Or(cfg.Connect, 15*time.Second)
	cfg.Idle = cmp.Or(cfg.Idle, 30*time.Second)
	if cfg.Guard == nil {
		cfg.Guard = ingest.NewGuard()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, handler: h, log: cfg.Log, metrics: newMetrics(cfg.Metrics),
		limiter: ingest.NewLimiter(cfg.MaxPeers, cfg.MaxPending), rate: ingest.NewRate(cfg.MaxOffers, time.Second),
		quit: make(chan struct{}), whip: map[string]*peer{},
	}
	addr, err := net.ResolveUDPAddr("udp", cfg.UDP)
	if err != nil {
		return nil, fmt.Errorf("webrtc: %w", err)
	}
	if s.udp, err = net.ListenUDP("udp", addr); err != nil {
		return nil, fmt.Errorf("webrtc: %w", err)
	}
	_ = s.udp.SetReadBuffer(socketBuffer) // a smaller one works too
	if cfg.TCP != "" {
		if s.tcp, err = net.Listen("tcp", cfg.TCP); err != nil {
			_ = s.udp.Close() // nobody has used it
			return nil, fmt.Errorf("webrtc: %w", err)
		}
		// A peer may try more than one pair of addresses.
		ln := netutil.LimitListener(s.tcp, 2*cfg.MaxPeers)
		s.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: ln, Logger: pionLogs{s.log}.NewLogger("tcp"), ReadBufferSize: tcpBuffer,
			FirstStunBindTimeout: 5 * time.Second, AliveDurationForConnFromStun: 5 * time.Second,
		})
	}
	s.udpMux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: s.udp, Logger: pionLogs{s.log}.NewLogger("udp")})
	return s, nil
}

// Addr is the bound address of UDP.
func (s *Server) Addr() net.Addr { return s.udp.LocalAddr() }

// TCPAddr is the bound address of TCP, nil without one.
func (s *Server) TCPAddr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Run keeps peers until ctx is done and then returns nil, when every peer has ended and
// every goroutine that was started has returned. From then on offers are refused.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.close()
	s.running.Wait()
	var errs []error
	errs = append(errs, s.udpMux.Close())
	if s.tcpMux != nil {
		errs = append(errs, s.tcpMux.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("webrtc: %w", err)
	}
	return nil
}

func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	close(s.quit)
}

// enter makes Run wait for one more; false when it does not any more.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	return true
}

// settings are what all peers have in common.
func (s *Server) settings() (e pion.SettingEngine, err error) {
	e.LoggerFactory = pionLogs{s.log}
	e.SetLite(true) // it answers, and contacts nobody
	e.SetICEUDPMux(s.udpMux)
	networks := []pion.NetworkType{pion.NetworkTypeUDP4, pion.NetworkTypeUDP6}
	if s.tcpMux != nil {
		e.SetICETCPMux(s.tcpMux)
		networks = append(networks, pion.NetworkTypeTCP4, pion.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(networks)
	e.SetIncludeLoopbackCandidate(true) // for encoders on this machine
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetICETimeouts(7*time.Second, 13*time.Second, 2*time.Second)
	e.SetSRTPReplayProtectionWindow(reorderSize)
	e.SetSCTPMaxReceiveBufferSize(64 << 10) // one space is all that is ever sent
	if err := e.SetAnsweringDTLSRole(pion.DTLSRoleServer); err != nil {
		return e, fmt.Errorf("webrtc: %w", err)
	}
	if len(s.cfg.Addresses) > 0 {
		rule := pion.ICEAddressRewriteRule{AsCandidateType: pion.ICECandidateTypeHost, Mode: pion.ICEAddressRewriteAppend}
		for _, a := range s.cfg.Addresses {
			rule.External = append(rule.External, a.String())
		}
		if err := e.SetICEAddressRewriteRules(rule); err != nil {
			return e, fmt.Errorf("webrtc: %w", err)
		}
	}
	return e, nil
}
