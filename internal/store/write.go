package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	insertRow = `
INSERT INTO resource (arn, service, type, account, region, id, parent, name, lookup, body, tags, links, created_ms, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1)
ON CONFLICT DO NOTHING`

	updateRow = `
UPDATE resource SET name = $3, lookup = $4, body = $5, tags = $6, links = $7, version = version + 1
WHERE arn = $1 AND version = $2`

	insertLink = `
INSERT INTO link (source, relation, target, service, type, account, region, id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
)

// Insert adds r as version 1. It returns ErrExists when its ARN or Lookup is taken,
// and ErrNotFound when its Parent does not exist.
func (t *Tx) Insert(ctx context.Context, r Row) error {
	if err := r.check(); err != nil {
		return err
	}
	tags, links, err := r.columns()
	if err != nil {
		return fmt.Errorf("store: insert %s: %w", r.ARN, err)
	}
	n, err := t.exec(ctx, insertRow, r.ARN.String(), r.ARN.Service, r.ARN.Type, r.ARN.Account, r.ARN.Region, r.ARN.ID,
		nullARN(r.Parent), r.Name, nullString(r.Lookup), string(r.Body), tags, links, millis(r.Created))
	switch {
	case faultOf(err) == faultReference:
		return fmt.Errorf("store: insert %s: parent %s: %w", r.ARN, r.Parent, ErrNotFound)
	case err != nil:
		return fmt.Errorf("store: insert %s: %w", r.ARN, err)
	case n == 0:
		return fmt.Errorf("store: insert %s: %w", r.ARN, ErrExists)
	}
	t.touch(change{arn: r.ARN, inserted: true, name: r.Name, parent: r.Parent, links: r.Links})
	return t.link(ctx, r)
}

// Update writes the Name, Lookup, Body, Tags and Links of r, whose ARN, Parent and
// Created never change. It returns ErrStale when the stored version is not r.Version,
// ErrNotFound when there is no such row and ErrExists when its new Lookup is taken.
// The stored version is then r.Version+1.
func (t *Tx) Update(ctx context.Context, r Row) error {
	if err := r.check(); err != nil {
		return err
	}
	tags, links, err := r.columns()
	if err != nil {
		return fmt.Errorf("store: update %s: %w", r, err)
	}
	n, err := t.exec(ctx, updateRow, r.ARN.String(), r.Version, r.Name, nullString(r.Lookup), string(r.Body), tags, links)
	switch {
	case faultOf(err) == faultDuplicate:
		return fmt.Errorf("store: update %s: lookup: %w", r, ErrExists)
	case err != nil:
		return fmt.Errorf("store: update %s: %w", r, err)
	case n == 0:
		if _, err := t.Get(ctx, r.ARN); err != nil {
			return fmt.Errorf("store: update %s: %w", r, err)
		}
		return fmt.Errorf("store: update %s: %w", r, ErrStale)
	}
	t.touch(change{arn: r.ARN})
	if _, err := t.exec(ctx, `DELETE FROM link WHERE source = $1`, r.ARN.String()); err != nil {
		return fmt.Errorf("store: update links of %s: %w", r.ARN, err)
	}
	return t.link(ctx, r)
}

// link indexes the links of r, which has none in the index.
func (t *Tx) link(ctx context.Context, r Row) error {
	for relation, target := range r.Links {
		if target == "" {
			continue
		}
		_, err := t.exec(ctx, insertLink, r.ARN.String(), relation, target,
			r.ARN.Service, r.ARN.Type, r.ARN.Account, r.ARN.Region, r.ARN.ID)
		if err != nil {
			return fmt.Errorf("store: link %s: %w", r.ARN, err)
		}
	}
	return nil
}

// Delete removes the row named arn with its children, or returns ErrNotFound.
func (t *Tx) Delete(ctx context.Context, arn live.ARN) error {
	if !storable(arn.String()) {
		return fmt.Errorf("store: delete: %w", ErrNotFound)
	}
	if err := t.touchChildren(ctx, arn); err != nil {
		return fmt.Errorf("store: delete %s: %w", arn, err)
	}
	t.touch(change{arn: arn})
	n, err := t.exec(ctx, `DELETE FROM resource WHERE arn = $1`, arn.String())
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: delete %s: %w", arn, err)
	}
	return nil
}

// selectChildren finds the rows that go with their parent.
const selectChildren = `SELECT arn FROM resource WHERE parent = $1`

// touchChildren keeps that the children of a row go.
func (t *Tx) touchChildren(ctx context.Context, parent live.ARN) error {
	if t.changed == nil {
		return nil
	}
	children, err := collect(ctx, t.q, func(scan func(...any) error) (live.ARN, error) {
		var s string
		if err := scan(&s); err != nil {
			return live.ARN{}, err
		}
		return live.ParseARN(s)
	}, selectChildren, parent.String())
	for _, arn := range children {
		t.touch(change{arn: arn})
	}
	return err
}

func nullString(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func nullARN(a live.ARN) sql.NullString {
	if a == (live.ARN{}) {
		return sql.NullString{}
	}
	return nullString(a.String())
}
