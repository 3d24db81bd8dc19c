package origin

import "testing"

func TestMatches(t *testing.T) {
	const etag = `W/"a1"`
	for name, tt := range map[string]struct {
		header []string
		want   bool
	}{
		"no header":                {nil, false},
		"the same":                 {[]string{`W/"a1"`}, true},
		"the same as a strong one": {[]string{`"a1"`}, true},
		"another":                  {[]string{`W/"a2"`}, false},
		"one of a list":            {[]string{`W/"x", "y" ,W/"a1", "z"`}, true},
		"none of a list":           {[]string{`W/"x", "a", "1", "a1x", "xa1"`}, false},
		"one of two fields":        {[]string{`"x"`, `"a1"`}, true},
		"anything":                 {[]string{`*`}, true},
		"anything, with blanks":    {[]string{` * `}, false}, // net/http trims fields; this is none
		"a star in a tag":          {[]string{`"*"`}, false},
		"a comma in a tag":         {[]string{`"x,", "a1"`}, true},
		"the tag inside another":   {[]string{`"x W/"a1" y"`}, false},
		"without quotes":           {[]string{`a1`}, false},
		"an open quote":            {[]string{`"a1`}, false},
		"W alone":                  {[]string{`W/`}, false},
		"empty":                    {[]string{``}, false},
		"commas":                   {[]string{`,,,`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := matches(tt.header, etag); got != tt.want {
				t.Errorf("matches(%q, %s) = %t, want %t", tt.header, etag, got, tt.want)
			}
		})
	}
}

func TestAcceptsGzip(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		want   bool
	}{
		"no header":              {nil, false},
		"empty":                  {[]string{""}, false},
		"a browser":              {[]string{"gzip, deflate, br, zstd"}, true},
		"last of a list":         {[]string{"br;q=1.0, gzip;q=0.8"}, true},
		"another field":          {[]string{"br", "gzip"}, true},
		"capitals":               {[]string{"GZip"}, true},
		"its old name":           {[]string{"x-gzip"}, true},
		"refused":                {[]string{"gzip;q=0"}, false},
		"refused with digits":    {[]string{"gzip; q=0.000"}, false},
		"refused in capitals":    {[]string{"gzip;Q=0"}, false},
		"a little":               {[]string{"gzip;q=0.001"}, true},
		"others only":            {[]string{"br, identity"}, false},
		"anything":               {[]string{"*"}, true},
		"anything but gzip":      {[]string{"*, gzip;q=0"}, false},
		"nothing but gzip":       {[]string{"gzip, *;q=0"}, true},
		"nothing":                {[]string{"*;q=0"}, false},
		"a name that has gzip":   {[]string{"notgzip, gzipped"}, false},
		"a weight without value": {[]string{"gzip;q="}, true},
		"commas":                 {[]string{",,,;;;,"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := acceptsGzip(tt.header); got != tt.want {
				t.Errorf("acceptsGzip(%q) = %t, want %t", tt.header, got, tt.want)
			}
		})
	}
}
