package origin

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strings"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
)

// A view is what was found out of a request that may be answered.
type view struct {
	session *playback.Session // nil for who plays a public stream without a token
	guarded bool              // requests for media are checked, so no shared cache may answer them
	node    bool              // it is another node, which lets viewers in and counts them
	listed  bool              // the answer is for pages of one origin, and says which
}

// over refuses a view that was revoked while its request was parked.
func (v view) over() error {
	if v.session != nil && v.session.Revoked() {
		return &playback.Refusal{Reason: playback.Revoked, Text: "viewer session is revoked"}
	}
	return nil
}

// begin lets in who asks for the multivariant playlist, or answers with an error. Of a
// private channel that is who has a token; on a public one a token that is good has its
// effect, and one that is not has none: whoever sent it could as well have left it out.
func (o *Origin) begin(w http.ResponseWriter, r *http.Request, st source) (view, bool) {
	ch, token := st.Channel(), tokenOf(r)
	if o.full(ch.ARN) {
		o.metrics.refused[tooManyViews].Inc()
		w.Header().Set("Retry-After", "10")
		fail(w, r, http.StatusTooManyRequests, "concurrent views of the account have reached their limit", "too_many_views")
		return view{}, false
	}
	origin, err := o.page(r, ch.ARN)
	if err == nil {
		err = st.Restriction().Begin(origin, o.country(r))
	}
	if err != nil {
		o.refuse(w, r, ch, err)
		return view{}, false
	}
	var v view
	if !st.Restriction().Origins().Any() {
		v.listed = true
		o.only(w.Header(), r.Header.Get("Origin"))
	}
	if token == "" && !ch.Authorized {
		return v, true
	}
	session, grant, err := o.start(r, st, playback.Request{Channel: ch.ARN, Stream: st.ID(), Token: token, Origin: origin})
	if err != nil {
		if _, ok := errors.AsType[*playback.Refusal](err); ok && !ch.Authorized {
			return v, true
		}
		o.refuse(w, r, ch, err)
		return view{}, false
	}
	v.session = session
	if !playback.ParseOrigins(grant.Origins).Any() {
		v.listed = true
		o.only(w.Header(), r.Header.Get("Origin"))
	}
	return v, true
}

// start begins a session with a token. HEAD asks what would be, and uses nothing up.
func (o *Origin) start(r *http.Request, st source, request playback.Request) (*playback.Session, playback.Grant, error) {
	ctx := r.Context()
	grant, err := o.gate.Verify(ctx, request)
	if err != nil {
		return nil, grant, err
	}
	if !offers(st, grant.Shows) {
		return nil, grant, &playback.Refusal{Reason: playback.Resolution, Text: "the stream has no rendition as small as the token allows"}
	}
	if r.Method == http.MethodHead {
		s, err := o.gate.Preview(ctx, grant)
		return s, grant, err
	}
	s, err := o.gate.Start(ctx, grant)
	return s, grant, err
}

// offers reports whether a stream has a picture of a size that may be shown, or none yet.
func offers(st source, shows func(width, height int) bool) bool {
	ready := 0
	for _, i := range st.Ready() {
		if i.Width == 0 { // sound alone
			continue
		}
		if shows(i.Width, i.Height) {
			return true
		}
		ready++
	}
	return ready == 0
}

// shows says which renditions the multivariant playlist of a view has.
func (v view) shows(i packager.Info) bool {
	return v.session == nil || v.session.Shows(i.Width, i.Height)
}

// base is where the media of a view is: below its session, if it has one, because
// playlists name what they list by relative URIs.
func (v view) base(stream string) string {
	if v.session == nil {
		return LivePrefix + stream + "/"
	}
	return LivePrefix + v.session.Element + "/" + stream + "/"
}

// admit lets in who asks for media of a stream, or answers with an error. element is the
// session in the path, "" for none. Every part of every viewer comes through here.
func (o *Origin) admit(w http.ResponseWriter, r *http.Request, st source, element string) (view, bool) {
	ch, restriction := st.Channel(), st.Restriction()
	if element == "" && !ch.Authorized && restriction == nil {
		return view{}, true
	}
	v, strict, err := o.check(r, st, element)
	if err != nil {
		o.refuse(w, r, ch, err)
		return view{}, false
	}
	if strict {
		v.listed = true
		o.only(w.Header(), r.Header.Get("Origin"))
	}
	return v, true
}

func (o *Origin) check(r *http.Request, st source, element string) (v view, strict bool, err error) {
	ch, origin := st.Channel(), r.Header.Get("Origin")
	switch {
	case element != "":
		if v.session, err = o.gate.Open(r.Context(), element, st.ID(), ch.ARN); err != nil {
			return v, false, err
		}
		if err := v.session.Allow(origin); err != nil {
			return v, false, err
		}
		v.guarded, strict = true, v.session.Strict()
	case ch.Authorized:
		return v, false, &playback.Refusal{Reason: playback.BadSession, Text: "media of a private channel needs a viewer session"}
	}
	if restriction := st.Restriction(); restriction != nil {
		if err := restriction.Allow(origin, o.country(r)); err != nil {
			return v, false, err
		}
		v.guarded, strict = v.guarded || restriction.Guards(), strict || restriction.Strict()
	}
	return v, strict, nil
}

