package playback

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// How long what the store said of an account's keys is believed, and of how many
// accounts and regions that is kept. So a key that was deleted works for a second more.
const (
	keyTTL    = time.Second
	maxScopes = 1000
)

// keyTime bounds one reading of the keys.
const keyTime = 3 * time.Second

// A scope is whose keys may sign for a channel: any of its account's in its region.
type scope struct{ account, region string }

// keyring finds playback keys in the store and remembers them for keyTTL.
type keyring struct {
	store records
	now   func() time.Time
	loads singleflight.Group // one reading serves all who wait for it

	mu   sync.Mutex
	seen map[scope]keys // guarded by mu; at most maxScopes
}

type keys struct {
	list  []*ecdsa.PublicKey
	until time.Time
}

func newKeyring(st records, now func() time.Time) *keyring {
	return &keyring{store: st, now: now, seen: map[scope]keys{}}
}

// of returns the keys that may sign for a channel.
func (r *keyring) of(ctx context.Context, channel live.ARN) ([]*ecdsa.PublicKey, error) {
	s := scope{channel.Account, channel.Region}
	r.mu.Lock()
	k, ok := r.seen[s]
	r.mu.Unlock()
	if ok && r.now().Before(k.until) {
		return k.list, nil
	}
	v, err, _ := r.loads.Do(s.account+"/"+s.region, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTime) // whoever asked first may hang up
		defer cancel()
		return r.load(ctx, s)
	})
	if err != nil {
		return nil, err
	}
	return v.([]*ecdsa.PublicKey), nil
}

// load reads the keys. They count from before they were read.
func (r *keyring) load(ctx context.Context, s scope) ([]*ecdsa.PublicKey, error) {
	k := keys{until: r.now().Add(keyTTL)}
	q := store.Query{Service: live.ServiceIVS, Type: live.TypePlaybackKey, Account: s.account, Region: s.region, Limit: 1000}
	for {
		rows, err := r.store.List(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("playback: %w", err)
		}
		for _, row := range rows {
			pk, err := store.PlaybackKeyOf(row)
			if err != nil {
				return nil, err
			}
			pub, err := parsePublicKey(pk.SPKI)
			if err != nil {
				return nil, err
			}
			k.list = append(k.list, pub)
		}
		if len(rows) < q.Limit {
			break
		}
		q.After = rows[len(rows)-1].ARN.ID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) >= maxScopes {
		clear(r.seen)
	}
	r.seen[s] = k
	return k.list, nil
}
