package packager

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// minute is the units of 2.5 Mbit/s at 30 pictures per second with audio, made before
// the clock runs, and moved on by a minute each time around.
type minute struct {
	units []media.Unit
	i     int
	round int64
}

func newMinute() *minute {
	src := &source{Num: 30, GOP: 60, Audio: true, Size: 10_000}
	m := &minute{}
	for u := src.next(); src.picture <= 1800; u = src.next() {
		m.units = append(m.units, u)
	}
	return m
}

func (m *minute) next() media.Unit {
	if m.i == len(m.units) {
		m.i, m.round = 0, m.round+1
	}
	u := m.units[m.i]
	m.i++
	u.DTS += m.round * 60 * u.Track.Timescale
	u.PTS += m.round * 60 * u.Track.Timescale
	return u
}

// BenchmarkWrite is the cost of one unit without viewers.
func BenchmarkWrite(b *testing.B) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		b.Run(container, func(b *testing.B) {
			r, m := newRendition(b, Config{LowLatency: true, Container: container}), newMinute()
			bytes := 0
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				u := m.next()
				bytes += len(u.Data)
				n++
				if err := r.Write(u); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(bytes / n))
		})
	}
}

// BenchmarkPlaylist is what the first viewer of a part costs; the others share it.
func BenchmarkPlaylist(b *testing.B) {
	r, m := newRendition(b, Config{LowLatency: true}), newMinute()
	for range 1800 * 2 {
		if err := r.Write(m.next()); err != nil {
			b.Fatal(err)
		}
	}
	s := r.snap.Load()
	fresh := func() *snapshot { // the same, not yet rendered
		return &snapshot{
			number: s.number, live: true, fixed: s.fixed, segs: s.segs, listed: s.listed,
			open: s.open, next: s.next, hintMSN: s.hintMSN, hintPart: s.hintPart,
		}
	}
	b.Run("full", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh().playlist(r, false)
		}
	})
	b.Run("delta", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh().playlist(r, true)
		}
	})
	b.Run("gzip", func(b *testing.B) {
		body := s.playlist(r, false).Body()
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = len(compress(body))
		}
		b.ReportMetric(float64(n), "bytes")
		b.ReportMetric(float64(len(body)), "bytes-plain")
	})
	b.Run("shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Playlist(b.Context(), plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWake is the time from a part's last picture to the last of n viewers having
// the playlist that lists it.
func BenchmarkWake(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("viewers=%d", n), func(b *testing.B) {
			r, m := newRendition(b, Config{LowLatency: true}), newMinute()
			write := func() uint64 {
				if err := r.Write(m.next()); err != nil {
					b.Fatal(err)
				}
				return r.snap.Load().number
			}
			for range 4000 {
				write()
			}
			var waiting, got sync.WaitGroup
			for b.Loop() {
				b.StopTimer()
				s := r.snap.Load()
				req := PlaylistRequest{MSN: s.hintMSN, Part: s.hintPart, Skip: true}
				waiting.Add(n)
				for range n {
					got.Go(func() {
						waiting.Done()
						if _, err := r.Playlist(b.Context(), req); err != nil {
							b.Error(err)
						}
					})
				}
				waiting.Wait()
				runtime.Gosched()
				b.StartTimer()
				for write() == s.number {
				}
				got.Wait()
			}
		})
	}
}

// Readers and the writer share nothing but snapshots; the race detector looks on.
func TestReadersWhileWriting(t *testing.T) {
	for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
		t.Run(container, func(t *testing.T) {
			p := NewPresentation()
			r := newRendition(t, Config{LowLatency: true, Container: container, Window: 6 * time.Second, Keep: time.Second})
			p.Add(r)
			var readers sync.WaitGroup
			for i := range 8 {
				readers.Go(func() {
					for {
						s := r.snap.Load()
						pl, err := r.Playlist(t.Context(), PlaylistRequest{MSN: s.hintMSN, Part: s.hintPart, Skip: i%2 == 0})
						if err != nil {
							t.Error(err)
							return
						}
						if pl.Final {
							return
						}
						pl.Gzip()
						p.Multivariant("")
						if b, err := r.Segment(t.Context(), s.last()); err == nil && len(join(b)) != b.Size {
							t.Errorf("segment of %d bytes says %d", len(join(b)), b.Size)
						}
						_, _ = r.Part(t.Context(), s.hintMSN, s.hintPart)
						_, _ = r.Init(0)
					}
				})
			}
			feed(t, r, &source{Num: 30, GOP: 30, Audio: true, Size: 200}, 60*time.Second)
			r.Close()
			readers.Wait()
		})
	}
}
