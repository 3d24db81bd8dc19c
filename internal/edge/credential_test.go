package edge

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCredential(t *testing.T) {
	const uri = "/v1/live/st-1/720p30/index.m3u8?_HLS_msn=3"
	now := time.Unix(1_800_000_000, 0)
	ours, foreign := NewCredential([]byte("one")), NewCredential([]byte("two"))
	for name, tt := range map[string]struct {
		header []string
		method string
		uri    string
		at     time.Time
		ok     bool
	}{
		"ours":                       {[]string{ours.Sign(uri, now)}, "GET", uri, now, true},
		"a clock a minute behind":    {[]string{ours.Sign(uri, now)}, "GET", uri, now.Add(skew), true},
		"a clock a minute ahead":     {[]string{ours.Sign(uri, now)}, "GET", uri, now.Add(-skew), true},
		"too old":                    {[]string{ours.Sign(uri, now)}, "GET", uri, now.Add(skew + time.Second), false},
		"from the future":            {[]string{ours.Sign(uri, now)}, "GET", uri, now.Add(-skew - time.Second), false},
		"for another path":           {[]string{ours.Sign("/v1/live/st-2/a/1.ts", now)}, "GET", uri, now, false},
		"for another query":          {[]string{ours.Sign(uri, now)}, "GET", uri + "&_HLS_part=0", now, false},
		"of another cluster":         {[]string{foreign.Sign(uri, now)}, "GET", uri, now, false},
		"of another time":            {[]string{strings.Replace(ours.Sign(uri, now), "1800000000", "1800000001", 1)}, "GET", uri, now, false},
		"of another version":         {[]string{strings.Replace(ours.Sign(uri, now), "v1", "v2", 1)}, "GET", uri, now, false},
		"half of it":                 {[]string{ours.Sign(uri, now)[:60]}, "GET", uri, now, false},
		"none":                       {nil, "GET", uri, now, false},
		"empty":                      {[]string{""}, "GET", uri, now, false},
		"twice":                      {[]string{ours.Sign(uri, now), ours.Sign(uri, now)}, "GET", uri, now, false},
		"long":                       {[]string{ours.Sign(uri, now) + strings.Repeat(" ", maxCredential)}, "GET", uri, now, false},
		"a time that is none":        {[]string{"v1 now 00"}, "GET", uri, now, false},
		"a MAC that is none":         {[]string{"v1 1800000000 zz"}, "GET", uri, now, false},
		"an empty MAC":               {[]string{"v1 1800000000 "}, "GET", uri, now, false},
		"for something but fetching": {[]string{ours.Sign(uri, now)}, "POST", uri, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.uri, http.NoBody)
			r.Header[Header] = tt.header
			if err := ours.Verify(r, tt.at); (err == nil) != tt.ok {
				t.Errorf("Verify(%q of %s %s) = %v, want ok=%t", tt.header, tt.method, tt.uri, err, tt.ok)
			}
		})
	}
}

// Nothing is taken for a credential but what Sign makes.
func FuzzCredential(f *testing.F) {
	const uri = "/v1/live/st-1/720p30/1.ts"
	now := time.Unix(1_800_000_000, 0)
	c := NewCredential([]byte("secret"))
	good := c.Sign(uri, now)
	for _, s := range []string{good, "", "v1", "v1 1800000000", "v1 -1 00", good + " ", strings.ToUpper(good), "v1 9223372036854775807 00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, uri, http.NoBody)
		r.Header[Header] = []string{header}
		if err := c.Verify(r, now); err == nil && !strings.EqualFold(header, good) {
			// Another time within the minute would need another MAC.
			t.Errorf("%q is taken for a credential", header)
		}
	})
}
