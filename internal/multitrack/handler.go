package multitrack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/store"
)

// Paths of the requests that encoders send unsigned.
const (
	ConfigurationPath = "/api/v3/GetClientConfiguration"
	FindIngestPath    = "/api/v2/FindIngest"
)

// service is the only one that we are.
const service = "IVS"

// Bounds of a request.
const (
	maxBody  = 64 << 10 // bytes
	bodyTime = 10 * time.Second
	maxAsked = 16384 // pixels of an edge
)

// An Endpoint is where encoders publish to.
type Endpoint struct {
	Protocol string // RTMP or RTMPS
	URL      string // with {stream_key} in place of the key
}

// Protocols of an Endpoint.
const (
	RTMP  = "RTMP"
	RTMPS = "RTMPS"
)

// rows is what a Handler needs of package store.
type rows interface {
	ByLookup(ctx context.Context, service, typ, lookup string) (store.Row, error)
	Get(ctx context.Context, arn live.ARN) (store.Row, error)
}

// Config is what a Handler works with. Every field is required.
type Config struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Keys    *Keys
	Store   rows
	// Endpoints lists where the client of a request can publish, RTMPS first.
	Endpoints func(*http.Request) []Endpoint
	Name      string // of this place, for FindIngest
}

// A Handler answers GetClientConfiguration and FindIngest.
type Handler struct {
	cfg     Config
	limiter limiter
	asked   *prometheus.CounterVec // by result
	mux     *http.ServeMux
}

// Results of GetClientConfiguration for metrics. The set is closed.
const (
	outcomeOK        = "ok"
	outcomeWarning   = "warning"
	outcomeError     = "error"     // the client heard why
	outcomeMalformed = "malformed" // no JSON, or too much of it
	outcomeThrottled = "throttled"
	outcomeFailed    = "failed" // our fault
)

// NewHandler returns a Handler that has started nothing.
func NewHandler(cfg Config) *Handler {
	h := &Handler{
		cfg: cfg, mux: http.NewServeMux(),
		asked: promauto.With(cfg.Metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_multitrack_configurations_total", Help: "Requests for a multitrack configuration, by result.",
		}, []string{"result"}),
	}
	for _, r := range []string{outcomeOK, outcomeWarning, outcomeError, outcomeMalformed, outcomeThrottled, outcomeFailed} {
		h.asked.WithLabelValues(r) // so that a rate can be taken before the first one
	}
	h.mux.Handle("POST "+ConfigurationPath, httpserver.Body(maxBody, bodyTime, http.HandlerFunc(h.configuration)))
	h.mux.HandleFunc("GET "+FindIngestPath, h.findIngest)
	return h
}

// IsPath reports whether path is one of a Handler's.
func IsPath(path string) bool { return path == ConfigurationPath || path == FindIngestPath }

// ServeHTTP bounds how often an address may ask, and answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.limiter.take(time.Now(), httpserver.Client(r).RemoteIP) {
		if r.URL.Path == ConfigurationPath {
			h.asked.WithLabelValues(outcomeThrottled).Inc()
		}
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusTooManyRequests, refuse(meta{Service: service, SchemaVersion: schemaVersion}, "Too many requests. Try again in a moment."))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// configuration answers GetClientConfiguration. What a broadcaster can do something
// about is said in a status, with HTTP 200: other codes make OBS hide the text.
func (h *Handler) configuration(w http.ResponseWriter, r *http.Request) {
	e := httpserver.EventOf(r.Context())
	e.SetOp("GetClientConfiguration")
	var in request
	if err := decode(r, &in); err != nil {
		code, text := http.StatusBadRequest, "The request is not valid JSON."
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			code, text = http.StatusRequestEntityTooLarge, "The request is too large."
		}
		h.asked.WithLabelValues(outcomeMalformed).Inc()
		answer(w, code, refuse(meta{Service: service, SchemaVersion: schemaVersion}, text))
		return
	}
	m := meta{Service: service, SchemaVersion: schemaVersion, ConfigID: newConfigID()}
	if validSchema(in.SchemaVersion) {
		m.SchemaVersion = in.SchemaVersion
	}
	e.Add(slog.String("config", m.ConfigID))
	out, channel, err := h.configure(r, in, m)
	if channel != (live.ARN{}) {
		e.Add(slog.String("channel", channel.String()))
	}
	outcome := outcomeOK
	switch le, ok := errors.AsType[*live.Error](err); {
	case ok:
		outcome, out = outcomeError, refuse(m, le.Detail)
		e.Add(slog.String("error", le.Detail))
	case err != nil:
		h.asked.WithLabelValues(outcomeFailed).Inc()
		e.SetErr(err)
		answer(w, http.StatusServiceUnavailable, refuse(m, "The service is temporarily unavailable. Try again in a moment."))
		return
	case out.Status != nil:
		outcome = outcomeWarning
	}
	h.asked.WithLabelValues(outcome).Inc()
	answer(w, http.StatusOK, out)
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("multitrack: more than one JSON value")
	}
	return nil
}

