// Package origin serves over HTTP what the streams of this node hold: the
// multivariant playlist at a channel's playback URL, media playlists with blocking
// reload, segments, parts and initialization sections. It renders nothing and keeps
// nothing: every viewer gets the same shared bytes.
//
// Paths (see docs/adr/0004):
//
//	[/<anything>live-video.net]/api/video/v1/<region>.<account>.channel.<id>.m3u8
//	/v1/live/<stream id>/<rendition>/index.m3u8
//	/v1/live/<stream id>/<rendition>/<file named by that playlist>
//	/v1/live/<viewer session>/<stream id>/<rendition>/...
//
// What streams of other nodes hold it serves in the same way, out of package edge, and to
// other nodes it serves what theirs ask for.
//
// Who may watch is for package playback to say. The playback URL is where a token is
// shown; from there on the session in the path speaks for the viewer.
package origin

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/stream"
)

// LivePrefix is where the media of streams lives.
const LivePrefix = edge.LivePrefix

const apiPrefix = "/api/video/v1/"

// streams is what origin serves from.
type streams interface {
	Stream(id string) (*stream.Stream, bool)
	Live(channel live.ARN) (*stream.Stream, bool)
}

// elsewhere finds the channels of other nodes.
type elsewhere interface {
	Get(channel live.ARN) (live.State, bool)
	List(account, region string, health live.Health, after string, limit int) []live.State
}

// Config is what a node tells its origin.
type Config struct {
	Self          string              // base URL where other nodes send viewers to this one; may be ""
	Countries     *playback.Countries // nil knows none
	CountryHeader string              // in which a trusted proxy says where a viewer is; may be ""
	MaxViews      int                 // of an account in a region at once; 0 means any number
	Ceiling       Ceiling

	// Edge has the streams of other nodes, for viewers who come here. Without it they are
	// sent to the node that has the stream.
	Edge *edge.Edge
	// Credential shows that a request comes from another node.
	Credential edge.Credential
}

// Origin is the handler of playback.
type Origin struct {
	log     *slog.Logger
	cfg     Config
	streams streams
	roster  elsewhere
	gate    *playback.Gate
	metrics *metrics
	fixed   fixed
	wait    time.Duration // how long a request may be parked
	now     atOnce
	rate    rate
}

// parked is how long a request may wait for media: less than the 10 s after which
// hls.js gives up on a first byte.
const parked = 8 * time.Second

// New returns the handler for the paths of IsPlayback.
func New(log *slog.Logger, st streams, ro elsewhere, gate *playback.Gate, reg prometheus.Registerer, c Config) *Origin {
	return &Origin{log: log, cfg: c, streams: st, roster: ro, gate: gate, metrics: newMetrics(reg), fixed: newFixed(), wait: parked, now: newAtOnce()}
}

// IsPlayback reports whether path belongs to Origin.
func IsPlayback(path string) bool {
	return strings.HasPrefix(path, LivePrefix) || playbackFile(path) != ""
}

// playbackFile returns the file name of a playback URL's path, with or without a
// leading segment that ends in live-video.net; "" if path is none.
func playbackFile(path string) string {
	before, file, ok := strings.Cut(path, apiPrefix)
	if !ok || strings.Contains(file, "/") {
		return ""
	}
	if before != "" && (strings.Count(before, "/") != 1 || !strings.HasSuffix(before, "live-video.net")) {
		return ""
	}
	return file
}

// channelOf reads <region>.<account>.channel.<id>.m3u8.
func channelOf(file string) (live.ARN, bool) {
	name, ok := strings.CutSuffix(file, ".m3u8")
	p := strings.Split(name, ".")
	if !ok || len(p) != 4 || p[2] != "channel" {
		return live.ARN{}, false
	}
	a, err := live.ParseARN("arn:aws:ivs:" + p[0] + ":" + p[1] + ":channel/" + p[3])
	return a, err == nil
}

// PlaybackPath is the path of a channel's playback URL. With ivs, it carries the
// marker by which the IVS player knows that it may use its low-latency mode.
func PlaybackPath(channel live.ARN, ivs bool) string {
	p := apiPrefix + channel.Region + "." + channel.Account + ".channel." + channel.ID + ".m3u8"
	if ivs {
		return "/live-video.net" + p
	}
	return p
}

// ServeHTTP implements http.Handler for the paths of IsPlayback.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = o.fixed.anyone
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "*")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		fail(w, r, http.StatusMethodNotAllowed, "method not allowed", "method_not_allowed")
		return
	}
	h["Access-Control-Expose-Headers"] = o.fixed.expose
	if rest, ok := strings.CutPrefix(r.URL.Path, LivePrefix); ok {
		o.media(w, r, rest)
		return
	}
	o.multivariant(w, r, playbackFile(r.URL.Path))
}

