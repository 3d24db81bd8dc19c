package edge

import (
	"testing"

	"github.com/sluice-live/sluice/internal/packager"
)

// What a viewer's request costs that is answered from memory, without HTTP.
func BenchmarkHit(b *testing.B) {
	o := newOrigin(b)
	e := newEdge(b, o.roster)
	_, r := open(b, e)
	o.on(rendition+"/1.2.ts", text(forever, "media"))
	o.on(rendition+"/index.m3u8?_HLS_msn=3&_HLS_part=1", text("max-age=3600", "#EXTM3U\n"))
	b.Run("part", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Stream(b.Context(), streamID, rendition); err != nil {
				b.Fatal(err)
			}
			if _, err := r.File(b.Context(), "1.2.ts"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("playlist", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Stream(b.Context(), streamID, rendition); err != nil {
				b.Fatal(err)
			}
			if _, err := r.Playlist(b.Context(), packager.PlaylistRequest{MSN: 3, Part: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
