package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice/internal/live"
)

// Reader reads resources: a *Store what is committed, a *Tx also its own writes.
type Reader interface {
	Get(ctx context.Context, arn live.ARN) (Row, error)
	GetMany(ctx context.Context, arns []live.ARN) (map[live.ARN]Row, error)
	ByLookup(ctx context.Context, service, typ, lookup string) (Row, error)
	List(ctx context.Context, q Query) ([]Row, error)
	Count(ctx context.Context, q Query) (int64, error)
}

var (
	_ Reader = (*Store)(nil)
	_ Reader = (*Tx)(nil)
)

type reader struct{ q querier }

const (
	selectRow    = `SELECT ` + rowColumns + ` FROM resource r WHERE r.arn = $1`
	selectLookup = `SELECT ` + rowColumns + ` FROM resource r WHERE r.service = $1 AND r.type = $2 AND r.lookup = $3`
)

// Get returns the row named arn, or ErrNotFound.
func (r reader) Get(ctx context.Context, arn live.ARN) (Row, error) {
	if !storable(arn.String()) {
		return Row{}, fmt.Errorf("store: get: %w", ErrNotFound)
	}
	row, err := newRowScan().read(r.q.QueryRowContext(ctx, selectRow, arn.String()).Scan)
	if err != nil {
		return Row{}, fmt.Errorf("store: get %s: %w", arn, missing(err))
	}
	return row, nil
}

// Get is reader.Get, with SQLite from memory if it can.
func (s *Store) Get(ctx context.Context, arn live.ARN) (Row, error) {
	if s.cache == nil || s.commits == nil {
		return s.reader.Get(ctx, arn)
	}
	return s.cache.row(arn, func() (Row, error) { return s.reader.Get(ctx, arn) })
}

// List is reader.List, from memory if it can.
func (s *Store) List(ctx context.Context, q Query) ([]Row, error) {
	read := func() ([]Row, error) { return s.reader.List(ctx, q) }
	switch {
	case s.cache == nil:
		return read()
	case s.commits == nil:
		return s.cache.checked(q, func() (string, error) { return s.digest(ctx, q) }, read)
	}
	return s.cache.page(q, read)
}

// digest is digestOf the page that q selects now.
func (r reader) digest(ctx context.Context, q Query) (string, error) {
	s, query, err := q.digest()
	if err != nil || s.none {
		return "", err
	}
	var digest string
	if err := r.q.QueryRowContext(ctx, query, s.args...).Scan(&digest); err != nil {
		return "", fmt.Errorf("store: list: %w", err)
	}
	return digest, nil
}

// inList is how many keys one statement lists; both engines have a limit.
const inList = 500

// GetMany returns those of arns that exist.
func (r reader) GetMany(ctx context.Context, arns []live.ARN) (map[live.ARN]Row, error) {
	rows := make(map[live.ARN]Row, len(arns))
	for part := range slices.Chunk(arns, inList) {
		names := make([]any, 0, len(part))
		for _, arn := range part {
			if s := arn.String(); storable(s) {
				names = append(names, s)
			}
		}
		if len(names) == 0 {
			continue
		}
		found, err := collect(ctx, r.q, newRowScan().read,
			`SELECT `+rowColumns+` FROM resource r WHERE r.arn IN (`+placeholders(len(names))+`)`, names...)
		if err != nil {
			return nil, fmt.Errorf("store: get %d rows: %w", len(arns), err)
		}
		for _, row := range found {
			rows[row.ARN] = row
		}
	}
	return rows, nil
}

// ByLookup returns the row of the service and type that has the given Lookup, or
// ErrNotFound.
func (r reader) ByLookup(ctx context.Context, service, typ, lookup string) (Row, error) {
	if lookup == "" || !storable(lookup) {
		return Row{}, fmt.Errorf("store: look up a %s: %w", typ, ErrNotFound)
	}
	row, err := newRowScan().read(r.q.QueryRowContext(ctx, selectLookup, service, typ, lookup).Scan)
	if err != nil {
		return Row{}, fmt.Errorf("store: look up a %s: %w", typ, missing(err))
	}
	return row, nil
}

// List returns one page of the rows that q selects.
func (r reader) List(ctx context.Context, q Query) ([]Row, error) {
	s, query, err := q.list()
	if err != nil || s.none {
		return nil, err
	}
	rows, err := collect(ctx, r.q, newRowScan().read, query, s.args...)
	if err != nil {
		return nil, fmt.Errorf("store: list: %w", err)
	}
	return rows, nil
}

// Count returns how many rows q selects, whatever its After and Limit.
func (r reader) Count(ctx context.Context, q Query) (int64, error) {
	s, query, err := q.count()
	if err != nil || s.none {
		return 0, err
	}
	var n int64
	if err := r.q.QueryRowContext(ctx, query, s.args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("store: count: %w", err)
	}
	return n, nil
}

// collect runs a query and scans each of its rows.
func collect[T any](ctx context.Context, q querier, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// missing turns "no rows" into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// placeholders returns $1, $2, ... $n.
func placeholders(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(i + 1))
	}
	return b.String()
}
