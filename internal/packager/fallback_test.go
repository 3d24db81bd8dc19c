package packager

import (
	"strings"
	"testing"
	"time"
)

func TestFallbackStandsInForWhatIsMissing(t *testing.T) {
	for name, tt := range map[string]struct {
		fallback int
		live     bool // the other rendition, of 360 pixels
		want     bool
	}{
		"while there is nothing else":                {1, false, true},
		"not when anything can be played":            {1, true, false},
		"not when one that tall can be played":       {360, true, false},
		"also beside one that is smaller than asked": {480, true, true},
		"always, if it is none":                      {0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPresentation()
			stand, err := New(Config{Container: "TS", Fallback: tt.fallback}, "chunked")
			if err != nil {
				t.Fatal(err)
			}
			rung := newRendition(t, Config{})
			p.Add(stand)
			p.Add(rung)
			feed(t, stand, &source{Num: 30, GOP: 30}, 3*time.Second)
			if tt.live {
				feed(t, rung, &source{Num: 30, GOP: 30}, 3*time.Second)
			}
			text, ok := p.Multivariant("")
			if !ok || strings.Contains(string(text), "chunked") != tt.want {
				t.Errorf("%t:\n%s", ok, text)
			}
		})
	}
}