// multivariant answers a channel's playback URL.
func (o *Origin) multivariant(w http.ResponseWriter, r *http.Request, file string) {
	arn, ok := channelOf(file)
	if !ok {
		notFound(w, r)
		return
	}
	here, ok := o.streams.Live(arn)
	switch {
	case ok:
		o.multivariantOf(w, r, local{here})
	case o.cfg.Edge != nil:
		o.relayMultivariant(w, r, arn)
	default:
		o.redirect(w, r, arn)
	}
}

func (o *Origin) multivariantOf(w http.ResponseWriter, r *http.Request, st source) {
	if o.busy(w, r) {
		return
	}
	v, ok := o.begin(w, r, st)
	if !ok {
		return
	}
	alone := st.ListsAudioOnly()
	if !alone && r.URL.Query().Get("allow_audio_only") == "true" {
		ctx, cancel := context.WithTimeout(r.Context(), o.wait)
		defer cancel()
		st.OfferAudioOnly(ctx)
		alone = true
	}
	listed := slices.DeleteFunc(st.Listed(), func(i packager.Info) bool {
		return !v.shows(i) || !alone && i.Width == 0
	})
	body := packager.Multivariant(listed, v.base(st.ID()), sessionData(st)...)
	if body == nil {
		notFound(w, r)
		return
	}
	o.metrics.multivariants.Inc()
	h := w.Header()
	h["Content-Type"] = o.fixed.playlist
	h["Cache-Control"] = o.fixed.shared.revalidate
	if v.session != nil {
		h["Cache-Control"] = o.fixed.never // it is a key
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		n, _ := w.Write(body)
		o.sent(int64(n))
	}
}

// sessionData is what IVS's player reads of a multivariant playlist: what time it is here,
// in seconds, from which it knows how late it plays though the viewer's clock is wrong,
// and for its events, which broadcast this is.
func sessionData(st source) []hls.SessionData {
	data := []hls.SessionData{
		{ID: "SERVER-TIME", Value: strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64)},
		{ID: "BROADCAST-ID", Value: st.ID()},
	}
	if st.Channel().LatencyMode != live.LatencyNormal {
		data = append(data, hls.SessionData{ID: "FUTURE", Value: "true"})
	}
	return data
}

// redirect sends the viewer of a channel that is not live here to the node that owns
// it, which answers for itself. It never sends anybody to where they are: not to this
// node, by whatever name, and not for a stream that just ended here.
func (o *Origin) redirect(w http.ResponseWriter, r *http.Request, channel live.ARN) {
	s, ok := o.roster.Get(channel)
	_, ours := o.streams.Stream(s.Stream)
	if !ok || ours || s.Origin == "" || s.Origin == o.cfg.Self || strings.HasSuffix(s.Origin, "//"+httpserver.Client(r).Host) {
		notFound(w, r)
		return
	}
	query, err := o.vouch(r, channel)
	if err != nil {
		o.refuse(w, r, &live.Channel{ARN: channel}, err)
		return
	}
	to := *r.URL
	to.RawQuery = query
	h := w.Header()
	h.Set("Location", s.Origin+to.RequestURI())
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// media answers [<viewer session>/]<stream id>/<rendition>/<file>.
func (o *Origin) media(w http.ResponseWriter, r *http.Request, rest string) {
	id, rest, _ := strings.Cut(rest, "/")
	session := ""
	if playback.IsSession(id) {
		session = id
		id, rest, _ = strings.Cut(rest, "/")
	}
	name, file, _ := strings.Cut(rest, "/")
	here, ok := o.streams.Stream(id)
	switch {
	case r.Header[edge.Header] != nil:
		o.answerNode(w, r, here, session, name, file)
	case ok:
		o.mediaOf(w, r, local{here}, session, name, file)
	case o.cfg.Edge != nil:
		o.relayMedia(w, r, id, session, name, file)
	default:
		notFound(w, r)
	}
}

func (o *Origin) mediaOf(w http.ResponseWriter, r *http.Request, st source, session, name, file string) {
	v, ok := o.admit(w, r, st, session)
	if ok {
		o.serve(w, r, st, v, name, file)
	}
}

// serve answers who was let in.
func (o *Origin) serve(w http.ResponseWriter, r *http.Request, st source, v view, name, file string) {
	rendition, ok := st.Rendition(name)
	if !ok {
		notFound(w, r)
		return
	}
	if err := v.covers(rendition); err != nil {
		o.refuse(w, r, st.Channel(), err)
		return
	}
	if file == "index.m3u8" {
		v.viewed(r, st)
		o.playlist(w, r, st, rendition, v)
		return
	}
	o.file(w, r, st, rendition, file, v)
}
