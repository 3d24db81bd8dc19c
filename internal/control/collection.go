package control

import (
	"context"
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// all selects every resource of a type that the caller has in the request's region.
func all(caller restjson.Caller, typ string) store.Query {
	return store.Query{Service: live.ServiceIVS, Type: typ, Account: caller.Account, Region: caller.Region}
}

// row reads a resource of the caller's by ARN text.
func (c *Control) row(ctx context.Context, r store.Reader, arn, typ string) (store.Row, error) {
	a, err := owned(restjson.CallerFrom(ctx), arn, typ)
	if err != nil {
		return store.Row{}, err
	}
	return get(ctx, r, a)
}

// insert adds a row unless the caller has as many of its type as the limit allows.
func (c *Control) insert(ctx context.Context, row store.Row, limit int) error {
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		if err := room(ctx, tx, all(restjson.CallerFrom(ctx), row.ARN.Type), limit); err != nil {
			return err
		}
		return tx.Insert(ctx, row)
	})
}

// maxPage is the default page of most lists (low-latency.md 1.5).
const maxPage = 100

// list reads a page of the caller's resources of one type. def is the size of a page
// for which none was asked.
func (c *Control) list(ctx context.Context, op, typ string, size *int32, token *string, def int) (rows []store.Row, next *string, err error) {
	caller := restjson.CallerFrom(ctx)
	pq := query{Op: op, Account: caller.Account, Region: caller.Region}
	q := all(caller, typ)
	if q.After, err = c.pages.after(pq, token); err != nil {
		return nil, nil, err
	}
	limit := limitOf(size, def)
	q.Limit = limit + 1
	if rows, err = c.store.List(ctx, q); err != nil {
		return nil, nil, fmt.Errorf("control: %w", err)
	}
	rows, next = page(rows, limit, func(r store.Row) string { return r.ARN.ID },
		func(after string) string { return c.pages.token(pq, after) })
	return rows, next, nil
}

// read is the rows as values.
func read[T any](rows []store.Row, of func(store.Row) (T, error)) ([]T, error) {
	values := make([]T, 0, len(rows))
	for _, row := range rows {
		v, err := of(row)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// removeUnused deletes a resource that no channel is attached to. An attachment in the
// same moment comes before it, and is a conflict, or after it, and finds nothing: both
// are serializable transactions that read what the other writes.
func (c *Control) removeUnused(ctx context.Context, arn, typ string) error {
	caller := restjson.CallerFrom(ctx)
	return c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := c.row(ctx, tx, arn, typ)
		if err != nil {
			return err
		}
		users := all(caller, live.TypeChannel)
		users.LinkRel, users.LinkTo = typ, row.ARN.String() // a channel's relations are named for their types
		n, err := tx.Count(ctx, users)
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		if n > 0 {
			return live.Errorf(live.Conflict, "Resource: %s is attached to channels (%d): detach it first", row.ARN, n)
		}
		return tx.Delete(ctx, row.ARN)
	})
}
