package series

import (
	"maps"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever readBlock accepts is written so that it reads the same back.
func FuzzReadBlock(f *testing.F) {
	h := hour{minutes: map[name][]point{
		{IngestBitrate, ""}:          {{0, bucket{60, 6000, 90, 110}}, {1, bucket{1, 5, 5, 5}}, {59, bucket{2, -7, -4, -3}}},
		{KeyframeInterval, "Track0"}: {{30, bucket{1, 2000, 2000, 2000}}},
		{LiveInputTime, ""}:          nil,
	}}
	good := appendBlock(nil, h.sorted(), h.minutes)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte{format, 1, 0, 0, 2, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{format, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (map[name][]point, error) {
			got := map[name][]point{}
			return got, readBlock(b, 60, func(n name, points []point) {
				for i, p := range points {
					if p.n < 0 || p.n >= 60 || i > 0 && p.n <= points[i-1].n || !p.sane() {
						t.Fatalf("point %+v of %d", p, i)
					}
				}
				got[n] = append(got[n], points...)
				if len(got[n]) > len(points) {
					got[n] = points // a block that names a series twice
				}
			})
		}
		got, err := read(b)
		if err != nil {
			return
		}
		maps.DeleteFunc(got, func(_ name, points []point) bool { return len(points) == 0 })
		again, err := read(appendBlock(nil, (&hour{minutes: got}).sorted(), got))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, cmp.AllowUnexported(name{}, point{}, bucket{})); d != "" {
			t.Error(d)
		}
	})
}

func TestSampleOutOfRange(t *testing.T) {
	var sum bucket
	inf := math.Inf(1)
	for _, v := range []float64{inf, -inf, inf - inf, 1e20} {
		b := single(v, 1000)
		if !b.sane() {
			t.Errorf("%v becomes %+v", v, b)
		}
		sum.merge(b)
	}
	if !sum.sane() || sum.count != 4 {
		t.Errorf("%+v", sum)
	}
}
