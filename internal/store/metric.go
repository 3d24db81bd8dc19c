package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A MetricBlock is what one process recorded of the metrics of a channel in one stretch
// of time.
type MetricBlock struct {
	Account, Region string
	Channel         string // resource id; "" for what is of all channels
	Start           time.Time
	Writer          string        // the process; "" for what was merged
	Resolution      time.Duration // of the numbers, in whole seconds
	Body            []byte        // for package series
}

const (
	upsertMetrics = `
INSERT INTO metric_block (account, region, channel, start_ms, writer, resolution_s, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account, region, channel, start_ms, writer) DO UPDATE SET
  resolution_s = excluded.resolution_s, body = excluded.body`

	metricColumns = `account, region, channel, start_ms, writer, resolution_s`
	inStretch     = ` FROM metric_block WHERE account = $1 AND region = $2 AND channel = $3 AND start_ms >= $4 AND start_ms < $5`
	selectMetrics = `SELECT ` + metricColumns + `, body` + inStretch + ` ORDER BY start_ms, writer`
	deleteMetrics = `DELETE` + inStretch

	oldMetrics = `SELECT ` + metricColumns + ` FROM metric_block WHERE resolution_s = $1 AND start_ms < $2 ORDER BY start_ms LIMIT $3`

	forgetMetrics = `
DELETE FROM metric_block WHERE resolution_s = $3 AND start_ms < $1 AND start_ms <= coalesce(
  (SELECT start_ms FROM metric_block WHERE resolution_s = $3 AND start_ms < $1 ORDER BY start_ms LIMIT 1 OFFSET $2), $1)`
)

// PutMetricBlocks writes blocks in one transaction, over what their process has written
// of the same stretches before.
func (s *Store) PutMetricBlocks(ctx context.Context, blocks []MetricBlock) error {
	err := s.tx(ctx, leaseLevel, func(t *Tx) error { // nothing is read
		for i := range blocks {
			if err := t.putMetrics(ctx, &blocks[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: put %d blocks of metrics: %w", len(blocks), err)
	}
	return nil
}

func (t *Tx) putMetrics(ctx context.Context, b *MetricBlock) error {
	switch {
	case b.Account == "" || b.Region == "" || !storable(b.Account, b.Region, b.Channel, b.Writer) || b.Resolution < time.Second:
		return errors.New("a block needs account, region and resolution")
	case len(b.Body) > maxBody:
		return fmt.Errorf("%d bytes, over the limit of %d", len(b.Body), maxBody)
	}
	_, err := t.exec(ctx, upsertMetrics, b.Account, b.Region, b.Channel, millis(b.Start), b.Writer, int64(b.Resolution/time.Second), b.Body)
	return err
}

// MetricBlocks returns the blocks of a channel that start from from on and before to,
// the first ones first.
func (s *Store) MetricBlocks(ctx context.Context, account, region, channel string, from, to time.Time) ([]MetricBlock, error) {
	if !storable(account, region, channel) {
		return nil, nil
	}
	all, err := s.metrics(ctx, account, region, channel, from, to)
	if err != nil {
		return nil, fmt.Errorf("store: metrics of %s: %w", channel, err)
	}
	return all, nil
}

func (r reader) metrics(ctx context.Context, account, region, channel string, from, to time.Time) ([]MetricBlock, error) {
	return collect(ctx, r.q, func(scan func(...any) error) (b MetricBlock, err error) {
		var body []byte
		b, err = scanMetrics(func(to ...any) error { return scan(append(to, &body)...) })
		b.Body = body
		return b, err
	}, selectMetrics, account, region, channel, from.UnixMilli(), to.UnixMilli())
}

// OldMetricBlocks returns blocks of that resolution that start before a time, the oldest
// first and without their bodies. There may be more of them; limit is as in a Query.
func (s *Store) OldMetricBlocks(ctx context.Context, resolution time.Duration, before time.Time, n int) ([]MetricBlock, error) {
	all, err := collect(ctx, s.q, scanMetrics, oldMetrics, int64(resolution/time.Second), before.UnixMilli(), limit(n))
	if err != nil {
		return nil, fmt.Errorf("store: old metrics: %w", err)
	}
	return all, nil
}

func scanMetrics(scan func(...any) error) (MetricBlock, error) {
	var (
		b              MetricBlock
		start, seconds int64
	)
	err := scan(&b.Account, &b.Region, &b.Channel, &start, &b.Writer, &seconds)
	b.Start, b.Resolution = time.UnixMilli(start).UTC(), time.Duration(seconds)*time.Second
	return b, err
}

// MergeMetricBlocks puts one block in the place of those of a channel that start in the
// stretch of that length from into's start on: the block that merge makes of them. merge
// may run more than once.
func (s *Store) MergeMetricBlocks(ctx context.Context, into MetricBlock, length time.Duration, merge func([]MetricBlock) (MetricBlock, error)) error {
	end := into.Start.Add(length)
	err := s.Tx(ctx, func(t *Tx) error {
		all, err := t.metrics(ctx, into.Account, into.Region, into.Channel, into.Start, end)
		if err != nil || len(all) == 0 {
			return err
		}
		b, err := merge(all)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, deleteMetrics, into.Account, into.Region, into.Channel, into.Start.UnixMilli(), end.UnixMilli()); err != nil {
			return err
		}
		return t.putMetrics(ctx, &b)
	})
	if err != nil {
		return fmt.Errorf("store: merge metrics of %s: %w", into.Channel, err)
	}
	return nil
}

// ForgetMetricBlocks removes those of the coarsest resolution, an hour, that start before
// t, and returns how many.
func (s *Store) ForgetMetricBlocks(ctx context.Context, t time.Time) (int64, error) {
	return s.forget(ctx, "metrics", forgetMetrics, t, int64(time.Hour/time.Second))
}
