package series

import "math"

// A bucket sums samples, as whole numbers in units of the metric's scale.
type bucket struct {
	count         int64
	sum, min, max int64
}

// maxValue bounds a sample, so that no sum of an hour can overflow.
const maxValue = 1e11

// single is the bucket of one sample.
func single(value, scale float64) bucket {
	if math.IsNaN(value) {
		value = 0
	}
	v := int64(math.Round(min(max(value*scale, -maxValue), maxValue)))
	return bucket{1, v, v, v}
}

// merge adds the samples of o.
func (b *bucket) merge(o bucket) {
	if o.count == 0 {
		return
	}
	if b.count == 0 {
		*b = o
		return
	}
	b.count += o.count
	b.sum += o.sum
	b.min, b.max = min(b.min, o.min), max(b.max, o.max)
}

// stat is b in the metric's unit.
func (b bucket) stat(scale float64) Stat {
	return Stat{Count: b.count, Sum: float64(b.sum) / scale, Min: float64(b.min) / scale, Max: float64(b.max) / scale}
}

// A point is a bucket and which one it is: of a minute, the second; of a block, the
// number of the bucket.
type point struct {
	n int
	bucket
}

// put merges b into the point n of points, which rise. What comes is new most of the time.
func put(points []point, n int, b bucket) []point {
	i := len(points)
	for i > 0 && points[i-1].n >= n {
		i--
	}
	if i < len(points) && points[i].n == n {
		points[i].merge(b)
		return points
	}
	points = append(points, point{})
	copy(points[i+1:], points[i:])
	points[i] = point{n, b}
	return points
}
