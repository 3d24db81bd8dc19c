package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// buckets is what a recording configuration needs of package blob.
type buckets interface {
	BucketExists(ctx context.Context, bucket string) (bool, error)
	CreateBucket(ctx context.Context, bucket string) error
}

// Times of the background work.
const (
	settleEvery  = 2 * time.Second  // how soon another node takes over the check of a bucket
	bucketTime   = 5 * time.Second  // for one check
	bucketGiveUp = time.Minute      // after which a bucket that cannot be asked for counts as missing
	forgetEvery  = 30 * time.Minute // how late what is too old goes

	sessionRetention    = 60 * 24 * time.Hour // low-latency.md 10
	revocationRetention = 72 * time.Hour      // a session lasts 48 h at most (low-latency.md 5.3)
	tokenRetention      = time.Hour           // after a token's end, for nodes whose clocks are late
)

// checks is how many buckets are asked for at once.
const checks = 4

// Run does what no call waits for, until ctx is done: it settles new recording
// configurations and forgets what is too old. Any number of nodes may run it at once;
// what one that died left undone is in the store, and another does it.
func (c *Control) Run(ctx context.Context) error {
	settle, forget := time.NewTicker(settleEvery), time.NewTicker(forgetEvery)
	defer settle.Stop()
	defer forget.Stop()
	c.try(ctx, "old history not forgotten", c.forget)
	for {
		c.try(ctx, "recording configurations not settled", c.settle)
		select {
		case <-ctx.Done():
			return nil
		case <-settle.C:
		case <-c.woken:
		case <-forget.C:
			c.try(ctx, "old history not forgotten", c.forget)
		}
	}
}

// try runs work whose next round makes up for one that failed.
func (c *Control) try(ctx context.Context, what string, work func(context.Context) error) {
	if err := work(ctx); err != nil && ctx.Err() == nil {
		c.log.Warn("background work failed, will try again", "what", what, "err", err)
	}
}

// wake makes Run look for work now. A signal that is already waiting is enough.
func (c *Control) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// settle checks the bucket of every recording configuration that waits for it.
func (c *Control) settle(ctx context.Context) error {
	q := store.Query{
		Service: live.ServiceIVS, Type: live.TypeRecordingConfiguration,
		LinkRel: store.LinkPending, LinkTo: store.PendingBucket, Limit: maxPage,
	}
	var errs []error
	for {
		rows, err := c.store.List(ctx, q)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		var g errgroup.Group // not of ctx: one that fails keeps no other from being checked
		g.SetLimit(checks)
		failed := make([]error, len(rows))
		for i, row := range rows {
			g.Go(func() error {
				failed[i] = c.settleOne(ctx, row)
				return nil
			})
		}
		_ = g.Wait()
		errs = append(errs, failed...)
		if len(rows) < maxPage {
			return errors.Join(errs...)
		}
		q.After = rows[len(rows)-1].ARN.ID
	}
}

// settleOne decides about one configuration. As long as nobody can say whether its bucket
// is there it stays as it is, up to bucketGiveUp.
func (c *Control) settleOne(ctx context.Context, row store.Row) error {
	rc, err := store.RecordingConfigurationOf(row)
	if err != nil {
		return err
	}
	ok, err := c.usable(ctx, rc.Bucket)
	if err != nil && (ctx.Err() != nil || c.now().Sub(rc.Created) < bucketGiveUp) {
		return fmt.Errorf("control: %s: %w", rc.ARN, err)
	}
	state := live.RecordingFailed
	if ok {
		state = live.RecordingActive
	} else {
		c.log.Warn("recording configuration failed", "arn", rc.ARN.String(), "bucket", rc.Bucket, "err", err)
	}
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := tx.Get(ctx, rc.ARN)
		if errors.Is(err, store.ErrNotFound) {
			return nil // deleted meanwhile
		} else if err != nil {
			return err
		}
		now, err := store.RecordingConfigurationOf(row) // its tags may have changed
		if err != nil || now.State != live.RecordingCreating {
			return err
		}
		now.State = state
		changed, err := store.RowOfRecordingConfiguration(now)
		if err != nil {
			return err
		}
		changed.Version = row.Version
		return tx.Update(ctx, changed)
	})
}

// usable reports whether recordings can go into a bucket.
func (c *Control) usable(ctx context.Context, bucket string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketTime)
	defer cancel()
	if c.cfg.CreateBuckets {
		if err := c.cfg.Buckets.CreateBucket(ctx, bucket); err != nil {
			return false, err
		}
	}
	return c.cfg.Buckets.BucketExists(ctx, bucket)
}

// forget drops history whose time has passed.
func (c *Control) forget(ctx context.Context) error {
	_, err := c.store.ForgetSessions(ctx, c.now().Add(-sessionRetention))
	_, rerr := c.store.ForgetRevocations(ctx, c.now().Add(-revocationRetention))
	_, terr := c.store.ForgetTokens(ctx, c.now().Add(-tokenRetention))
	return errors.Join(err, rerr, terr)
}
