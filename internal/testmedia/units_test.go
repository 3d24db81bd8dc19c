package testmedia

import (
	"testing"
)

func TestUnits(t *testing.T) {
	for name, s := range map[string]Source{
		"H.264": {Width: 160, Height: 90, FPS: 10, GOP: 5, Audio: true},
		"H.265": {Width: 160, Height: 90, FPS: 10, GOP: 5, Audio: true, HEVC: true},
	} {
		t.Run(name, func(t *testing.T) {
			v, a := Units(t, s, 20)
			if len(v.Units) != 20 || v.HEVC != s.HEVC || len(v.Header) < 20 || len(a.Header) < 2 || len(a.Units) < 90 {
				t.Fatalf("%d pictures with %d bytes of header, %d sounds", len(v.Units), len(v.Header), len(a.Units))
			}
			for i, u := range v.Units {
				if u.Time != i*100 || u.Key != (i%5 == 0) || len(u.Data) == 0 {
					t.Errorf("picture %d: at %d ms, key %t", i, u.Time, u.Key)
				}
			}
		})
	}
}
