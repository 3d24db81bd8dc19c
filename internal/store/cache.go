package store

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sluice-live/sluice/internal/live"
)

// A cache keeps what was read. Of a SQLite database only this Store changes the rows (see
// Cache). It is exact: who reads sees what the database holds. For that
//
//   - a result goes just before the commit that may change it, and is not kept again
//     before that commit is done;
//   - a result is kept only if the place that its reader took for it, before reading, is
//     still there.
//
// Transactions do not read from it: they see their own writes. With PostgreSQL, where
// other nodes write, it keeps pages only, and each use of one asks which versions of which
// rows the page has now (see checked).
type cache struct {
	most int64 // bytes

	mu      sync.Mutex // guards the fields below, and what they point to
	size    int64      // bytes of the results that are ready
	results map[string]*result
	scopes  map[scope]*pages
	doubt   []change // what is being committed
	hits    int64    // reads that were answered from memory
	misses  int64    // and those that were not, and could have been
}

// CacheStats is what a cache has done since the start, and holds.
type CacheStats struct{ Hits, Misses, Bytes int64 }

// CacheStats tells how s uses its memory: zeros without Cache.
func (s *Store) CacheStats() CacheStats {
	if s.cache == nil {
		return CacheStats{}
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return CacheStats{s.cache.hits, s.cache.misses, s.cache.size}
}

// A result is the rows of one read. What it has is not changed once it is ready.
type result struct {
	ready bool // otherwise a place that somebody took who is reading
	rows  []Row
	size  int64 // bytes, about

	filter filter // of a page
	among  *pages // of the page's scope; nil for one row, read by its ARN

	digest string // of a page of PostgreSQL
}

// A scope is what the rows of a page have in common.
type scope struct{ service, typ, account, region string }

func scopeOf(a live.ARN) scope { return scope{a.Service, a.Type, a.Account, a.Region} }

// pages are the results of one scope that are pages, until one of its rows changes or goes.
type pages struct {
	gone bool // one did: none of the results is good any more
	by   map[filter]map[string]*result
}

// A filter is which rows of its scope a page shows: all, or those of a name, or with a
// link, or of a parent.
type filter struct {
	named           bool
	name            string
	linkRel, linkTo string
	parent          live.ARN
}

// filterOf is the filter of q; ok is false for a query whose pages are not kept.
func filterOf(q Query) (f filter, ok bool) {
	kinds := 0
	if q.Name != nil {
		f.named, f.name, kinds = true, *q.Name, kinds+1
	}
	if q.LinkRel != "" {
		f.linkRel, f.linkTo, kinds = q.LinkRel, q.LinkTo, kinds+1
	}
	if q.Parent != (live.ARN{}) {
		f.parent, kinds = q.Parent, kinds+1
	}
	return f, kinds <= 1 && q.Service != "" && q.Type != "" && q.Account != "" && q.Region != ""
}

// A change is what a transaction did to one row.
type change struct {
	arn live.ARN
	// What an inserted row is found by. Of a row that was changed or removed nobody knows
	// what it was found by before.
	inserted bool
	name     string
	parent   live.ARN
	links    map[string]string
}

// filters are those that the inserted row passes.
func (ch *change) filters() []filter {
	all := append(make([]filter, 0, 6), filter{}, filter{named: true, name: ch.name}, filter{parent: ch.parent})
	for rel, to := range ch.links {
		all = append(all, filter{linkRel: rel, linkTo: to})
	}
	return all
}

// shows tells whether the change may show in a page.
func (ch *change) shows(of scope, f filter) bool {
	return of == scopeOf(ch.arn) && (!ch.inserted || slices.Contains(ch.filters(), f))
}

func newCache(most int64) *cache {
	return &cache{most: most, results: map[string]*result{}, scopes: map[scope]*pages{}}
}

// Cache makes s remember up to most bytes of the resources that it read. With SQLite
// nobody but s may then change resources in that database while s is open. It is to be
// called before s is used.
func (s *Store) Cache(most int64) {
	if most <= 0 {
		return
	}
	s.cache = newCache(most)
	if s.commits != nil {
		s.commits.cache = s.cache
	}
}

// maxDoubt bounds the changes of a commit that are looked at one by one. One of more
// clears the cache, which is cheaper than looking.
const maxDoubt = 256

// begin comes before the commit of changes, and end after it, whatever came of it.
func (c *cache) begin(changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubt = changes
	if len(changes) > maxDoubt {
		clear(c.results)
		clear(c.scopes)
		c.size = 0
		return
	}
	for i := range changes {
		ch := &changes[i]
		c.drop(ch.arn.String())
		of := scopeOf(ch.arn)
		all := c.scopes[of]
		switch {
		case all == nil:
		case ch.inserted:
			for _, f := range ch.filters() {
				for key := range all.by[f] {
					c.drop(key)
				}
			}
		default: // its pages go as others need the room, or ask for them
			all.gone = true
			delete(c.scopes, of)
		}
	}
}

func (c *cache) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubt = nil
}

