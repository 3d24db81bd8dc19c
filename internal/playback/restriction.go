package playback

import (
	"slices"
	"strings"

	"github.com/sluice-live/sluice/internal/live"
)

// A Restriction is a playback restriction policy as it was when a stream started. A nil
// one allows everything.
type Restriction struct {
	countries []string // sorted, in upper case; none means every
	origins   Origins
	strict    bool
	policy    live.RestrictionPolicy
}

// NewRestriction makes a policy ready to be asked.
func NewRestriction(p live.RestrictionPolicy) *Restriction {
	r := &Restriction{origins: ParseOrigins(p.Origins), strict: p.Strict, policy: p}
	for _, c := range p.Countries {
		r.countries = append(r.countries, strings.ToUpper(c))
	}
	slices.Sort(r.countries)
	return r
}

// Policy is what r was made of. It must not be changed.
func (r *Restriction) Policy() live.RestrictionPolicy { return r.policy }

// Begin refuses a viewer who wants to begin. origin is the header of the request, "" for
// none; country is asked for only if it matters, and is "" when nobody knows.
func (r *Restriction) Begin(origin string, country func() string) error {
	if r == nil {
		return nil
	}
	// Without strict enforcement only browsers are held to the list, and they say where
	// their page is from.
	if (origin != "" || r.strict) && !r.origins.Allow(origin) {
		return refuse(BadOrigin, "playback is not allowed from this origin")
	}
	return r.fromCountry(country)
}

// Allow refuses a request for media of a viewer who is past Begin, or seems to be: who
// has a link to the media of a public channel does not come by the front door.
func (r *Restriction) Allow(origin string, country func() string) error {
	if r == nil {
		return nil
	}
	if r.strict && !r.origins.Allow(origin) {
		return refuse(BadOrigin, "playback is not allowed from this origin")
	}
	return r.fromCountry(country)
}

// fromCountry lets in who could be from anywhere (low-latency.md 6).
func (r *Restriction) fromCountry(country func() string) error {
	if len(r.countries) == 0 {
		return nil
	}
	c := country()
	if c == "" {
		return nil
	}
	if _, ok := slices.BinarySearch(r.countries, c); !ok {
		return refuse(BadCountry, "playback is not allowed from this country")
	}
	return nil
}

// Origins are those that may play; the answer to who comes from one names it.
func (r *Restriction) Origins() Origins {
	if r == nil {
		return Origins{}
	}
	return r.origins
}

// Strict reports whether each request needs an origin.
func (r *Restriction) Strict() bool { return r != nil && r.strict && !r.origins.Any() }

// Guards reports whether requests for media are checked, and not the first one only.
func (r *Restriction) Guards() bool { return r != nil && (len(r.countries) > 0 || r.Strict()) }