// covers refuses a rendition that is not in the view's multivariant playlist.
func (v view) covers(rendition playable) error {
	if v.session == nil || !v.session.Limited() {
		return nil
	}
	if i, ok := rendition.Info(); ok && v.session.Shows(i.Width, i.Height) {
		return nil
	}
	return &playback.Refusal{Reason: playback.Resolution, Text: "the token does not allow this resolution"}
}

// viewed counts a view, exactly if it has a session.
func (v view) viewed(r *http.Request, st source) {
	if v.session != nil {
		st.ViewedBy(v.session.ID)
		return
	}
	st.Viewed(httpserver.Client(r).RemoteIP, r.UserAgent())
}

// only makes an answer readable to pages of one origin, which was found on a list. Who
// sends none is no browser.
func (o *Origin) only(h http.Header, origin string) {
	h["Vary"] = o.fixed.origin
	if origin == "" {
		delete(h, "Access-Control-Allow-Origin")
		return
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
}

// refuse answers who may not watch. Why is readable from every page, or players would
// tell of a network that is down.
func (o *Origin) refuse(w http.ResponseWriter, r *http.Request, ch *live.Channel, err error) {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = o.fixed.anyone
	refusal, ok := errors.AsType[*playback.Refusal](err)
	if !ok { // the store; what it said is not for viewers
		if !errors.Is(err, context.Canceled) {
			o.log.Warn("viewer could not be checked", "channel", ch.ARN.String(), "err", err)
		}
		o.metrics.refused[unavailable].Inc()
		h.Set("Retry-After", "1")
		fail(w, r, http.StatusServiceUnavailable, "playback is temporarily unavailable", "playback_unavailable")
		return
	}
	o.metrics.refused[string(refusal.Reason)].Inc()
	code := "invalid_playback_auth_token"
	switch refusal.Reason {
	case playback.BadOrigin:
		h["Vary"] = o.fixed.origin
		if !ch.Authorized {
			code = geoblocked
		}
	case playback.BadCountry:
		code = geoblocked
	case playback.Resolution:
		code = "unauthorized_entitlements"
	}
	fail(w, r, http.StatusForbidden, refusal.Text, code)
}

// geoblocked is the code of who is in the wrong place, be it a country or a page
// (low-latency.md 4.4).
const geoblocked = "content_geoblocked"

// full reports whether the account has as many views, in its region and on all nodes, as
// it may have. The owners of streams tell how many they have every two seconds.
func (o *Origin) full(channel live.ARN) bool {
	if o.cfg.MaxViews == 0 {
		return false
	}
	var views int64
	for _, s := range o.roster.List(channel.Account, channel.Region, "", "", math.MaxInt) {
		views += max(s.Viewers, 0)
	}
	return views >= int64(o.cfg.MaxViews)
}

// country returns a function that says where a viewer is: a trusted proxy may know it,
// else the database does, or nobody.
func (o *Origin) country(r *http.Request) func() string {
	return func() string {
		if o.cfg.CountryHeader != "" && httpserver.Proxied(r) {
			if c := countryCode(r.Header.Get(o.cfg.CountryHeader)); c != "" {
				return c
			}
		}
		return o.cfg.Countries.Of(httpserver.Client(r).RemoteIP)
	}
}

// countryCode reads what a proxy says: two letters, of which XX and ZZ mean that it does
// not know either. Some have codes with digits, for anonymizers.
func countryCode(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || s == "XX" || s == "ZZ" {
		return ""
	}
	return s
}

// vouched is the parameter in which the node that sent a viewer here says which page it
// saw them come from.
const vouched = "sluice-origin"

// page is the origin of the page that asks for a playlist, "" when nobody knows: what the
// browser says, or if a redirect made it say nothing, what it said to another node.
func (o *Origin) page(r *http.Request, channel live.ARN) (string, error) {
	origin := r.Header.Get("Origin")
	if origin != "null" || !strings.Contains(r.URL.RawQuery, vouched+"=") {
		return origin, nil
	}
	page, err := o.gate.Vouched(channel, r.URL.Query().Get(vouched))
	return cmp.Or(page, origin), err
}

// vouch is the query of r with a word for the next node about the page that asks.
func (o *Origin) vouch(r *http.Request, channel live.ARN) (string, error) {
	page, err := o.page(r, channel)
	if err != nil {
		return "", err
	}
	word, err := o.gate.Vouch(channel, page)
	if err != nil || word == "" {
		return r.URL.RawQuery, err
	}
	q := r.URL.RawQuery
	if q != "" {
		q += "&"
	}
	return q + vouched + "=" + word, nil
}

// tokenOf returns the token in the query.
func tokenOf(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "token=") { // or one that nobody writes, with %
		return ""
	}
	return r.URL.Query().Get("token")
}