// drop forgets a result or a place. The caller has the lock.
func (c *cache) drop(key string) {
	r := c.results[key]
	if r == nil {
		return
	}
	delete(c.results, key)
	c.size -= r.size
	if r.among != nil {
		same := r.among.by[r.filter]
		delete(same, key)
		if len(same) == 0 {
			delete(r.among.by, r.filter)
		}
	}
}

// row returns the row that arn names, from memory or else from read.
func (c *cache) row(arn live.ARN, read func() (Row, error)) (Row, error) {
	key := arn.String()
	rows, mine := c.find(key, func() *result {
		if len(c.doubt) > maxDoubt || slices.ContainsFunc(c.doubt, func(ch change) bool { return ch.arn == arn }) {
			return nil
		}
		return &result{}
	})
	if rows != nil {
		return rows[0], nil
	}
	row, err := read()
	if mine != nil {
		rows := []Row{row}
		c.keep(key, mine, rows, err)
		row = rows[0]
	}
	return row, err
}

// page returns the page that q asks for, from memory or else from read.
func (c *cache) page(q Query, read func() ([]Row, error)) ([]Row, error) {
	f, ok := filterOf(q)
	if !ok {
		return read()
	}
	key, of := q.key(), scope{q.Service, q.Type, q.Account, q.Region}
	rows, mine := c.find(key, func() *result {
		if len(c.doubt) > maxDoubt || slices.ContainsFunc(c.doubt, func(ch change) bool { return ch.shows(of, f) }) {
			return nil
		}
		all := c.scopes[of]
		if all == nil {
			all = &pages{by: map[filter]map[string]*result{}}
			c.scopes[of] = all
		}
		r := &result{filter: f, among: all}
		if all.by[f] == nil {
			all.by[f] = map[string]*result{}
		}
		all.by[f][key] = r
		return r
	})
	if rows != nil {
		return rows, nil
	}
	rows, err := read()
	if mine != nil {
		c.keep(key, mine, rows, err)
	}
	return rows, err
}

// checked returns the page that q asks for, from memory if digest, which asks the database
// for the digest of the page as it is, finds it unchanged, or else from read.
func (c *cache) checked(q Query, digest func() (string, error), read func() ([]Row, error)) ([]Row, error) {
	f, ok := filterOf(q)
	if !ok {
		return read()
	}
	key := q.key()
	if rows, of := c.last(key); rows != nil {
		now, err := digest()
		if err != nil {
			return nil, err
		}
		if now == of {
			c.mu.Lock()
			c.hits++
			c.mu.Unlock()
			return rows, nil
		}
	}
	rows, err := read()
	if err != nil {
		return nil, err
	}
	mine := &result{filter: f, digest: digestOf(rows)}
	c.mu.Lock()
	c.misses++
	c.drop(key)
	c.results[key] = mine
	c.mu.Unlock()
	c.keep(key, mine, rows, nil)
	return rows, nil
}

// last returns the rows that are known by key, nil for none, and their digest.
func (c *cache) last(key string) (rows []Row, digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.results[key]; r != nil && r.ready {
		return r.rows, r.digest
	}
	return nil, ""
}

