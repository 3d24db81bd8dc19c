package origin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/stream"
)

// relayMultivariant answers the playback URL of a channel that is not live here, for the
// node where it is.
func (o *Origin) relayMultivariant(w http.ResponseWriter, r *http.Request, channel live.ARN) {
	st, err := o.cfg.Edge.Live(r.Context(), channel)
	if err != nil {
		o.relayError(w, r, err)
		return
	}
	o.multivariantOf(w, r, remote{st})
}

// relayMedia answers a request for media of a stream that another node has.
func (o *Origin) relayMedia(w http.ResponseWriter, r *http.Request, id, session, name, file string) {
	st, err := o.cfg.Edge.Stream(r.Context(), id, name)
	if err != nil {
		o.relayError(w, r, err)
		return
	}
	o.mediaOf(w, r, remote{st}, session, name, file)
}

func (o *Origin) relayError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, packager.ErrNotFound) {
		notFound(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	fail(w, r, http.StatusServiceUnavailable, "the stream cannot be reached for now", "stream_unavailable")
}

// relayed is a stream of this node as another node plays it: its viewers are counted
// there.
type relayed struct{ local }

func (s relayed) Viewed(netip.Addr, string) { s.Wanted() }
func (s relayed) ViewedBy(uint64)           { s.Wanted() }
func (s relayed) Delivered(time.Duration)   {}

// answerNode answers a request that says that it comes from another node. Whoever shows
// that gets the media of every stream; what a node would have to check for its viewers,
// the stream's AboutFile says. A node gets what is here, never what a third one has. here
// is nil if this node has no such stream.
func (o *Origin) answerNode(w http.ResponseWriter, r *http.Request, here *stream.Stream, session, name, file string) {
	if err := o.cfg.Credential.Verify(r, time.Now()); err != nil {
		o.metrics.refused[forged].Inc()
		fail(w, r, http.StatusForbidden, "the request does not come from a node", "invalid_node")
		return
	}
	o.metrics.nodes.Inc()
	if here == nil || session != "" {
		notFound(w, r)
		return
	}
	st := relayed{local{here}}
	if name == edge.AboutFile && file == "" {
		o.about(w, r, st)
		return
	}
	ch := here.Channel()
	o.serve(w, r, st, view{node: true, guarded: ch.Authorized || here.Restriction() != nil}, name, file)
}

// about tells another node what it has to know of a stream.
func (o *Origin) about(w http.ResponseWriter, r *http.Request, st relayed) {
	if r.URL.RawQuery == edge.AudioOnlyQuery {
		ctx, cancel := context.WithTimeout(r.Context(), o.wait)
		defer cancel()
		st.OfferAudioOnly(ctx)
	}
	ch := st.Channel()
	a := edge.About{
		Stream: st.ID(), Channel: ch.ARN, Authorized: ch.Authorized, LatencyMode: ch.LatencyMode, ListsAudioOnly: st.ListsAudioOnly(),
	}
	if p := st.Restriction(); p != nil {
		policy := p.Policy()
		a.Restriction = &edge.Restriction{Countries: policy.Countries, Origins: policy.Origins, Strict: policy.Strict}
	}
	listed := map[string]bool{}
	for _, i := range st.Listed() {
		listed[i.Name] = true
	}
	for _, i := range st.Ready() {
		if rendition, ok := st.Rendition(i.Name); ok {
			a.Renditions = append(a.Renditions, edge.Described{Info: i, Extension: rendition.Extension(), Listed: listed[i.Name]})
		}
	}
	body, err := json.Marshal(a)
	if err != nil { // numbers that are none
		o.log.Error("a stream cannot be described", "stream", st.ID(), "err", err)
		fail(w, r, http.StatusInternalServerError, "internal error", "internal_error")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, max-age="+edge.AboutMaxAge)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a node that left asks again
}
