package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// What callers branch on. Errors of this package wrap one of these or are faults.
var (
	ErrNotFound = errors.New("store: not found")
	ErrExists   = errors.New("store: already exists")
	// ErrStale means that the row changed since the caller read it.
	ErrStale = errors.New("store: version is stale")
	// ErrHeld means that a node (this one included) holds the channel's lease.
	ErrHeld = errors.New("store: lease is held")
	// ErrFenced means that the lease has moved on from the caller's generation.
	ErrFenced = errors.New("store: lease has moved on")
)

// A Store is a handle on the database. It is safe for concurrent use, and so are
// several Stores, in one process or many, on one database.
type Store struct {
	reader             // on read
	read    *sql.DB    // never written through
	write   *sql.DB    // SQLite: a single connection; PostgreSQL: the same pool as read
	commits *committer // nil with PostgreSQL, which has one of its own
	cache   *cache     // nil for none
	engine  engine
}

// An engine is what differs between the databases, beside how they are opened.
type engine struct {
	name     string // as in the names of migration files
	share    string // ends a SELECT of rows that must not change before the commit
	hasTable string // query: how many tables are named $1
}

// Open opens the database at url: postgres://... or postgresql://... is a PostgreSQL
// server, anything without a scheme the path of a SQLite file, which is created if it
// is missing (its directory is not). Open makes sure that the database answers; it
// applies no migration.
func Open(ctx context.Context, url string) (*Store, error) {
	scheme, _, found := strings.Cut(url, "://")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return openPostgres(ctx, url)
	case found:
		return nil, fmt.Errorf("store: unknown kind of database %q: want postgres://... or the path of a file", scheme)
	case url == "":
		return nil, errors.New("store: no database given")
	}
	return openSQLite(ctx, url)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		return fmt.Errorf("store: ping: %w", err)
	}
	return nil
}

// Close waits for running queries and closes the database.
func (s *Store) Close() error {
	err := s.read.Close()
	if s.write != s.read {
		err = errors.Join(err, s.write.Close()) // last, so that SQLite folds its log into the file
	}
	if err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Sizes of a page, in rows.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func limit(n int) int { return min(cmp.Or(max(n, 0), defaultLimit), maxLimit) }

// millis is how times are kept: milliseconds since 1970 UTC, the zero Time as 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// storable reports whether both engines take these strings as text. SQLite would take
// any bytes; PostgreSQL refuses invalid UTF-8 and NUL, so a query for such a key is
// answered here: nothing has it.
func storable(ss ...string) bool {
	for _, s := range ss {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return false
		}
	}
	return true
}