// digestOf says which versions of which rows a page has. An id is not used again, but if
// it were, it would be by a row of another moment.
func digestOf(rows []Row) string {
	b := make([]byte, 0, 32*len(rows))
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, r.ARN.ID...), ':')
		b = append(strconv.AppendInt(b, r.Version, 10), ':')
		b = strconv.AppendInt(b, millis(r.Created), 10)
	}
	return string(b)
}

// find returns the rows that are known by key, or else the place that place makes for
// those that the caller will read. It makes none, with nil, for what is being changed, and
// is not asked while somebody else is reading the same.
func (c *cache) find(key string, place func() *result) (rows []Row, mine *result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.results[key]
	if r != nil && r.among != nil && r.among.gone {
		c.drop(key)
		r = nil
	}
	if r != nil && r.ready {
		c.hits++
		return r.rows, nil
	}
	c.misses++
	if r != nil {
		return nil, nil
	}
	if mine = place(); mine != nil {
		c.results[key] = mine
	}
	return nil, mine
}

// keep fills the place that find gave with rows, or gives it back.
func (c *cache) keep(key string, mine *result, rows []Row, err error) {
	size := int64(len(key) + len(mine.digest) + resultOverhead)
	for i := range rows {
		rows[i].made = &made{}
		size += rows[i].bytes()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results[key] != mine {
		return // changed meanwhile
	}
	if err != nil || size > c.most/4 || mine.among != nil && mine.among.gone {
		c.drop(key)
		return
	}
	if rows == nil {
		rows = []Row{} // an answer, too
	}
	mine.rows, mine.size, mine.ready = slices.Clip(rows), size, true
	c.size += size
	for old, r := range c.results { // in an order of chance
		if c.size <= c.most {
			break
		}
		if r.ready && r != mine {
			c.drop(old)
		}
	}
}

// What things take in memory, in bytes, about: their maps, headers and pointers.
const (
	resultOverhead = 300
	rowOverhead    = 1000
	pairOverhead   = 40
	madeFactor     = 2 // what readers make of a body takes as much again
)

func (r *Row) bytes() int64 {
	n := rowOverhead + madeFactor*len(r.Body) + len(r.Name) + len(r.Lookup)
	for _, m := range [2]map[string]string{r.Tags, r.Links} {
		for k, v := range m {
			n += pairOverhead + len(k) + len(v)
		}
	}
	return int64(n)
}

// made is what a reader made of a row that stays in memory, or of the page that begins
// with it: pages share no rows.
type made struct{ value atomic.Pointer[any] }

// Made returns from(r). For a row that stays in memory it is called once, and its value
// kept, which nobody may change: one value, of the last type that was asked for.
func Made[T any](r Row, from func(Row) (T, error)) (T, error) {
	return madeOf(r.made, func() (T, error) { return from(r) })
}

// MadeOfPage is Made for all rows of a page.
func MadeOfPage[T any](rows []Row, from func([]Row) (T, error)) (T, error) {
	if len(rows) == 0 {
		return from(rows)
	}
	return madeOf(rows[0].made, func() (T, error) { return from(rows) })
}

func madeOf[T any](m *made, from func() (T, error)) (T, error) {
	if m == nil {
		return from()
	}
	if p := m.value.Load(); p != nil {
		if v, ok := (*p).(T); ok {
			return v, nil
		}
	}
	v, err := from()
	if err == nil {
		var kept any = v
		m.value.Store(&kept)
	}
	return v, err
}

// key is the same for the same page. A zero byte, which stands in no ARN, comes first,
// and lengths before texts that may hold anything.
func (q Query) key() string {
	b := make([]byte, 0, 128)
	b = append(b, 0)
	for _, s := range [...]string{q.Service, q.Type, q.Account, q.Region, q.LinkRel, q.LinkTo, q.After, q.Parent.Type, q.Parent.ID} {
		b = append(append(strconv.AppendInt(b, int64(len(s)), 10), ':'), s...)
	}
	b = append(strconv.AppendInt(b, int64(limit(q.Limit)), 10), ':')
	if q.Name != nil {
		b = append(append(b, '='), *q.Name...)
	}
	return string(b)
}
