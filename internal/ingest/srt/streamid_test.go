package srt

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	wire "github.com/sluice-live/sluice/internal/srt"
)

const testKey = "sk_us-west-2_Secret123456_abcdefghijklmnopqrstuvwxyz0123"

func TestStreamID(t *testing.T) {
	for name, tt := range map[string]struct {
		in     string
		params url.Values
		refuse wire.Reason
	}{
		"a key":                             {in: testKey},
		"a key with a query":                {in: testKey + "?priority=7&x=a%20b", params: url.Values{"priority": {"7"}, "x": {"a b"}}},
		"a query without its mark":          {in: testKey + "&priority=7", params: url.Values{"priority": {"7"}}},
		"an application before the key":     {in: "/app//" + testKey},
		"access control":                    {in: "#!::u=" + testKey + ",priority=5", params: url.Values{"priority": {"5"}}},
		"access control, percent-encoded":   {in: "%23!::u=" + testKey + ",priority=5", params: url.Values{"priority": {"5"}}},
		"all of it percent-encoded":         {in: "%23%21%3A%3Au%3D" + testKey + "%2Cpriority%3D5", params: url.Values{"priority": {"5"}}},
		"other keys of access control":      {in: "#!::h=host,m=publish,s=session,t=stream,u=" + testKey},
		"the key as the resource":           {in: "#!::r=" + testKey + ",m=publish"},
		"the user goes before the resource": {in: "#!::r=live,u=" + testKey},
		"a passphrase that went astray":     {in: testKey + "&passphrase=very%20secret", params: url.Values{}},

		"nothing":                       {in: "", refuse: wire.BadRequest},
		"access control without a key":  {in: "#!::m=publish", refuse: wire.BadRequest},
		"access control of nothing":     {in: "#!::", refuse: wire.BadRequest},
		"a name without a value":        {in: "#!::u=" + testKey + ",priority", refuse: wire.BadRequest},
		"access control, nested":        {in: "#!:{u=" + testKey + "}", refuse: wire.BadRequest},
		"who wants to play":             {in: "#!::m=request,u=" + testKey, refuse: wire.BadMode},
		"a percent sign by itself":      {in: testKey + "%", refuse: wire.BadRequest},
		"what is no text":               {in: testKey + "\xff", refuse: wire.BadRequest},
		"more parameters than are good": {in: testKey + "?" + strings.Repeat("a=1&", 8) + "b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&n=1&o=1&p=1&q=1", refuse: wire.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			got, refuse := parseStreamID(tt.in)
			if refuse != tt.refuse {
				t.Fatalf("refused with %v, want %v", refuse, tt.refuse)
			}
			if refuse != 0 {
				return
			}
			if tt.params == nil {
				tt.params = url.Values{}
			}
			if got.key != testKey || !cmp.Equal(got.params, tt.params) {
				t.Errorf("key %q with %v, want %v", got.key, got.params, tt.params)
			}
		})
	}
}

func FuzzStreamID(f *testing.F) {
	f.Add(testKey + "?priority=7")
	f.Add("%23!::u=" + testKey + ",priority=5,m=publish")
	f.Fuzz(func(t *testing.T, s string) {
		id, refuse := parseStreamID(s)
		if refuse != 0 {
			return
		}
		if id.key == "" || !utf8.ValidString(id.key) || len(id.key) > len(s) || len(id.params) > maxParams || id.params.Has("passphrase") {
			t.Fatalf("%q: %+v", s, id)
		}
	})
}
