package series

import (
	"encoding/binary"
	"errors"
	"math"
)

// appendPoints writes rising points, after how many they are. Numbers are written as the
// difference from the point before, so that what hardly changes takes a byte: the step to
// the point and its least value; of more samples than one, how many, how far the greatest
// is from the least and how far the sum is from that many of it. The number of points is
// shifted by a bit that says that all are single samples and one step from each other;
// then there are no steps. A step is shifted by a bit that says that it is a single sample.
func appendPoints(dst []byte, points []point) []byte {
	dense := len(points) > 1
	for i, p := range points {
		dense = dense && p.count == 1 && p.n == points[0].n+i
	}
	dst = binary.AppendUvarint(dst, uint64(len(points))<<1|flag(dense))
	n, low := -1, int64(0)
	for i, p := range points {
		if !dense || i == 0 {
			dst = binary.AppendUvarint(dst, uint64(p.n-n)<<1|flag(p.count == 1))
		}
		dst = binary.AppendVarint(dst, p.min-low)
		if p.count != 1 {
			dst = binary.AppendUvarint(dst, uint64(p.count))
			dst = binary.AppendUvarint(dst, uint64(p.max-p.min))
			dst = binary.AppendUvarint(dst, uint64(p.sum-p.min*p.count))
		}
		n, low = p.n, p.min
	}
	return dst
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

var errFormat = errors.New("series: not a block of metrics")

// A reader takes apart what was written. After an error all is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text(most int) string {
	n := r.uvarint()
	if n > uint64(most) || n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// points reads points with numbers below most.
func (r *reader) points(most int) []point {
	count := r.uvarint()
	dense := count&1 == 1
	if count >>= 1; count > uint64(most) || count > uint64(len(r.b)) { // a point takes a byte at least
		r.bad = true
		return nil
	}
	points := make([]point, 0, count)
	n, low, step := -1, int64(0), uint64(0)
	for i := range count {
		if !dense || i == 0 {
			step = r.uvarint()
		} else {
			step = 1<<1 | 1
		}
		if step>>1 == 0 || step>>1 > uint64(most) {
			r.bad = true
			return nil
		}
		n += int(step >> 1)
		low += r.varint()
		p := point{n, bucket{1, low, low, low}}
		if step&1 == 0 {
			p.count = int64(r.uvarint())
			p.max = low + int64(r.uvarint())
			p.sum = low*p.count + int64(r.uvarint())
		}
		if r.bad || n >= most || !p.sane() {
			r.bad = true
			return nil
		}
		points = append(points, p)
	}
	return points
}

// sane reports whether b can be a sum of samples.
func (b bucket) sane() bool {
	const maxCount = math.MaxInt64 / int64(maxValue)
	if b.count == 1 && (b.min != b.max || b.sum != b.min) {
		return false
	}
	return b.count > 0 && b.count <= maxCount && b.min >= -maxValue && b.min <= b.max && b.max <= maxValue &&
		b.sum >= b.min*b.count && b.sum <= b.max*b.count
}

// A name is a series of a scope.
type name struct {
	metric Metric
	label  string
}

// Bounds of a scope.
const (
	maxNames = 256 // series
	maxName  = 64  // bytes of a metric, or of a label
)

const format = 1 // first byte of a block

// appendBlock writes series of buckets. names are those to write, in their order.
func appendBlock(dst []byte, names []name, of map[name][]point) []byte {
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, s := range names {
		for _, text := range []string{string(s.metric), s.label} {
			dst = binary.AppendUvarint(dst, uint64(len(text)))
			dst = append(dst, text...)
		}
		dst = appendPoints(dst, of[s])
	}
	return dst
}

// readBlock hands each series of a block to f, of which the buckets have numbers below
// most.
func readBlock(b []byte, most int, f func(name, []point)) error {
	if len(b) == 0 || b[0] != format {
		return errFormat
	}
	r := reader{b: b[1:]}
	count := r.uvarint()
	if count > maxNames {
		return errFormat
	}
	for range count {
		s := name{Metric(r.text(maxName)), r.text(maxName)}
		points := r.points(most)
		if r.bad {
			return errFormat
		}
		f(s, points)
	}
	if len(r.b) > 0 {
		return errFormat
	}
	return nil
}
