package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-live/sluice/internal/live"
)

// A Query selects rows, in the order of their ids (bytewise). Set fields are joined
// by "and". It must say one of
//
//   - Service and Type, and for an indexed page also Account and Region: rows without a
//     parent;
//   - Parent, and for an indexed page also Type;
//   - LinkRel and LinkTo, and for an indexed page also the four above.
type Query struct {
	Service, Type   string
	Account, Region string
	Parent          live.ARN
	Name            *string // exact; nil for any
	LinkRel, LinkTo string  // rows with a link LinkRel to the ARN LinkTo
	After           string  // keyset: id of the last row of the page before; "" for the first page
	Limit           int     // rows; 0 means 100, and 1000 is the most
}

// A selection is the part of a SELECT from FROM on, without order and limit.
type selection struct {
	from  string
	where []string
	args  []any
	id    string // column that orders it
	begin string // what id begins with in all rows, before what a page ends with
	none  bool   // nothing can match
}

func (s *selection) and(column, op string, value any) {
	s.args = append(s.args, value)
	s.where = append(s.where, fmt.Sprintf("%s %s $%d", column, op, len(s.args)))
}

// selection says which rows q asks for, such that an index finds them.
func (q Query) selection() (*selection, error) {
	s, scope := &selection{from: "resource r", id: "r.id"}, "r."
	if q.Name != nil && !storable(*q.Name) || !storable(q.LinkTo, q.LinkRel, q.After) {
		s.none = true
	}
	switch {
	case (q.LinkRel == "") != (q.LinkTo == ""):
		return nil, errors.New("store: a query by link needs LinkRel and LinkTo")
	case q.LinkTo != "":
		// CROSS JOIN makes SQLite, which keeps no statistics, start from the link.
		s.from, s.id, scope = "link l CROSS JOIN resource r", "l.id", "l."
		s.where = append(s.where, "r.arn = l.source")
		s.and("l.target", "=", q.LinkTo)
		s.and("l.relation", "=", q.LinkRel)
	case q.Parent == (live.ARN{}) && (q.Service == "" || q.Type == ""):
		return nil, errors.New("store: a query needs Service and Type, or Parent, or LinkRel and LinkTo")
	}
	if q.Parent != (live.ARN{}) {
		// A child has its parent's service, account and region, so these need no
		// condition, and SQLite is not led to the index over them.
		s.and("r.parent", "=", q.Parent.String())
		for _, f := range [][2]string{{q.Service, q.Parent.Service}, {q.Account, q.Parent.Account}, {q.Region, q.Parent.Region}} {
			if f[0] != "" && f[0] != f[1] {
				s.none = true
			}
		}
	} else {
		s.equal(scope+"service", q.Service)
		s.equal(scope+"account", q.Account)
		s.equal(scope+"region", q.Region)
		if q.LinkTo == "" {
			s.where = append(s.where, "r.parent IS NULL")
		}
	}
	s.equal(scope+"type", q.Type)
	if q.Name != nil {
		s.and("r.name", "=", *q.Name)
	}
	return s, nil
}

func (s *selection) equal(column, value string) {
	if value != "" {
		s.and(column, "=", value)
	}
}

// scoped is the selection of everything in one account and region, by ARN: ids are in
// order there. ok is false for other queries.
func (q Query) scoped() (s *selection, ok bool) {
	if q.Service == "" || q.Type == "" || q.Account == "" || q.Region == "" || q.Name != nil || q.LinkTo != "" || q.LinkRel != "" || q.Parent != (live.ARN{}) {
		return nil, false
	}
	s = &selection{from: "resource r", id: "r.arn", none: !storable(q.After)}
	s.begin = live.ARN{Service: q.Service, Type: q.Type, Account: q.Account, Region: q.Region}.String()
	s.where = append(s.where, "r.parent IS NULL")
	s.and(s.id, "<", s.begin[:len(s.begin)-1]+"0") // the character after the slash
	return s, true
}

// list is the statement that reads the page q asks for.
func (q Query) list() (*selection, string, error) { return q.page(rowColumns) }

// digest is the statement that reads digestOf that page. It is for PostgreSQL, which joins
// the rows as they come, and they come in order: should they ever not, the page is read.
func (q Query) digest() (*selection, string, error) {
	s, page, err := q.page("r.id, r.version, r.created_ms")
	return s, `SELECT coalesce(string_agg(id || ':' || version || ':' || created_ms, ','), '') FROM (` + page + `) page`, err
}

// page is the statement that reads some columns of the page q asks for.
func (q Query) page(columns string) (*selection, string, error) {
	s, ok := q.scoped()
	if !ok {
		var err error
		if s, err = q.selection(); err != nil {
			return nil, "", err
		}
	}
	if after := s.begin + q.After; after != "" {
		s.and(s.id, ">", after)
	}
	s.args = append(s.args, limit(q.Limit))
	// SQLite would look at a bare number and plan the query anew for each one.
	return s, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT $%d + 0",
		columns, s.from, strings.Join(s.where, " AND "), s.id, len(s.args)), nil
}

// count is the statement that counts what q selects on all its pages.
func (q Query) count() (*selection, string, error) {
	s, err := q.selection()
	if err != nil {
		return nil, "", err
	}
	return s, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", s.from, strings.Join(s.where, " AND ")), nil
}
