package control

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

func (f fixture) policy(t *testing.T, in ivsapi.CreatePlaybackRestrictionPolicyRequest) *ivsapi.PlaybackRestrictionPolicy {
	t.Helper()
	out, err := f.CreatePlaybackRestrictionPolicy(f.ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.PlaybackRestrictionPolicy
}

func TestPolicyDefaults(t *testing.T) {
	f := newFixture(t)
	got := f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{})
	want := &ivsapi.PlaybackRestrictionPolicy{
		Arn: got.Arn, Name: new(""), AllowedCountries: []string{}, AllowedOrigins: []string{},
		EnableStrictOriginEnforcement: new(false), Tags: map[string]string{},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	out, err := f.GetPlaybackRestrictionPolicy(f.ctx, &ivsapi.GetPlaybackRestrictionPolicyRequest{Arn: got.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out.PlaybackRestrictionPolicy); d != "" {
		t.Errorf("GetPlaybackRestrictionPolicy: -want +got\n%s", d)
	}
}

// The rules of both lists, on create and on update alike.
func TestPolicyRules(t *testing.T) {
	f := newFixture(t)
	f.cfg.Limits.RestrictionPolicies = -1
	many := strings.Fields(countries)
	for name, tt := range map[string]struct {
		countries, origins []string
		ok                 bool
	}{
		"two countries":                      {countries: []string{"SE", "NO"}, ok: true},
		"200 countries":                      {countries: many[:200], ok: true},
		"201 countries":                      {countries: many[:201]},
		"small letters are no code":          {countries: []string{"se"}},
		"a code that is reserved only":       {countries: []string{"EU"}},
		"a code that was withdrawn":          {countries: []string{"SU"}},
		"a code that nobody has":             {countries: []string{"ZZ"}},
		"two letters of two codes":           {countries: []string{"D "}},
		"no code":                            {countries: []string{""}},
		"three letters":                      {countries: []string{"SWE"}},
		"five origins":                       {origins: []string{"http://a.example", "https://b.example", "https://c.example:8443", "https://*.d.example", "http://localhost:3000"}, ok: true},
		"six origins":                        {origins: slices.Repeat([]string{"https://a.example"}, 6)},
		"an address":                         {origins: []string{"http://192.0.2.1:8080", "http://[2001:db8::1]:80", "http://[::1]"}, ok: true},
		"an app's scheme":                    {origins: []string{"capacitor://localhost"}, ok: true},
		"what a page without an origin says": {origins: []string{"null"}, ok: true},
		"an origin of 256 characters":        {origins: []string{"https://" + strings.Repeat("a.", 122) + "abcd"}, ok: true},
		"a slash at the end":                 {origins: []string{"https://a.example/"}},
		"a path":                             {origins: []string{"https://a.example/x"}},
		"a query":                            {origins: []string{"https://a.example?x"}},
		"a user":                             {origins: []string{"https://u@a.example"}},
		"no scheme":                          {origins: []string{"a.example"}},
		"an empty scheme":                    {origins: []string{"://a.example"}},
		"a scheme with a blank":              {origins: []string{"ht tp://a.example"}},
		"no host":                            {origins: []string{"https://"}},
		"no host but a port":                 {origins: []string{"https://:443"}},
		"port 0":                             {origins: []string{"https://a.example:0"}},
		"port 65536":                         {origins: []string{"https://a.example:65536"}},
		"a port with a sign":                 {origins: []string{"https://a.example:+1"}},
		"a port without digits":              {origins: []string{"https://a.example:"}},
		"every origin is no origin":          {origins: []string{"*"}},
		"every host is no host":              {origins: []string{"https://*"}},
		"a wildcard that is not leading":     {origins: []string{"https://a.*.example"}},
		"a wildcard inside a label":          {origins: []string{"https://*a.example"}},
		"two wildcards":                      {origins: []string{"https://*.*.example"}},
		"a wildcard's dot without a host":    {origins: []string{"https://*."}},
		"two origins in one":                 {origins: []string{"https://a.example,https://b.example"}},
		"a blank":                            {origins: []string{" https://a.example"}},
		"an empty label":                     {origins: []string{"https://a..example"}},
		"a label that is too long":           {origins: []string{"https://" + strings.Repeat("a", 64) + ".example"}},
		"letters of another script":          {origins: []string{"https://bücher.example"}},
		"an open bracket":                    {origins: []string{"http://[::1"}},
		"a zone":                             {origins: []string{"http://[fe80::1%25eth0]"}},
		"IPv4 in brackets":                   {origins: []string{"http://[192.0.2.1]"}},
		"nothing":                            {origins: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(call string, p *ivsapi.PlaybackRestrictionPolicy, err error) {
				t.Helper()
				if tt.ok && err != nil || !tt.ok && !errors.Is(err, live.Invalid) {
					t.Errorf("%s: %v; want ok %t", call, err, tt.ok)
				} else if tt.ok && (!slices.Equal(p.AllowedCountries, tt.countries) || !slices.Equal(p.AllowedOrigins, tt.origins)) {
					t.Errorf("%s = %q, %q", call, p.AllowedCountries, p.AllowedOrigins)
				}
			}
			made, err := f.CreatePlaybackRestrictionPolicy(f.ctx, &ivsapi.CreatePlaybackRestrictionPolicyRequest{AllowedCountries: tt.countries, AllowedOrigins: tt.origins})
			var p *ivsapi.PlaybackRestrictionPolicy
			if err == nil {
				p = made.PlaybackRestrictionPolicy
			}
			check("create", p, err)
			plain := f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{})
			changed, err := f.UpdatePlaybackRestrictionPolicy(f.ctx, &ivsapi.UpdatePlaybackRestrictionPolicyRequest{Arn: plain.Arn, AllowedCountries: tt.countries, AllowedOrigins: tt.origins})
			if err == nil {
				p = changed.PlaybackRestrictionPolicy
			}
			check("update", p, err)
		})
	}
}

