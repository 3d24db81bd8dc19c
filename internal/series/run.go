package series

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-live/sluice/internal/store"
)

// Times of the background work.
const (
	writeEvery   = time.Minute
	writeTime    = 10 * time.Second // for one round
	writeAtOnce  = 50               // blocks of a transaction: others wait for it
	finishTime   = 3 * time.Second  // for the last round, when the process stops
	compactEvery = 30 * time.Minute
	compactTime  = 5 * time.Minute // for one round; the next goes on
	compactBatch = 100

	settled = 2 * time.Minute // after the end of an hour nothing comes for it any more
)

// Run writes to the store what was recorded, and makes what is in the store coarser as
// it ages, until ctx is done. Then it writes what is left.
func (r *Recorder) Run(ctx context.Context) error {
	write, compact := time.NewTicker(writeEvery), time.NewTicker(compactEvery)
	defer write.Stop()
	defer compact.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-write.C:
			r.try(ctx, "metrics not written", writeTime, r.write)
		case <-compact.C:
			r.try(ctx, "old metrics not made coarser", compactTime, r.compact)
		}
	}
	r.try(context.WithoutCancel(ctx), "last metrics not written", finishTime, r.write)
	return nil
}

// try runs work whose next round makes up for one that failed.
func (r *Recorder) try(ctx context.Context, what string, limit time.Duration, work func(context.Context) error) {
	wctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := work(wctx); err != nil && ctx.Err() == nil {
		r.log.Warn("background work failed, will try again", "what", what, "err", err)
	}
}

// write puts every hour that changed into the store, and forgets what is over.
func (r *Recorder) write(ctx context.Context) error {
	var (
		errs  []error
		batch []store.MetricBlock
		from  []*scope // of batch
	)
	flush := func() {
		if err := r.store.PutMetricBlocks(ctx, batch); err != nil {
			errs = append(errs, err)
			for i := range batch {
				from[i].failed(batch[i])
			}
		}
		batch, from = batch[:0], from[:0]
	}
	now := r.now()
	for of, s := range r.copyOf() {
		for _, b := range s.changed() {
			b.Account, b.Region, b.Channel, b.Writer = of.Account, of.Region, of.Channel, r.writer
			batch, from = append(batch, b), append(from, s)
			if len(batch) == writeAtOnce {
				flush()
			}
		}
	}
	if len(batch) > 0 {
		flush()
	}
	for of, s := range r.copyOf() {
		lost, empty := s.forget(now)
		r.dropped.Add(float64(lost))
		if empty {
			r.drop(of, s)
		}
	}
	return errors.Join(errs...)
}

// drop removes a scope that is empty, unless it got something meanwhile.
func (r *Recorder) drop(of Scope, s *scope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hours) == 0 && len(s.fine) == 0 {
		s.gone = true
		delete(r.scopes, of)
	}
}

// changed returns the hours that are to be written, and takes them for written.
func (s *scope) changed() []store.MetricBlock {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []store.MetricBlock
	for _, h := range s.hours {
		if h.changed {
			h.changed = false
			all = append(all, store.MetricBlock{
				Start: time.Unix(h.number*3600, 0), Resolution: byMinute, Body: appendBlock(nil, h.sorted(), h.minutes),
			})
		}
	}
	return all
}

// failed makes an hour wait for the next round.
func (s *scope) failed(b store.MetricBlock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hours {
		if h.number == b.Start.Unix()/3600 {
			h.changed = true
		}
	}
}

// forget drops the hours that are over and written, and of those that cannot be written
// the oldest; it returns how many samples these had. And it drops seconds that are too
// old. empty says that nothing is left.
func (s *scope) forget(now time.Time) (lost int64, empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []*hour
	for i, h := range s.hours {
		over := now.Sub(time.Unix((h.number+1)*3600, 0)) > settled
		switch {
		case over && !h.changed:
		case over && len(s.hours)-i > maxBehind:
			for _, points := range h.minutes {
				for _, p := range points {
					lost += p.count
				}
			}
		default:
			kept = append(kept, h)
		}
	}
	s.hours = kept
	for n, f := range s.fine {
		before := now.Unix()/60 - minutes
		f.forget(before)
		if f.minute < before {
			delete(s.fine, n)
		}
	}
	return lost, len(s.hours) == 0 && len(s.fine) == 0
}

// compact makes the blocks of whole days that are old enough coarser, and drops those
// that are too old. Any number of nodes may do this at once.
func (r *Recorder) compact(ctx context.Context) error {
	now := r.now().UTC()
	return errors.Join(
		r.coarsen(ctx, byMinute, byFive, now.Add(-keepByMinute).Truncate(day)),
		r.coarsen(ctx, byFive, byHour, now.Add(-keepByFive).Truncate(day)),
		func() error {
			_, err := r.store.ForgetMetricBlocks(ctx, now.Add(-keepByHour).Truncate(day))
			return err
		}(),
	)
}

// coarsen merges the blocks of each day before the given one into one block of buckets
// of length to.
func (r *Recorder) coarsen(ctx context.Context, from, to time.Duration, before time.Time) error {
	for {
		old, err := r.store.OldMetricBlocks(ctx, from, before, compactBatch)
		if err != nil {
			return err
		}
		done := map[dayOf]bool{}
		for _, b := range old {
			d := dayOf{Scope{b.Account, b.Region, b.Channel}, b.Start.UTC().Truncate(day)}
			if done[d] {
				continue
			}
			done[d] = true
			into := store.MetricBlock{Account: b.Account, Region: b.Region, Channel: b.Channel, Start: d.start, Resolution: to}
			err := r.store.MergeMetricBlocks(ctx, into, day, func(all []store.MetricBlock) (store.MetricBlock, error) {
				return r.merge(into, all), nil
			})
			if err != nil {
				return err
			}
		}
		if len(old) < compactBatch {
			return nil
		}
	}
}

// A dayOf is what one block has after it was made coarser.
type dayOf struct {
	Scope
	start time.Time
}

// merge makes one block of all that there are of a day, in buckets as long as those of
// into and of each of all.
func (r *Recorder) merge(into store.MetricBlock, all []store.MetricBlock) store.MetricBlock {
	for _, b := range all {
		into.Resolution = max(into.Resolution, b.Resolution)
	}
	h := hour{minutes: map[name][]point{}}
	for _, b := range all {
		err := r.read(b, func(n name, at time.Time, x bucket) {
			if _, known := h.minutes[n]; known || len(h.minutes) < maxNames {
				h.minutes[n] = put(h.minutes[n], int(at.Sub(into.Start)/into.Resolution), x)
			}
		})
		if err != nil {
			r.log.Warn("block of metrics is not readable and goes", "channel", b.Channel, "start", b.Start, "err", err)
		}
	}
	into.Body = appendBlock(nil, h.sorted(), h.minutes)
	return into
}

// read hands each bucket of a block to f.
func (r *Recorder) read(b store.MetricBlock, f func(n name, at time.Time, x bucket)) error {
	if b.Resolution < byMinute {
		return errFormat
	}
	length := time.Hour
	if b.Resolution > byMinute {
		length = day
	}
	return readBlock(b.Body, int(length/b.Resolution), func(n name, points []point) {
		for _, p := range points {
			f(n, b.Start.Add(time.Duration(p.n)*b.Resolution), p.bucket)
		}
	})
}
