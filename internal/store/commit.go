package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A committer runs the write transactions of a SQLite database, one after the other.
// Those that come while another runs join its batch, which is committed, and synced to
// disk, once for all: what a write costs is mostly that sync. A transaction that comes
// alone is committed at once. No transaction is acknowledged before its batch is on disk.
//
// Each one is a savepoint: that it fails undoes it and nothing else.
type committer struct {
	db    *sql.DB // of one connection
	cache *cache  // to be told what is committed; nil for none

	waiting atomic.Int32  // transactions that want the turn
	turn    chan struct{} // holds one: while a transaction or a commit runs
	open    *batch        // to be committed by whoever has the turn last; guarded by turn
}

// newCommitter returns a committer for db, which has one connection.
func newCommitter(db *sql.DB) *committer { return &committer{db: db, turn: make(chan struct{}, 1)} }

// Bounds of a batch: what came first waits for what joins.
const (
	maxBatch    = 64
	maxBatchAge = 5 * time.Millisecond
)

// errBatch means that a transaction is undone through no fault of its own: a fault of the
// disk, say, made SQLite undo the batch. It may run again.
var errBatch = errors.New("store: the batch of this transaction was undone")

// A batch is transactions that are committed together. Whoever has the turn owns it,
// until done is closed.
type batch struct {
	conn    *sql.Conn
	begun   time.Time
	size    int
	broken  bool          // SQLite has undone it
	cache   *cache        // of the committer
	changed []change      // for cache: what its members did to resources
	done    chan struct{} // closed when it is committed or undone
	err     error         // why nothing of it happened; set before done is closed
}

// run runs f in a transaction and returns when that is on disk. One that only read, or
// failed, waits too: what it saw may be its batch's.
func (c *committer) run(ctx context.Context, f func(querier, *[]change) error) error {
	b, err := c.join(ctx, f)
	if b == nil {
		return err
	}
	<-b.done
	if b.err != nil {
		return b.err
	}
	return err
}

// join runs f as a member of the open batch, or of a new one, and returns it; no batch
// means that nothing happened.
func (c *committer) join(ctx context.Context, f func(querier, *[]change) error) (*batch, error) {
	if err := c.take(ctx); err != nil {
		return nil, fmt.Errorf("store: begin: %w", err)
	}
	defer c.pass(ctx) // also when f panics
	if c.open == nil {
		var err error
		if c.open, err = c.begin(ctx); err != nil {
			return nil, fmt.Errorf("store: begin: %w", err)
		}
	}
	b := c.open
	err := b.run(ctx, f)
	if b.broken {
		return nil, err
	}
	return b, err
}

// take waits for the turn, as long as ctx lasts.
func (c *committer) take(ctx context.Context) error {
	c.waiting.Add(1)
	select {
	case c.turn <- struct{}{}:
		c.waiting.Add(-1)
		return nil
	case <-ctx.Done():
	}
	c.waiting.Add(-1)
	select { // somebody may have left the batch to us
	case c.turn <- struct{}{}:
		c.pass(ctx)
	default: // who has the turn will see that we are gone
	}
	return context.Cause(ctx)
}

// pass gives the turn on. The open batch is committed unless somebody waits who will,
// and that may have changed by the time the turn is free.
func (c *committer) pass(ctx context.Context) {
	for {
		b := c.open
		left := b != nil && !b.broken && b.size < maxBatch && c.waiting.Load() > 0 && time.Since(b.begun) < maxBatchAge
		if b != nil && !left {
			c.open = nil
			b.finish(ctx)
		}
		<-c.turn
		if !left || c.waiting.Load() > 0 {
			return
		}
		select {
		case c.turn <- struct{}{}:
		default:
			return
		}
	}
}

func (c *committer) begin(ctx context.Context) (*batch, error) {
	ctx = context.WithoutCancel(ctx)
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &batch{conn: conn, cache: c.cache, begun: time.Now(), done: make(chan struct{})}, nil
}

// The statements around transactions. IMMEDIATE takes the lock at once: a transaction
// that reads first and writes later cannot find that another process wrote in between.
const (
	begin  = `BEGIN IMMEDIATE`
	commit = `COMMIT`
	mark   = `SAVEPOINT member`
	keep   = `RELEASE member`
	undo   = `ROLLBACK TO member`
)

// run runs f between a savepoint and its release.
func (b *batch) run(ctx context.Context, f func(querier, *[]change) error) error {
	free := context.WithoutCancel(ctx)
	if _, err := b.conn.ExecContext(free, mark); err != nil {
		b.broken = true
		return fmt.Errorf("store: savepoint: %w", err)
	}
	b.size++
	kept := false
	defer func() {
		if kept {
			return
		}
		_, err := b.conn.ExecContext(free, undo)
		if err == nil {
			_, err = b.conn.ExecContext(free, keep)
		}
		b.broken = err != nil
	}()
	var changed *[]change
	if b.cache != nil {
		changed = new([]change)
	}
	if err := f(unhurried{b.conn}, changed); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("store: commit: %w", context.Cause(ctx))
	}
	if _, err := b.conn.ExecContext(free, keep); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	kept = true
	if changed != nil {
		b.changed = append(b.changed, *changed...)
	}
	return nil
}

// finish commits the batch and tells its members.
func (b *batch) finish(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if b.broken {
		b.err = errBatch
	} else if err := b.commit(ctx); err != nil {
		b.err = fmt.Errorf("store: commit: %w", err)
	}
	if b.err != nil { // closing a connection undoes what is open on it, whatever state it is in
		_ = b.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = b.conn.Close() // back to the pool; there is nothing else that could fail
	close(b.done)
}

func (b *batch) commit(ctx context.Context) error {
	if len(b.changed) > 0 {
		b.cache.begin(b.changed)
		defer b.cache.end() // before anybody is told
	}
	_, err := b.conn.ExecContext(ctx, commit)
	return err
}

// transactional tells whether text is one of the statements above.
func transactional(text string) bool {
	switch text {
	case begin, commit, mark, keep, undo:
		return true
	}
	return false
}
