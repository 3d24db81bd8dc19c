package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Tx is one write transaction. It is good until the function it was handed to
// returns, and for one goroutine.
type Tx struct {
	reader  // on q: sees the writes of the transaction itself
	engine  engine
	changed *[]change // what it did to resources; nil when nobody wants to know
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// How often a transaction runs that others get in the way of, and how long it waits
// in between: a random time below the pause, which doubles up to the maximum.
const (
	txTries    = 16
	txPause    = 2 * time.Millisecond
	txPauseMax = 200 * time.Millisecond
)

// Tx runs f in one serializable transaction and commits it if f returns nil; otherwise
// nothing of it happened, and Tx returns f's error as it is. f runs again when another
// transaction got in its way, so it has no effect outside t, wraps the errors of t
// that it returns, and uses t, not s: with SQLite a nested Tx waits for itself. After
// an error other than ErrNotFound, ErrStale and ErrExists from Insert, t is of no
// further use.
func (s *Store) Tx(ctx context.Context, f func(*Tx) error) error {
	return s.tx(ctx, sql.LevelSerializable, f)
}

// tx is Tx at an isolation level. SQLite has one writer at a time and so one level.
func (s *Store) tx(ctx context.Context, level sql.IsolationLevel, f func(*Tx) error) error {
	pause := txPause
	for n := 1; ; n++ {
		err := s.try(ctx, level, f)
		if err == nil || faultOf(err) != faultConflict {
			return err
		}
		if n == txTries {
			return fmt.Errorf("store: transaction given up after %d tries: %w", n, err)
		}
		wait := time.NewTimer(rand.N(pause))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("store: transaction: %w: %w", context.Cause(ctx), err)
		}
		pause = min(2*pause, txPauseMax)
	}
}

func (s *Store) try(ctx context.Context, level sql.IsolationLevel, f func(*Tx) error) error {
	if s.commits != nil {
		return s.commits.run(ctx, func(q querier, changed *[]change) error { return f(&Tx{reader{q}, s.engine, changed}) })
	}
	tx, err := s.write.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	defer tx.Rollback() // also when f panics; after a commit it does nothing
	if err := f(&Tx{reader{tx}, s.engine, nil}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// A fault is what an engine's error says, in terms both engines share.
type fault int

const (
	faultOther     fault = iota
	faultConflict        // another transaction got in the way; nothing happened, try again
	faultDuplicate       // a unique key is taken
	faultReference       // what a row refers to is not there
)

func faultOf(err error) fault {
	if errors.Is(err, errBatch) {
		return faultConflict
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code { // PostgreSQL, appendix A
		case "40001", "40P01": // serialization failure, deadlock
			return faultConflict
		case "23505":
			return faultDuplicate
		case "23503":
			return faultReference
		}
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return faultDuplicate
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return faultReference
		}
		switch e.Code() & 0xff { // the low byte is the primary code
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return faultConflict
		}
	}
	return faultOther
}

// exec runs a statement and returns how many rows it changed.
func (t *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// touch keeps what was done to a row.
func (t *Tx) touch(c change) {
	if t.changed != nil {
		*t.changed = append(*t.changed, c)
	}
}
