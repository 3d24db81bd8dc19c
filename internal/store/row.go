package store

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// maxBody bounds a row's JSON and a message, in bytes. The API takes no request that
// comes near; a body of this size is a mistake of ours.
const maxBody = 1 << 20

// A Row is one resource. What a Store (not a Tx) returned may be shared with others who
// read it: its Body, Tags and Links must not be changed.
type Row struct {
	ARN    live.ARN
	Parent live.ARN // zero for none; of the same service, account and region
	Name   string   // "" for none; need not be unique
	// Lookup is a second key, unique among the rows of a service and type; "" for
	// none. For what is secret it is a hash.
	Lookup  string
	Body    []byte            // JSON; may hold secrets
	Tags    map[string]string // never nil in a row that was read
	Links   map[string]string // relation -> ARN of the target; an empty target is no link
	Created time.Time         // kept to the millisecond
	Version int64             // 1 when inserted; each Update adds one

	made *made // of a row that stays in memory; see Made
}

// String names the row and its version. It leaves the body out, which may hold secrets.
func (r Row) String() string { return fmt.Sprintf("%s@%d", r.ARN, r.Version) }

// GoString is String, so that %#v shows no secret either.
func (r Row) GoString() string { return r.String() }

// LogValue is String.
func (r Row) LogValue() slog.Value { return slog.StringValue(r.String()) }

// check refuses what could not be read back as it was written.
func (r Row) check() error {
	if a, err := live.ParseARN(r.ARN.String()); err != nil || a != r.ARN {
		return fmt.Errorf("store: incomplete ARN %q", r.ARN)
	}
	if p := r.Parent; p != (live.ARN{}) && (p.Service != r.ARN.Service || p.Account != r.ARN.Account || p.Region != r.ARN.Region) {
		return fmt.Errorf("store: %s cannot be the parent of %s", p, r.ARN)
	}
	switch {
	case len(r.Body) > maxBody:
		return fmt.Errorf("store: body of %s has %d bytes, over the limit of %d", r.ARN, len(r.Body), maxBody)
	case !json.Valid(r.Body):
		return fmt.Errorf("store: body of %s is not JSON", r.ARN)
	case !storable(r.Name, r.Lookup):
		return fmt.Errorf("store: name or lookup of %s is not text", r.ARN)
	}
	for relation, target := range r.Links {
		if !storable(relation, target) {
			return fmt.Errorf("store: a link of %s is not text", r.ARN)
		}
	}
	return nil
}

// columns are the values of the columns tags and links.
func (r Row) columns() (tags, links string, err error) {
	if tags, err = object(r.Tags); err != nil {
		return "", "", err
	}
	set := maps.Clone(r.Links)
	maps.DeleteFunc(set, func(_, target string) bool { return target == "" })
	links, err = object(set)
	return tags, links, err
}

func object(m map[string]string) (string, error) {
	if m == nil {
		m = map[string]string{}
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// rowColumns are the columns a rowScan takes, of the table named r.
const rowColumns = `r.arn, coalesce(r.parent, ''), r.name, coalesce(r.lookup, ''), r.body, r.tags, r.links, r.created_ms, r.version`

// A rowScan reads the rows of one query.
type rowScan struct {
	row                      Row
	arn, parent, tags, links string
	created                  int64
	into                     []any // pointers to the fields above
}

func newRowScan() *rowScan {
	s := &rowScan{}
	s.into = []any{&s.arn, &s.parent, &s.row.Name, &s.row.Lookup, &s.row.Body, &s.tags, &s.links, &s.created, &s.row.Version}
	return s
}

// read reads one row.
func (s *rowScan) read(scan func(...any) error) (Row, error) {
	s.row = Row{}
	err := scan(s.into...)
	if err != nil {
		return Row{}, err
	}
	r := s.row
	r.Created = fromMillis(s.created)
	if r.ARN, err = live.ParseARN(s.arn); err != nil {
		return Row{}, err
	}
	if s.parent != "" {
		if r.Parent, err = live.ParseARN(s.parent); err != nil {
			return Row{}, err
		}
	}
	if r.Tags, err = textMap(s.tags); err == nil {
		r.Links, err = textMap(s.links)
	}
	if err != nil {
		return Row{}, fmt.Errorf("tags and links of %s: %w", s.arn, err)
	}
	return r, nil
}
