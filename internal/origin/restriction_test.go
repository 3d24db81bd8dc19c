package origin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/store"
)

// countries is a database that knows 203.0.113.0/24 to be in Sweden, 198.51.100.0/24 in
// Norway and 2001:db8:1::/48 in the US.
func countries(t testing.TB) *playback.Countries {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-Country", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, code := range map[string]string{"203.0.113.0/24": "SE", "198.51.100.0/24": "NO", "2001:db8:1::/48": "US"} {
		_, n, err := net.ParseCIDR(network)
		if err == nil {
			err = tree.Insert(n, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "countries.mmdb")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	c, err := playback.OpenCountries(slog.New(slog.DiscardHandler), name, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// policy makes a restriction policy and returns what attaches it to a channel.
func (s *site) policy(t testing.TB, p live.RestrictionPolicy) func(*live.Channel) {
	t.Helper()
	p.ARN = live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: live.TypePlaybackRestrictionPolicy, ID: live.NewID(12)}
	p.Created = time.Now()
	row, err := store.RowOfRestrictionPolicy(p)
	if err == nil {
		err = s.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), row) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(c *live.Channel) { c.PlaybackRestrictionPolicy = p.ARN.String() }
}

// Every rule of restriction policies, for the multivariant playlist, where a viewer
// begins, and for media, which is all the rest (low-latency.md 6).
func TestRestrictions(t *testing.T) {
	const (
		sweden, norway, us, nowhere = "203.0.113.9", "198.51.100.1", "2001:db8:1::1", "192.0.2.1"

		byOrigin  = "playback is not allowed from this origin"
		byCountry = "playback is not allowed from this country"
	)
	s := newSite(t, func(c *Config) { c.Countries = countries(t) })
	nordic := live.RestrictionPolicy{Countries: []string{"SE", "NO"}}
	ours := live.RestrictionPolicy{Origins: []string{page, "https://*.example.net:8443"}}
	strict := live.RestrictionPolicy{Origins: ours.Origins, Strict: true}
	both := live.RestrictionPolicy{Countries: nordic.Countries, Origins: ours.Origins, Strict: true}
	for name, tt := range map[string]struct {
		policy       live.RestrictionPolicy
		from, origin string // address and header; "" for none
		begin, media string // text of the error; "" for none
		guarded      bool   // no shared cache keeps the media
		listed       bool   // the multivariant playlist is for one origin
		strict       bool   // the media is for one origin, too
	}{
		"an empty policy":                   {policy: live.RestrictionPolicy{}, from: us},
		"an empty policy that is strict":    {policy: live.RestrictionPolicy{Strict: true}, from: us},
		"a country on the list":             {policy: nordic, from: sweden, guarded: true},
		"the other one":                     {policy: nordic, from: norway, guarded: true},
		"a country that is not":             {policy: nordic, from: us, begin: byCountry, media: byCountry},
		"an address that nobody knows":      {policy: nordic, from: nowhere, guarded: true},
		"a list in small letters":           {policy: live.RestrictionPolicy{Countries: []string{"us"}}, from: us, guarded: true},
		"a country, whatever the origin":    {policy: nordic, from: sweden, origin: "https://evil.example", guarded: true},
		"an origin on the list":             {policy: ours, origin: page, listed: true},
		"an origin by wildcard":             {policy: ours, origin: "https://a.b.example.net:8443", listed: true},
		"an origin that is not":             {policy: ours, origin: "https://evil.example", begin: byOrigin},
		"the wildcard's own domain":         {policy: ours, origin: "https://example.net:8443", begin: byOrigin},
		"the wildcard with another port":    {policy: ours, origin: "https://a.example.net", begin: byOrigin},
		"another scheme":                    {policy: ours, origin: "http://watch.example.org", begin: byOrigin},
		"a page without an origin":          {policy: ours, origin: "null", begin: byOrigin},
		"null, where it is on the list":     {policy: live.RestrictionPolicy{Origins: []string{"null"}}, origin: "null", listed: true},
		"no origin":                         {policy: ours, listed: true},
		"strict, an origin on the list":     {policy: strict, origin: page, listed: true, guarded: true, strict: true},
		"strict, an origin that is not":     {policy: strict, origin: "https://evil.example", begin: byOrigin, media: byOrigin},
		"strict, no origin":                 {policy: strict, begin: byOrigin, media: byOrigin},
		"both, right and right":             {policy: both, from: sweden, origin: page, listed: true, guarded: true, strict: true},
		"both, the country wrong":           {policy: both, from: us, origin: page, begin: byCountry, media: byCountry},
		"both, the origin wrong":            {policy: both, from: sweden, origin: "https://evil.example", begin: byOrigin, media: byOrigin},
		"both, nowhere and the right page":  {policy: both, from: nowhere, origin: page, listed: true, guarded: true, strict: true},
		"an IPv4 address in IPv6's clothes": {policy: nordic, from: "::ffff:203.0.113.9", guarded: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := s.publish(t, s.policy(t, tt.policy))
			s.golive(t, e, 80)
			ask := func(target string) *http.Request {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Host, r.RemoteAddr = "a.example", netip.AddrPortFrom(netip.MustParseAddr(orElse(tt.from, nowhere)), 1234).String()
				if tt.origin != "" {
					r.Header.Set("Origin", tt.origin)
				}
				return r
			}
			only := func(listed bool) (acao, vary string) {
				if listed {
					return tt.origin, "Origin"
				}
				return "*", ""
			}
			w := s.serve(ask(e.playback()))
			if tt.begin != "" {
				if got := refused(t, w, 403, "content_geoblocked"); got.Error != tt.begin {
					t.Errorf("%+v, want %q", got, tt.begin)
				}
			} else {
				acao, vary := only(tt.listed)
				check(t, w, 200, "Access-Control-Allow-Origin", acao, "Vary", vary, "Cache-Control", "no-cache")
			}
			for _, file := range []string{"index.m3u8", "index.m3u8?_HLS_msn=1", "0.ts", "1.0.ts", "1.1.ts"} {
				w := s.serve(ask(e.path(file)))
				if tt.media != "" {
					if got := refused(t, w, 403, "content_geoblocked"); got.Error != tt.media {
						t.Errorf("%s: %+v, want %q", file, got, tt.media)
					}
					continue
				}
				acao, vary := only(tt.strict)
				cache := map[string]string{"index.m3u8": "no-cache", "index.m3u8?_HLS_msn=1": "max-age=12"}[file]
				if cache == "" {
					cache = "max-age=3600, immutable"
				} else if vary = "Accept-Encoding"; tt.strict {
					vary = "Accept-Encoding, Origin"
				}
				if tt.guarded {
					cache = "private, " + cache
				}
				check(t, w, 200, "Access-Control-Allow-Origin", acao, "Vary", vary, "Cache-Control", cache)
			}
		})
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func TestAPolicyIsAsItWasAtGoLive(t *testing.T) {
	s := newSite(t)
	attach := s.policy(t, live.RestrictionPolicy{Origins: []string{page}})
	e := s.publish(t, attach)
	s.golive(t, e, 80)
	arn, err := live.ParseARN(s.stream(t, e).Channel().PlaybackRestrictionPolicy)
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.Tx(t.Context(), func(tx *store.Tx) error {
		row, err := tx.Get(t.Context(), arn)
		if err != nil {
			return err
		}
		p, err := store.RestrictionPolicyOf(row)
		if err != nil {
			return err
		}
		p.Origins = []string{"https://other.example"}
		changed, err := store.RowOfRestrictionPolicy(p)
		changed.Version = row.Version
		if err != nil {
			return err
		}
		return tx.Update(t.Context(), changed)
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, s.get(e.playback(), "Origin", page), 200)
	refused(t, s.get(e.playback(), "Origin", "https://other.example"), 403, "content_geoblocked")
	next := s.publish(t, attach)
	s.golive(t, next, 80)
	check(t, s.get(next.playback(), "Origin", "https://other.example"), 200)
	refused(t, s.get(next.playback(), "Origin", page), 403, "content_geoblocked")
}

func TestAPrivateChannelIgnoresItsPolicy(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Countries = countries(t) })
	key := newKey(t)
	s.importKey(t, key)
	e := s.publish(t, private, s.policy(t, live.RestrictionPolicy{Countries: []string{"SE"}, Origins: []string{page}, Strict: true}))
	s.golive(t, e, 80)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.playback()+"?token="+token(t, key, e), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "[2001:db8:1::1]:1"
	check(t, s.serve(r), 200, "Access-Control-Allow-Origin", "*")
}

// What a proxy says of a viewer's country counts if the proxy is trusted, and before
// the database.
func TestCountryByHeader(t *testing.T) {
	s := newSite(t, func(c *Config) { c.CountryHeader = "CF-IPCountry" })
	e := s.publish(t, s.policy(t, live.RestrictionPolicy{Countries: []string{"SE"}}))
	s.golive(t, e, 80)
	for name, tt := range map[string]struct {
		trusted bool
		country string // header; "" for none
		status  int
	}{
		"on the list":                     {true, "SE", 200},
		"in small letters":                {true, " se ", 200},
		"not on the list":                 {true, "US", 403},
		"the proxy does not know: XX":     {true, "XX", 200},
		"the proxy does not know: ZZ":     {true, "ZZ", 200},
		"an anonymizer":                   {true, "T1", 200},
		"nonsense":                        {true, "Sweden", 200},
		"no header":                       {true, "", 200},
		"from a proxy nobody trusts":      {false, "US", 200},
		"nor can it be used to get in":    {false, "SE", 200},
		"letters that are not of English": {true, "ÅÄ", 200},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := httpserver.Config{Addr: "127.0.0.1:0"}
			if tt.trusted {
				cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			base := listen(t, s, cfg)
			for _, path := range []string{e.playback(), e.path("0.ts")} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				if tt.country != "" {
					r.Header.Set("CF-IPCountry", tt.country)
				}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tt.status {
					t.Errorf("%s: %d, want %d", path, resp.StatusCode, tt.status)
				}
			}
		})
	}
}

// listen serves h on a real listener until the test ends.
func listen(t testing.TB, h http.Handler, cfg httpserver.Config) (base string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	srv, err := httpserver.Listen(t.Context(), quiet, cfg, httpserver.Quiet(quiet, h))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + srv.Addr().String()
}
