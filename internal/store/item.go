package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
)

// An Item is a Row with its Body as a Go value. Insert and Update write Value, and
// ignore Body. Like a Row, it prints without it.
type Item[T any] struct {
	Row
	Value T
}

// Decode reads the body of r.
func Decode[T any](r Row) (Item[T], error) {
	it := Item[T]{Row: r}
	if err := json.Unmarshal(r.Body, &it.Value); err != nil {
		return Item[T]{}, fmt.Errorf("store: body of %s: %w", r, err)
	}
	return it, nil
}

// Get is r.Get with the body decoded.
func Get[T any](ctx context.Context, r Reader, arn live.ARN) (Item[T], error) {
	row, err := r.Get(ctx, arn)
	if err != nil {
		return Item[T]{}, err
	}
	return Decode[T](row)
}

// Lookup is r.ByLookup with the body decoded.
func Lookup[T any](ctx context.Context, r Reader, service, typ, lookup string) (Item[T], error) {
	row, err := r.ByLookup(ctx, service, typ, lookup)
	if err != nil {
		return Item[T]{}, err
	}
	return Decode[T](row)
}

// List is r.List with the bodies decoded.
func List[T any](ctx context.Context, r Reader, q Query) ([]Item[T], error) {
	rows, err := r.List(ctx, q)
	if err != nil {
		return nil, err
	}
	items := make([]Item[T], 0, len(rows))
	for _, row := range rows {
		it, err := Decode[T](row)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// Insert is t.Insert with the body encoded from Value.
func Insert[T any](ctx context.Context, t *Tx, it Item[T]) error {
	row, err := encode(it)
	if err != nil {
		return err
	}
	return t.Insert(ctx, row)
}

// Update is t.Update with the body encoded from Value.
func Update[T any](ctx context.Context, t *Tx, it Item[T]) error {
	row, err := encode(it)
	if err != nil {
		return err
	}
	return t.Update(ctx, row)
}

func encode[T any](it Item[T]) (Row, error) {
	body, err := json.Marshal(it.Value)
	if err != nil {
		return Row{}, fmt.Errorf("store: body of %s: %w", it.ARN, err)
	}
	it.Body = body
	return it.Row, nil
}