// configure makes the answer to a request. A *live.Error is for the broadcaster. The
// channel is that of the key, if there is one.
func (h *Handler) configure(r *http.Request, in request, m meta) (response, live.ARN, error) {
	if in.Service != "" && in.Service != service {
		return response{}, live.ARN{}, live.Errorf(live.Invalid, "The service must be %s.", service)
	}
	if names := in.missing(); len(names) > 0 {
		return response{}, live.ARN{}, live.Errorf(live.Invalid, "Required fields are missing: %s.", strings.Join(names, ", "))
	}
	if !validSchema(in.SchemaVersion) {
		return response{}, live.ARN{}, live.Errorf(live.Invalid, "The schema version is not supported.")
	}
	// Some put the query of the publish name behind the key.
	streamKey, _, _ := strings.Cut(in.Authentication, "?")
	ch, err := h.channel(r.Context(), streamKey)
	if err != nil {
		return response{}, live.ARN{}, err
	}
	if ch.Multitrack == nil || !ch.Multitrack.Enabled {
		return response{}, ch.ARN, live.Errorf(live.Denied, "Multitrack video is not enabled for this channel.")
	}
	out, l, err := plan(in, ch)
	if err != nil {
		return response{}, ch.ARN, err
	}
	out.Meta = m
	token, err := h.cfg.Keys.Seal(l, streamKey, time.Now().Add(KeyLife))
	if err != nil {
		return response{}, ch.ARN, fmt.Errorf("multitrack: %w", err)
	}
	for _, e := range h.cfg.Endpoints(r) {
		if e.Protocol == RTMPS || ch.InsecureIngest {
			out.Endpoints = append(out.Endpoints, ingestEndpoint{e.Protocol, e.URL, token})
		}
	}
	if len(out.Endpoints) == 0 {
		return response{}, ch.ARN, live.Errorf(live.Unavailable, "This server takes no streams over RTMPS.")
	}
	return out, ch.ARN, nil
}

var errKey = live.Errorf(live.Denied, "The stream key is not valid.")

// channel finds the channel of a stream key.
func (h *Handler) channel(ctx context.Context, streamKey string) (live.Channel, error) {
	if len(streamKey) > live.MaxStreamKey {
		return live.Channel{}, errKey
	}
	key, err := h.cfg.Store.ByLookup(ctx, live.ServiceIVS, live.TypeStreamKey, live.StreamKeyLookup(streamKey))
	if errors.Is(err, store.ErrNotFound) {
		return live.Channel{}, errKey
	} else if err != nil {
		return live.Channel{}, fmt.Errorf("multitrack: %w", err)
	}
	row, err := h.cfg.Store.Get(ctx, key.Parent)
	if errors.Is(err, store.ErrNotFound) {
		return live.Channel{}, errKey
	} else if err != nil {
		return live.Channel{}, fmt.Errorf("multitrack: %w", err)
	}
	return store.ChannelOf(row)
}

