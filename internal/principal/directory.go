package principal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// ErrFile means that a principal is described by a file, which is where to change it.
var ErrFile = errors.New("principal: it is described in the policy directory: change the file")

// Config says where principals are.
type Config struct {
	Dir     string // the policy directory; "" for none
	Account string // whose principals the directory describes
}

// How long what the store said is believed, and how much of it.
const (
	ttl       = time.Second
	maxCached = 10000
)

// A Directory finds principals. It is safe for concurrent use.
type Directory struct {
	cfg   Config
	log   *slog.Logger
	store *store.Store
	now   func() time.Time
	book  atomic.Pointer[book]
	files map[string]*file // Run's, after Open

	mu     sync.Mutex
	cached map[string]stored      // by ARN; guarded by mu
	texts  map[string]*iam.Policy // session policies by document; guarded by mu

	broken  prometheus.Gauge
	reloads prometheus.Counter
}

// stored is a principal of the store, compiled against a book.
type stored struct {
	*Principal // nil when there is none
	err        error
	book       *book
	until      time.Time
}

// Open reads the policy directory, in which everything must be valid. reg may be nil.
func Open(log *slog.Logger, st *store.Store, reg prometheus.Registerer, c Config) (*Directory, error) {
	f := promauto.With(reg)
	d := &Directory{
		cfg: c, log: log, store: st, now: time.Now, cached: map[string]stored{}, texts: map[string]*iam.Policy{},
		broken:  f.NewGauge(prometheus.GaugeOpts{Name: "sluice_policy_files_invalid", Help: "Files of the policy directory whose latest content is not in force."}),
		reloads: f.NewCounter(prometheus.CounterOpts{Name: "sluice_policy_reloads_total", Help: "Changes of the policy directory that took effect."}),
	}
	files := map[string]*file{}
	if c.Dir != "" {
		var err error
		if files, _, err = scan(c.Dir, nil, d.now()); err != nil {
			return nil, err
		}
	}
	b, err := bind(c.Account, files, nil)
	if err == nil {
		err = b.err()
	}
	if err != nil {
		return nil, err
	}
	d.files = files
	d.book.Store(b)
	return d, nil
}

// pollEvery is how often the policy directory is looked at.
const pollEvery = time.Second

// Run follows the policy directory until ctx is done.
func (d *Directory) Run(ctx context.Context) error {
	if d.cfg.Dir == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var unreadable string // the last error of the directory itself
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := d.reload()
		if err != nil && err.Error() != unreadable {
			d.log.Error("the policy directory cannot be read: what it said before stays in force", "err", err)
		}
		unreadable = fmt.Sprint(err)
	}
}

// reload takes over what changed. Each new problem is logged once.
func (d *Directory) reload() error {
	files, changed, err := scan(d.cfg.Dir, d.files, d.now())
	if err != nil {
		d.broken.Set(float64(max(len(d.book.Load().problems), 1)))
		return err
	}
	d.files = files
	before := d.book.Load()
	if !changed {
		d.broken.Set(float64(len(before.problems)))
		return nil
	}
	after, err := bind(d.cfg.Account, files, before)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(after.problems)) {
		if problem := after.problems[path]; fmt.Sprint(before.problems[path]) != problem.Error() {
			d.log.Error("a policy file is invalid: what it said before stays in force", "file", path, "err", problem)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before.problems)) {
		if after.problems[path] == nil {
			d.log.Info("a policy file is valid again, or gone", "file", path)
		}
	}
	d.book.Store(after)
	d.broken.Set(float64(len(after.problems)))
	d.reloads.Inc()
	d.log.Info("the policy directory changed", "policies", len(after.policies), "principals", len(after.principals))
	return nil
}

