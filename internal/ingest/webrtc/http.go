package webrtc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/ffmpeg"
	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
)

// Paths that Handler serves. They are signed by nobody: the stream key is what counts.
const (
	offerPath = "/v1/offer" // of the IVS web broadcast SDK
	whipPath  = "/whip"     // and /whip/<id> for a session
)

// IsPath reports whether path is one that Handler serves.
func IsPath(path string) bool {
	return path == offerPath || path == whipPath || strings.HasPrefix(path, whipPath+"/")
}

// Bounds of a request.
const (
	maxBody  = 256 << 10 // bytes: an offer, twice in base64, and what is around it
	bodyTime = 10 * time.Second
	maxAgent = 256 // bytes of what a peer calls itself
)

// Handler answers offers. Any page may make one: who knows the stream key may publish
// from wherever they are.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+offerPath, s.postOffer)
	mux.HandleFunc("POST "+whipPath, s.postWHIP)
	mux.HandleFunc("DELETE "+whipPath+"/{id}", s.deleteWHIP)
	for path, methods := range map[string]string{offerPath: "POST", whipPath: "POST", whipPath + "/{id}": "DELETE"} {
		mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Access-Control-Allow-Methods", methods+", OPTIONS")
			h.Set("Access-Control-Allow-Headers", "authorization, content-type, if-match")
			h.Set("Access-Control-Max-Age", "86400")
			if path == whipPath {
				h.Set("Accept-Post", sdpType)
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	return httpserver.Body(maxBody, bodyTime, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Location, Retry-After, WWW-Authenticate")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

// A proposal is a peer's wish to publish, in whichever form it came.
type proposal struct {
	key    string // the stream key; secret, never logged
	sdp    string
	params url.Values
	kind   ingest.Announcement
}

// accept answers a proposal: it asks the handler and starts the peer.
func (s *Server) accept(r *http.Request, in proposal) (p *peer, answer string, err error) {
	if !s.enter() {
		return nil, "", live.Errorf(live.Unavailable, "The server is going down.")
	}
	handed := false // the peer's goroutine leaves for itself
	defer func() {
		if !handed {
			s.running.Done()
		}
	}()
	from, addr := client(r)
	if !s.rate.Allow(ingest.Source(addr), time.Now()) || !s.cfg.Guard.Allow(addr) {
		return nil, "", live.Errorf(live.Throttled, "Too many offers from this address.")
	}
	place, ok := s.limiter.Acquire(addr)
	if !ok {
		return nil, "", live.Errorf(live.Unavailable, "The server takes no more connections.")
	}
	defer func() {
		if !handed {
			place.Release()
		}
	}()
	o, err := parseOffer(in.sdp)
	if err != nil {
		return nil, "", err
	}
	tc, err := s.transcoder(o)
	if err != nil {
		return nil, "", err
	}

	agent := strings.ToValidUTF8(r.UserAgent()[:min(len(r.UserAgent()), maxAgent)], "")
	in.kind.Encoder = agent
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // the connection's
	defer func() {
		if !handed {
			cancel()
		}
	}()
	session, err := s.handler.Publish(ctx, ingest.Request{
		Protocol: ingest.WebRTC, Encrypted: true, Key: in.key, Params: in.params, Remote: from, Agent: agent,
	})
	if errors.Is(err, live.Denied) {
		s.cfg.Guard.Fail(addr)
	}
	if err != nil {
		return nil, "", err
	}
	p = newPeer(live.NewID(32), in.key)
	p.kind = in.kind
	if _, answer, err = s.connect(r.Context(), o, p.handle); err != nil {
		session.Close(false)
		return nil, "", err
	}
	log := s.log.With(slog.String("protocol", string(ingest.WebRTC)), slog.String("remote", from), slog.String("agent", agent))
	log.LogAttrs(ctx, slog.LevelInfo, "publishing")
	handed = true
	go func() { // ends with the peer; Run waits
		defer s.running.Done()
		defer place.Release()
		defer cancel()
		defer s.forget(p)
		s.serve(ctx, log, p, session, place, tc)
	}()
	return p, answer, nil
}

// transcoder is what an offer with sound needs, nil for one without.
func (s *Server) transcoder(o *offer) (*transcoder, error) {
	if o.audio == nil {
		return nil, nil
	}
	path, err := ffmpeg.Find(s.cfg.FFmpeg)
	if err != nil {
		return nil, &live.Error{Kind: live.Unavailable, Detail: "This server cannot take sound over WebRTC: ffmpeg is not installed on it.", Err: err}
	}
	return newTranscoder(s.log, path), nil
}

// client is whom a request comes from: as text, and as an address to count by.
func client(r *http.Request) (text string, addr net.Addr) {
	ip := httpserver.Client(r).RemoteIP
	direct, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil && direct.Addr().Unmap().WithZone("") == ip {
		return r.RemoteAddr, net.TCPAddrFromAddrPort(direct)
	}
	if !ip.IsValid() {
		return r.RemoteAddr, &net.UnixAddr{}
	}
	return ip.String(), net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)) // behind a proxy, which does not tell the port
}

// refusal is what a peer hears of an error: only the words of a *live.Error leave the
// server.
func (s *Server) refusal(r *http.Request, err error) (status int, kind live.Kind, message string) {
	status, message, outcome := http.StatusInternalServerError, "The server cannot take the stream now.", outcomeError
	if e, ok := errors.AsType[*live.Error](err); ok {
		kind, message, outcome = e.Kind, e.Detail, string(e.Kind)
		status = map[live.Kind]int{
			live.Invalid:     http.StatusBadRequest,
			live.Denied:      http.StatusForbidden,
			live.NotFound:    http.StatusNotFound,
			live.NotLive:     http.StatusNotFound,
			live.Conflict:    http.StatusConflict,
			live.Quota:       http.StatusForbidden,
			live.Throttled:   http.StatusTooManyRequests,
			live.Unavailable: http.StatusServiceUnavailable,
			live.Unsupported: http.StatusUnprocessableEntity,
		}[e.Kind]
	}
	s.metrics.offers.WithLabelValues(outcome).Inc()
	from, _ := client(r)
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "publish refused", slog.String("protocol", string(ingest.WebRTC)),
		slog.String("remote", from), slog.String("outcome", outcome), slog.Any("err", err))
	return status, kind, message
}

// errBody is the refusal of a body that cannot be had.
func errBody(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &live.Error{Kind: live.Invalid, Detail: "The request is too large.", Err: err}
	}
	return &live.Error{Kind: live.Invalid, Detail: "The request cannot be read.", Err: err}
}