func TestUpdatePolicyLeavesWhatIsAbsent(t *testing.T) {
	f := newFixture(t)
	want := *f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{
		Name: new("a"), AllowedCountries: []string{"SE"}, AllowedOrigins: []string{"https://a.example"},
		EnableStrictOriginEnforcement: new(true), Tags: map[string]string{"k": "v"},
	})
	update := func(in ivsapi.UpdatePlaybackRestrictionPolicyRequest) {
		t.Helper()
		in.Arn = want.Arn
		out, err := f.UpdatePlaybackRestrictionPolicy(f.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, out.PlaybackRestrictionPolicy); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	}
	update(ivsapi.UpdatePlaybackRestrictionPolicyRequest{})
	want.Name = new("")
	update(ivsapi.UpdatePlaybackRestrictionPolicyRequest{Name: new("")})
	want.AllowedCountries = []string{} // every country
	update(ivsapi.UpdatePlaybackRestrictionPolicyRequest{AllowedCountries: []string{}})
	want.EnableStrictOriginEnforcement = new(false)
	update(ivsapi.UpdatePlaybackRestrictionPolicyRequest{EnableStrictOriginEnforcement: new(false)})

	absent := strings.Replace(want.Arn, want.Arn[len(want.Arn)-12:], "AAAAAAAAAAAA", 1)
	if _, err := f.UpdatePlaybackRestrictionPolicy(f.ctx, &ivsapi.UpdatePlaybackRestrictionPolicyRequest{Arn: absent}); !errors.Is(err, live.NotFound) {
		t.Errorf("update of none: %v, want not found", err)
	}
}

func TestPoliciesAreThreeAndListedOneByOne(t *testing.T) {
	f := newFixture(t)
	want := map[string]bool{}
	for range 3 {
		want[f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{}).Arn] = true
	}
	if _, err := f.CreatePlaybackRestrictionPolicy(f.ctx, &ivsapi.CreatePlaybackRestrictionPolicyRequest{}); !errors.Is(err, live.Quota) {
		t.Errorf("a fourth policy: %v, want quota", err)
	}
	if _, err := f.CreatePlaybackRestrictionPolicy(as(t.Context(), "111122223333", "eu-west-1"), &ivsapi.CreatePlaybackRestrictionPolicyRequest{}); err != nil {
		t.Errorf("a policy in another region: %v", err)
	}
	got, in := map[string]bool{}, &ivsapi.ListPlaybackRestrictionPoliciesRequest{}
	for {
		out, err := f.ListPlaybackRestrictionPolicies(f.ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.PlaybackRestrictionPolicies) != 1 {
			t.Errorf("a page has %d policies, want the documented 1", len(out.PlaybackRestrictionPolicies))
		}
		for _, p := range out.PlaybackRestrictionPolicies {
			got[p.Arn] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("listed: -want +got\n%s", d)
	}
	out, err := f.ListPlaybackRestrictionPolicies(f.ctx, &ivsapi.ListPlaybackRestrictionPoliciesRequest{MaxResults: new(int32(100))})
	if err != nil || len(out.PlaybackRestrictionPolicies) != 3 || out.NextToken != nil {
		t.Errorf("a page of 100 = %d policies, %v", len(out.PlaybackRestrictionPolicies), err)
	}
}

func TestDeletePolicy(t *testing.T) {
	f := newFixture(t)
	p := f.policy(t, ivsapi.CreatePlaybackRestrictionPolicyRequest{})
	ch := f.channel(t, ivsapi.CreateChannelRequest{PlaybackRestrictionPolicyArn: &p.Arn})
	del := func() error {
		return f.DeletePlaybackRestrictionPolicy(f.ctx, &ivsapi.DeletePlaybackRestrictionPolicyRequest{Arn: p.Arn})
	}
	if err := del(); !errors.Is(err, live.Conflict) {
		t.Errorf("delete while attached: %v, want conflict", err)
	}
	if err := f.DeleteChannel(f.ctx, &ivsapi.DeleteChannelRequest{Arn: *ch.Arn}); err != nil {
		t.Fatal(err)
	}
	if err := del(); err != nil {
		t.Errorf("delete after its channel: %v", err)
	}
	if err := del(); !errors.Is(err, live.NotFound) {
		t.Errorf("second delete: %v, want not found", err)
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://*.a.example:1", "null", "http://[::1]:80", "a://b", "://", "https://a:b:c", "https://]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Whatever is accepted is printable ASCII, and one origin: with a scheme and nothing
		// that could end its host.
		if !isOrigin(s) || s == "null" {
			return
		}
		_, host, ok := strings.Cut(s, "://")
		if !ok || strings.ContainsAny(host, `/,?#@\"`) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("isOrigin(%q)", s)
		}
	})
}