// Find returns the principal named arn, or live.NotFound.
func (d *Directory) Find(ctx context.Context, arn string) (*Principal, error) {
	b := d.book.Load()
	if p := b.principals[arn]; p != nil {
		return p, nil
	}
	d.mu.Lock()
	c, ok := d.cached[arn]
	d.mu.Unlock()
	if !ok || c.book != b || !d.now().Before(c.until) {
		fresh, err := d.fetch(ctx, arn, b)
		if err != nil {
			return nil, err
		}
		if fresh.err != nil && (c.err == nil || c.err.Error() != fresh.err.Error()) {
			d.log.Error("a principal is invalid: it may do nothing", "principal", arn, "err", fresh.err)
		}
		d.mu.Lock()
		if len(d.cached) >= maxCached {
			clear(d.cached)
		}
		d.cached[arn] = fresh
		d.mu.Unlock()
		c = fresh
	}
	if c.Principal == nil {
		return nil, live.NotFound
	}
	return c.Principal, nil
}

// fetch reads a principal from the store. One that cannot be compiled, perhaps because
// its policy is gone, is as good as none: what is missing may have been a denial.
func (d *Directory) fetch(ctx context.Context, arn string, b *book) (stored, error) {
	s := stored{book: b, until: d.now().Add(ttl)}
	row, err := d.store.Principal(ctx, arn)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s, nil
	case err != nil:
		return s, err
	}
	s.Principal, s.err = d.compile(row, b)
	if s.err != nil {
		s.Principal = nil
	}
	return s, nil
}

func (d *Directory) compile(row store.Principal, b *book) (*Principal, error) {
	spec, err := ParseSpec(row.Body)
	if err != nil {
		return nil, err
	}
	kind, name, _ := strings.Cut(strings.TrimPrefix(row.ARN, "arn:aws:iam::"+row.Account+":"), "/")
	return compile(row.Account, Kind(kind), name, spec, func(arn string) *iam.Policy { return b.policies[arn] })
}

// All lists the principals of an account in the order of their ARNs: those of the
// directory, and those of the store that none of these hides. One that is invalid
// comes without policies, and its error stands in the second result by ARN.
func (d *Directory) All(ctx context.Context, account string) ([]*Principal, map[string]error, error) {
	b := d.book.Load()
	all := map[string]*Principal{}
	invalid := map[string]error{}
	const page = 500
	for after := ""; ; {
		rows, err := d.store.ListPrincipals(ctx, account, after, page)
		if err != nil {
			return nil, nil, err
		}
		for _, row := range rows {
			after = row.ARN
			p, err := d.compile(row, b)
			if err != nil {
				invalid[row.ARN] = err
				p = &Principal{ARN: row.ARN, Account: account}
			}
			all[row.ARN] = p
		}
		if len(rows) < page {
			break
		}
	}
	if account == d.cfg.Account {
		for arn, p := range b.principals {
			all[arn] = p
			delete(invalid, arn)
		}
	}
	return slices.SortedFunc(maps.Values(all), func(x, y *Principal) int { return strings.Compare(x.ARN, y.ARN) }), invalid, nil
}

// Change changes the Spec of a user in the store, which it creates if create is set.
// The result must be valid. The names of new policies are completed to ARNs.
func (d *Directory) Change(ctx context.Context, account, name string, create bool, change func(*Spec) error) error {
	b := d.book.Load()
	arn := ARN(account, User, name)
	if b.principals[arn] != nil {
		return ErrFile
	}
	edit := func(body []byte) ([]byte, error) {
		s, err := ParseSpec(body)
		if err != nil {
			return nil, err
		}
		if err := change(&s); err != nil {
			return nil, err
		}
		p, err := compile(account, User, name, s, func(arn string) *iam.Policy { return b.policies[arn] })
		if err != nil {
			return nil, err
		}
		s.Policies = p.Attached
		return encode(s)
	}
	defer d.forget(arn)
	err := d.store.ChangePrincipal(ctx, arn, edit)
	if !create || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	body, err := edit([]byte("{}"))
	if err != nil {
		return err
	}
	return d.store.CreatePrincipal(ctx, store.Principal{ARN: arn, Account: account, Body: body, Created: d.now()})
}

// forget makes the next Find ask the store.
func (d *Directory) forget(arn string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.cached, arn)
}
