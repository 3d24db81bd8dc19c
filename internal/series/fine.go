package series

import "time"

// minutes is how many a fine series keeps.
const minutes = int64(keepFine / time.Minute)

// A fine series has a bucket for each second of the last three hours: the newest minute
// as it is, those before it packed.
type fine struct {
	minute int64   // number of the newest one, since 1970
	open   []point // of it, by second
	packed []packed
}

type packed struct {
	minute int64
	data   string
}

// add takes the bucket of a second since 1970. What is older than the newest minute
// comes too late: the seconds of a channel are drained in order. twin is a series that
// may have the same numbers, or nil.
func (f *fine) add(second int64, b bucket, twin *fine) {
	minute := second / 60
	if minute > f.minute {
		f.pack(minute, twin)
	}
	if minute == f.minute {
		f.open = put(f.open, int(second%60), b)
	}
}

// pack closes the newest minute and begins another.
func (f *fine) pack(minute int64, twin *fine) {
	if len(f.open) > 0 {
		var buf [512]byte
		p := packed{minute: f.minute}
		if data := appendPoints(buf[:0], f.open); twin.has(f.minute, data) {
			p.data = twin.packed[len(twin.packed)-1].data // one copy for both
		} else {
			p.data = string(data)
		}
		if len(f.packed) == cap(f.packed) {
			f.packed = append(make([]packed, 0, len(f.packed)+32), f.packed...) // not twice as many
		}
		f.packed = append(f.packed, p)
		f.open = f.open[:0]
	}
	f.minute = minute
	f.forget(minute - minutes)
}

// has reports whether the minute packed last is this one.
func (f *fine) has(minute int64, data []byte) bool {
	if f == nil || len(f.packed) == 0 {
		return false
	}
	last := f.packed[len(f.packed)-1]
	return last.minute == minute && last.data == string(data)
}

// forget drops the minutes before the given one.
func (f *fine) forget(before int64) {
	n := 0
	for n < len(f.packed) && f.packed[n].minute < before {
		n++
	}
	if n > 0 {
		f.packed = f.packed[:copy(f.packed, f.packed[n:])]
		clear(f.packed[len(f.packed):cap(f.packed)])
	}
}

// each hands the buckets of the seconds from from up to to, in order.
func (f *fine) each(from, to int64, do func(second int64, b bucket)) error {
	hand := func(minute int64, points []point) {
		for _, p := range points {
			if s := minute*60 + int64(p.n); s >= from && s < to {
				do(s, p.bucket)
			}
		}
	}
	for _, m := range f.packed {
		if (m.minute+1)*60 <= from || m.minute*60 >= to {
			continue
		}
		r := reader{b: []byte(m.data)}
		points := r.points(60)
		if r.bad {
			return errFormat
		}
		hand(m.minute, points)
	}
	hand(f.minute, f.open)
	return nil
}