// plan makes the ladder for a request that has all it needs, and the answer but for
// its meta and endpoints.
func plan(in request, ch live.Channel) (response, Ladder, error) {
	p := in.Preferences
	c, listed := p.picture()
	switch {
	case c.Width < 64 || c.Height < 64 || c.Width > maxAsked || c.Height > maxAsked:
		return response{}, nil, live.Errorf(live.Invalid, "The canvas is not supported: its edges must have 64 to %d pixels.", maxAsked)
	case !validFrameRate(*c.FrameRate):
		return response{}, nil, live.Errorf(live.Unsupported, "The frame rate %d/%d is not supported: it must be 24, 25, 30, 48, 50 or 60.", c.FrameRate.Numerator, c.FrameRate.Denominator)
	}
	e, warning, err := engineOf(*in.Capabilities, p.GPU)
	if err != nil {
		return response{}, nil, err
	}
	w := wish{
		width: int(c.Width), height: int(c.Height), frameRate: c.FrameRate.Numerator,
		limit:   e.limit.min(classOf(p.MaxResolution)).min(classOf(ch.Multitrack.MaximumResolution)),
		bitRate: clamp(cmp.Or(p.Bandwidth, p.Aggregate)), tracks: e.tracks, codec: media.H264,
	}
	if p.MaxTracks > 0 {
		w.tracks = min(w.tracks, clamp(p.MaxTracks))
	}
	switch {
	case slices.Contains(in.Client.Codecs, string(media.H264)):
	case slices.Contains(in.Client.Codecs, string(media.H265)) && e.h265 != "":
		w.codec = media.H265
	default:
		return response{}, nil, live.Errorf(live.Unsupported, "None of the encoder's codecs is supported: it must offer h264 or, with a GPU, h265.")
	}
	l := w.ladder()
	switch {
	case l == nil:
		return response{}, nil, live.Errorf(live.Unsupported, "Not even two small tracks fit into the canvas and the bandwidth. Raise them, or turn multitrack video off.")
	case len(l) == 1 && ch.Multitrack.Policy == live.MultitrackRequire:
		return response{}, nil, live.Errorf(live.Unsupported, "This channel requires multitrack video: allow more than one video track.")
	}
	out := response{Encoders: make([]encoderConfiguration, len(l)), Endpoints: []ingestEndpoint{}}
	for i, t := range l {
		out.Encoders[i] = e.configuration(t)
		if listed {
			out.Encoders[i].Canvas = new(0)
		}
	}
	channels := 2
	if p.AudioChannels == 1 {
		channels = 1
	}
	out.Audio.Live = []audioConfiguration{{Codec: "aac", Channels: channels, Settings: audioSettings{audioBitRate}}}
	if warning != "" {
		out.Status = &status{resultWarning, html.EscapeString(warning)}
	}
	return out, l, nil
}

// clamp makes a number that a client sent one that can be reckoned with.
func clamp(v int64) int { return int(min(max(v, 0), 1<<30)) }

// refuse is an answer that says text to the broadcaster and nothing else.
func refuse(m meta, text string) response {
	return response{
		Meta: m, Endpoints: []ingestEndpoint{}, Encoders: []encoderConfiguration{},
		Audio: audioConfigurations{Live: []audioConfiguration{}}, Status: &status{resultError, html.EscapeString(text)},
	}
}

// findIngest answers FindIngest: there is one place, this one.
func (h *Handler) findIngest(w http.ResponseWriter, r *http.Request) {
	httpserver.EventOf(r.Context()).SetOp("FindIngest")
	out := ingests{Ingests: []ingestServer{}}
	one := ingestServer{ID: 1, Name: h.cfg.Name, Priority: 1, Default: true, Availability: "1.0"}
	for _, e := range h.cfg.Endpoints(r) {
		if e.Protocol == RTMPS {
			one.Secure = e.URL
		} else {
			one.Template = e.URL
		}
	}
	if one.Secure != "" || one.Template != "" {
		out.Ingests = append(out.Ingests, one)
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // of types that always encode
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // the client is gone, or has it
}

// newConfigID is a random UUID.
func newConfigID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
